//! What can go wrong between a model's name and its files on disk.

use std::{fmt, io, path::PathBuf, time::Duration};

/// Every failure of this crate.
///
/// The message says what happened; [`Error::hint`] says what to do about it, where there is
/// something to do.
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
        /// What the name stands for.
        kind: &'static str,
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// Files are missing and the network may not be used.
    #[error("offline, and model {model} is not complete in {}: missing {}", cache.display(), missing.join(", "))]
    Offline {
        /// Id of the model.
        model: String,
        /// The cache folder.
        cache: PathBuf,
        /// The files that are missing, as the repository names them.
        missing: Vec<String>,
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
        /// What was asked for.
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

    /// Access was refused.
    #[error("access to {url} was refused ({status}){}", if *gated { ": the repository is gated" } else { "" })]
    Denied {
        /// What was asked for.
        url: String,
        /// HTTP status, 401 or 403.
        status: u16,
        /// Whether the server says that its terms have to be accepted first.
        gated: bool,
        /// Whether a token was sent.
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
        /// What was asked for.
        url: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },

    /// The server answered with a status that is not handled above.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },

    /// No answer, or a broken one.
    #[error("cannot read {url}")]
    Transport {
        /// What was asked for.
        url: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The connection cannot be trusted.
    #[error("no secure connection for {url}")]
    Tls {
        /// What was asked for.
        url: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// Nothing came for too long.
    #[error("{url}: no progress within {} seconds ({phase})", limit.as_secs_f32())]
    Timeout {
        /// What was asked for.
        url: String,
        /// What was waited for.
        phase: &'static str,
        /// The limit that was exceeded.
        limit: Duration,
    },

    /// A redirect that is not followed.
    #[error("{url} redirects to {target:?}, which is refused: {reason}")]
    Redirect {
        /// What was asked for.
        url: String,
        /// Where it leads.
        target: String,
        /// Why it is not followed.
        reason: &'static str,
    },

    /// The answer is not what the hub's interface promises.
    #[error("{url} gave an answer that is not understood: {reason}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        reason: String,
    },

    /// Content that is not what it should be. Nothing of it was kept.
    #[error("{file} is damaged: expected {expected}, found {found}")]
    Corrupt {
        /// The file or its address.
        file: String,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },

    /// The server has another file than the one that the model is pinned to.
    #[error("{origin} has {file} with {found}, but the model is pinned to {pinned}")]
    Pin {
        /// The file.
        file: String,
        /// Size and hash that the model's description states.
        pinned: String,
        /// Who has another one.
        origin: String,
        /// What the server has.
        found: String,
    },

    /// The disk or its permissions.
    #[error("cannot {action} {}", path.display())]
    Disk {
        /// What was tried.
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
        /// What is wrong with it.
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
        /// What is wrong with it.
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
    /// What to do about it, in one line.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoCacheDir => "set EMBEDKIT_CACHE or pass --cache-dir".into(),
            Self::NoSource { .. } => "open it from a folder with --model-dir".into(),
            Self::Offline { model, .. } => {
                format!("with network access, run: embedkit models pull {model}")
            }
            Self::NotFound { .. } => {
                "check the repository and the revision; a mirror may not have it".into()
            }
            Self::NoFile { .. } => "check the model's file names and its revision".into(),
            Self::Denied { gated: true, .. } => {
                "accept the terms on the repository's page, then set HF_TOKEN".into()
            }
            Self::Denied { token: true, .. } => {
                "the token was sent and refused: check that it is valid and may read the repository"
                    .into()
            }
            Self::Denied { .. } => {
                "check the repository's name; if it is private, set HF_TOKEN".into()
            }
            Self::ClearText { .. } => {
                "use an address that begins with https://, or unset HF_TOKEN (and take the token's file \
                 away with HF_TOKEN_PATH=/dev/null) to go without it"
                    .into()
            }
            Self::RateLimited { .. } => "wait, or set HF_TOKEN for a higher limit".into(),
            Self::Transport { .. } | Self::Timeout { .. } => {
                "check the connection; HF_ENDPOINT names a mirror and HTTPS_PROXY a proxy".into()
            }
            Self::Tls { .. } => {
                "where a proxy opens secure connections, set SSL_CERT_FILE to its certificates (PEM)"
                    .into()
            }
            Self::Corrupt { .. } => "try again; a proxy or a mirror may alter the content".into(),
            Self::Pin { .. } => {
                "the repository was changed, or the pin is wrong: compare `files` and `revision` of the model's description with the repository".into()
            }
            Self::Disk { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free space, or choose another cache folder with EMBEDKIT_CACHE".into()
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "choose a writable cache folder with EMBEDKIT_CACHE or --cache-dir".into()
                }
                _ => return None,
            },
            Self::Certificates { .. } => {
                "correct or unset SSL_CERT_FILE, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE".into()
            }
            Self::NoPip { .. } | Self::Pip { .. } => {
                "install pip, or give a library, wheel or folder with: embedkit runtime install --from PATH".into()
            }
            Self::NoLibrary { .. } => {
                "give the library itself, a wheel of onnxruntime, or a folder that holds either".into()
            }
            Self::Missing { found, .. } => {
                let first = found.first()?;
                format!(
                    "if {first} is the model, say `file = \"{first}\"` in its description (--model-spec)"
                )
            }
            Self::Name { .. }
            | Self::Status { .. }
            | Self::Redirect { .. }
            | Self::Answer { .. }
            | Self::Archive { .. } => return None,
        })
    }

    /// Whether trying again may help, and how long the server asks to wait before that.
    pub(crate) fn transient(&self) -> Option<Option<Duration>> {
        match self {
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            Self::Status { status: 408 | 500..=599, retry_after, .. } => Some(*retry_after),
            Self::Transport { .. } | Self::Timeout { .. } => Some(None),
            _ => None,
        }
    }

    /// Whether another mirror may succeed where this one failed: everything that the server did,
    /// nothing that happened on this machine.
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

/// Puts the path and the action into an input or output error.
pub(crate) trait DiskResult<T> {
    fn or_disk(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, Error>;
}

impl<T> DiskResult<T> for io::Result<T> {
    fn or_disk(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, Error> {
        self.map_err(|source| Error::Disk { action, path: path.into(), source })
    }
}

/// A secret that no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub(crate) String);

impl Token {
    /// Wraps an access token.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}
