//! The error of this crate, its kinds and hints.

use std::{io, path::PathBuf, time::Duration};

use embedkit_types::{ErrorKind, Hint};

/// Every failure of this crate.
///
/// The message names file, address or model; [`kind`](Error::kind) is the class of the failure and
/// [`hint`](Error::hint) the advice, where there is any. It becomes the
/// [error of all crates](embedkit_types::Error) with both of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No place to keep files is known.
    #[error("no cache folder is known: there is no home folder, and EMBEDKIT_CACHE is not set")]
    NoCacheDir,

    /// The model can only be opened from a local folder.
    #[error("model {model} has no source to download from")]
    NoSource {
        /// Id of the model.
        model: String,
    },

    /// A name that must not become part of a path.
    #[error("{kind} {name:?} is refused: {reason}")]
    Name {
        /// Kind of the name, such as `repository`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The reason.
        reason: &'static str,
    },

    /// Files are missing and the network may not be used.
    #[error("offline, and model {model} is not complete in {}: missing {}", cache.display(), missing.join(", "))]
    Offline {
        /// Id of the model.
        model: String,
        /// The cache folder.
        cache: PathBuf,
        /// The missing files, as the repository names them.
        missing: Vec<String>,
    },

    /// Nothing of a repository is in a cache, and the network may not be used.
    #[error("offline, and repository {repo} is not in {}", cache.display())]
    NotCached {
        /// The repository.
        repo: String,
        /// The cache folder.
        cache: PathBuf,
    },

    /// A local folder lacks files of the model.
    #[error(
        "{} lacks files of model {model}: {}{}",
        dir.display(),
        missing.join(", "),
        there(found)
    )]
    Missing {
        /// Id of the model.
        model: String,
        /// The folder.
        dir: PathBuf,
        /// The files that are missing.
        missing: Vec<String>,
        /// Files of a user's own folder that may be the model, where that is missing.
        found: Vec<String>,
    },

    /// The repository or the revision does not exist.
    #[error("{url} does not exist (404)")]
    NotFound {
        /// The address that was asked.
        url: String,
    },

    /// The repository exists, but does not have a file of the model.
    #[error("repository {repo} has no file {file} at revision {revision}")]
    NoFile {
        /// The repository.
        repo: String,
        /// The revision that was asked for.
        revision: String,
        /// The file.
        file: String,
    },

    /// A file that should be small is not.
    #[error("{file} has {size} bytes, expected at most {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size in bytes.
        size: u64,
        /// The most that is read of such a file.
        limit: u64,
    },

    /// Access was refused.
    #[error("access to {url} was refused ({status}){}", if *gated { ": the repository is gated" } else { "" })]
    Denied {
        /// The address that was asked.
        url: String,
        /// HTTP status, 401 or 403.
        status: u16,
        /// True if the server says that its terms have to be accepted first.
        gated: bool,
        /// True if a token was sent.
        token: bool,
    },

    /// A secret would be sent in a way that everybody on the line can read.
    #[error("{url} is not asked, since {secret} would be sent in clear text")]
    ClearText {
        /// The address.
        url: String,
        /// The token, or the name and password of the address.
        secret: &'static str,
    },

    /// The server asks for fewer requests.
    #[error("{url}: too many requests (429)")]
    RateLimited {
        /// The address that was asked.
        url: String,
        /// The wait that the server asks for.
        retry_after: Option<Duration>,
    },

    /// The server answered with a status that is not handled above.
    #[error("{url} answered with status {status}")]
    Status {
        /// The address that was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// The wait that the server asks for.
        retry_after: Option<Duration>,
    },

    /// No answer, or a broken one.
    #[error("cannot read {url}")]
    Transport {
        /// The address that was asked.
        url: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The connection cannot be trusted.
    #[error("no secure connection for {url}")]
    Tls {
        /// The address that was asked.
        url: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// Nothing came for too long.
    #[error("{url}: no progress within {} seconds ({phase})", limit.as_secs_f32())]
    Timeout {
        /// The address that was asked.
        url: String,
        /// The phase that took too long.
        phase: &'static str,
        /// The limit that was exceeded.
        limit: Duration,
    },

    /// A redirect that is not followed.
    #[error("{url} redirects to {target:?}, which is refused: {reason}")]
    Redirect {
        /// The address that was asked.
        url: String,
        /// The target of the redirect.
        target: String,
        /// The reason.
        reason: &'static str,
    },

    /// The answer does not keep to the hub's interface.
    #[error("{url} gave an answer that is not understood: {reason}")]
    Answer {
        /// The address that was asked.
        url: String,
        /// The reason.
        reason: String,
    },

    /// Damaged content. Nothing of it was kept.
    #[error("{file} is damaged: expected {expected}, found {found}")]
    Corrupt {
        /// The file or its address.
        file: String,
        /// Expected size or hash.
        expected: String,
        /// Size or hash of the content.
        found: String,
    },

    /// The server has another file than the one that the model is pinned to.
    #[error("{origin} has {file} with {found}, but the model is pinned to {pinned}")]
    Pin {
        /// The file.
        file: String,
        /// Size and hash in the model's description.
        pinned: String,
        /// The server.
        origin: String,
        /// Size or hash on the server.
        found: String,
    },

    /// The disk or its permissions.
    #[error("cannot {action} {}", path.display())]
    Disk {
        /// The action that failed, such as `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },

    /// The file with certificates that the environment names is of no use.
    #[error("{} cannot be used as the list of trusted certificates: {reason}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },

    /// No pip was found.
    #[error("pip was not found; tried {}", tried.join(", "))]
    NoPip {
        /// The commands that were tried.
        tried: Vec<String>,
    },

    /// pip could not fetch a package.
    #[error("pip could not fetch {requirement}: {output}")]
    Pip {
        /// The package and its version.
        requirement: String,
        /// The last lines that pip printed.
        output: String,
    },

    /// An archive that cannot be read, or lacks what is needed.
    #[error("{}: {reason}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// The reason.
        reason: String,
    },

    /// A file or folder without an ONNX Runtime library.
    #[error("{} holds no {library} for this platform", path.display())]
    NoLibrary {
        /// The file or folder.
        path: PathBuf,
        /// The library that was looked for.
        library: &'static str,
    },
}

/// The files in the place of the model, for the end of a message.
fn there(found: &[String]) -> String {
    const MOST: usize = 5;
    match found {
        [] => String::new(),
        found if found.len() <= MOST => format!("; there is {}", found.join(", ")),
        found => format!("; there is {} and {} more", found[..MOST].join(", "), found.len() - MOST),
    }
}

impl Error {
    /// Class of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSource { .. }
            | Self::Missing { .. }
            | Self::NotFound { .. }
            | Self::NoFile { .. }
            | Self::NoPip { .. }
            | Self::NoLibrary { .. } => ErrorKind::NotFound,
            Self::Offline { .. } | Self::NotCached { .. } => ErrorKind::Offline,
            Self::Denied { .. }
            | Self::ClearText { .. }
            | Self::RateLimited { .. }
            | Self::Status { .. }
            | Self::Transport { .. }
            | Self::Tls { .. }
            | Self::Timeout { .. }
            | Self::Redirect { .. }
            | Self::Answer { .. }
            | Self::Pip { .. } => ErrorKind::Download,
            Self::Corrupt { .. }
            | Self::Pin { .. }
            | Self::Archive { .. }
            | Self::TooLarge { .. } => ErrorKind::Damaged,
            Self::NoCacheDir | Self::Name { .. } | Self::Certificates { .. } => {
                ErrorKind::InvalidInput
            }
            Self::Disk { source, .. } => match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ErrorKind::NotFound,
                _ => ErrorKind::Runtime,
            },
        }
    }

    /// Advice, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        let advice = match self {
            Self::NoCacheDir => return Some(Hint::NameCacheDir),
            Self::NoSource { .. } => return Some(Hint::OpenFromFolder),
            Self::Offline { model: id, .. } | Self::NotCached { repo: id, .. } => {
                return Some(Hint::PullModel(id.clone()));
            }
            Self::Missing { found, .. } => return found.first().cloned().map(Hint::NameModelFile),
            Self::NoPip { .. } | Self::Pip { .. } => return Some(Hint::InstallPip),
            Self::Disk { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free space, or choose another cache folder with EMBEDKIT_CACHE"
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    return Some(Hint::ChooseCacheDir);
                }
                _ => return None,
            },
            Self::NotFound { .. } => {
                "check the repository and the revision; a mirror may not have it"
            }
            Self::NoFile { .. } => "check the model's file names and its revision",
            Self::Denied { gated: true, .. } => {
                "accept the terms on the repository's page, then set HF_TOKEN"
            }
            Self::Denied { token: true, .. } => {
                "the token was sent and refused: check that it is valid and may read the repository"
            }
            Self::Denied { .. } => "check the repository's name; if it is private, set HF_TOKEN",
            Self::ClearText { .. } => {
                "use an address that begins with https://, or unset HF_TOKEN (and take the token's file \
                 away with HF_TOKEN_PATH=/dev/null) to go without it"
            }
            Self::RateLimited { .. } => "wait, or set HF_TOKEN for a higher limit",
            Self::Transport { .. } | Self::Timeout { .. } => {
                "check the connection; HF_ENDPOINT names a mirror and HTTPS_PROXY a proxy"
            }
            Self::Tls { .. } => {
                "where a proxy opens secure connections, set SSL_CERT_FILE to its certificates (PEM)"
            }
            Self::Corrupt { .. } => "try again; a proxy or a mirror may alter the content",
            Self::Pin { .. } => {
                "the repository was changed, or the pin is wrong: compare `files` and `revision` of \
                 the model's description with the repository"
            }
            Self::Certificates { .. } => {
                "correct or unset SSL_CERT_FILE, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE"
            }
            Self::NoLibrary { .. } => {
                "give the library itself, a wheel of onnxruntime, or a folder that holds either"
            }
            Self::Name { .. }
            | Self::Status { .. }
            | Self::Redirect { .. }
            | Self::Answer { .. }
            | Self::TooLarge { .. }
            | Self::Archive { .. } => return None,
        };
        Some(Hint::Advice(advice.into()))
    }

    /// `Some` for a transient fault, with the wait that the server asks for.
    pub(crate) fn transient(&self) -> Option<Option<Duration>> {
        match self {
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            Self::Status { status: 408 | 500..=599, retry_after, .. } => Some(*retry_after),
            Self::Transport { .. } | Self::Timeout { .. } => Some(None),
            _ => None,
        }
    }

    /// True for a fault of the server, where another mirror may succeed; false for one of this machine.
    pub(crate) fn of_server(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. }
                | Self::NoFile { .. }
                | Self::Denied { .. }
                | Self::RateLimited { .. }
                | Self::Status { .. }
                | Self::Transport { .. }
                | Self::Tls { .. }
                | Self::Timeout { .. }
                | Self::Redirect { .. }
                | Self::Answer { .. }
                | Self::Corrupt { .. }
                | Self::Pin { .. }
        )
    }
}

impl From<Error> for embedkit_types::Error {
    fn from(error: Error) -> Self {
        let (kind, hint) = (error.kind(), error.hint());
        Self::new(kind, error).with_hint(hint)
    }
}

/// Puts the path and the action into an input or output error.
pub(crate) trait DiskResult<T> {
    fn or_disk(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, Error>;
}

impl<T> DiskResult<T> for io::Result<T> {
    fn or_disk(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, Error> {
        self.map_err(|source| Error::Disk { action, path: path.into(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_all_crates_has_kind_hint_and_cause() {
        let missing = vec!["tokenizer.json".to_owned()];
        let error = Error::Offline { model: "me/m".into(), cache: "c".into(), missing };
        let message = error.to_string();
        let error = embedkit_types::Error::from(error);
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Offline, message));
        assert_eq!(error.hint(), Some(&Hint::PullModel("me/m".into())));
        assert!(matches!(error.downcast_ref(), Some(Error::Offline { .. })));
    }

    #[test]
    fn errors_of_the_disk_are_told_apart() {
        let disk = |kind: io::ErrorKind| Error::Disk {
            action: "write",
            path: "p".into(),
            source: kind.into(),
        };
        assert_eq!(disk(io::ErrorKind::NotFound).kind(), ErrorKind::NotFound);
        let full = disk(io::ErrorKind::StorageFull);
        assert!(matches!((full.kind(), full.hint()), (ErrorKind::Runtime, Some(Hint::Advice(_)))));
        assert_eq!(disk(io::ErrorKind::PermissionDenied).hint(), Some(Hint::ChooseCacheDir));
    }
}
