//! Values on the command line that are more than a string, a number or one of a few words.

use std::num::NonZeroUsize;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use embedkit_convert::Head;
use embedkit_types::Device;

/// The heads of a conversion, by name.
pub(super) fn heads() -> impl TypedValueParser<Value = Head> {
    PossibleValuesParser::new(Head::ALL.map(Head::name)).try_map(|name| name.parse::<Head>())
}

/// A number of threads: more than any machine has only keeps it busy with starting them.
pub(super) fn some_threads(text: &str) -> Result<NonZeroUsize, String> {
    const MOST: usize = 1024;
    let number = text.parse().ok().filter(|number: &NonZeroUsize| number.get() <= MOST);
    number.ok_or_else(|| format!("expected a number from 1 to {MOST}"))
}

/// A key and its value; the value may hold further equals signs.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// A device by name, CUDA with the numbers of its GPUs.
pub(super) fn device(text: &str) -> Result<Device, String> {
    let (name, numbers) = match text.split_once(':') {
        Some((name, numbers)) => (name, Some(numbers)),
        None => (text, None),
    };
    let device = match name {
        "cuda" => {
            let numbers = numbers.map_or(Ok(Vec::new()), |numbers| {
                numbers.split(',').map(str::parse).collect::<Result<_, _>>()
            });
            return numbers
                .map(Device::Cuda)
                .map_err(|_| "GPUs are given by number, as in cuda:0 or cuda:0,1".to_owned());
        }
        "auto" => Device::Auto,
        "cpu" => Device::Cpu,
        "tensorrt" => Device::TensorRt,
        "coreml" => Device::CoreMl,
        "directml" => Device::DirectMl,
        "openvino" => Device::OpenVino,
        "migraphx" => Device::MiGraphX,
        _ => {
            return Err(
                "expected auto, cpu, cuda[:N[,M…]], tensorrt, coreml, directml, openvino or \
                        migraphx"
                    .to_owned(),
            );
        }
    };
    if numbers.is_some() {
        return Err(format!("only cuda takes numbers, as in cuda:0; {name} stands alone"));
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        assert_eq!(device("auto"), Ok(Device::Auto));
        assert_eq!(device("cuda"), Ok(Device::Cuda(vec![])));
        assert_eq!(device("cuda:1"), Ok(Device::Cuda(vec![1])));
        assert_eq!(device("cuda:0,2"), Ok(Device::Cuda(vec![0, 2])));
        assert_eq!(device("migraphx"), Ok(Device::MiGraphX));
        for bad in ["", "gpu", "cuda:", "cuda:x", "cuda:0,", "cuda:-1", "cpu:0", "CPU"] {
            assert!(device(bad).is_err(), "{bad}");
        }
    }
}
