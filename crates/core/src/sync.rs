//! Locks, threads and the clock of the pipeline; in unit tests, those of a model checker.

#[cfg(not(test))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};

#[cfg(test)]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};

#[cfg(not(test))]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// A clock that goes on by a millisecond whenever somebody looks, for each thread of the system, so
/// that a test that is repeated sees the same times.
#[cfg(test)]
pub(crate) fn now() -> std::time::Instant {
    use std::{
        cell::Cell,
        time::{Duration, Instant},
    };
    thread_local! {
        static NOW: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let now = NOW.get().unwrap_or_else(Instant::now) + Duration::from_millis(1);
    NOW.set(Some(now));
    now
}
