//! What can go wrong below the model families.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use embedkit_types::{ErrorKind, Hint, OptionsError, Precision};

/// An error of the registry, the tokenizer, the runtime or a session.
///
/// Cloneable, because a failure of the session is reported for each input of a batch.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Error of the system.
        #[source]
        source: Arc<io::Error>,
    },
    /// A file is larger than any honest file of its kind.
    #[error(
        "{path} has {found} bytes, more than the {limit} that such a file may have",
        path = path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The largest size accepted, in bytes.
        limit: u64,
    },
    /// A file has the wrong content.
    #[error("{path} is not valid: {reason}", path = path.display())]
    InvalidFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is what Git LFS leaves in the place of a file that it has not fetched.
    #[error(
        "{path} is a pointer of Git LFS, not the file itself{size}",
        path = path.display(),
        size = size.map_or_else(String::new, |size| format!(", which has {size} bytes"))
    )]
    LfsPointer {
        /// The file.
        path: PathBuf,
        /// The size of the file itself in bytes, where the pointer says it.
        size: Option<u64>,
    },
    /// `tokenizer.json` has a part of a type that the tokenizers library here does not know.
    #[error(
        "{path} is of a newer kind than this version reads: its {part} is of the unknown type \
         `{found}`",
        path = path.display()
    )]
    NewerTokenizer {
        /// The file.
        path: PathBuf,
        /// The part, such as `pre_tokenizer`.
        part: &'static str,
        /// Its type.
        found: String,
    },
    /// A text cannot be split into tokens.
    #[error("the tokenizer failed: {reason}")]
    Tokenize {
        /// What the tokenizer said.
        reason: String,
    },
    /// A template does not go with the tokenizer, or is none.
    #[error("the template of pairs cannot be used: {reason}")]
    Template {
        /// Reason.
        reason: String,
    },
    /// A text has a token that the graph has no vector for.
    #[error(
        "the token {token:?} has the id {id}, but the token table of {path} has {rows} rows",
        path = path.display()
    )]
    TokenWithoutRow {
        /// The graph.
        path: PathBuf,
        /// The token, as the tokenizer has it.
        token: String,
        /// Its id.
        id: u32,
        /// Rows of the table.
        rows: usize,
    },
    /// A text has more tokens than the graph has positions for.
    #[error(
        "the text has {found} tokens, but the position table of {path} is for {limit} at most",
        path = path.display()
    )]
    TooManyTokens {
        /// The graph.
        path: PathBuf,
        /// Tokens of the text, with special tokens and what it is padded to by itself.
        found: usize,
        /// The largest number that there are positions for.
        limit: usize,
    },
    /// Options cannot be followed.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// ONNX Runtime is missing or does not fit.
    #[cfg(feature = "onnx")]
    #[error(transparent)]
    Runtime(#[from] crate::runtime::RuntimeError),
    /// A device was asked for that this build or this runtime does not have.
    #[error("the device {device} is not available: {reason}")]
    Device {
        /// The device asked for.
        device: String,
        /// Why it cannot be had.
        reason: String,
    },
    /// The processor lacks the instructions of a precision, for which other code would be slower than f32.
    #[error("this processor has no instructions for {precision} that embedkit knows")]
    NoInstructions {
        /// The precision asked for, or that of the graph.
        precision: Precision,
    },
    /// A graph does not multiply the numbers that were asked for.
    #[error("{path} has no products of {precision}", path = path.display())]
    OtherPrecision {
        /// The graph.
        path: PathBuf,
        /// The precision asked for.
        precision: Precision,
    },
    /// More threads or replicas were asked for than any machine can use.
    #[error("{found} {option} were asked for, at most {limit} are possible")]
    TooMany {
        /// What was asked for: `threads` or `replicas`.
        option: &'static str,
        /// The number asked for.
        found: usize,
        /// The largest number accepted.
        limit: usize,
    },
    /// ONNX Runtime refused a graph.
    #[error("ONNX Runtime cannot load {path}: {reason}", path = path.display())]
    LoadGraph {
        /// The graph.
        path: PathBuf,
        /// Message of the runtime.
        reason: String,
    },
    /// A graph names a file as its weights that it may not read.
    #[error("{path} names `{name}` as its weights, {reason}", path = path.display())]
    ExternalData {
        /// The graph.
        path: PathBuf,
        /// The file, as the graph names it.
        name: String,
        /// Why it is not read.
        reason: &'static str,
    },
    /// The queue of a model has no room.
    #[error("too much waits for the model")]
    Busy {
        /// The time until there may be room; unknown before the model has run anything.
        retry_after: Option<Duration>,
    },
    /// The work had not begun at its deadline.
    #[error("the deadline has passed")]
    DeadlinePassed,
    /// A graph does not declare an input that this kind of model has.
    #[error(
        "{path} has no input `{expected}`; it has {found:?}",
        path = path.display()
    )]
    MissingInput {
        /// The graph.
        path: PathBuf,
        /// The input looked for.
        expected: String,
        /// The inputs that the graph declares.
        found: Vec<String>,
    },
    /// A graph declares an input that nothing feeds.
    #[error(
        "{path} wants the input `{input}`, which this kind of model does not have; known are {known:?}",
        path = path.display()
    )]
    UnknownInput {
        /// The graph.
        path: PathBuf,
        /// The input that the graph wants.
        input: String,
        /// The inputs that can be fed.
        known: Vec<String>,
    },
    /// A tensor for a graph has another shape than the graph declares.
    #[error(
        "the input `{input}` of {path} takes the shape {expected}, not {found:?}",
        path = path.display(), expected = declared(expected)
    )]
    InputShape {
        /// The graph.
        path: PathBuf,
        /// The input.
        input: String,
        /// The shape of the tensor.
        found: Vec<usize>,
        /// The declared dimensions; `None` for those that are not fixed.
        expected: Vec<Option<usize>>,
    },
    /// A graph does not have the output that the model's description names.
    #[error("{path} has no output {expected}; it has {found:?}", path = path.display())]
    MissingOutput {
        /// The graph.
        path: PathBuf,
        /// The output looked for, by name or position.
        expected: String,
        /// The outputs that the graph declares.
        found: Vec<String>,
    },
    /// An output has an element type that is no number.
    #[error("the output `{output}` of {path} has elements of type {found}", path = path.display())]
    OutputType {
        /// The graph.
        path: PathBuf,
        /// The output.
        output: String,
        /// The type of its elements.
        found: String,
    },
    /// An output has a shape that the model's description does not allow.
    #[error(
        "the output `{output}` of {path}: expected {expected}, got {found:?}",
        path = path.display()
    )]
    OutputShape {
        /// The graph.
        path: PathBuf,
        /// The output.
        output: String,
        /// The shape that came out.
        found: Vec<usize>,
        /// The shape that the description asks for, in words.
        expected: String,
    },
    /// More dimensions were asked for than the model has.
    #[error("{id} has vectors of dimension {dim}, so {wanted} components cannot be kept")]
    DimTooLarge {
        /// The model.
        id: String,
        /// The number asked for.
        wanted: usize,
        /// Dimension of its vectors.
        dim: usize,
    },
    /// The dimension of the vectors is not what it was, or not what the graph declares.
    #[error("{id}: expected vectors of dimension {expected}, got {found}")]
    DimChanged {
        /// The model.
        id: String,
        /// Dimension so far, or that which the graph declares.
        expected: usize,
        /// Dimension now.
        found: usize,
    },
    /// A graph failed while it ran.
    #[error("ONNX Runtime failed to run {path}: {reason}", path = path.display())]
    Run {
        /// The graph.
        path: PathBuf,
        /// Message of the runtime.
        reason: String,
    },
    /// A run did not get the memory that it asked for.
    #[error("there is not enough memory to run {path}: {reason}", path = path.display())]
    OutOfMemory {
        /// The graph.
        path: PathBuf,
        /// Message of the runtime.
        reason: String,
    },
    /// The device failed, and every further run with it.
    #[error("the device failed while it ran {path}: {reason}", path = path.display())]
    DeviceFailed {
        /// The graph.
        path: PathBuf,
        /// Message of the runtime.
        reason: String,
    },
    /// A run was stopped at the time limit.
    #[error(
        "{path} was stopped: with {rows} in a batch it ran longer than the limit of {limit:?}",
        path = path.display()
    )]
    TimedOut {
        /// The graph.
        path: PathBuf,
        /// The limit for one run.
        limit: Duration,
        /// Inputs in the batch.
        rows: usize,
    },
    /// The system does not start as many threads as were asked for.
    #[error("only {started} of {wanted} threads can be started: {source}")]
    Thread {
        /// How many were started.
        started: usize,
        /// How many were asked for.
        wanted: usize,
        /// Error of the system.
        source: Arc<io::Error>,
    },
    /// The work on an input panicked.
    #[error("embedkit panicked: {reason}")]
    Panicked {
        /// The message of the panic.
        reason: String,
    },
    /// Something that cannot be has happened.
    #[error("embedkit has failed: {reason}")]
    Defect {
        /// Description of the defect.
        reason: String,
    },
}

impl Error {
    /// True where no input is to blame: the model cannot be opened, or its session or device is lost.
    /// Another batch, or another row of the same, would fail the same way.
    #[must_use]
    pub fn is_of_session(&self) -> bool {
        match self {
            #[cfg(feature = "onnx")]
            Self::Runtime(_) => true,
            Self::Options(_)
            | Self::Read { .. }
            | Self::TooLarge { .. }
            | Self::InvalidFile { .. }
            | Self::Device { .. }
            | Self::NoInstructions { .. }
            | Self::OtherPrecision { .. }
            | Self::TooMany { .. }
            | Self::LfsPointer { .. }
            | Self::NewerTokenizer { .. }
            | Self::ExternalData { .. }
            | Self::LoadGraph { .. }
            | Self::UnknownInput { .. }
            | Self::MissingOutput { .. }
            | Self::OutputType { .. }
            | Self::OutputShape { .. }
            | Self::DimTooLarge { .. }
            | Self::OutOfMemory { .. }
            | Self::DeviceFailed { .. }
            | Self::Thread { .. } => true,
            // In a run it is the mask, which only some texts need.
            Self::MissingInput { .. }
            | Self::Busy { .. }
            | Self::DeadlinePassed
            | Self::Tokenize { .. }
            | Self::Template { .. }
            | Self::TokenWithoutRow { .. }
            | Self::TooManyTokens { .. }
            | Self::InputShape { .. }
            | Self::DimChanged { .. }
            | Self::Run { .. }
            | Self::TimedOut { .. }
            | Self::Panicked { .. }
            | Self::Defect { .. } => false,
        }
    }

    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ErrorKind::NotFound
            }
            #[cfg(feature = "onnx")]
            Self::Runtime(error) => error.kind(),
            Self::Options(error) => error.kind(),
            Self::TooLarge { .. }
            | Self::InvalidFile { .. }
            | Self::LfsPointer { .. }
            | Self::ExternalData { .. }
            | Self::TokenWithoutRow { .. } => ErrorKind::Damaged,
            Self::Tokenize { .. }
            | Self::Template { .. }
            | Self::TooManyTokens { .. }
            | Self::TooMany { .. }
            | Self::DimTooLarge { .. } => ErrorKind::InvalidInput,
            Self::NewerTokenizer { .. }
            | Self::NoInstructions { .. }
            | Self::OtherPrecision { .. }
            | Self::MissingInput { .. }
            | Self::UnknownInput { .. }
            | Self::InputShape { .. }
            | Self::MissingOutput { .. }
            | Self::OutputType { .. }
            | Self::OutputShape { .. }
            | Self::DimChanged { .. } => ErrorKind::Unsupported,
            Self::Device { .. } | Self::DeviceFailed { .. } => ErrorKind::Device,
            Self::Read { .. }
            | Self::LoadGraph { .. }
            | Self::Run { .. }
            | Self::OutOfMemory { .. }
            | Self::Thread { .. } => ErrorKind::Runtime,
            Self::TimedOut { .. } | Self::DeadlinePassed => ErrorKind::Cancelled,
            Self::Busy { .. } => ErrorKind::Busy,
            Self::Panicked { .. } | Self::Defect { .. } => ErrorKind::Internal,
        }
    }

    /// Advice, where something can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        let advice = |advice: &'static str| Some(Hint::Advice(advice.into()));
        match self {
            #[cfg(feature = "onnx")]
            Self::Runtime(error) => Some(error.hint()),
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some(Hint::IncompleteFolder)
            }
            Self::LfsPointer { .. } => {
                advice("run `git lfs pull` in the folder, or download the file itself")
            }
            Self::ExternalData { .. } => advice(
                "weights are read from files in the folder of the model file or below it; put them \
                 there and save the graph with their names, if you trust it",
            ),
            Self::NewerTokenizer { .. } => advice(
                "try a newer version of embedkit, or save the tokenizer again with the tokenizers \
                 library 0.23",
            ),
            Self::Options(error) => error.hint(),
            Self::NoInstructions { .. } => advice(
                "take the precision f32, or a file of eight-bit integers, which is fast on any processor \
                 (docs/int8.md)",
            ),
            Self::OtherPrecision { .. } => {
                advice("open the model by name or folder, which makes such a graph of an f32 one")
            }
            Self::Device { .. } => Some(Hint::FallBackToCpu),
            Self::MissingOutput { .. } => {
                advice("name one of the graph's outputs in the model's description")
            }
            Self::UnknownInput { .. } | Self::MissingInput { .. } => {
                advice("the graph was exported for another kind of model")
            }
            Self::InputShape { .. } => advice(
                "the graph was exported for inputs of one size, and the files beside it say another",
            ),
            Self::DimChanged { .. } => advice(
                "the dimension depends on the input: pool the graph's output, or bring images to one size",
            ),
            Self::TokenWithoutRow { .. } => advice(
                "the tokenizer does not belong to this graph, or tokens were added to it that the graph \
                 has no rows for: take both from one place",
            ),
            Self::Template { .. } => advice(
                "correct the template in the model's description, or raise the limit on tokens",
            ),
            Self::TooManyTokens { limit, .. } => Some(Hint::LimitTokens(Some(*limit))),
            Self::OutOfMemory { .. } => Some(Hint::SmallerBatches),
            Self::DeviceFailed { .. } => Some(Hint::OpenAgain),
            Self::TimedOut { .. } => Some(Hint::RaiseTimeout),
            Self::Thread { .. } => Some(Hint::FewerThreads),
            Self::Busy { retry_after } => Some(Hint::RetryAfter(*retry_after)),
            Self::LoadGraph { reason, .. } if reason.contains("pthread_create failed") => {
                Some(Hint::FewerThreads)
            }
            Self::Panicked { .. } | Self::Defect { .. } => {
                advice("this is a defect of embedkit; please report it")
            }
            _ => None,
        }
    }
}

impl From<Error> for embedkit_types::Error {
    fn from(error: Error) -> Self {
        let hint = error.hint();
        Self::new(error.kind(), error).with_hint(hint)
    }
}

/// A declared shape, such as `[?, 3, 448, 448]`.
fn declared(shape: &[Option<usize>]) -> String {
    let dims = shape.iter().map(|dim| dim.map_or_else(|| "?".to_owned(), |dim| dim.to_string()));
    format!("[{}]", dims.collect::<Vec<_>>().join(", "))
}

/// How a pointer of Git LFS begins, which is a text of a few lines.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1";

/// Refuses what Git LFS leaves in the place of a file; `start` is the file's beginning, 1 KiB of it
/// or all.
pub(crate) fn refuse_lfs_pointer(path: &std::path::Path, start: &[u8]) -> Result<(), Error> {
    if !start.starts_with(LFS_POINTER) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&start[..start.len().min(1024)]);
    let size = text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse().ok());
    Err(Error::LfsPointer { path: path.to_owned(), size })
}

/// Refuses a file that is not there, and a pointer of Git LFS.
#[cfg(feature = "onnx")]
pub(crate) fn probe(path: &std::path::Path) -> Result<(), Error> {
    use io::Read;
    let read = |source| Error::Read { path: path.to_owned(), source: Arc::new(source) };
    let mut start = Vec::new();
    std::fs::File::open(path).map_err(read)?.take(1024).read_to_end(&mut start).map_err(read)?;
    refuse_lfs_pointer(path, &start)
}

/// Reads a text file, JSON as a rule, that may not be larger than `limit` bytes. A byte order mark at
/// its beginning is left out.
///
/// # Errors
/// [`Error::Read`], [`Error::TooLarge`] and [`Error::LfsPointer`].
pub fn read_bounded(path: &std::path::Path, limit: u64) -> Result<Vec<u8>, Error> {
    use io::Read;
    let read = |source| Error::Read { path: path.to_owned(), source: Arc::new(source) };
    let file = std::fs::File::open(path).map_err(read)?;
    let found = file.metadata().map_err(read)?.len();
    if found > limit {
        return Err(Error::TooLarge { path: path.to_owned(), found, limit });
    }
    // The size may lie (a pipe, a file that grows), hence the second bound.
    let mut bytes = Vec::with_capacity(usize::try_from(found).unwrap_or(0));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(read)?;
    let found = bytes.len() as u64;
    if found > limit {
        return Err(Error::TooLarge { path: path.to_owned(), found, limit });
    }
    refuse_lfs_pointer(path, &bytes)?;
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

/// U+FEFF in UTF-8, which some editors put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_of_git_lfs_is_told_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234\n";
        std::fs::write(&path, pointer).unwrap();
        let error = read_bounded(&path, 1 << 20).unwrap_err();
        assert!(matches!(error, Error::LfsPointer { size: Some(1234), .. }), "{error}");
        assert!(error.to_string().contains("1234 bytes"), "{error}");
        assert!(error.hint().unwrap().to_string().contains("git lfs pull"));
        assert_eq!(error.kind(), ErrorKind::Damaged);
        #[cfg(feature = "onnx")]
        assert!(matches!(probe(&path), Err(Error::LfsPointer { .. })));
    }

    #[test]
    fn a_byte_order_mark_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, "\u{feff}{}").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"{}");
    }
}
