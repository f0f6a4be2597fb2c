//! One error for all families and fronts.

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc, time::Duration};

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
    /// ONNX Runtime failed to load or run a graph, or the system below it failed: disk, memory, threads.
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
    /// The ONNX Runtime library that was found has to be installed again, or trusted by naming it.
    ReinstallRuntime {
        /// A step before that, such as a command of the shell.
        first: Option<String>,
        /// True for one that embedkit has installed.
        installed: bool,
    },
    /// The ONNX Runtime library that was found has to be trusted by naming it, or else this done.
    NameRuntime(Cow<'static, str>),
    /// The files of the model with this id have to be fetched, with network access.
    PullModel(String),
    /// The registry has the ids of all models; these are closest to the one given.
    SimilarModels(Vec<String>),
    /// The model with this id is for other tasks.
    OpenAs {
        /// Id of the model.
        id: String,
        /// Names of its tasks in the registry, such as `sparse`.
        tasks: Vec<&'static str>,
    },
    /// The model has to be opened from a folder with its files.
    OpenFromFolder,
    /// The model's folder lacks files, which have to be fetched again.
    IncompleteFolder,
    /// The cache folder has to be another one: writable, or with more space.
    ChooseCacheDir,
    /// A cache folder has to be named, since the environment leads to none.
    NameCacheDir,
    /// pip has to be installed, or ONNX Runtime taken from a library, wheel or folder.
    InstallPip,
    /// The device has to be `auto`, which falls back to the CPU, or the build and the library others.
    FallBackToCpu,
    /// The model has to be opened again; its device failed.
    OpenAgain,
    /// Batches have to be made smaller, or fewer of them run at once.
    SmallerBatches,
    /// Texts have to be cut at fewer tokens, at most this many where the number is known.
    LimitTokens(Option<usize>),
    /// The time limit has to be raised, or batches made smaller.
    RaiseTimeout,
    /// Fewer threads have to be asked for.
    FewerThreads,
    /// The queue has to become shorter; the time until it may be, where that is known.
    RetryAfter(Option<Duration>),
    /// The description of the model has to name this file as its graph.
    NameModelFile(String),
    /// The prompt has to be put before the texts by the caller.
    GivePrompt,
    /// One of these variants of the graph has to be chosen.
    ChooseVariant(Vec<String>),
    /// The checkpoint lacks the tensors of a head, so that its encoder alone can be converted.
    ConvertEncoder {
        /// The head that is missing, such as `sequence classifier`.
        missing: &'static str,
    },
    /// The graph has to be one with `f32` weights in the same file, such as a converted checkpoint.
    ConvertCheckpoint,
    /// Advice that is the same for every front, in one line.
    Advice(Cow<'static, str>),
}

/// Advice on how a library is loaded as it is.
const NAME_RUNTIME: &str = "name it in ORT_DYLIB_PATH or the load options";

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InstallRuntime => f.write_str(
                "install ONNX Runtime, or name its library in ORT_DYLIB_PATH or the load options",
            ),
            Self::PullModel(id) => write!(f, "with network access, load {id} once to fetch its files"),
            Self::ReinstallRuntime { first, .. } => {
                if let Some(first) = first {
                    write!(f, "{first} and ")?;
                }
                write!(f, "install the library again; to trust it as it is, {NAME_RUNTIME}")
            }
            Self::NameRuntime(instead) => {
                write!(f, "{instead}; to use this very file, {NAME_RUNTIME}")
            }
            Self::SimilarModels(ids) => match ids.as_slice() {
                [] => f.write_str("the registry has the ids of all models"),
                [only] => write!(f, "did you mean {only}?"),
                [others @ .., last] => write!(f, "did you mean {} or {last}?", others.join(", ")),
            },
            Self::OpenAs { id, tasks } => {
                write!(f, "open {id} as a model for {}", tasks.join(" or "))
            }
            Self::OpenFromFolder => f.write_str("open the model from a folder with its files"),
            Self::IncompleteFolder => {
                f.write_str("the model's folder is incomplete; fetch its files again")
            }
            Self::ChooseCacheDir => {
                f.write_str("choose a writable cache folder with enough space, as in EMBEDKIT_CACHE")
            }
            Self::NameCacheDir => {
                f.write_str("name a cache folder in EMBEDKIT_CACHE or the load options")
            }
            Self::InstallPip => f.write_str(
                "install pip, or give InstallOptions::from a library, wheel or folder of ONNX Runtime",
            ),
            Self::FallBackToCpu => f.write_str(
                "use Device::Auto to fall back to the CPU, or a build and a runtime with that provider",
            ),
            Self::OpenAgain => f.write_str(
                "open the model again; where it fails again, look into the device's driver or use \
                 Device::Cpu",
            ),
            Self::SmallerBatches => {
                f.write_str("make batches smaller, or run fewer at once with fewer replicas")
            }
            Self::LimitTokens(None) => f.write_str("lower the limit on tokens"),
            Self::LimitTokens(Some(limit)) => write!(f, "lower the limit on tokens to {limit}"),
            Self::RaiseTimeout => f.write_str("raise the time limit, or lower the rows of a batch"),
            Self::FewerThreads => f.write_str(
                "ask for fewer threads and replicas, or raise the system's limit on processes and \
                 memory",
            ),
            Self::RetryAfter(None) => f.write_str("try again later"),
            Self::RetryAfter(Some(after)) => write!(f, "try again in {after:.1?}"),
            Self::NameModelFile(file) => {
                write!(f, "if {file} is the graph, name it as `file` in the model's description")
            }
            Self::GivePrompt => f.write_str(
                "put the prompt that the model's authors give before the texts yourself",
            ),
            Self::ChooseVariant(names) => {
                write!(f, "choose a variant in the load options: {}", names.join(", "))
            }
            Self::ConvertEncoder { missing } => write!(
                f,
                "the checkpoint has no {missing}; the head `hidden` needs only the encoder"
            ),
            Self::ConvertCheckpoint => f.write_str(
                "give a graph with f32 weights in the same file, below 2 GiB, such as that of a \
                 converted checkpoint",
            ),
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
            // Its own source is already behind its cause.
            if let Some(Self { inner }) = error.downcast_ref() {
                cause = Some(&*inner.cause);
                continue;
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
        assert!(other.downcast_ref::<Unreadable>().is_some());
        assert!(other.downcast_ref::<io::Error>().is_some());
    }

    #[test]
    fn the_cause_of_a_cause_is_found() {
        #[derive(Debug, thiserror::Error)]
        #[error("input 3")]
        struct Input(#[source] Error);

        let inner = Error::new(ErrorKind::NotFound, Unreadable(io::ErrorKind::NotFound.into()));
        let outer = Error::new(inner.kind(), Input(inner));
        assert!(outer.downcast_ref::<Input>().is_some());
        assert!(outer.downcast_ref::<Unreadable>().is_some());
        assert!(outer.downcast_ref::<fmt::Error>().is_none());
    }

    #[test]
    fn similar_models_are_a_list_in_words() {
        let hint = |ids: &[&str]| {
            Hint::SimilarModels(ids.iter().map(ToString::to_string).collect()).to_string()
        };
        assert_eq!(hint(&["a"]), "did you mean a?");
        assert_eq!(hint(&["a", "b", "c"]), "did you mean a, b or c?");
    }

    #[test]
    fn an_error_goes_between_threads() {
        fn assert<T: Send + Sync + 'static>() {}
        assert::<Error>();
    }
}
