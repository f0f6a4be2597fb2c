//! Retries, bounded in number, with exponential backoff and jitter; and the next endpoint where one fails.

use std::{
    hash::{BuildHasher, RandomState},
    thread,
    time::Duration,
};

use crate::{
    Error, Event,
    config::{Hub, Retries},
    http::{Client, shown},
};

/// A transfer that moved on by so many bytes gets its attempts back.
const PROGRESS: u64 = 1 << 20;

/// Makes `attempt` until it succeeds, fails for good, or the attempts are used up. There is no wait
/// after the last.
pub(crate) fn retrying<T>(
    hub: &Hub,
    file: &str,
    mut attempt: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let mut budget = Budget::new(hub);
    loop {
        match attempt() {
            Err(error) if budget.wait(hub, file, &error, 0, false) => {}
            result => return result,
        }
    }
}

/// Asks the endpoints in turn: the next one after an error of the server.
pub(crate) fn from_endpoints<T>(
    hub: &Hub,
    model: &str,
    ask: impl Fn(&Client, &str) -> Result<T, Error>,
) -> Result<T, Error> {
    let client = Client::new(hub)?;
    let mut endpoints = hub.endpoints.iter().peekable();
    while let Some(endpoint) = endpoints.next() {
        match ask(&client, endpoint) {
            Err(error) if error.of_server() && endpoints.peek().is_some() => {
                tracing::warn!(endpoint = %shown(endpoint), %error, "trying the next endpoint");
            }
            result => return result,
        }
    }
    Err(Error::NoSource { model: model.into() })
}

/// The attempts that are left.
pub(crate) struct Budget {
    retries: Retries,
    /// Attempts made since the last progress.
    made: u32,
    /// The furthest position at which attempts were given back.
    reached: u64,
}

impl Budget {
    pub(crate) fn new(hub: &Hub) -> Self {
        Self { retries: hub.retries, made: 0, reached: 0 }
    }

    /// Waits before the next attempt; `false`, at once, if there is to be none. `position` is how
    /// far the transfer has come; `again` allows an error that time does not cure.
    pub(crate) fn wait(
        &mut self,
        hub: &Hub,
        file: &str,
        error: &Error,
        position: u64,
        again: bool,
    ) -> bool {
        if position >= self.reached + PROGRESS {
            self.reached = position;
            self.made = 0;
        }
        self.made += 1;
        let asked = match error.transient() {
            Some(asked) => asked,
            None if again => None,
            None => return false,
        };
        if self.made >= self.retries.attempts || asked > Some(self.retries.longest_wait) {
            return false;
        }
        let wait = asked.unwrap_or_default().max(backoff(&self.retries, self.made));
        tracing::warn!(file, %error, wait = ?wait, "trying again");
        hub.emit(Event::Retrying { file, error, wait });
        thread::sleep(wait);
        true
    }
}

/// The wait after the `made`-th attempt.
fn backoff(retries: &Retries, made: u32) -> Duration {
    let doubled = 2u32.checked_pow(made.saturating_sub(1)).unwrap_or(u32::MAX);
    let whole = retries.first_wait.saturating_mul(doubled).min(retries.longest_wait);
    // Each RandomState has keys of its own: a number between 0 and 1.
    let chance = (RandomState::new().hash_one(made) >> 11) as f64 / (1u64 << 53) as f64;
    whole.mul_f64(0.5 + 0.5 * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> Hub {
        let mut hub = Hub::new("/nowhere");
        hub.retries = Retries {
            attempts: 3,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(4),
        };
        hub
    }

    fn error(status: u16, retry_after: Option<Duration>) -> Error {
        Error::Status { url: "u".into(), status, retry_after }
    }

    fn attempts(make: impl Fn(u32) -> Result<(), Error>) -> (u32, Result<(), Error>) {
        let mut n = 0;
        let result = retrying(&hub(), "f", || {
            n += 1;
            make(n)
        });
        (n, result)
    }

    #[test]
    fn attempts_are_bounded() {
        assert!(matches!(attempts(|_| Err(error(503, None))), (3, Err(Error::Status { .. }))));
        assert!(matches!(
            attempts(|n| if n < 3 { Err(error(500, None)) } else { Ok(()) }),
            (3, Ok(()))
        ));
        assert_eq!(attempts(|_| Err(error(400, None))).0, 1);
        assert_eq!(attempts(|_| Err(Error::NotFound { url: "u".into() })).0, 1);
        // Who asks for a longer wait than is granted gets no second request.
        assert_eq!(attempts(|_| Err(error(503, Some(Duration::from_secs(9))))).0, 1);
    }

    #[test]
    fn progress_gives_attempts_back() {
        let hub = hub();
        let mut budget = Budget::new(&hub);
        let broken = || error(503, None);
        for step in 1..20 {
            assert!(budget.wait(&hub, "f", &broken(), step * PROGRESS, false));
        }
        assert!(budget.wait(&hub, "f", &broken(), 19 * PROGRESS, false));
        assert!(!budget.wait(&hub, "f", &broken(), 19 * PROGRESS, false));
    }

    #[test]
    fn waits_grow_to_a_limit() {
        let retries = Retries::default();
        for made in 1..40 {
            let wait = backoff(&retries, made);
            assert!(wait <= retries.longest_wait && wait >= retries.first_wait / 2);
        }
        assert!(backoff(&retries, 5) >= retries.first_wait * 8);
    }
}
