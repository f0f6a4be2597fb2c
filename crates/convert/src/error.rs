//! What can go wrong, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a checkpoint could not be converted, or a graph not be quantised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A head that does not exist.
    #[error("unknown head `{name}`")]
    UnknownHead {
        /// What was asked for.
        name: String,
    },
    /// A file of the checkpoint cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Neither one safetensors file nor an index of shards.
    #[error("no model.safetensors or model.safetensors.index.json in {}", dir.display())]
    NoWeights {
        /// The folder that was searched.
        dir: PathBuf,
    },
    /// A size that a file claims, or has, is beyond what is read.
    #[error("{} has a {what} of {found} bytes, at most {limit} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The part of the file that is too large.
        what: &'static str,
        /// Its size in bytes.
        found: u64,
        /// The largest size in bytes.
        limit: u64,
    },
    /// JSON that cannot be read as what it has to be.
    #[error("{} has invalid JSON in its {what}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The part of the file.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A safetensors file that is shorter or longer than its header says, or contradicts itself.
    #[error("{} is not a valid safetensors file: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the tensor's name where there is one.
        reason: String,
    },
    /// An index of shards that does not fit its files.
    #[error("{}: {reason}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A missing, malformed or unreasonable entry of the configuration.
    #[error("{}: {field} {reason}", path.display())]
    Config {
        /// The configuration.
        path: PathBuf,
        /// The entry.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A configuration that is valid but beyond what is converted.
    #[error("{}: {field} `{found}` is not supported", path.display())]
    Unsupported {
        /// The configuration.
        path: PathBuf,
        /// The entry.
        field: &'static str,
        /// Its value.
        found: String,
        /// What is supported.
        supported: &'static str,
    },
    /// The checkpoint lacks a tensor that the configuration and the head ask for.
    #[error("{} has no tensor {}", dir.display(), Alternatives(tried))]
    MissingTensor {
        /// The checkpoint's folder.
        dir: PathBuf,
        /// Every name that was looked for.
        tried: Vec<String>,
    },
    /// A tensor of another shape than the configuration implies.
    #[error("tensor {tensor} in {} has shape {found:?}, the configuration says {expected}", path.display())]
    Shape {
        /// The file that holds it.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shape by the configuration.
        expected: String,
        /// The shape in the file.
        found: Vec<u64>,
    },
    /// A tensor whose numbers are of a type that is not converted.
    #[error("tensor {tensor} in {} has type {found}, only F32, F16 and BF16 are converted", path.display())]
    Dtype {
        /// The file that holds it.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The type in the file.
        found: &'static str,
    },
    /// A file that cannot be read as an ONNX model.
    #[cfg(feature = "quantize")]
    #[error("{} is not a valid ONNX model: {reason}", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A graph that cannot be quantised, or has been.
    #[cfg(feature = "quantize")]
    #[error("cannot quantise {}: {reason}", path.display())]
    NotQuantizable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A graph that could not be run to see how large its activations are.
    #[cfg(feature = "quantize")]
    #[error("cannot run {} on random tokens", path.display())]
    Calibration {
        /// The file.
        path: PathBuf,
        /// What happened; boxed because it is large.
        source: Box<embedkit_core::Error>,
    },
    /// The output path names something that is not a file.
    #[error("cannot write {}: {reason}", path.display())]
    Output {
        /// The output path.
        path: PathBuf,
        /// Why it cannot be written.
        reason: &'static str,
    },
    /// The output cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The output path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// What to do about it, in a line, where there is something to be done.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UnknownHead { .. } => {
                let names = crate::Head::ALL.map(crate::Head::name).join(", ");
                format!("the heads are {names}")
            }
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "give the folder that holds config.json and model.safetensors".to_owned()
            }
            Self::NoWeights { .. } => {
                "only safetensors checkpoints are converted; save a pytorch_model.bin as safetensors first"
                    .to_owned()
            }
            Self::Damaged { .. } | Self::Index { .. } => {
                "the file may be truncated: fetch it again".to_owned()
            }
            Self::Unsupported { supported, .. } => format!("supported: {supported}"),
            Self::MissingTensor { tried, .. } => {
                let head_of = |part: &str| tried.iter().any(|name| name.contains(part));
                if head_of("classifier") || head_of("pooler.dense") {
                    "the checkpoint has no sequence classifier; --head hidden needs only the encoder"
                        .to_owned()
                } else if ["cls.predictions", "lm_head", "vocab_"].into_iter().any(head_of) {
                    "the checkpoint has no masked language model head; --head hidden needs only the encoder"
                        .to_owned()
                } else {
                    "check that config.json belongs to the weights".to_owned()
                }
            }
            Self::Shape { .. } => "check that config.json belongs to the weights".to_owned(),
            Self::Dtype { .. } => "convert the checkpoint before it is quantised".to_owned(),
            #[cfg(feature = "quantize")]
            Self::Onnx { .. } => "give the file of a graph, such as model.onnx".to_owned(),
            #[cfg(feature = "quantize")]
            Self::NotQuantizable { .. } => {
                "give a graph with f32 weights in the same file, below 2 GiB, such as `embedkit convert` writes"
                    .to_owned()
            }
            #[cfg(feature = "quantize")]
            Self::Calibration { source, .. } => return source.hint(),
            Self::Output { .. } => "give the path of a file, such as model.onnx".to_owned(),
            Self::Write { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "create the folder first".to_owned()
            }
            _ => return None,
        })
    }
}

/// `a`, or `a, b or c`.
struct Alternatives<'a>(&'a [String]);

impl fmt::Display for Alternatives<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [init @ .., last] if !init.is_empty() => write!(f, "{} or {last}", init.join(", ")),
            names => f.write_str(&names.join("")),
        }
    }
}
