//! Precisions that the processor and a graph have.

use std::path::Path;

use embedkit_types::{Device, LoadOptions, Precision};

use super::{bf16, device};
use crate::error::Error;

/// Checks that this processor has the instructions of a precision. No other code runs instead of them: it would be
/// slower than f32.
///
/// # Errors
/// [`Error::NoInstructions`].
pub fn check(precision: Precision) -> Result<(), Error> {
    check_kernel(precision, bf16::kernel_name())
}

/// [`check`] for a processor whose kernel for bf16 has this name, or that has none.
fn check_kernel(precision: Precision, bf16: Option<&str>) -> Result<(), Error> {
    match precision {
        Precision::Bf16 if bf16.is_none() => Err(Error::NoInstructions { precision }),
        _ => Ok(()),
    }
}

/// The precision of options, which [`Precision::AutoFast`] leaves to this processor and the device: bf16 where the CPU
/// runs the graph and has AMX, else f32.
#[must_use]
pub fn choose(options: &LoadOptions) -> Precision {
    match options.precision {
        Precision::AutoFast => {
            choose_for(bf16::kernel_name(), device::alternatives(&options.device).first())
        }
        precision => precision,
    }
}

/// The fastest precision for a processor whose kernel for bf16 has this name, and the first device that is tried.
/// AVX-512 BF16 was no faster than f32 on processors with AMX, and has not been measured on others; BF16 of `AArch64` has
/// not been measured.
fn choose_for(bf16: Option<&str>, device: Option<&Device>) -> Precision {
    match (bf16, device) {
        (Some("amx"), Some(Device::Cpu)) => Precision::Bf16,
        _ => Precision::F32,
    }
}

/// Checks that a graph has the precision that is asked for, f32 being that of its file, and that the processor has
/// the instructions.
pub(super) fn check_graph(path: &Path, asked: Precision, found: Precision) -> Result<(), Error> {
    match asked {
        Precision::F32 | Precision::AutoFast => check(found),
        asked if asked == found => check(found),
        precision => Err(Error::OtherPrecision { path: path.to_owned(), precision }),
    }
}

#[cfg(test)]
mod tests {
    use embedkit_types::ErrorKind;

    use super::*;

    #[test]
    fn a_processor_without_the_instructions_is_an_error_with_advice() {
        for precision in [Precision::F32, Precision::Int8] {
            check_kernel(precision, None).unwrap();
        }
        check_kernel(Precision::Bf16, Some("amx")).unwrap();
        let error = check_kernel(Precision::Bf16, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.is_of_session());
        assert!(error.to_string().contains("bf16"), "{error}");
        let hint = error.hint().unwrap().to_string();
        assert!(hint.contains("f32") && hint.contains("eight-bit"), "{hint}");
    }

    #[test]
    fn the_fastest_precision_needs_amx_and_the_cpu() {
        let gpu = Device::Cuda(vec![0]);
        for (bf16, device, expected) in [
            (Some("amx"), Some(&Device::Cpu), Precision::Bf16),
            (Some("amx"), Some(&gpu), Precision::F32),
            (Some("amx"), None, Precision::F32),
            (Some("avx512-bf16"), Some(&Device::Cpu), Precision::F32),
            (Some("neon-bf16"), Some(&Device::Cpu), Precision::F32),
            (None, Some(&Device::Cpu), Precision::F32),
        ] {
            assert_eq!(choose_for(bf16, device), expected, "{bf16:?} {device:?}");
        }
        let fixed = LoadOptions { precision: Precision::Int8, ..LoadOptions::default() };
        assert_eq!(choose(&fixed), Precision::Int8);
        let auto = LoadOptions {
            precision: Precision::AutoFast,
            device: Device::Cpu,
            ..LoadOptions::default()
        };
        assert_eq!(choose(&auto), choose_for(bf16::kernel_name(), Some(&Device::Cpu)));
    }

    #[test]
    fn a_graph_of_f32_is_no_other() {
        let path = Path::new("model.onnx");
        check_graph(path, Precision::F32, Precision::F32).unwrap();
        check_graph(path, Precision::F32, Precision::Int8).unwrap();
        check_graph(path, Precision::AutoFast, Precision::F32).unwrap();
        check_graph(path, Precision::AutoFast, Precision::Int8).unwrap();
        check_graph(path, Precision::Int8, Precision::Int8).unwrap();
        for (asked, found) in [
            (Precision::Bf16, Precision::F32),
            (Precision::Bf16, Precision::Int8),
            (Precision::Int8, Precision::F32),
        ] {
            let error = check_graph(path, asked, found).unwrap_err();
            let is_asked =
                matches!(error, Error::OtherPrecision { precision, .. } if precision == asked);
            assert!(is_asked, "{error}");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.hint().unwrap().to_string().contains("by name or folder"));
        }
    }
}
