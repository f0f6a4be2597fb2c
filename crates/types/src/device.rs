//! Where a graph runs, and its name.

use std::{fmt, str::FromStr};

/// Where a graph runs.
///
/// A device asked for by name is used or loading fails; only [`Device::Auto`] and
/// [`Device::Prefer`] may fall back, and the loaded model names the one it has.
///
/// ```
/// use embedkit_types::Device;
///
/// let device: Device = "cuda:0,1>cpu".parse()?;
/// assert_eq!(device, Device::Prefer(vec![Device::Cuda(vec![0, 1]), Device::Cpu]));
/// assert_eq!(device.to_string(), "cuda:0,1>cpu");
/// # Ok::<(), embedkit_types::DeviceError>(())
/// ```
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
    /// The first of these that works. An error where there is none in the list.
    Prefer(Vec<Device>),
}

impl Device {
    /// Devices of a list within lists; the device itself where it is no list.
    fn each(&self) -> Vec<&Self> {
        match self {
            Self::Prefer(devices) => devices.iter().flat_map(Self::each).collect(),
            device => vec![device],
        }
    }

    /// True where the graph may run on the CPU.
    pub(crate) fn may_be_cpu(&self) -> bool {
        self.each().iter().any(|device| matches!(device, Self::Auto | Self::Cpu))
    }

    /// True for a list without a device.
    pub(crate) fn is_none(&self) -> bool {
        self.each().is_empty()
    }
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

/// The name that [`FromStr`] reads: `cpu`, `cuda:0,1`, and for a list `tensorrt>cuda:0>cpu`.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(numbers) => {
                f.write_str("cuda")?;
                numbers.iter().enumerate().try_for_each(|(n, number)| {
                    write!(f, "{}{number}", if n == 0 { ":" } else { "," })
                })
            }
            Self::TensorRt => f.write_str("tensorrt"),
            Self::CoreMl => f.write_str("coreml"),
            Self::DirectMl => f.write_str("directml"),
            Self::OpenVino => f.write_str("openvino"),
            Self::MiGraphX => f.write_str("migraphx"),
            Self::Prefer(_) => {
                self.each().iter().enumerate().try_for_each(|(n, device)| {
                    write!(f, "{}{device}", if n == 0 { "" } else { ">" })
                })
            }
        }
    }
}

/// Reads `auto`, `cpu`, `cuda`, `cuda:N` and `cuda:N,M…`, `tensorrt`, `coreml`, `directml`, `openvino`
/// and `migraphx`, and [a list](Device::Prefer) of them as in `tensorrt>cuda:0>cpu`.
impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        if text.contains('>') {
            return text.split('>').map(str::parse).collect::<Result<_, _>>().map(Self::Prefer);
        }
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

#[cfg(feature = "serde")]
impl serde::Serialize for Device {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Device {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
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
        for bad in [">", "cpu>", ">cpu", "cuda:0>>cpu", "cuda:0 > cpu"] {
            error(bad);
        }
    }

    #[test]
    fn the_name_of_a_device_is_read_as_that_device() {
        let names = [
            "auto", "cpu", "cuda", "cuda:1", "cuda:0,2", "tensorrt", "coreml", "directml",
            "openvino", "migraphx",
        ];
        let lists = names
            .iter()
            .flat_map(|first| names.iter().map(move |second| format!("{first}>{second}>cuda:3")));
        for name in names.iter().map(ToString::to_string).chain(lists) {
            let device: Device = name.parse().unwrap();
            assert_eq!(device.to_string(), name);
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        let nested = Device::Prefer(vec![
            Device::Prefer(vec![Device::TensorRt, Device::Cuda(vec![])]),
            Device::Cpu,
        ]);
        assert_eq!(nested.to_string(), "tensorrt>cuda>cpu");
    }
}
