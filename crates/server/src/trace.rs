//! Names of a request across machines: its id, and the trace of W3C that it belongs to.

use std::{
    collections::hash_map::RandomState,
    fmt::Write as _,
    hash::{BuildHasher as _, Hasher as _},
    sync::atomic::{AtomicU64, Ordering},
};

use axum::http::{HeaderMap, HeaderValue};

/// Longest id of a client that is kept.
const LONGEST_ID: usize = 128;

/// Identity of a request in logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The client's `x-request-id`, or one of ours.
    pub(crate) id: HeaderValue,
    /// The id of the trace in `traceparent`.
    pub(crate) trace: Option<String>,
}

impl Identity {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get("x-request-id").filter(|id| is_harmless(id.as_bytes()));
        let trace = headers.get("traceparent").and_then(|value| trace_id(value.to_str().ok()?));
        Self { id: given.cloned().unwrap_or_else(fresh), trace: trace.map(str::to_owned) }
    }

    pub(crate) fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }
}

/// True for an id that cannot confuse a log.
fn is_harmless(id: &[u8]) -> bool {
    let known = |&c: &u8| c.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&c);
    (1..=LONGEST_ID).contains(&id.len()) && id.iter().all(known)
}

/// The id of the trace in a header such as `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`.
fn trace_id(header: &str) -> Option<&str> {
    let is_hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |text: &str| text.bytes().all(|c| c == b'0');
    let mut fields = header.trim().split('-');
    let (version, trace, parent, flags) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    // Later versions may have further fields.
    let ends = version != "00" || fields.next().is_none();
    let good = is_hex(version, 2)
        && version != "ff"
        && is_hex(trace, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2)
        && ends;
    (good && !is_zero(trace) && !is_zero(parent)).then_some(trace)
}

/// A new id of 32 hexadecimal digits: unlikely to be guessed or met again, and no secret.
pub(crate) fn fresh_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut id = String::with_capacity(32);
    for salt in 0..2_u8 {
        // Keys of the standard library's hash tables are random.
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u8(salt);
        hasher.write_u64(count);
        // Writing to a string does not fail.
        let _ = write!(id, "{:016x}", hasher.finish());
    }
    id
}

fn fresh() -> HeaderValue {
    HeaderValue::from_str(&fresh_id()).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &'static str, value: &'static [u8]) -> Identity {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value).unwrap());
        Identity::of(&headers)
    }

    #[test]
    fn a_client_names_its_request_unless_the_name_is_odd() {
        assert_eq!(identity("x-request-id", b"abc-123").id(), "abc-123");
        for odd in [&b""[..], b"a b", b"\xff", &[b'a'; 129]] {
            assert_eq!(identity("x-request-id", odd).id().len(), 32, "{odd:?}");
        }
        let ours: std::collections::HashSet<_> = (0..1000).map(|_| fresh_id()).collect();
        assert_eq!(ours.len(), 1000);
    }

    #[test]
    fn a_trace_is_read_by_the_rules_of_w3c() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        let trace = |value| identity("traceparent", value).trace;
        let good = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace(good).as_deref(), Some(TRACE));
        let later = b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert_eq!(trace(later).as_deref(), Some(TRACE));
        for bad in [
            &b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"[..],
            b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736",
            b"",
        ] {
            assert_eq!(trace(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }
}
