//! Errors of conversion and quantisation, with hints.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::PathBuf;

use embedkit_types::{ErrorKind, Hint};

use crate::Head;

/// Reason why a checkpoint could not be converted or a graph not be quantised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The head does not exist.
    #[error("unknown head `{name}`")]
    UnknownHead {
        /// Name that was given.
        name: String,
    },
    /// A file of the checkpoint cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The folder has neither one safetensors file nor an index of shards.
    #[error("no model.safetensors or model.safetensors.index.json in {}", dir.display())]
    NoWeights {
        /// The folder that was searched.
        dir: PathBuf,
    },
    /// The weights are in PyTorch's format alone, which is a program and can do anything when it is read.
    #[error("{} is pickled, not safetensors", path.display())]
    Pickled {
        /// The file.
        path: PathBuf,
    },
    /// A size that a file claims or has exceeds the limit.
    #[error("{}: expected a {what} of at most {limit} bytes, got {found}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Part of the file that is too large.
        what: &'static str,
        /// Its size in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A file has malformed JSON or JSON of another structure.
    #[error("{} has invalid JSON in its {what}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Part of the file.
        what: &'static str,
        /// Position and cause.
        source: serde_json::Error,
    },
    /// A safetensors file is shorter or longer than its header says, or contradicts itself.
    #[error("{} is not a valid safetensors file: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The defect, with the tensor's name if there is one.
        reason: String,
    },
    /// An index of shards contradicts its files.
    #[error("{}: {reason}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// The defect.
        reason: String,
    },
    /// An entry of the configuration is missing, malformed or unreasonable.
    #[error("{}: {field} {reason}", path.display())]
    Config {
        /// The configuration.
        path: PathBuf,
        /// The entry.
        field: &'static str,
        /// The defect.
        reason: String,
    },
    /// An entry of the configuration is valid but not supported.
    #[error("{}: {field} `{found}` is not supported", path.display())]
    Unsupported {
        /// The configuration.
        path: PathBuf,
        /// The entry.
        field: &'static str,
        /// Its value.
        found: String,
        /// Supported values.
        supported: Cow<'static, str>,
    },
    /// The architecture has no such head, or none that is supported.
    #[error("{model_type} models have no head `{head}`")]
    NoHead {
        /// `model_type` of the configuration.
        model_type: String,
        /// The head.
        head: Head,
    },
    /// The vocabulary has no token with this id.
    #[error("{model_type} has no token {token}: its vocabulary has {rows}")]
    NoToken {
        /// `model_type` of the configuration.
        model_type: String,
        /// Id of the token.
        token: u32,
        /// Size of the vocabulary.
        rows: usize,
    },
    /// The checkpoint lacks a tensor that the configuration and the head require.
    #[error("{} has no tensor {}", dir.display(), Alternatives(tried))]
    MissingTensor {
        /// The checkpoint's folder.
        dir: PathBuf,
        /// All names that were tried.
        tried: Vec<String>,
    },
    /// A tensor's shape contradicts the configuration.
    #[error("tensor {tensor} in {}: expected shape {expected}, got {found:?}", path.display())]
    Shape {
        /// The file that holds it.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Shape that the configuration implies.
        expected: String,
        /// Shape in the file.
        found: Vec<u64>,
    },
    /// A tensor has an unsupported dtype.
    #[error("tensor {tensor} in {}: expected type F32, F16 or BF16, got {found}", path.display())]
    Dtype {
        /// The file that holds it.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Dtype in the file.
        found: &'static str,
    },
    /// A weight exceeds the range of f16.
    #[error("tensor {tensor} in {} holds {number}, and f16 ends at 65504", path.display())]
    TooLargeForF16 {
        /// The file that holds it.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The number.
        number: f32,
    },
    /// A file is not a readable ONNX model.
    #[cfg(feature = "quantize")]
    #[error("{} is not a valid ONNX model: {reason}", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// The defect.
        reason: String,
    },
    /// A graph cannot be quantised, or is quantised already.
    #[cfg(feature = "quantize")]
    #[error("cannot quantise {}: {reason}", path.display())]
    NotQuantizable {
        /// The file.
        path: PathBuf,
        /// Reason.
        reason: String,
    },
    /// A graph has no products for bf16, or is quantised.
    #[cfg(feature = "quantize")]
    #[error("{} cannot multiply bf16: {reason}", path.display())]
    NotForBf16 {
        /// The file.
        path: PathBuf,
        /// Reason.
        reason: String,
    },
    /// A graph does not run on random tokens, which would measure its activations.
    #[cfg(feature = "quantize")]
    #[error("cannot run {} on random tokens", path.display())]
    Calibration {
        /// The file.
        path: PathBuf,
        /// Cause, boxed because it is large.
        source: Box<embedkit_core::Error>,
    },
    /// The output path is not one of a file.
    #[error("cannot write {}: {reason}", path.display())]
    Output {
        /// The output path.
        path: PathBuf,
        /// Reason.
        reason: &'static str,
    },
    /// The output cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The output path.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
}

impl Error {
    /// Class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Runtime,
            },
            Self::NoWeights { .. } => ErrorKind::NotFound,
            Self::UnknownHead { .. } | Self::NoToken { .. } | Self::Output { .. } => {
                ErrorKind::InvalidInput
            }
            Self::TooLarge { .. }
            | Self::Json { .. }
            | Self::Damaged { .. }
            | Self::Index { .. }
            | Self::Config { .. }
            | Self::MissingTensor { .. }
            | Self::Shape { .. } => ErrorKind::Damaged,
            Self::Unsupported { .. }
            | Self::Pickled { .. }
            | Self::NoHead { .. }
            | Self::TooLargeForF16 { .. }
            | Self::Dtype { .. } => ErrorKind::Unsupported,
            #[cfg(feature = "quantize")]
            Self::Onnx { .. } => ErrorKind::Damaged,
            #[cfg(feature = "quantize")]
            Self::NotQuantizable { .. } | Self::NotForBf16 { .. } => ErrorKind::Unsupported,
            #[cfg(feature = "quantize")]
            Self::Calibration { source, .. } => source.kind(),
        }
    }

    /// Advice, where something can be done about it.
    pub fn hint(&self) -> Option<Hint> {
        let advice = match self {
            Self::UnknownHead { .. } => {
                let names = Head::ALL.map(Head::name).join(", ");
                let more = format!("{}-ID or {0}-ID-ID with ids of tokens", Head::NEXT_TOKEN);
                return Some(Hint::Advice(format!("the heads are {names}, {more}").into()));
            }
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "give the folder that holds config.json and model.safetensors"
            }
            Self::NoWeights { .. } => {
                "only safetensors checkpoints are supported; save a pytorch_model.bin as safetensors first"
            }
            Self::Pickled { .. } => {
                "reading it could run any program; where you trust its author, load it with transformers and \
                 call save_pretrained, which writes safetensors"
            }
            Self::Damaged { .. } | Self::Index { .. } => {
                "the file may be truncated: fetch it again"
            }
            Self::Unsupported { supported, .. } => {
                return Some(Hint::Advice(format!("supported: {supported}").into()));
            }
            Self::NoHead { head, .. } => {
                return Some(Hint::ConvertEncoder { missing: missing_head(*head) });
            }
            Self::MissingTensor { tried, .. } => {
                let head_of = |part: &str| tried.iter().any(|name| name.contains(part));
                if head_of("classifier") || head_of("pooler.dense") {
                    return Some(Hint::ConvertEncoder { missing: missing_head(Head::Classifier) });
                }
                if tried.iter().any(|name| name == "lm_head.weight") {
                    let missing =
                        missing_head(Head::NextToken { true_token: 0, false_token: None });
                    return Some(Hint::ConvertEncoder { missing });
                }
                if ["cls.predictions", "lm_head", "vocab_"].into_iter().any(head_of) {
                    return Some(Hint::ConvertEncoder { missing: missing_head(Head::MaskedLm) });
                }
                "check that config.json belongs to the weights"
            }
            Self::NoToken { .. } => "take the ids from the model's own tokenizer",
            Self::Shape { .. } => "check that config.json belongs to the weights",
            Self::TooLargeForF16 { .. } => "convert to f32",
            Self::Dtype { .. } => "convert the checkpoint before it is quantised",
            #[cfg(feature = "quantize")]
            Self::Onnx { .. } => "give the file of a graph, such as model.onnx",
            #[cfg(feature = "quantize")]
            Self::NotQuantizable { .. } => return Some(Hint::ConvertCheckpoint),
            #[cfg(feature = "quantize")]
            Self::NotForBf16 { .. } => "leave the precision at f32, which runs every graph",
            #[cfg(feature = "quantize")]
            Self::Calibration { source, .. } => return source.hint(),
            Self::Output { .. } => "give the path of a file, such as model.onnx",
            Self::Write { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "create the folder first"
            }
            _ => return None,
        };
        Some(Hint::Advice(advice.into()))
    }
}

impl From<Error> for embedkit_types::Error {
    fn from(error: Error) -> Self {
        let hint = error.hint();
        Self::new(error.kind(), error).with_hint(hint)
    }
}

/// A head in words.
fn missing_head(head: Head) -> &'static str {
    match head {
        Head::Hidden => "hidden states",
        Head::Attention => "attention",
        Head::MaskedLm => "masked language model head",
        Head::Classifier => "sequence classifier",
        Head::Text => "vector of a text",
        Head::Image => "vector of an image",
        Head::NextToken { .. } => "causal language model head",
    }
}

/// Formats `a`, or `a, b or c`.
struct Alternatives<'a>(&'a [String]);

impl fmt::Display for Alternatives<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [init @ .., last] if !init.is_empty() => write!(f, "{} or {last}", init.join(", ")),
            names => f.write_str(&names.join("")),
        }
    }
}
