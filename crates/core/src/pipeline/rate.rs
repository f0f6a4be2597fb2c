//! Tokens that the lanes of an engine run in a second.

use std::time::Duration;

/// Lane time after which older measurements count half, in seconds.
const MEMORY: f64 = 16.0;

/// A measured rate, in which what happened last counts most.
#[derive(Debug, Default)]
pub(super) struct Rate {
    tokens: f64,
    /// Lanes times the time that they were held, in seconds.
    lane_seconds: f64,
}

impl Rate {
    /// A batch that has held `lanes` lanes for a time.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn add(&mut self, tokens: usize, lanes: usize, time: Duration) {
        self.tokens += tokens as f64;
        self.lane_seconds += lanes as f64 * time.as_secs_f64();
        if self.lane_seconds > MEMORY {
            self.tokens /= 2.0;
            self.lane_seconds /= 2.0;
        }
    }

    /// The time that `lanes` lanes take for so many tokens; `None` where nothing was measured.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn time(&self, tokens: usize, lanes: usize) -> Option<Duration> {
        let seconds = tokens as f64 * self.lane_seconds / (self.tokens * lanes as f64);
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_time_is_that_of_all_lanes() {
        let mut rate = Rate::default();
        assert_eq!(rate.time(100, 2), None);
        rate.add(50, 1, SECOND);
        rate.add(150, 1, SECOND);
        assert_eq!(rate.time(300, 1), Some(3 * SECOND));
        assert_eq!(rate.time(300, 3), Some(SECOND));
        // A lone batch has all lanes.
        rate.add(400, 2, SECOND);
        assert_eq!(rate.time(300, 2), Some(SECOND));
    }

    #[test]
    fn the_latest_counts_most() {
        let mut rate = Rate::default();
        (0..100).for_each(|_| rate.add(10, 1, SECOND));
        (0..60).for_each(|_| rate.add(1000, 1, SECOND));
        let time = rate.time(1000, 1).unwrap();
        assert!(time < SECOND.mul_f64(1.1), "{time:?}");
    }
}
