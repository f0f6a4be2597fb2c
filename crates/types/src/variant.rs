//! One of several graphs of a model, by name.

use std::{fmt, str::FromStr};

use crate::{Error, ErrorKind, Hint};

/// Longest name of a variant.
const LONGEST: usize = 64;

/// One of the ONNX files of a repository or folder, by the hub's name for it.
///
/// `fp32` is `model.onnx`; any other name is the end of the file's name, such as `fp16` for
/// `model_fp16.onnx` and `O3` for `model_O3.onnx`, or all of it for a file that is not called `model`.
/// `int8` and `q8` also stand for the other names of eight-bit graphs.
///
/// ```
/// use embedkit_types::Variant;
///
/// let variant: Variant = "fp16".parse()?;
/// assert_eq!(variant.pick(&["onnx/model.onnx", "onnx/model_fp16.onnx"]), Some("onnx/model_fp16.onnx"));
/// assert_eq!(Variant::default().pick(&["onnx/model.onnx"]), Some("onnx/model.onnx"));
/// assert_eq!(Variant::default().pick(&["model_quantized.onnx"]), None);
/// # Ok::<(), embedkit_types::VariantError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "String", into = "String")
)]
pub struct Variant(String);

/// `fp32`: a graph that is smaller or faster, and less exact, is chosen by name only.
impl Default for Variant {
    fn default() -> Self {
        Self(FP32.to_owned())
    }
}

const FP32: &str = "fp32";

impl Variant {
    /// Name of the variant that a file is, such as `fp16` for `onnx/model_fp16.onnx`.
    #[must_use]
    pub fn name_of(file: &str) -> &str {
        let name = file.rsplit('/').next().unwrap_or(file);
        let stem = name.strip_suffix(".onnx").unwrap_or(name);
        match stem.strip_prefix("model") {
            Some("") => FP32,
            Some(rest) => rest.strip_prefix('_').filter(|rest| !rest.is_empty()).unwrap_or(stem),
            None => stem,
        }
    }

    /// The first of `files` that is this variant, by the most exact of its names.
    #[must_use]
    pub fn pick<'a>(&self, files: &'a [impl AsRef<str>]) -> Option<&'a str> {
        self.names().iter().find_map(|name| {
            let mut files = files.iter().map(AsRef::as_ref);
            files.find(|file| Self::name_of(file).eq_ignore_ascii_case(name))
        })
    }

    /// Names of the files that this may stand for, the best first.
    fn names(&self) -> Vec<&str> {
        // Those that are made for other processors run here, too, and slower or with less range.
        const INT8: &[&str] = if cfg!(target_arch = "aarch64") {
            &["int8", "quantized", "qint8_arm64", "uint8"]
        } else {
            &["int8", "quantized", "quint8_avx2", "qint8_avx512_vnni", "qint8_avx512", "uint8"]
        };
        match self.0.as_str() {
            "int8" => INT8.to_vec(),
            "q8" => std::iter::once("quantized").chain(INT8.iter().copied()).collect(),
            name => vec![name],
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that no variant has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is no name of a variant, expected up to {LONGEST} letters, digits, `_`, `-` and `.`"
)]
pub struct VariantError {
    /// The name.
    pub name: String,
}

impl From<VariantError> for Error {
    fn from(error: VariantError) -> Self {
        let hint = Hint::Advice("the usual names are fp32, fp16, int8 and q4".into());
        Self::new(ErrorKind::InvalidInput, error).with_hint(hint)
    }
}

impl FromStr for Variant {
    type Err = VariantError;

    fn from_str(name: &str) -> Result<Self, VariantError> {
        let proper = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if name.is_empty() || name.len() > LONGEST || !name.chars().all(proper) {
            return Err(VariantError { name: name.to_owned() });
        }
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for Variant {
    type Error = VariantError;

    fn try_from(name: String) -> Result<Self, VariantError> {
        name.parse()
    }
}

impl From<Variant> for String {
    fn from(variant: Variant) -> Self {
        variant.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_hubs_names() {
        for (file, name) in [
            ("model.onnx", "fp32"),
            ("onnx/model.onnx", "fp32"),
            ("onnx/model_fp16.onnx", "fp16"),
            ("onnx/model_q4f16.onnx", "q4f16"),
            ("onnx/model_O4.onnx", "O4"),
            ("onnx/model_qint8_avx512_vnni.onnx", "qint8_avx512_vnni"),
            ("model_optimized.onnx", "optimized"),
            ("text_model.onnx", "text_model"),
            ("model_.onnx", "model_"),
            ("models.onnx", "models"),
        ] {
            assert_eq!(Variant::name_of(file), name, "{file}");
        }
    }

    #[test]
    fn a_wish_has_the_file_of_its_most_exact_name() {
        fn pick<'a>(name: &str, files: &'a [&'a str]) -> Option<&'a str> {
            name.parse::<Variant>().unwrap().pick(files)
        }
        let all = [
            "model.onnx",
            "model_uint8.onnx",
            "model_quantized.onnx",
            "model_int8.onnx",
            "model_q4.onnx",
            "model_q4f16.onnx",
        ];
        assert_eq!(pick("fp32", &all), Some("model.onnx"));
        assert_eq!(pick("int8", &all), Some("model_int8.onnx"));
        assert_eq!(pick("int8", &all[..3]), Some("model_quantized.onnx"));
        assert_eq!(pick("int8", &all[..2]), Some("model_uint8.onnx"));
        assert_eq!(pick("q8", &all), Some("model_quantized.onnx"));
        assert_eq!(pick("Q4F16", &all), Some("model_q4f16.onnx"));
        assert_eq!(pick("quantized", &all), Some("model_quantized.onnx"));
        // Nothing stands in for what is not there.
        for name in ["fp16", "bnb4", "O1", "model_q4"] {
            assert_eq!(pick(name, &all), None, "{name}");
        }
        assert_eq!(pick("fp32", &all[1..]), None);
        assert_eq!(pick("int8", &all[..1]), None);
        let ours: &[_] = if cfg!(target_arch = "aarch64") {
            &["model_qint8_arm64.onnx"]
        } else {
            &["model_quint8_avx2.onnx"]
        };
        let cpus =
            ["model_qint8_arm64.onnx", "model_qint8_avx512_vnni.onnx", "model_quint8_avx2.onnx"];
        assert_eq!(pick("int8", &cpus).as_slice(), ours);
    }

    #[test]
    fn names_that_no_file_has_are_refused() {
        for name in ["", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(name.parse::<Variant>().is_err(), "{name:?}");
        }
    }
}
