//! Where a graph runs, and what that is called.

use std::str::FromStr;

/// Where a graph runs.
///
/// A device asked for by name is used or loading fails; only [`Device::Auto`] and
/// [`Device::Prefer`] may fall back, and the loaded model says what was taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Device {
    /// The best accelerator that was compiled in and works, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// NVIDIA GPUs by number, one replica or more on each; an empty list means GPU 0.
    Cuda(Vec<u32>),
    /// NVIDIA GPU 0 through TensorRT.
    TensorRt,
    /// Apple CoreML.
    CoreMl,
    /// DirectML on Windows.
    DirectMl,
    /// Intel OpenVINO.
    OpenVino,
    /// AMD GPUs through MIGraphX.
    MiGraphX,
    /// The first of these that works.
    Prefer(Vec<Device>),
}

/// What is wrong with the name of a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No device has that name.
    #[error(
        "no device is called {found:?}; there are auto, cpu, cuda[:N[,M…]], tensorrt, coreml, \
         directml, openvino and migraphx"
    )]
    Unknown {
        /// What was found.
        found: String,
    },
    /// The GPUs are not numbers.
    #[error("GPUs are given by number, as in cuda:0 or cuda:0,1, not {found:?}")]
    Numbers {
        /// What was found behind the colon.
        found: String,
    },
    /// The device has a number, and there is only one of its kind.
    #[error("only cuda takes numbers, as in cuda:0; {name} stands alone")]
    Alone {
        /// The name of the device.
        name: String,
    },
}

/// Reads `auto`, `cpu`, `cuda`, `cuda:N` and `cuda:N,M…`, `tensorrt`, `coreml`, `directml`, `openvino`
/// and `migraphx`.
impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let (name, numbers) = match text.split_once(':') {
            Some((name, numbers)) => (name, Some(numbers)),
            None => (text, None),
        };
        let device = match name {
            "cuda" => {
                let numbers = numbers.map_or(Ok(Vec::new()), |found| {
                    let numbers = found.split(',').map(str::parse).collect::<Result<_, _>>();
                    numbers.map_err(|_| DeviceError::Numbers { found: found.to_owned() })
                });
                return numbers.map(Self::Cuda);
            }
            "auto" => Self::Auto,
            "cpu" => Self::Cpu,
            "tensorrt" => Self::TensorRt,
            "coreml" => Self::CoreMl,
            "directml" => Self::DirectMl,
            "openvino" => Self::OpenVino,
            "migraphx" => Self::MiGraphX,
            _ => return Err(DeviceError::Unknown { found: text.to_owned() }),
        };
        if numbers.is_some() {
            return Err(DeviceError::Alone { name: name.to_owned() });
        }
        Ok(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        let device = |name: &str| name.parse::<Device>();
        assert_eq!(device("auto"), Ok(Device::Auto));
        assert_eq!(device("cuda"), Ok(Device::Cuda(vec![])));
        assert_eq!(device("cuda:1"), Ok(Device::Cuda(vec![1])));
        assert_eq!(device("cuda:0,2"), Ok(Device::Cuda(vec![0, 2])));
        assert_eq!(device("migraphx"), Ok(Device::MiGraphX));
    }

    #[test]
    fn other_names_are_errors() {
        let error = |name: &str| name.parse::<Device>().unwrap_err();
        for bad in ["", "gpu", "CPU"] {
            assert!(matches!(error(bad), DeviceError::Unknown { .. }), "{bad}");
        }
        for bad in ["cuda:", "cuda:x", "cuda:0,", "cuda:-1"] {
            assert!(matches!(error(bad), DeviceError::Numbers { .. }), "{bad}");
        }
        assert_eq!(error("cpu:0"), DeviceError::Alone { name: "cpu".to_owned() });
    }
}
