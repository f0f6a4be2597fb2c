//! The account of a request that was answered, for headers, metrics and the log.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderValue};
use embedkit::Spent;

/// Most truncated inputs that the header lists.
const LISTED: usize = 100;

/// Work for a request. It travels with the response to the outermost layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    pub(crate) model: Option<Arc<str>>,
    pub(crate) device: String,
    pub(crate) inputs: usize,
    pub(crate) tokens: usize,
    /// Characters of the texts.
    pub(crate) characters: usize,
    /// Positions of the inputs that were truncated.
    pub(crate) truncated: Vec<usize>,
    /// Time for tokenising, in the queue, and for running batches: in all the time in the engine.
    pub(crate) times: Phases,
}

/// Time in the engine by its phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Phases {
    pub(crate) tokenization: Duration,
    pub(crate) queue: Duration,
    pub(crate) inference: Duration,
}

impl Phases {
    /// The time that passed, by what threads spent; all of it is inference where nobody measured that.
    pub(crate) fn new(passed: Duration, spent: Option<Spent>) -> Self {
        let Some(Spent { preparing, running }) = spent else {
            return Self { inference: passed, ..Self::default() };
        };
        // Threads that work at once spend more than passes.
        let inference = running.min(passed);
        let tokenization = preparing.min(passed - inference);
        Self { tokenization, queue: passed - inference - tokenization, inference }
    }
}

impl Account {
    /// Adds the account of another model or of another part.
    pub(crate) fn add(&mut self, other: Self) {
        self.model = self.model.take().or(other.model);
        if self.device.is_empty() {
            self.device = other.device;
        }
        let before = self.inputs;
        self.truncated.extend(other.truncated.into_iter().map(|index| before + index));
        self.inputs += other.inputs;
        self.tokens += other.tokens;
        self.characters += other.characters;
        self.times.tokenization += other.times.tokenization;
        self.times.queue += other.times.queue;
        self.times.inference += other.times.inference;
    }

    /// Headers of the response.
    pub(crate) fn write(&self, headers: &mut HeaderMap, total: Duration) {
        let device = if self.device.starts_with("cpu") { "cpu" } else { "gpu" };
        headers.insert("x-compute-type", HeaderValue::from_static(device));
        for (name, number) in [
            ("x-compute-characters", self.characters as u128),
            ("x-compute-tokens", self.tokens as u128),
            ("x-compute-time", total.as_millis()),
            ("x-total-time", total.as_millis()),
            ("x-tokenization-time", self.times.tokenization.as_millis()),
            ("x-queue-time", self.times.queue.as_millis()),
            ("x-inference-time", self.times.inference.as_millis()),
        ] {
            headers.insert(name, number_value(number));
        }
        if !self.truncated.is_empty() {
            headers.insert("x-embedkit-truncated", number_value(self.truncated.len() as u128));
            let mut list = String::new();
            for index in self.truncated.iter().take(LISTED) {
                let comma = if list.is_empty() { "" } else { "," };
                // Writing to a string does not fail.
                let _ = write!(list, "{comma}{index}");
            }
            if let Ok(list) = HeaderValue::from_str(&list) {
                headers.insert("x-embedkit-truncated-inputs", list);
            }
        }
    }
}

fn number_value(number: u128) -> HeaderValue {
    HeaderValue::from(u64::try_from(number).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_inputs_are_counted_and_listed() {
        let mut account = Account { inputs: 4, truncated: vec![0, 3], ..Account::default() };
        account.add(Account { inputs: 300, truncated: (0..200).collect(), ..Account::default() });
        let mut headers = HeaderMap::new();
        account.write(&mut headers, Duration::from_millis(5));
        assert_eq!(headers["x-embedkit-truncated"], "202");
        let list = headers["x-embedkit-truncated-inputs"].to_str().unwrap();
        assert!(list.starts_with("0,3,4,5,6,"), "{list}");
        assert_eq!(list.split(',').count(), LISTED);
        assert_eq!(headers["x-total-time"], "5");
    }

    #[test]
    fn phases_add_up_to_the_time_that_passed() {
        let millis = Duration::from_millis;
        let phases = |passed, preparing, running| {
            let spent = Spent { preparing: millis(preparing), running: millis(running) };
            let Phases { tokenization, queue, inference } =
                Phases::new(millis(passed), Some(spent));
            [tokenization, queue, inference].map(|time| time.as_millis())
        };
        assert_eq!(phases(10, 2, 5), [2, 3, 5]);
        assert_eq!(phases(10, 20, 5), [5, 0, 5]);
        assert_eq!(phases(10, 2, 50), [0, 0, 10]);
        assert_eq!(Phases::new(millis(10), None).inference, millis(10));
    }
}
