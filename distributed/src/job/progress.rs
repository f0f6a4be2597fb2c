//! Progress of a job.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Counters of a job that is at work.
#[derive(Debug)]
pub(crate) struct Counters {
    started: Instant,
    total: Amount,
    /// Finished before this run.
    before: Amount,
    /// Finished in this run, rows as they come.
    rows: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
}

/// Rows, where they are known, and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Amount {
    pub(crate) rows: Option<u64>,
    pub(crate) bytes: u64,
}

impl Amount {
    /// The sum; rows are known if those of every unit are.
    pub(crate) fn sum(units: impl Iterator<Item = (Option<u64>, u64)>) -> Self {
        let start = Self { rows: Some(0), bytes: 0 };
        units.fold(start, |sum, (rows, bytes)| Self {
            rows: sum.rows.zip(rows).map(|(a, b)| a + b),
            bytes: sum.bytes + bytes,
        })
    }
}

impl Counters {
    pub(crate) fn new(total: Amount, before: Amount, failed_before: u64) -> Self {
        Self {
            started: Instant::now(),
            total,
            before,
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            failed: AtomicU64::new(failed_before),
        }
    }

    pub(crate) fn add_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Takes back the rows of a unit that is tried again.
    pub(crate) fn take_back(&self, rows: u64) {
        self.rows.fetch_sub(rows, Ordering::Relaxed);
    }

    pub(crate) fn finish_unit(&self, bytes: u64, failed: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.failed.fetch_add(failed, Ordering::Relaxed);
    }

    /// The state now.
    pub(crate) fn now(&self) -> Progress {
        let rows = self.rows.load(Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed);
        let part =
            |done: u64, total: u64| if total == 0 { 1.0 } else { done as f64 / total as f64 };
        // Rows come more often than ends of units do.
        let (before, share) = match (self.total.rows, self.before.rows) {
            (Some(total), Some(before)) => (part(before, total), part(before + rows, total)),
            _ => (
                part(self.before.bytes, self.total.bytes),
                part(self.before.bytes + bytes, self.total.bytes),
            ),
        };
        let elapsed = self.started.elapsed();
        Progress {
            rows,
            share: share.min(1.0),
            share_before: before.min(1.0),
            failed: self.failed.load(Ordering::Relaxed),
            elapsed,
        }
    }
}

/// State of a job that is at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Rows of this run.
    pub rows: u64,
    /// Share of the input that is done, 0 to 1.
    pub share: f64,
    /// Share that earlier runs had done.
    pub share_before: f64,
    /// Rows without a result, those of earlier runs included.
    pub failed: u64,
    /// Time of this run.
    pub elapsed: Duration,
}

impl Progress {
    /// Rows per second of this run.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.rows as f64 / seconds } else { 0.0 }
    }

    /// Time left at the pace of this run; `None` before anything is done.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let done = self.share - self.share_before;
        if done <= 0.0 {
            return None;
        }
        Duration::try_from_secs_f64(self.elapsed.as_secs_f64() * (1.0 - self.share) / done).ok()
    }
}

/// One line, such as `41.7 % done, 8,340 rows at 512/s, 3 failed, 2 min left`.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (share, rows, rate) = (self.share * 100.0, grouped(self.rows), self.rate());
        write!(f, "{share:.1} % done, {rows} rows at {rate:.0}/s")?;
        if self.failed > 0 {
            write!(f, ", {} failed", grouped(self.failed))?;
        }
        match self.left().map(|left| left.as_secs()) {
            None => Ok(()),
            Some(seconds @ 0..120) => write!(f, ", {seconds} s left"),
            Some(seconds @ 120..7200) => write!(f, ", {} min left", seconds / 60),
            Some(seconds) => write!(f, ", {} h left", seconds / 3600),
        }
    }
}

/// A number with commas between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_share_rate_failures_and_time() {
        let progress = Progress {
            rows: 40_000,
            share: 0.5,
            share_before: 0.25,
            failed: 3,
            elapsed: Duration::from_secs(100),
        };
        let line = "50.0 % done, 40,000 rows at 400/s, 3 failed, 3 min left";
        assert_eq!(progress.to_string(), line);
        assert_eq!(Progress { share: 0.25, ..progress }.left(), None);
    }

    #[test]
    fn rows_of_a_failed_attempt_do_not_count() {
        let amount = |rows| Amount { rows: Some(rows), bytes: 0 };
        let counters = Counters::new(amount(100), amount(20), 0);
        counters.add_rows(30);
        counters.take_back(30);
        counters.add_rows(20);
        let now = counters.now();
        assert_eq!((now.rows, now.share, now.share_before), (20, 0.4, 0.2));
    }

    #[test]
    fn bytes_stand_in_for_unknown_rows() {
        let units = [(Some(3), 10), (None, 30)];
        let total = Amount::sum(units.into_iter());
        assert_eq!(total, Amount { rows: None, bytes: 40 });
        let counters = Counters::new(total, Amount { rows: Some(3), bytes: 10 }, 0);
        counters.finish_unit(20, 1);
        let now = counters.now();
        assert_eq!((now.share, now.failed), (0.75, 1));
    }
}
