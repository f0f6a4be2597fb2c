//! Settings of the server: plain fields with defaults.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use embedkit::{ModelBuilder, Options};

use crate::{hosts::ImageHost, keys::Keys};

/// Settings of a server.
///
/// ```
/// use embedkit_server::{Config, ServedModel};
///
/// let config = Config {
///     models: vec![ServedModel::named("Qdrant/bm25")?],
///     listen: "unix:/run/embedkit.sock".parse()?,
///     ..Config::default()
/// };
/// assert_eq!(config.limits.body_bytes, 32 << 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Models, at least one. The first that has the ability of a route answers requests that name none.
    pub models: Vec<ServedModel>,
    /// Address to listen on.
    pub listen: Listen,
    /// Keys, one of which each request has to bring; without any all requests are answered.
    pub keys: Keys,
    /// Origins from which pages of a browser may send requests: `*`, or such as `https://example.com`.
    pub cors_origins: Vec<String>,
    /// Limits on requests.
    pub limits: Limits,
    /// Times that are waited for.
    pub times: Times,
    /// True if token ids are those of the models' own vocabularies. Otherwise a request with token ids is
    /// refused on the routes of OpenAI, whose clients send ids of OpenAI's vocabularies.
    pub own_token_ids: bool,
    /// Hosts from which images are fetched that a request gives by their address; none are without any.
    pub image_hosts: Vec<ImageHost>,
    /// Options of models that clients open by name (`/models/load`); `None` if they may not.
    pub client_models: Option<Options>,
    /// Certificate and key for HTTPS.
    #[cfg(feature = "tls")]
    pub tls: Option<Tls>,
    /// True to leave an event of `tracing` for each request, on the target `embedkit_server::access` and of
    /// level info. It has no text of an input.
    pub access_log: bool,
}

/// A model that is served.
#[derive(Debug, Clone)]
pub struct ServedModel {
    /// The name for clients.
    pub name: String,
    /// Further names.
    pub aliases: Vec<String>,
    /// The model, and where its files are. Its options are the next field.
    pub builder: ModelBuilder,
    /// Options of the model. [`Limits::queue_tokens`] stands for the limit of its queue.
    pub options: Options,
    /// Time without requests after which the model is unloaded; `None` for never.
    pub keep_alive: Option<Duration>,
    /// True if the model is loaded at the first request and not at the start.
    pub lazy: bool,
}

impl ServedModel {
    /// A model by its id, folder or repository, with default options.
    ///
    /// # Errors
    /// An unknown id that is neither a folder nor a repository.
    pub fn named(name: &str) -> Result<Self, embedkit::Error> {
        Ok(Self::new(name, embedkit::Model::builder(name)?))
    }

    /// A model under a name of your own, with default options.
    #[must_use]
    pub fn new(name: impl Into<String>, builder: ModelBuilder) -> Self {
        Self {
            name: name.into(),
            aliases: Vec::new(),
            builder,
            options: Options::default(),
            keep_alive: None,
            lazy: false,
        }
    }
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP port of an address.
    Tcp(SocketAddr),
    /// A socket in the file system, on Unix.
    Unix(PathBuf),
}

/// Port 3000 of this machine only.
impl Default for Listen {
    fn default() -> Self {
        Self::Tcp((Ipv4Addr::LOCALHOST, 3000).into())
    }
}

/// An address that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected ADDRESS:PORT, such as 127.0.0.1:3000, or unix:PATH, got {found:?}")]
pub struct ListenError {
    /// The text.
    pub found: String,
}

/// Reads `127.0.0.1:3000`, `[::1]:3000`, `:3000` (all addresses) and `unix:PATH`.
impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let wrong = || ListenError { found: text.to_owned() };
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(wrong()) } else { Ok(Self::Unix(path.into())) };
        }
        let address = match text.split_once(':') {
            Some(("", port)) => format!("0.0.0.0:{port}"),
            Some(("localhost", port)) => format!("127.0.0.1:{port}"),
            _ => text.to_owned(),
        };
        address.parse().map(Self::Tcp).map_err(|_| wrong())
    }
}

/// The text that [`FromStr`] reads.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Limits on requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a body.
    pub body_bytes: usize,
    /// Most bytes of all bodies that are in memory at once; further requests get status 429.
    pub bodies_bytes: usize,
    /// Most bytes of an encoded image.
    pub image_bytes: usize,
    /// Most tokens that wait for each model, of each urgency; further requests get status 429. A request
    /// with more is split, and taken when little else waits.
    pub queue_tokens: usize,
    /// Most connections; further ones wait to be accepted.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            bodies_bytes: 512 << 20,
            image_bytes: 16 << 20,
            queue_tokens: 65_536,
            connections: 16_384,
        }
    }
}

/// Times that are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Time for a request from its head to its result; `None` for no limit. A request may ask for less
    /// in its header `x-embedkit-timeout`, in seconds.
    pub request: Option<Duration>,
    /// Time for the head of a request, and of a connection without requests.
    pub head: Duration,
    /// Time without a byte of a body.
    pub body_idle: Duration,
    /// Time for a whole body.
    pub body: Duration,
    /// Time for the requests that run when the server is asked to end.
    pub drain: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            request: None,
            head: Duration::from_secs(60),
            body_idle: Duration::from_secs(10),
            body: Duration::from_secs(120),
            drain: Duration::from_secs(30),
        }
    }
}

/// Files for HTTPS, in PEM form.
#[cfg(feature = "tls")]
#[derive(Debug, Clone)]
pub struct Tls {
    /// The chain of certificates, the server's own first.
    pub certificates: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["127.0.0.1:3000", "[::1]:80", "0.0.0.0:8080", "unix:/run/embedkit.sock"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        assert_eq!(":80".parse::<Listen>().unwrap().to_string(), "0.0.0.0:80");
        assert_eq!("localhost:80".parse::<Listen>().unwrap().to_string(), "127.0.0.1:80");
        assert_eq!(Listen::default().to_string(), "127.0.0.1:3000");
        for text in ["", "80", "unix:", "example.com:80", "127.0.0.1:", "127.0.0.1:99999"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
