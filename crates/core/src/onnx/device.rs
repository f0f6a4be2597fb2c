//! Devices: from a wish to execution providers of ONNX Runtime.
//!
//! A new provider is a variant of [`Device`], an arm in each of the two matches here, and a feature.

use embedkit_types::{Device, LoadOptions};
use ort::ep::{self, ExecutionProviderDispatch};

use crate::error::Error;

/// One place where a copy of the graph can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Cpu,
    Cuda(u32),
    TensorRt,
    CoreMl,
    DirectMl,
    OpenVino,
    MiGraphX,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::TensorRt => f.write_str("tensorrt"),
            Self::CoreMl => f.write_str("coreml"),
            Self::DirectMl => f.write_str("directml"),
            Self::OpenVino => f.write_str("openvino"),
            Self::MiGraphX => f.write_str("migraphx"),
        }
    }
}

/// What may be tried for a device, in order: each alternative is a set of places used together.
pub(crate) fn alternatives(device: &Device) -> Vec<Vec<Place>> {
    match device {
        Device::Auto => {
            // CoreML and OpenVINO are left out: on varying lengths they are usually slower than the
            // CPU, so they have to be asked for.
            let mut found = vec![vec![Place::Cpu]];
            let accelerators = [
                (cfg!(feature = "directml"), Place::DirectMl),
                (cfg!(feature = "migraphx"), Place::MiGraphX),
                (cfg!(feature = "cuda"), Place::Cuda(0)),
            ];
            for (compiled, place) in accelerators {
                if compiled {
                    found.insert(0, vec![place]);
                }
            }
            found
        }
        Device::Cpu => vec![vec![Place::Cpu]],
        Device::Cuda(numbers) if numbers.is_empty() => vec![vec![Place::Cuda(0)]],
        Device::Cuda(numbers) => vec![numbers.iter().copied().map(Place::Cuda).collect()],
        Device::TensorRt => vec![vec![Place::TensorRt]],
        Device::CoreMl => vec![vec![Place::CoreMl]],
        Device::DirectMl => vec![vec![Place::DirectMl]],
        Device::OpenVino => vec![vec![Place::OpenVino]],
        Device::MiGraphX => vec![vec![Place::MiGraphX]],
        Device::Prefer(devices) => devices.iter().flat_map(alternatives).collect(),
    }
}

/// The execution providers of one place, registered or failed, never skipped.
///
/// # Errors
/// [`Error::Device`] where this build or the runtime library does not have the provider.
pub(crate) fn providers(
    place: Place,
    options: &LoadOptions,
) -> Result<Vec<ExecutionProviderDispatch>, Error> {
    let unavailable = |reason: String| Error::Device { device: place.to_string(), reason };
    #[allow(unused_macros, reason = "unused where no accelerator is compiled in")]
    macro_rules! provider {
        // One that takes options by name.
        ($provider:expr) => {{
            use ort::ep::ArbitrarilyConfigurableExecutionProvider;
            let mut provider = $provider;
            for (key, value) in provider_options(place, options)? {
                provider = provider.with_arbitrary_config(key, value);
            }
            provider!(built provider)
        }};
        (without options $provider:expr) => {{
            if let Some((key, _)) = provider_options(place, options)?.first() {
                return Err(unavailable(format!("it has no provider option `{key}`")));
            }
            provider!(built $provider)
        }};
        (built $provider:expr) => {{
            fn available<E: ep::ExecutionProvider>(_: &E) -> ort::Result<bool> {
                E::is_available()
            }
            let provider = $provider;
            if !available(&provider).unwrap_or(false) {
                return Err(unavailable(
                    "the ONNX Runtime library in use was built without it".to_owned(),
                ));
            }
            Ok(vec![provider.build().error_on_failure()])
        }};
    }
    #[allow(unused_variables, reason = "unused where every accelerator is compiled in")]
    let not_compiled = |feature: &str| -> Result<Vec<ExecutionProviderDispatch>, Error> {
        Err(unavailable(format!("this build does not have the feature `{feature}`")))
    };
    match place {
        Place::Cpu => {
            if let Some((key, _)) = provider_options(place, options)?.first() {
                return Err(unavailable(format!("the CPU has no provider option `{key}`")));
            }
            Ok(options
                .arena
                .map(|arena| ep::CPU::default().with_arena_allocator(arena).build())
                .into_iter()
                .collect())
        }
        #[cfg(feature = "cuda")]
        Place::Cuda(number) => {
            provider!(ep::CUDA::default().with_device_id(i32::try_from(number).unwrap_or(i32::MAX)))
        }
        #[cfg(not(feature = "cuda"))]
        Place::Cuda(_) => not_compiled("cuda"),
        #[cfg(feature = "tensorrt")]
        Place::TensorRt => provider!(ep::TensorRT::default()),
        #[cfg(not(feature = "tensorrt"))]
        Place::TensorRt => not_compiled("tensorrt"),
        #[cfg(feature = "coreml")]
        Place::CoreMl => provider!(ep::CoreML::default()),
        #[cfg(not(feature = "coreml"))]
        Place::CoreMl => not_compiled("coreml"),
        #[cfg(feature = "directml")]
        Place::DirectMl => provider!(without options ep::DirectML::default()),
        #[cfg(not(feature = "directml"))]
        Place::DirectMl => not_compiled("directml"),
        #[cfg(feature = "openvino")]
        Place::OpenVino => provider!(ep::OpenVINO::default()),
        #[cfg(not(feature = "openvino"))]
        Place::OpenVino => not_compiled("openvino"),
        #[cfg(feature = "migraphx")]
        Place::MiGraphX => provider!(without options ep::MIGraphX::default()),
        #[cfg(not(feature = "migraphx"))]
        Place::MiGraphX => not_compiled("migraphx"),
    }
}

/// Options for the provider itself; those that begin with `session.` are the session's.
fn provider_options(place: Place, options: &LoadOptions) -> Result<Vec<&(String, String)>, Error> {
    let of_provider = options.provider_options.iter().filter(|(key, _)| !is_session_option(key));
    of_provider
        .map(|option| {
            if option.0.contains('\0') || option.1.contains('\0') {
                let reason = format!("the provider option {:?} contains a NUL", option.0);
                return Err(Error::Device { device: place.to_string(), reason });
            }
            Ok(option)
        })
        .collect()
}

/// Whether an option is a configuration entry of the session, by ONNX Runtime's naming.
pub(crate) fn is_session_option(key: &str) -> bool {
    key.starts_with("session.") || key.starts_with("mlas.") || key.starts_with("optimization.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_device_has_no_alternative() {
        assert_eq!(alternatives(&Device::Cuda(vec![])), [[Place::Cuda(0)]]);
        assert_eq!(alternatives(&Device::Cuda(vec![1, 3])), [[Place::Cuda(1), Place::Cuda(3)]]);
        assert_eq!(
            alternatives(&Device::Prefer(vec![Device::TensorRt, Device::Cpu])),
            [[Place::TensorRt], [Place::Cpu]]
        );
    }

    #[test]
    fn auto_ends_with_the_cpu() {
        assert_eq!(alternatives(&Device::Auto).last(), Some(&vec![Place::Cpu]));
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_provider_that_is_not_compiled_in_is_an_error() {
        let error = providers(Place::Cuda(0), &LoadOptions::default()).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("feature `cuda`"), "{error}");
    }

    #[test]
    fn the_cpu_takes_no_provider_options() {
        let options = LoadOptions {
            provider_options: vec![("gpu_mem_limit".into(), "1".into())],
            ..LoadOptions::default()
        };
        assert!(providers(Place::Cpu, &options).is_err());
        let options = LoadOptions {
            provider_options: vec![("session.set_denormal_as_zero".into(), "1".into())],
            ..LoadOptions::default()
        };
        assert!(providers(Place::Cpu, &options).is_ok());
    }
}
