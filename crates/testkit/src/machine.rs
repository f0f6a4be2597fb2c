//! Where tests run graphs: on the CPU, or as the environment asks.
//!
//! The same golden tests run with every device and every number of threads and replicas: `cargo xtask
//! matrix` sets `EMBEDKIT_TEST_DEVICE` (`cpu`, `cuda:1`, `tensorrt`, …), `EMBEDKIT_TEST_THREADS`,
//! `EMBEDKIT_TEST_REPLICAS` and `EMBEDKIT_TEST_TOLERANCE`, which nothing else reads.

use std::{env, str::FromStr};

use embedkit_types::{Device, LoadOptions};

/// How tests open models. Without the runtime library, which [`runtime_library`] looks for.
///
/// [`runtime_library`]: crate::runtime_library
///
/// # Panics
/// On a variable that does not make sense.
#[must_use]
pub fn load_options() -> LoadOptions {
    let device = variable("DEVICE").unwrap_or(Device::Cpu);
    // The original's numbers are those of full single precision, which TF32 is not.
    let provider_options = match device {
        Device::Cuda(_) => vec![("use_tf32".to_owned(), "0".to_owned())],
        _ => Vec::new(),
    };
    LoadOptions {
        device,
        provider_options,
        threads: variable("THREADS"),
        replicas: variable("REPLICAS"),
        ..LoadOptions::default()
    }
}

/// What a test allows, or more where the device is not the one that the values come from.
pub(crate) fn allowed(tolerance: f32) -> f32 {
    variable("TOLERANCE").map_or(tolerance, |wider: f32| tolerance.max(wider))
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let name = format!("EMBEDKIT_TEST_{name}");
    let value = env::var(&name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}, which makes no sense")))
}
