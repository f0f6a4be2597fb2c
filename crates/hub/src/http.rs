//! Requests to the hub: one at a time, with limits on every wait. Redirects are followed here rather
//! than in the client, because the token stays with its host and the hub's own headers come with the
//! first answer, not the last.

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use ureq::{
    Agent, Body,
    http::{HeaderMap, Response, StatusCode, Uri, header},
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

use crate::{
    Error,
    config::{Hub, Timeouts, Token},
};

/// Redirects that are followed before it is called a loop.
const MOST_REDIRECTS: usize = 10;
/// The largest list of certificates that is read.
const LARGEST_PEM: u64 = 16 << 20;

/// A client with the settings of a [`Hub`].
pub(crate) struct Client {
    agent: Agent,
    /// The token and the only origin that gets it.
    token: Option<(Token, Origin)>,
    timeouts: Timeouts,
}

/// An answer whose body has not been read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Headers of the first answer, before any redirect.
    pub(crate) first: HeaderMap,
    pub(crate) body: Body,
}

impl Answer {
    /// A header as text.
    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A request for the rest of a file.
pub(crate) struct Range<'a> {
    pub(crate) start: u64,
    /// The entity tag of the part that is already here.
    pub(crate) validator: &'a str,
}

impl Client {
    /// A client whose token goes to `endpoint` only.
    pub(crate) fn new(hub: &Hub) -> Result<Self, Error> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = &hub.certificates {
            tls = tls.root_certs(certificates(path)?);
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity") // a coded body has neither the size nor the hash
            .user_agent(concat!("embedkit/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(hub.timeouts.connect))
            .timeout_connect(Some(hub.timeouts.connect))
            .timeout_send_request(Some(hub.timeouts.headers))
            .timeout_recv_response(Some(hub.timeouts.headers))
            .timeout_per_read(Some(hub.timeouts.stall))
            .tls_config(tls.build())
            .build();
        let first = hub.endpoints.first().and_then(|endpoint| Origin::of(&endpoint.parse().ok()?));
        Ok(Self {
            agent: config.into(),
            token: hub.token.clone().zip(first),
            timeouts: hub.timeouts,
        })
    }

    /// Asks for `url` and follows redirects. Statuses other than success are errors, except 416,
    /// which is for the caller of a range.
    pub(crate) fn get(&self, url: &str, range: Option<&Range<'_>>) -> Result<Answer, Error> {
        let mut target: Uri = url.parse().map_err(|_| Error::Name {
            kind: "address",
            name: shown(url),
            reason: "it is not an HTTP address",
        })?;
        let mut first: Option<HeaderMap> = None;
        for _ in 0..=MOST_REDIRECTS {
            let sends_token = self.token_for(&target).is_some();
            clear_text(&target, sends_token)?;
            let response = self.once(&target, range).map_err(|error| self.failed(url, error))?;
            let status = response.status();
            let (parts, body) = response.into_parts();
            let first = first.get_or_insert_with(|| parts.headers.clone());
            if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                target = follow(&target, &parts.headers).map_err(|(target, reason)| {
                    Error::Redirect { url: shown(url), target, reason }
                })?;
                continue;
            }
            let wanted = if range.is_some() { 206 } else { 200 };
            if [wanted, 200, 416].contains(&status.as_u16()) && (status != 416 || range.is_some()) {
                let first = std::mem::take(first);
                return Ok(Answer { status, headers: parts.headers, first, body });
            }
            return Err(refused(url, status, &parts.headers, sends_token));
        }
        let target = shown(&target.to_string());
        Err(Error::Redirect { url: shown(url), target, reason: "too many redirects" })
    }

    fn once(&self, target: &Uri, range: Option<&Range<'_>>) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.agent.get(target);
        if let Some(token) = self.token_for(target) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.secret()));
        }
        if let Some(range) = range {
            request = request
                .header(header::RANGE, format!("bytes={}-", range.start))
                .header(header::IF_RANGE, range.validator);
        }
        if is_loopback(target.host().unwrap_or_default()) {
            // A proxy cannot reach this machine by these names.
            return request.config().proxy(None).build().call();
        }
        request.call()
    }

    fn token_for(&self, target: &Uri) -> Option<&Token> {
        let (token, origin) = self.token.as_ref()?;
        (Origin::of(target).as_ref() == Some(origin)).then_some(token)
    }

    /// An error of the client in our terms.
    fn failed(&self, url: &str, error: ureq::Error) -> Error {
        let url = shown(url);
        match error {
            ureq::Error::Timeout(phase) => {
                let (phase, limit) = match phase {
                    ureq::Timeout::Resolve => ("name look-up", self.timeouts.connect),
                    ureq::Timeout::Connect => ("connection", self.timeouts.connect),
                    ureq::Timeout::PerRead | ureq::Timeout::RecvBody => {
                        ("content", self.timeouts.stall)
                    }
                    _ => ("answer", self.timeouts.headers),
                };
                Error::Timeout { url, phase, limit }
            }
            error @ (ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_)) => {
                Error::Tls { url, source: error.into() }
            }
            // The TLS library reports a certificate that it does not trust as invalid data.
            ureq::Error::Io(error)
                if error.kind() == io::ErrorKind::InvalidData && url.starts_with("https:") =>
            {
                Error::Tls { url, source: error.into() }
            }
            ureq::Error::Io(error) => Error::Transport { url, source: error.into() },
            error => Error::Transport { url, source: error.into() },
        }
    }

    /// An error while a body is read in our terms.
    pub(crate) fn broken(&self, url: &str, error: io::Error) -> Error {
        match error.downcast::<ureq::Error>() {
            Ok(error) => self.failed(url, error),
            Err(error) => self.failed(url, ureq::Error::Io(error)),
        }
    }
}

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin(String, String, u16);

impl Origin {
    fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let port = uri.port_u16().or(match scheme.as_str() {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        })?;
        Some(Self(scheme, uri.host()?.to_ascii_lowercase(), port))
    }
}

/// An error where a secret would go to another machine without encryption: the token, or a name and
/// password in the address, which the client turns into a header.
fn clear_text(target: &Uri, token: bool) -> Result<(), Error> {
    let named = target.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let secure = target.scheme_str() == Some("https");
    if secure || is_loopback(target.host().unwrap_or_default()) || !(token || named) {
        return Ok(());
    }
    let secret = if token { "the token" } else { "the name and password of the address" };
    Err(Error::ClearText { url: shown(&target.to_string()), secret })
}

/// An address as messages show it: without user names, which may be secrets, and without the query,
/// which may be a signature.
pub(crate) fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or(url);
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{scheme}://{host}{path}")
}

/// The address that a redirect leads to, or its text and why it is not followed.
fn follow(from: &Uri, headers: &HeaderMap) -> Result<Uri, (String, &'static str)> {
    let Some(location) = headers.get(header::LOCATION) else {
        return Err((String::new(), "it names no target"));
    };
    let Ok(location) = location.to_str() else {
        return Err((String::new(), "the target is not text"));
    };
    let refuse = |reason| (shown(location), reason);
    let scheme = from.scheme_str().unwrap_or("https");
    let authority = from.authority().map_or("", |authority| authority.as_str());
    let absolute = if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let target: Uri = absolute.parse().map_err(|_| refuse("it is not an address"))?;
    match (from.scheme_str(), target.scheme_str()) {
        (_, Some("https")) | (Some("http"), Some("http")) => Ok(target),
        (Some("https"), Some("http")) => Err(refuse("it leaves the secure connection")),
        _ => Err(refuse("it is not HTTP")),
    }
}

fn refused(url: &str, status: StatusCode, headers: &HeaderMap, token: bool) -> Error {
    let url = shown(url);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let retry_after = || wait_asked_for(text("retry-after")?, text("date"));
    match status.as_u16() {
        404 => Error::NotFound { url },
        code @ (401 | 403) => Error::Denied {
            url,
            status: code,
            gated: text("x-error-code") == Some("GatedRepo"),
            token,
        },
        429 => Error::RateLimited { url, retry_after: retry_after() },
        code => Error::Status { url, status: code, retry_after: retry_after() },
    }
}

/// The wait that a server asks for: so many seconds, or until a date, by its own clock where it tells
/// the time.
fn wait_asked_for(value: &str, date: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = date.and_then(http_date).or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(now.as_secs())
    })?;
    Some(Duration::from_secs(http_date(value)?.saturating_sub(now)))
}

/// A date as HTTP writes it today (RFC 9110, section 5.6.7), such as `Sun, 06 Nov 1994 08:49:37 GMT`, in
/// seconds since 1970. The two older forms are no longer sent.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let number = |text: &str, most: u64| text.parse::<u64>().ok().filter(|n| *n <= most);
    let (_, rest) = text.trim().split_once(", ")?;
    let mut parts = rest.split(' ');
    let day = number(parts.next()?, 31).filter(|day| *day > 0)?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year = number(parts.next()?, 9999).filter(|year| *year >= 1970)?;
    let mut time = parts.next()?.split(':');
    let hour = number(time.next()?, 23)?;
    let minute = number(time.next()?, 59)?;
    let second = number(time.next()?, 60)?;
    if parts.next() != Some("GMT") || parts.next().is_some() || time.next().is_some() {
        return None;
    }
    // Days of the Gregorian calendar, counted in years that begin in March, so that the day that is
    // left out in most years is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let in_year = (153 * month + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + in_year;
    const DAYS_TO_1970: u64 = 719_468; // from the first of March of the year 0
    Some((days.checked_sub(DAYS_TO_1970)? * 24 + hour) * 3600 + minute * 60 + second)
}

/// True for a host name of this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn certificates(path: &Path) -> Result<RootCerts, Error> {
    let unusable = |reason: String| Error::Certificates { path: path.into(), reason };
    let unreadable = |error: io::Error| unusable(error.to_string());
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > LARGEST_PEM {
        return Err(unusable(format!("{size} bytes are too many")));
    }
    let pem = fs::read(path).map_err(unreadable)?;
    let mut list = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => list.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(unusable(error.to_string())),
        }
    }
    if list.is_empty() {
        return Err(unusable("it holds no certificate".into()));
    }
    Ok(RootCerts::new_with_certs(&list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        let origin = |url: &str| Origin::of(&url.parse().unwrap()).unwrap();
        assert_eq!(origin("https://Host.example/a"), origin("https://host.example:443/b?c"));
        assert_ne!(origin("https://host.example/"), origin("http://host.example:443/"));
        assert_ne!(origin("https://host.example/"), origin("https://host.example.evil/"));
        assert_ne!(origin("https://host.example/"), origin("https://host.example:444/"));
    }

    #[test]
    fn secrets_go_to_other_machines_encrypted_only() {
        let refused = |url: &str, token| match clear_text(&url.parse().unwrap(), token) {
            Ok(()) => None,
            Err(Error::ClearText { url, secret }) => {
                assert!(!url.contains("pw"), "{url}");
                Some(secret)
            }
            Err(other) => panic!("{other}"),
        };
        for url in [
            "http://h.example/a",
            "http://h.example:443/a",
            "HTTP://h.example/a",
            "http://10.0.0.1/a",
            "http://0.0.0.0/a",
            "http://[fe80::1]/a",
            "http://[::ffff:127.0.0.1]/a",
            "http://127.0.0.1.example/a",
            "http://localhost.example/a",
            "http://127.0.0.1@h.example/a",
            "http://localhost:pw@h.example/a",
        ] {
            assert_eq!(refused(url, true), Some("the token"), "{url}");
        }
        for url in [
            "https://h.example/a",
            "HTTPS://h.example/a",
            "https://me:pw@h.example/a",
            "http://localhost/a",
            "http://LocalHost:8080/a",
            "http://127.0.0.1:8080/a",
            "http://127.9.9.9/a",
            "http://[::1]:8080/a",
            "http://me:pw@[::1]:8080/a",
        ] {
            assert_eq!(refused(url, true), None, "{url}");
        }
        assert_eq!(refused("http://h.example/a", false), None, "there is no secret");
        let named = Some("the name and password of the address");
        assert_eq!(refused("http://me:pw@h.example/a", false), named);
    }

    #[test]
    fn addresses_are_shown_without_secrets() {
        assert_eq!(shown("https://me:pw@h.example/a/b?sig=x#y"), "https://h.example/a/b");
        assert_eq!(shown("https://h.example"), "https://h.example");
        assert_eq!(shown("https://h.example/@a"), "https://h.example/@a");
    }

    #[test]
    fn redirects_are_resolved_or_refused() {
        let go = |from: &str, location: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, location.parse().unwrap());
            follow(&from.parse().unwrap(), &headers).map(|uri| uri.to_string()).map_err(|e| e.1)
        };
        let from = "https://h.example:8/a/b?c";
        assert_eq!(go(from, "https://o.example/x?y").unwrap(), "https://o.example/x?y");
        assert_eq!(go(from, "/x?y").unwrap(), "https://h.example:8/x?y");
        assert_eq!(go(from, "x").unwrap(), "https://h.example:8/a/x");
        assert_eq!(go(from, "//o.example/x").unwrap(), "https://o.example/x");
        assert_eq!(go(from, "http://h.example/x"), Err("it leaves the secure connection"));
        assert_eq!(go(from, "file:///etc/passwd"), Err("it is not an address"));
        assert_eq!(go(from, "ftp://o.example/x"), Err("it is not HTTP"));
    }

    #[test]
    fn waits_that_servers_ask_for() {
        // `date -u -d '…' +%s`
        for (date, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Fri, 01 Mar 2024 00:00:00 GMT", 1_709_251_200),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ] {
            assert_eq!(http_date(date), Some(seconds), "{date}");
        }
        for bad in [
            "",
            "soon",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Thu, 01 Jan 0000 00:00:00 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 18446744073709551616 08:49:37 GMT",
        ] {
            assert_eq!(http_date(bad), None, "{bad}");
        }
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let wait = |value| wait_asked_for(value, date).map(|wait| wait.as_secs());
        assert_eq!(wait(" 17 "), Some(17));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:00 GMT"), Some(23));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(wait("-1"), None);
        let past = wait_asked_for("Sun, 06 Nov 1994 08:50:00 GMT", None);
        assert_eq!(past, Some(Duration::ZERO));
    }

    #[test]
    fn loopback() {
        for host in ["127.0.0.1", "[::1]", "LOCALHOST", "127.1.2.3"] {
            assert!(is_loopback(host), "{host}");
        }
        assert!(!is_loopback("128.0.0.1") && !is_loopback("localhost.example"));
    }

    #[test]
    fn certificate_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        assert!(matches!(certificates(&path), Err(Error::Certificates { .. })));
        fs::write(&path, "not a certificate").unwrap();
        assert!(matches!(certificates(&path), Err(Error::Certificates { .. })));
    }
}
