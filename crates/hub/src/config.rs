//! Configuration of a [`Hub`]: cache, endpoints, token, timeouts and retries, and the environment
//! variables that set them.

use std::{
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use embedkit_types::cache::cache_dir;
use hf_hub::Cache;

use crate::{Error, Event};

/// The hub's own address.
const ENDPOINT: &str = "https://huggingface.co";

/// Callback for the progress of downloads; called from several threads.
pub type OnEvent = Arc<dyn Fn(Event<'_>) + Send + Sync>;

/// Finds the files of models, and downloads missing ones. Plain settings: making one opens nothing.
#[derive(Clone)]
#[non_exhaustive]
pub struct Hub {
    /// Cache folder that files are kept in, in the hub's layout.
    pub cache_dir: PathBuf,
    /// Caches of other tools in the same layout. Read, never changed.
    pub other_caches: Vec<PathBuf>,
    /// Never open a socket.
    pub offline: bool,
    /// Addresses that speak the hub's interface, without a slash at the end; the next one is tried
    /// where one fails. The token goes to the first only.
    pub endpoints: Vec<String>,
    /// Access to private and gated repositories.
    pub token: Option<Token>,
    /// File with the certificates (PEM) to trust instead of the built-in list.
    pub certificates: Option<PathBuf>,
    /// Limits on waiting.
    pub timeouts: Timeouts,
    /// Limits on repeated requests.
    pub retries: Retries,
    /// Told about the progress of downloads.
    pub on_event: Option<OnEvent>,
}

/// Limits on waiting. None limits a whole download, since models are large and lines slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the look-up of the name to the end of the TLS handshake.
    pub connect: Duration,
    /// From the request to the end of the answer's headers.
    pub headers: Duration,
    /// Between two pieces of an answer. Over twice this time, at least a kilobyte a second of a file
    /// has to arrive.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            headers: Duration::from_secs(30),
            stall: Duration::from_secs(30),
        }
    }
}

/// Retry policy for transient faults: 408, 429, 5xx, and broken connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Requests in all, the first one included. A request that continues a broken transfer after new
    /// bytes came is not counted.
    pub attempts: u32,
    /// The wait before the second attempt; it doubles with each further one, and up to half of it is
    /// left to chance.
    pub first_wait: Duration,
    /// The longest wait. A server that asks for more gets an error at once.
    pub longest_wait: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(60),
        }
    }
}

impl Hub {
    /// A hub with its files in `cache_dir`, without other caches, token or mirrors.
    #[must_use]
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            other_caches: Vec::new(),
            offline: false,
            endpoints: vec![ENDPOINT.into()],
            token: None,
            certificates: None,
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            on_event: None,
        }
    }

    /// A hub as the environment describes it.
    ///
    /// The cache is `cache_dir`, else the one of [`embedkit_types::cache::cache_dir`]. `offline` is
    /// also switched on by `EMBEDKIT_OFFLINE` or `HF_HUB_OFFLINE` (`1`, `true`, `yes` or `on`).
    /// Further read are `HF_HUB_CACHE`, `HF_HOME` and `XDG_CACHE_HOME` for the hub's own cache,
    /// `HF_ENDPOINT` (several separated by commas), `HF_TOKEN` and the file that `HF_TOKEN_PATH`
    /// names, `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE` and `CURL_CA_BUNDLE`; the proxy variables when a
    /// connection is made.
    ///
    /// # Errors
    /// [`Error::NoCacheDir`] where neither an option nor the environment leads to a folder.
    pub fn from_env(explicit: Option<PathBuf>, offline: bool) -> Result<Self, Error> {
        Self::from_vars(explicit, offline, |name| std::env::var_os(name))
    }

    fn from_vars(
        explicit: Option<PathBuf>,
        offline: bool,
        env: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Error> {
        let dir = explicit.filter(|dir| !dir.as_os_str().is_empty());
        let mut hub = Self::new(dir.or_else(|| cache_dir(&env)).ok_or(Error::NoCacheDir)?);
        let text = |name: &str| {
            let value = env(name)?.into_string().ok()?;
            Some(value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let path = |name: &str| {
            let value = PathBuf::from(env(name).filter(|value| !value.is_empty())?);
            Some(match (value.strip_prefix("~"), home(&env)) {
                (Ok(rest), Some(home)) => home.join(rest),
                _ => value,
            })
        };
        let on = |name: &str| {
            text(name).is_some_and(|value| {
                ["1", "true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str())
            })
        };
        hub.offline = offline || on("EMBEDKIT_OFFLINE") || on("HF_HUB_OFFLINE");

        // The default of `hf_hub` panics without a home folder, and reads one variable only.
        let standard = path("HF_HOME").or_else(|| {
            let user = path("XDG_CACHE_HOME").or_else(|| Some(home(&env)?.join(".cache")))?;
            Some(user.join("huggingface"))
        });
        let standard = standard.map(|home| Cache::new(home.join("hub")));
        let other = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(standard.as_ref()?.path().clone()));
        hub.other_caches = other.into_iter().filter(|dir| *dir != hub.cache_dir).collect();

        if let Some(list) = text("HF_ENDPOINT") {
            let endpoints = list.split(',').map(|one| one.trim().trim_end_matches('/'));
            let list: Vec<_> = endpoints.filter(|one| !one.is_empty()).map(str::to_owned).collect();
            if !list.is_empty() {
                hub.endpoints = list;
            }
        }
        let token_file = path("HF_TOKEN_PATH").or_else(|| Some(standard?.token_path()));
        hub.token = text("HF_TOKEN")
            .or_else(|| text("HUGGING_FACE_HUB_TOKEN"))
            .or_else(|| read_token(&token_file?))
            .map(Token);
        hub.certificates =
            ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].into_iter().find_map(path);
        Ok(hub)
    }

    /// Tells `on_event` about the progress of downloads.
    #[must_use]
    pub fn with_progress(mut self, on_event: OnEvent) -> Self {
        self.on_event = Some(on_event);
        self
    }

    pub(crate) fn emit(&self, event: Event<'_>) {
        if let Some(on_event) = &self.on_event {
            on_event(event);
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("cache_dir", &self.cache_dir)
            .field("other_caches", &self.other_caches)
            .field("offline", &self.offline)
            .field("endpoints", &self.endpoints)
            .field("token", &self.token)
            .field("certificates", &self.certificates)
            .field("timeouts", &self.timeouts)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}

/// A secret that no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Wraps an access token.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself, for the header of a request.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

fn home(env: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let value = env(if cfg!(windows) { "USERPROFILE" } else { "HOME" })?;
    (!value.is_empty()).then(|| value.into())
}

fn read_token(path: &Path) -> Option<String> {
    // A token has a few dozen characters; a larger file is something else, and is not read.
    let small = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() < 4096);
    let token = small.then(|| fs::read_to_string(path).ok())??;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(vars: &[(&str, &str)]) -> Hub {
        let env = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, v)| v.into());
        Hub::from_vars(None, false, env).unwrap()
    }

    #[cfg(unix)]
    const HOME: (&str, &str) = ("HOME", "/home/me");

    #[test]
    #[cfg(unix)]
    fn the_environment_decides() {
        let plain = hub(&[HOME, ("EMBEDKIT_CACHE", "/cache")]);
        assert_eq!(plain.cache_dir, PathBuf::from("/cache"));
        assert_eq!(plain.other_caches, [PathBuf::from("/home/me/.cache/huggingface/hub")]);
        assert_eq!(plain.endpoints, [ENDPOINT]);
        assert!(!plain.offline && plain.token.is_none() && plain.certificates.is_none());

        let set = hub(&[
            HOME,
            ("HF_HUB_OFFLINE", " Yes "),
            ("HF_HOME", "~/hf"),
            ("HF_ENDPOINT", "https://mirror.example/ , https://two.example,"),
            ("HF_TOKEN", " hf_secret\n"),
            ("REQUESTS_CA_BUNDLE", "/ca.pem"),
        ]);
        assert!(set.offline);
        assert_eq!(set.other_caches, [PathBuf::from("/home/me/hf/hub")]);
        assert_eq!(set.endpoints, ["https://mirror.example", "https://two.example"]);
        assert_eq!(set.token, Some(Token::new("hf_secret")));
        assert_eq!(set.certificates, Some("/ca.pem".into()));
        assert!(!format!("{set:?}").contains("secret"));
        assert!(!hub(&[HOME, ("EMBEDKIT_OFFLINE", "0")]).offline);
        assert!(hub(&[HOME, ("EMBEDKIT_OFFLINE", "on")]).offline);
        // One folder is not searched twice.
        assert!(
            hub(&[HOME, ("EMBEDKIT_CACHE", "/x"), ("HF_HUB_CACHE", "/x")]).other_caches.is_empty()
        );
    }

    #[test]
    fn the_token_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "hf_file\n").unwrap();
        let file = file.to_str().unwrap();
        let vars = [("EMBEDKIT_CACHE", "/c"), ("HF_TOKEN_PATH", file)];
        assert_eq!(hub(&vars).token, Some(Token::new("hf_file")));
    }

    #[test]
    fn no_folder_is_an_error() {
        assert!(matches!(Hub::from_vars(None, false, |_| None), Err(Error::NoCacheDir)));
        let hub = Hub::from_vars(Some("/x".into()), true, |_| None).unwrap();
        assert!(hub.offline && hub.cache_dir == Path::new("/x"));
    }
}
