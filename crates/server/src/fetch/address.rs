//! Addresses of images: their parts, and those of the own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::Uri;

use crate::failure::Failure;

/// The failure of an image that is not fetched.
pub(super) fn invalid(message: impl Into<String>) -> Failure {
    Failure::invalid("image", message)
}

/// The parts of an address that a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) encrypted: bool,
    /// An address of IPv6 is in brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query.
    pub(super) path: String,
}

impl Target {
    pub(super) fn new(uri: &Uri) -> Result<Self, Failure> {
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(invalid("the address of an image is neither of http nor of https")),
        };
        let authority = uri.authority().map(axum::http::uri::Authority::as_str).unwrap_or_default();
        if authority.contains('@') {
            return Err(invalid("the address of an image has a name or a password"));
        }
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| invalid("the address of an image has no host"))?;
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
        Ok(Self { encrypted, host: host.to_ascii_lowercase(), port, path: path.to_owned() })
    }

    /// Host and port for messages, which do not repeat a path: it may be a secret.
    pub(super) fn shown(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The host as a request names it.
    pub(super) fn authority(&self) -> String {
        match (self.encrypted, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            _ => self.shown(),
        }
    }

    /// The address that a redirect leads to.
    pub(super) fn joined(&self, location: &str) -> Result<Uri, Failure> {
        let scheme = if self.encrypted { "https" } else { "http" };
        let is_whole = location.contains("://");
        let text = if is_whole {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{}{location}", self.authority())
        } else {
            let path = self.path.split('?').next().unwrap_or_default();
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{}{folder}/{location}", self.authority())
        };
        let uri: Uri = text.parse().map_err(|_| invalid("a redirect leads to no address"))?;
        // What was asked for over an encrypted connection is not asked for in the clear.
        if self.encrypted && uri.scheme_str() != Some("https") {
            return Err(invalid("a redirect leads from https to http"));
        }
        Ok(uri)
    }
}

/// True for an address of the public network.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = match (a, b, c) {
        // This network, shared by providers, for protocols, for measurements, and for later.
        (0 | 240.., ..) | (100, 64..=127, _) | (192, 0, 0) | (198, 18 | 19, _) => true,
        // A relay to IPv6, which is given up.
        (192, 88, 99) => true,
        _ => false,
    };
    !(reserved
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b, c, d, e, f) {
        // Addresses of IPv4 in other forms: mapped, translated, and tunnelled.
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => v4(g, h),
        (0x2002, ..) => v4(b, c),
        // For tunnels, protocols and documents.
        (0x2001, 0..=0x1ff | 0xdb8, ..) => false,
        // All that is given to anybody.
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<Target, String> {
        Target::new(&text.parse().unwrap()).map_err(|failure| failure.message)
    }

    #[test]
    fn addresses_of_the_own_network_are_not_public() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "100.63.0.1",
            "172.32.0.1",
            "193.0.0.1",
            "::ffff:1.1.1.1",
            "2606:4700::1111",
            "2a00::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn an_address_has_its_parts() {
        let found = target("https://Example.com/a/b.png?x=1").unwrap();
        assert_eq!((found.encrypted, &*found.host, found.port), (true, "example.com", 443));
        assert_eq!(found.path, "/a/b.png?x=1");
        assert_eq!(target("http://example.com").unwrap().path, "/");
        assert_eq!(target("http://[::1]:8080/").unwrap().authority(), "[::1]:8080");
        assert!(target("http://me:secret@example.com/").unwrap_err().contains("password"));
        assert!(target("ftp://example.com/").unwrap_err().contains("neither of http"));
        assert!(target("/a.png").unwrap_err().contains("neither of http"));
    }

    #[test]
    fn a_redirect_is_read_from_where_it_comes() {
        let from = target("http://example.com:8080/a/b.png?x=1").unwrap();
        for (location, to) in [
            ("https://example.org/c", "https://example.org/c"),
            ("//example.org/c", "http://example.org/c"),
            ("/c", "http://example.com:8080/c"),
            ("c", "http://example.com:8080/a/c"),
        ] {
            assert_eq!(from.joined(location).unwrap(), to, "{location}");
        }
        assert!(from.joined("http://a b").is_err());
        let encrypted = target("https://example.com/").unwrap();
        assert!(encrypted.joined("http://example.com/").unwrap_err().message.contains("to http"));
        assert!(encrypted.joined("/b").is_ok());
    }
}
