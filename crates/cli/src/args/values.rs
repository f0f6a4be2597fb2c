//! Values on the command line that are more than a string, a number or one of a few words.

use std::{
    num::{IntErrorKind, NonZeroUsize, ParseIntError},
    time::Duration,
};

use clap::{
    ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use embedkit::postprocess::MuveraOptions;
use embedkit_convert::{Head, Precision};
use embedkit_types::{Device, DeviceError};

/// Numbers that a graph multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionArg {
    F32,
    Bf16,
    Int8,
    AutoFast,
}

impl From<PrecisionArg> for embedkit_types::Precision {
    fn from(precision: PrecisionArg) -> Self {
        match precision {
            PrecisionArg::F32 => Self::F32,
            PrecisionArg::Bf16 => Self::Bf16,
            PrecisionArg::Int8 => Self::Int8,
            PrecisionArg::AutoFast => Self::AutoFast,
        }
    }
}

/// The heads of a conversion, by name.
pub(super) fn heads() -> PossibleValuesParser {
    let names = Head::ALL.into_iter().map(Head::name);
    names.chain([Head::NEXT_TOKEN]).collect::<Vec<_>>().into()
}

/// The numbers of a graph, by name.
pub(super) fn precisions() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(["f32", "f16"]).map(|name| match name.as_str() {
        "f16" => Precision::F16,
        _ => Precision::F32,
    })
}

/// A number of things of which there has to be one.
pub(super) fn count(text: &str) -> Result<usize, String> {
    text.parse().map(NonZeroUsize::get).map_err(|error: ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow => format!("expected a whole number of at most {}", usize::MAX),
        _ => "expected a whole number of at least 1".to_owned(),
    })
}

/// A number of threads: more than any machine has only keeps it busy with starting them.
pub(super) fn some_threads(text: &str) -> Result<usize, String> {
    const MOST: usize = 1024;
    let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| format!("expected a whole number from 1 to {MOST}"))
}

/// One device, or GPUs that are used together. A list of wishes is for the library.
pub(super) fn device(text: &str) -> Result<Device, DeviceError> {
    match text.parse()? {
        Device::Prefer(_) => Err(DeviceError::Unknown { found: text.to_owned() }),
        device => Ok(device),
    }
}

/// A time in seconds, above zero.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let time = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let time = time.filter(|time| !time.is_zero());
    time.ok_or_else(|| "expected a number of seconds above 0, such as 30 or 0.5".to_owned())
}

/// A time with its unit, as in 90, 90s, 5m or 24h.
#[cfg(feature = "serve")]
pub(super) fn keep_alive(text: &str) -> Result<Duration, String> {
    let time = embedkit_server::parse_keep_alive(text).flatten();
    time.ok_or_else(|| "expected a time, such as 90s, 5m or 24h".to_owned())
}

/// A key and its value; the value may hold further equals signs.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// A factor of 1 or more.
pub(super) fn factor(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number >= 1.0 && number.is_finite());
    number.ok_or_else(|| "expected a number of at least 1".to_owned())
}

/// `muvera`, or `muvera:` and parameters with their values, separated by commas.
pub(super) fn muvera(text: &str) -> Result<MuveraOptions, String> {
    let (name, parameters) = match text.split_once(':') {
        Some((name, parameters)) => (name, Some(parameters)),
        None => (text, None),
    };
    if name != "muvera" {
        return Err("expected muvera, or muvera:k_sim=5,dim_proj=16,r_reps=20,seed=42".to_owned());
    }
    fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
        value.parse().map_err(|_| format!("{name} is a whole number, not {value:?}"))
    }
    let mut options = MuveraOptions::default();
    for parameter in parameters.iter().flat_map(|parameters| parameters.split(',')) {
        match parameter.split_once('=') {
            Some((name @ "k_sim", value)) => options.k_sim = number(name, value)?,
            Some((name @ "dim_proj", value)) => options.dim_proj = number(name, value)?,
            Some((name @ "r_reps", value)) => options.r_reps = number(name, value)?,
            Some((name @ "seed", value)) => options.random_seed = number(name, value)?,
            _ => {
                return Err(format!(
                    "muvera has no parameter {parameter:?}; valid are k_sim=N, dim_proj=N, \
                     r_reps=N and seed=N"
                ));
            }
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn muvera_with_and_without_parameters() {
        let usual = MuveraOptions::default();
        assert_eq!(muvera("muvera"), Ok(usual.clone()));
        assert_eq!(muvera("muvera:k_sim=5,dim_proj=16,r_reps=20,seed=42"), Ok(usual.clone()));
        let seed = u128::MAX;
        let other = MuveraOptions { k_sim: 3, random_seed: seed, ..usual };
        assert_eq!(muvera(&format!("muvera:seed={seed},k_sim=3")), Ok(other));
        for bad in ["", "fde", "muvera:", "muvera:k_sim", "muvera:k_sim=", "muvera:k_sim=-1"] {
            assert!(muvera(bad).is_err(), "{bad}");
        }
        let error = muvera("muvera:k=1").unwrap_err();
        assert!(error.contains("\"k=1\"") && error.contains("r_reps"), "{error}");
    }

    #[test]
    fn counts() {
        assert_eq!(count("1"), Ok(1));
        assert_eq!(count("100000"), Ok(100_000));
        for bad in ["0", "-1", "1.5", "", "many", "99999999999999999999999"] {
            assert!(count(bad).unwrap_err().starts_with("expected a whole number of at "), "{bad}");
        }
    }

    #[test]
    fn a_device_is_no_list() {
        assert_eq!(device("cuda:0,1"), Ok(Device::Cuda(vec![0, 1])));
        assert!(matches!(device("cuda>cpu"), Err(DeviceError::Unknown { .. })));
    }

    #[test]
    fn factors() {
        assert_eq!(factor("1"), Ok(1.0));
        assert_eq!(factor("2.5"), Ok(2.5));
        for bad in ["0.9", "0", "-1", "nan", "inf", "two", ""] {
            assert!(factor(bad).is_err(), "{bad}");
        }
    }
}
