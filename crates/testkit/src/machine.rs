//! Where tests run graphs: on the CPU, or as the environment asks.
//!
//! The same golden tests run with every device and every number of threads and replicas: `cargo xtask
//! matrix` sets `EMBEDKIT_TEST_DEVICE` (`cpu`, `cuda:1`, `tensorrt`, …), `EMBEDKIT_TEST_THREADS`,
//! `EMBEDKIT_TEST_REPLICAS` and `EMBEDKIT_TEST_TOLERANCE`, which nothing else reads.

use std::{env, num::NonZeroUsize, str::FromStr};

use embedkit_types::{Device, LoadOptions};

/// How tests open models. Without the runtime library, which [`runtime_library`] looks for.
///
/// [`runtime_library`]: crate::runtime_library
///
/// # Panics
/// On a variable that does not make sense.
#[must_use]
pub fn load_options() -> LoadOptions {
    let device = variable("DEVICE").map_or(Device::Cpu, |Named(device)| device);
    // The original's numbers are those of full single precision, which TF32 is not.
    let provider_options = match device {
        Device::Cuda(_) => vec![("use_tf32".to_owned(), "0".to_owned())],
        _ => Vec::new(),
    };
    LoadOptions {
        device,
        provider_options,
        threads: variable::<NonZeroUsize>("THREADS"),
        replicas: variable::<NonZeroUsize>("REPLICAS"),
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

/// A device by the name that the command line has for it.
struct Named(Device);

impl FromStr for Named {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let (name, numbers) = name.split_once(':').map_or((name, None), |(a, b)| (a, Some(b)));
        let numbers = || {
            let parts = numbers.into_iter().flat_map(|numbers| numbers.split(','));
            parts.map(|part| part.parse().map_err(drop)).collect::<Result<Vec<u32>, ()>>()
        };
        Ok(Self(match name {
            "cpu" => Device::Cpu,
            "cuda" => Device::Cuda(numbers()?),
            "tensorrt" => Device::TensorRt,
            "coreml" => Device::CoreMl,
            "directml" => Device::DirectMl,
            "openvino" => Device::OpenVino,
            "migraphx" => Device::MiGraphX,
            _ => return Err(()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_the_names_of_the_command_line() {
        let device = |name: &str| name.parse().ok().map(|Named(device)| device);
        assert_eq!(device("cpu"), Some(Device::Cpu));
        assert_eq!(device("cuda"), Some(Device::Cuda(vec![])));
        assert_eq!(device("cuda:0,2"), Some(Device::Cuda(vec![0, 2])));
        assert_eq!(device("cuda:x"), None);
        assert_eq!(device("abacus"), None);
    }
}
