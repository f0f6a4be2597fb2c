//! Hosts from which images are fetched.

use std::{fmt, net::IpAddr, str::FromStr};

/// A host from which images are fetched: a name or an address, with a port where it is not the usual one of
/// HTTP or HTTPS.
///
/// ```
/// use embedkit_server::ImageHost;
///
/// let host: ImageHost = "images.example.com".parse()?;
/// assert_eq!(host.to_string(), "images.example.com");
/// # Ok::<(), embedkit_server::ImageHostError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageHost {
    /// In lower case; an address of IPv6 in brackets.
    name: String,
    port: Option<u16>,
}

/// A text that is no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a host, such as images.example.com or 10.0.0.7:8080, got {found:?}")]
pub struct ImageHostError {
    /// The text.
    pub found: String,
}

impl FromStr for ImageHost {
    type Err = ImageHostError;

    fn from_str(text: &str) -> Result<Self, ImageHostError> {
        let wrong = || ImageHostError { found: text.to_owned() };
        let (name, port) = match text.rsplit_once(':') {
            // An address of IPv6 without a port.
            Some((left, _)) if left.contains(':') && !left.ends_with(']') => (text, None),
            Some((name, port)) if !text.ends_with(']') => {
                (name, Some(port.parse().map_err(|_| wrong())?))
            }
            _ => (text, None),
        };
        let bare = name.trim_matches(['[', ']']);
        let is_address = bare.parse::<IpAddr>().is_ok();
        let is_name = !name.is_empty()
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_".contains(&c));
        if !is_address && !is_name {
            return Err(wrong());
        }
        let name = if bare.contains(':') { format!("[{bare}]") } else { name.to_owned() };
        Ok(Self { name: name.to_ascii_lowercase(), port })
    }
}

/// The text that [`FromStr`] reads.
impl fmt::Display for ImageHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl ImageHost {
    /// True for the host of an address, on the port that is named or a usual one.
    pub(crate) fn is(&self, host: &str, port: u16) -> bool {
        let port_fits = self.port.map_or(port == 80 || port == 443, |named| named == port);
        port_fits && self.name.eq_ignore_ascii_case(host)
    }

    /// True for the name of the own machine.
    pub(crate) fn is_this_machine(&self) -> bool {
        self.name == "localhost"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_as_it_is_written() {
        for text in
            ["example.com", "example.com:8080", "10.0.0.7", "10.0.0.7:80", "[::1]", "[::1]:80"]
        {
            assert_eq!(text.parse::<ImageHost>().unwrap().to_string(), text);
        }
        assert_eq!("::1".parse::<ImageHost>().unwrap().to_string(), "[::1]");
        assert_eq!("Example.COM".parse::<ImageHost>().unwrap().to_string(), "example.com");
        for text in
            ["", ":80", "a:b", "http://a", "a/b", "*", "*.example.com", "a b", "a:99999", "u@h"]
        {
            assert!(text.parse::<ImageHost>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_is_allowed_on_its_own_ports() {
        let is = |host: &str, name, port| host.parse::<ImageHost>().unwrap().is(name, port);
        assert!(is("example.com", "Example.com", 443) && is("example.com", "example.com", 80));
        assert!(!is("example.com", "example.com", 8080));
        assert!(is("example.com:8080", "example.com", 8080));
        assert!(!is("example.com:8080", "example.com", 443));
        assert!(!is("example.com", "www.example.com", 443));
        assert!(!is("example.com", "example.com.evil.org", 443));
        assert!(is("::1", "[::1]", 80));
    }
}
