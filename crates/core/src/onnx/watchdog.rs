//! A time limit for runs: one thread that stops those that take longer.

use std::{
    collections::VecDeque,
    fmt, io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Watches runs that all have the same limit; dropping it ends its thread.
pub(super) struct Watchdog {
    limit: Duration,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    runs: Mutex<Runs>,
    changed: Condvar,
}

#[derive(Default)]
struct Runs {
    /// By deadline, since all have the same limit.
    watched: VecDeque<Run>,
    begun: u64,
    closed: bool,
}

struct Run {
    id: u64,
    deadline: Instant,
    expired: Arc<AtomicBool>,
    stop: Box<dyn FnOnce() + Send>,
}

/// A run that is watched as long as this lives.
pub(super) struct Watched<'a> {
    watchdog: &'a Watchdog,
    id: u64,
    expired: Arc<AtomicBool>,
}

impl Watchdog {
    pub(super) fn start(limit: Duration) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let watching = Arc::clone(&shared);
        let thread = thread::Builder::new().name("embedkit-limit".to_owned());
        let thread = Some(thread.spawn(move || watching.watch())?);
        Ok(Self { limit, shared, thread })
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Calls `stop` at the limit, counted from now, unless the result is dropped before. Without
    /// effect where the clock does not reach that far.
    pub(super) fn watch(&self, stop: impl FnOnce() + Send + 'static) -> Watched<'_> {
        let expired = Arc::<AtomicBool>::default();
        let mut runs = self.shared.runs();
        runs.begun += 1;
        let id = runs.begun;
        if let Some(deadline) = Instant::now().checked_add(self.limit) {
            let (expired, stop) = (Arc::clone(&expired), Box::new(stop));
            runs.watched.push_back(Run { id, deadline, expired, stop });
            if runs.watched.len() == 1 {
                self.shared.changed.notify_one();
            }
        }
        Watched { watchdog: self, id, expired }
    }
}

impl Watched<'_> {
    /// True once the limit was reached.
    pub(super) fn expired(&self) -> bool {
        self.expired.load(Ordering::Acquire)
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.watchdog.shared.runs().watched.retain(|run| run.id != self.id);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.runs().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to say.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Shared {
    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) {
        let mut runs = self.runs();
        while !runs.closed {
            let Some(next) = runs.watched.front() else {
                runs = self.changed.wait(runs).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = next.deadline.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                let waited = self.changed.wait_timeout(runs, left);
                runs = waited.unwrap_or_else(PoisonError::into_inner).0;
            } else if let Some(run) = runs.watched.pop_front() {
                run.expired.store(true, Ordering::Release);
                (run.stop)();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_run_at_its_limit_is_stopped() {
        let watchdog = Watchdog::start(Duration::from_millis(1)).unwrap();
        let (send, stopped) = mpsc::channel();
        for number in 0..3 {
            let send = send.clone();
            let watched = watchdog.watch(move || send.send(number).unwrap());
            // Blocks until it is stopped.
            assert_eq!(stopped.recv(), Ok(number));
            assert!(watched.expired());
        }
    }

    #[test]
    fn a_run_that_ends_is_not_stopped_and_the_thread_ends_with_the_watchdog() {
        let watchdog = Watchdog::start(LONG).unwrap();
        let (send, stopped) = mpsc::channel::<()>();
        let watched = watchdog.watch(move || send.send(()).unwrap());
        let other = watchdog.watch(|| {});
        assert!(!watched.expired());
        drop(watched);
        // Nobody can stop it any more.
        assert!(stopped.recv().is_err());
        assert_eq!(watchdog.shared.runs().watched.len(), 1);
        drop(other);
        assert!(watchdog.shared.runs().watched.is_empty());
        drop(watchdog);
    }

    #[test]
    fn a_limit_beyond_the_clock_is_none() {
        let watchdog = Watchdog::start(Duration::MAX).unwrap();
        let watched = watchdog.watch(|| {});
        assert!(watchdog.shared.runs().watched.is_empty());
        assert!(!watched.expired());
    }
}
