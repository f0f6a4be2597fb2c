//! Device for tests: the CPU, or as the environment says.
//!
//! The same golden tests run with every device and every number of threads and replicas. `cargo xtask
//! matrix` sets `EMBEDKIT_TEST_DEVICE` (`cpu`, `cuda:1`, `tensorrt`, …), `EMBEDKIT_TEST_THREADS`,
//! `EMBEDKIT_TEST_REPLICAS` and `EMBEDKIT_TEST_TOLERANCE`; nothing else reads them.

use std::{env, str::FromStr};

use embedkit_types::{Device, LoadOptions};

/// Options of models in tests, without the runtime library, which [`runtime_library`] finds.
///
/// [`runtime_library`]: crate::runtime_library
///
/// # Panics
/// If a variable is invalid.
#[must_use]
pub fn load_options() -> LoadOptions {
    let device = variable("DEVICE").unwrap_or(Device::Cpu);
    // The original computes in full single precision, which TF32 is not.
    let provider_options = match device {
        Device::Cuda(_) => vec![("use_tf32".to_owned(), "0".to_owned())],
        _ => Vec::new(),
    };
    LoadOptions {
        device,
        provider_options,
        // Tests compare every value themselves, and leave the user's cache alone.
        skip_canary: true,
        threads: variable("THREADS"),
        replicas: variable("REPLICAS"),
        ..LoadOptions::default()
    }
}

/// Tolerance of a test, or a larger one on another device than that of the values.
pub(crate) fn allowed(tolerance: f32) -> f32 {
    variable("TOLERANCE").map_or(tolerance, |wider: f32| tolerance.max(wider))
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let name = format!("EMBEDKIT_TEST_{name}");
    let value = env::var(&name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}, which makes no sense")))
}
