//! One error for all families and fronts.

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc};

use crate::Role;

/// An error of any part of embedkit: its [kind](ErrorKind), its cause, and a [`Hint`] where something
/// can be done about it.
///
/// The message is that of the cause, which names the model, file or tensor; [`source`](StdError::source)
/// goes on behind it. [`downcast_ref`](Self::downcast_ref) finds the typed cause. A clone is cheap and
/// has the same cause, since the failure of a session concerns every input of a batch.
///
/// ```
/// use embedkit_types::{Error, ErrorKind, Hint};
///
/// let error = Error::new(ErrorKind::InvalidInput, "the query is empty");
/// let error = error.with_hint(Hint::Advice("ask for something".into()));
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert_eq!(error.to_string(), "the query is empty");
/// assert_eq!(error.hint().unwrap().to_string(), "ask for something");
/// ```
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

struct Inner {
    kind: ErrorKind,
    cause: Box<dyn StdError + Send + Sync>,
    hint: Option<Hint>,
}

/// Class of an [`Error`]: enough to choose a status code or an exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A model, repository, file, or the ONNX Runtime library does not exist where it was looked for.
    NotFound,
    /// Something would have to be fetched, and the network is switched off.
    Offline,
    /// A transfer failed: connection, status, certificate, permission.
    Download,
    /// A file is not what it should be: cut, changed, or of the wrong format.
    Damaged,
    /// An input, option or argument of the caller cannot be used.
    InvalidInput,
    /// The model, the build or the runtime library does not do what was asked for.
    Unsupported,
    /// The queue is full; later it may not be.
    Busy,
    /// The device is missing or failed.
    Device,
    /// ONNX Runtime, or the system below it, failed to load or run a graph.
    Runtime,
    /// The work was stopped: a deadline or a time limit passed, or the caller no longer wants it.
    Cancelled,
    /// A defect of embedkit.
    Internal,
}

impl ErrorKind {
    /// The name in snake case, such as `not_found`; stable.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Offline => "offline",
            Self::Download => "download",
            Self::Damaged => "damaged",
            Self::InvalidInput => "invalid_input",
            Self::Unsupported => "unsupported",
            Self::Busy => "busy",
            Self::Device => "device",
            Self::Runtime => "runtime",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Advice on an [`Error`], as data: a front that has commands or options of its own puts it into its
/// own words. [`Display`](fmt::Display) has words for callers of the library.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// ONNX Runtime has to be installed, or its library named.
    InstallRuntime,
    /// The files of the model with this id have to be fetched, with network access.
    PullModel(String),
    /// The registry has the ids of all models; these are closest to the one given.
    SimilarModels(Vec<String>),
    /// The model with this id is of another task.
    OpenAs {
        /// Id of the model.
        id: String,
        /// Name of its task in the registry, such as `sparse`.
        task: &'static str,
    },
    /// The model has to be opened from a folder with its files.
    OpenFromFolder,
    /// The cache folder has to be another one: writable, or with more space.
    ChooseCacheDir,
    /// The device has to be `auto`, which falls back to the CPU, or the build and the library others.
    FallBackToCpu,
    /// Texts have to be cut at fewer tokens, at most this many where the number is known.
    LimitTokens(Option<usize>),
    /// The time limit has to be raised, or batches made smaller.
    RaiseTimeout,
    /// Fewer threads have to be asked for.
    FewerThreads,
    /// The description of the model has to name this file as its graph.
    NameModelFile(String),
    /// The prompt for this role has to be given, or put before the texts by the caller.
    GivePrompt(Role),
    /// Advice that is the same for every front, in one line.
    Advice(Cow<'static, str>),
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InstallRuntime => f.write_str(
                "install ONNX Runtime, or name its library in ORT_DYLIB_PATH or the load options",
            ),
            Self::PullModel(id) => write!(f, "with network access, load {id} once to fetch its files"),
            Self::SimilarModels(ids) if ids.is_empty() => {
                f.write_str("the registry has the ids of all models")
            }
            Self::SimilarModels(ids) => write!(f, "did you mean {}?", ids.join(" or ")),
            Self::OpenAs { id, task } => write!(f, "open {id} as a model for {task}"),
            Self::OpenFromFolder => f.write_str("open the model from a folder with its files"),
            Self::ChooseCacheDir => {
                f.write_str("choose a writable cache folder with enough space, as in EMBEDKIT_CACHE")
            }
            Self::FallBackToCpu => f.write_str(
                "use Device::Auto to fall back to the CPU, or a build and a runtime with that provider",
            ),
            Self::LimitTokens(None) => f.write_str("lower the limit on tokens"),
            Self::LimitTokens(Some(limit)) => write!(f, "lower the limit on tokens to {limit}"),
            Self::RaiseTimeout => f.write_str("raise the time limit, or lower the rows of a batch"),
            Self::FewerThreads => f.write_str("ask for fewer threads"),
            Self::NameModelFile(file) => {
                write!(f, "if {file} is the graph, name it as `file` in the model's description")
            }
            Self::GivePrompt(_) => {
                f.write_str("give the prompt that the model's authors publish, or put it before the texts")
            }
            Self::Advice(advice) => f.write_str(advice),
        }
    }
}

impl Error {
    /// An error with a cause: another error, or a message.
    pub fn new(kind: ErrorKind, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { inner: Arc::new(Inner { kind, cause: cause.into(), hint: None }) }
    }

    /// The same error with advice in place of what it had.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<Option<Hint>>) -> Self {
        let hint = hint.into();
        match Arc::try_unwrap(self.inner) {
            Ok(inner) => Self { inner: Arc::new(Inner { hint, ..inner }) },
            Err(inner) => {
                let kind = inner.kind;
                Self { inner: Arc::new(Inner { kind, cause: Box::new(Self { inner }), hint }) }
            }
        }
    }

    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Advice, where something can be done about the error.
    #[must_use]
    pub fn hint(&self) -> Option<&Hint> {
        self.inner.hint.as_ref()
    }

    /// The first error of a type in the chain of causes.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&*self.inner.cause);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.cause.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, cause, hint } = &*self.inner;
        f.debug_struct("Error")
            .field("kind", kind)
            .field("cause", cause)
            .field("hint", hint)
            .finish()
    }
}

impl StdError for Error {
    /// The cause of the cause, whose own message is the message here.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.cause.source()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read model.onnx")]
    struct Unreadable(#[source] io::Error);

    #[test]
    fn the_chain_of_causes_is_kept() {
        let cause = Unreadable(io::ErrorKind::NotFound.into());
        let error = Error::new(ErrorKind::NotFound, cause);
        assert_eq!(error.to_string(), "cannot read model.onnx");
        assert_eq!(error.source().unwrap().to_string(), "entity not found");
        assert!(error.downcast_ref::<Unreadable>().is_some());
        assert!(error.downcast_ref::<io::Error>().is_some());
        assert!(error.downcast_ref::<fmt::Error>().is_none());
    }

    #[test]
    fn a_hint_can_be_added_to_a_clone() {
        let error = Error::new(ErrorKind::Device, Unreadable(io::ErrorKind::NotFound.into()));
        let other = error.clone().with_hint(Hint::FallBackToCpu);
        assert_eq!((error.hint(), other.hint()), (None, Some(&Hint::FallBackToCpu)));
        assert_eq!((other.kind(), other.to_string()), (error.kind(), error.to_string()));
        assert!(other.downcast_ref::<io::Error>().is_some());
    }

    #[test]
    fn an_error_goes_between_threads() {
        fn assert<T: Send + Sync + 'static>() {}
        assert::<Error>();
    }
}
