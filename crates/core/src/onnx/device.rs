//! Execution providers of ONNX Runtime for a device.
//!
//! A new provider is a variant of [`Device`], an arm in [`providers`], and a feature.

use embedkit_types::{Device, LoadOptions};
use ort::ep::{self, ExecutionProviderDispatch};

use crate::error::Error;

/// Devices to try, in order: the CPU, or accelerators of one kind that are used together.
pub(crate) fn alternatives(device: &Device) -> Vec<Device> {
    match device {
        Device::Auto => {
            // CoreML and OpenVINO are left out: on varying lengths they are usually slower than the
            // CPU, so they have to be asked for.
            let accelerators = [
                (cfg!(feature = "cuda"), Device::Cuda(vec![0])),
                (cfg!(feature = "migraphx"), Device::MiGraphX),
                (cfg!(feature = "directml"), Device::DirectMl),
                (true, Device::Cpu),
            ];
            let compiled = accelerators.into_iter().filter(|(compiled, _)| *compiled);
            compiled.map(|(_, device)| device).collect()
        }
        Device::Cuda(numbers) if numbers.is_empty() => vec![Device::Cuda(vec![0])],
        Device::Prefer(devices) => devices.iter().flat_map(alternatives).collect(),
        device => vec![device.clone()],
    }
}

/// The devices of an alternative, each of which gets copies of the graph: one for each GPU.
pub(crate) fn split(device: &Device) -> Vec<Device> {
    match device {
        Device::Cuda(numbers) => numbers.iter().map(|&number| Device::Cuda(vec![number])).collect(),
        device => vec![device.clone()],
    }
}

/// The execution providers of one device, as [`split`] gives it, registered or failed, never skipped.
///
/// # Errors
/// [`Error::Device`] where this build or the runtime library does not have the provider.
pub(crate) fn providers(
    device: &Device,
    options: &LoadOptions,
) -> Result<Vec<ExecutionProviderDispatch>, Error> {
    let unavailable = |reason: String| Error::Device { device: device.to_string(), reason };
    #[allow(unused_macros, reason = "unused where no accelerator is compiled in")]
    macro_rules! provider {
        // One that takes options by name.
        ($provider:expr) => {{
            use ort::ep::ArbitrarilyConfigurableExecutionProvider;
            let mut provider = $provider;
            for (key, value) in provider_options(device, options)? {
                provider = provider.with_arbitrary_config(key, value);
            }
            provider!(built provider)
        }};
        (without options $provider:expr) => {{
            if let Some((key, _)) = provider_options(device, options)?.first() {
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
    match device {
        Device::Cpu => {
            if let Some((key, _)) = provider_options(device, options)?.first() {
                return Err(unavailable(format!("the CPU has no provider option `{key}`")));
            }
            Ok(options
                .arena
                .map(|arena| ep::CPU::default().with_arena_allocator(arena).build())
                .into_iter()
                .collect())
        }
        #[cfg(feature = "cuda")]
        Device::Cuda(numbers) => {
            let number = numbers.first().map_or(Ok(0), |&number| i32::try_from(number));
            provider!(ep::CUDA::default().with_device_id(number.unwrap_or(i32::MAX)))
        }
        #[cfg(not(feature = "cuda"))]
        Device::Cuda(_) => not_compiled("cuda"),
        #[cfg(feature = "tensorrt")]
        Device::TensorRt => provider!(ep::TensorRT::default()),
        #[cfg(not(feature = "tensorrt"))]
        Device::TensorRt => not_compiled("tensorrt"),
        #[cfg(feature = "coreml")]
        Device::CoreMl => provider!(ep::CoreML::default()),
        #[cfg(not(feature = "coreml"))]
        Device::CoreMl => not_compiled("coreml"),
        #[cfg(feature = "directml")]
        Device::DirectMl => provider!(without options ep::DirectML::default()),
        #[cfg(not(feature = "directml"))]
        Device::DirectMl => not_compiled("directml"),
        #[cfg(feature = "openvino")]
        Device::OpenVino => provider!(ep::OpenVINO::default()),
        #[cfg(not(feature = "openvino"))]
        Device::OpenVino => not_compiled("openvino"),
        #[cfg(feature = "migraphx")]
        Device::MiGraphX => provider!(without options ep::MIGraphX::default()),
        #[cfg(not(feature = "migraphx"))]
        Device::MiGraphX => not_compiled("migraphx"),
        Device::Auto | Device::Prefer(_) => {
            Err(Error::Defect { reason: format!("{device} is not one device") })
        }
    }
}

/// Options for the provider itself; those that begin with `session.` are the session's.
fn provider_options<'a>(
    device: &Device,
    options: &'a LoadOptions,
) -> Result<Vec<&'a (String, String)>, Error> {
    let of_provider = options.provider_options.iter().filter(|(key, _)| !is_session_option(key));
    of_provider
        .map(|option| {
            if option.0.contains('\0') || option.1.contains('\0') {
                let reason = format!("the provider option {:?} contains a NUL", option.0);
                return Err(Error::Device { device: device.to_string(), reason });
            }
            Ok(option)
        })
        .collect()
}

/// True for an option that is a configuration entry of the session, by ONNX Runtime's naming.
pub(crate) fn is_session_option(key: &str) -> bool {
    key.starts_with("session.") || key.starts_with("mlas.") || key.starts_with("optimization.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_device_has_no_alternative() {
        let gpus = Device::Cuda(vec![1, 3]);
        assert_eq!(alternatives(&Device::Cuda(vec![])), [Device::Cuda(vec![0])]);
        assert_eq!(alternatives(&gpus), std::slice::from_ref(&gpus));
        assert_eq!(split(&gpus), [Device::Cuda(vec![1]), Device::Cuda(vec![3])]);
        assert_eq!(split(&Device::TensorRt), [Device::TensorRt]);
        assert_eq!(
            alternatives(&Device::Prefer(vec![Device::TensorRt, gpus.clone(), Device::Cpu])),
            [Device::TensorRt, gpus, Device::Cpu]
        );
    }

    #[test]
    fn auto_ends_with_the_cpu() {
        assert_eq!(alternatives(&Device::Auto).last(), Some(&Device::Cpu));
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_provider_that_is_not_compiled_in_is_an_error() {
        let error =
            providers(&Device::Cuda(vec![0]), &LoadOptions::default()).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("feature `cuda`"), "{error}");
    }

    #[test]
    fn the_cpu_takes_no_provider_options() {
        let options = LoadOptions {
            provider_options: vec![("gpu_mem_limit".into(), "1".into())],
            ..LoadOptions::default()
        };
        assert!(providers(&Device::Cpu, &options).is_err());
        let options = LoadOptions {
            provider_options: vec![("session.set_denormal_as_zero".into(), "1".into())],
            ..LoadOptions::default()
        };
        assert!(providers(&Device::Cpu, &options).is_ok());
    }
}
