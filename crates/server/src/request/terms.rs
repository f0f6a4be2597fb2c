//! Deadline and urgency of a request.

use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue};
use embedkit::Class;

use crate::failure::Failure;

/// Header with the seconds that a client waits, such as `2.5`.
const TIMEOUT: &str = "x-embedkit-timeout";
/// Header with the urgency: `interactive` or `bulk`.
const PRIORITY: &str = "x-embedkit-priority";

/// Conditions of a request beside its body: priority and deadline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) deadline: Option<Instant>,
    /// `None` where the route decides.
    pub(crate) class: Option<Class>,
}

impl Terms {
    /// Terms by headers, within the server's own limit.
    pub(crate) fn new(headers: &HeaderMap, limit: Option<Duration>) -> Result<Self, Failure> {
        let asked = match headers.get(TIMEOUT) {
            None => None,
            Some(value) => Some(
                value
                    .to_str()
                    .ok()
                    .and_then(|text| text.trim().parse::<f64>().ok())
                    .filter(|&seconds| seconds > 0.0)
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                    .ok_or_else(|| {
                        Failure::invalid(TIMEOUT, format!("{TIMEOUT}: expected seconds above 0"))
                    })?,
            ),
        };
        let time = match (asked, limit) {
            (Some(asked), Some(limit)) => Some(asked.min(limit)),
            (asked, limit) => asked.or(limit),
        };
        let class = match headers.get(PRIORITY).map(HeaderValue::as_bytes) {
            None => None,
            Some(b"interactive") => Some(Class::Interactive),
            Some(b"bulk") => Some(Class::Bulk),
            Some(_) => {
                let message = format!("{PRIORITY}: expected interactive or bulk");
                return Err(Failure::invalid(PRIORITY, message));
            }
        };
        let deadline = time.and_then(|time| Instant::now().checked_add(time));
        Ok(Self { deadline, class })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(name: &'static str, value: &str, limit: Option<u64>) -> Result<Terms, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        Terms::new(&headers, limit.map(Duration::from_secs))
    }

    #[test]
    fn a_request_may_ask_for_less_time_and_not_for_more() {
        let start = Instant::now();
        let left = |value, limit| {
            let deadline = terms(TIMEOUT, value, limit).unwrap().deadline.unwrap();
            (deadline - start).as_secs_f64().round()
        };
        assert_eq!(left("2.2", None), 2.0);
        assert_eq!(left("60", Some(600)), 60.0);
        assert_eq!(left("600", Some(60)), 60.0);
        for bad in ["0", "-1", "nan", "soon", "1e400", ""] {
            assert!(terms(TIMEOUT, bad, None).is_err(), "{bad}");
        }
        assert!(Terms::new(&HeaderMap::new(), None).unwrap().deadline.is_none());
    }

    #[test]
    fn an_urgency_has_a_name() {
        assert_eq!(terms(PRIORITY, "bulk", None).unwrap().class, Some(Class::Bulk));
        assert_eq!(terms(PRIORITY, "interactive", None).unwrap().class, Some(Class::Interactive));
        assert!(terms(PRIORITY, "high", None).is_err());
    }
}
