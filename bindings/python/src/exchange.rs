//! Inputs and results that the thread of a stream and its caller pass to each other.
//!
//! Results of cheap inputs come faster than threads can be woken. So the caller takes all that are there with one
//! lock, and nobody is woken who does not wait.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::model::Origin;

/// Results that wait for the caller at most, before the thread waits for it.
const RESULTS: usize = 256;

/// Both ends: inputs `I` go to the thread when it asks for some, results `O` to the caller.
pub(crate) fn exchange<I, O>() -> (Thread<I, O>, Caller<I, O>) {
    let shared = Shared {
        results: VecDeque::new(),
        wanted: None,
        inputs: None,
        waits: false,
        complete: false,
        closed: false,
    };
    let exchange = Arc::new(Exchange { shared: Mutex::new(shared), changed: Condvar::new() });
    (Thread(Arc::clone(&exchange)), Caller { exchange, origin: Origin::here() })
}

struct Exchange<I, O> {
    shared: Mutex<Shared<I, O>>,
    changed: Condvar,
}

struct Shared<I, O> {
    results: VecDeque<O>,
    /// Inputs that the thread waits for.
    wanted: Option<usize>,
    inputs: Option<I>,
    /// One end waits; never both do.
    waits: bool,
    /// There are no more results.
    complete: bool,
    /// One end is gone.
    closed: bool,
}

impl<I, O> Exchange<I, O> {
    fn lock(&self) -> MutexGuard<'_, Shared<I, O>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the other end after a change, if it waits.
    fn wake(&self, mut changed: MutexGuard<'_, Shared<I, O>>) {
        let waits = mem::take(&mut changed.waits);
        drop(changed);
        if waits {
            self.changed.notify_all();
        }
    }

    /// Waits for the caller; `None` when it is gone.
    fn wait_for(
        &self,
        mut ready: impl FnMut(&Shared<I, O>) -> bool,
    ) -> Option<MutexGuard<'_, Shared<I, O>>> {
        let mut shared = self.lock();
        while !shared.closed && !ready(&shared) {
            shared.waits = true;
            shared = self.changed.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
        (!shared.closed).then_some(shared)
    }

    fn close(&self) {
        let mut shared = self.lock();
        shared.closed = true;
        self.wake(shared);
    }
}

/// The thread's end.
pub(crate) struct Thread<I, O>(Arc<Exchange<I, O>>);

impl<I, O> Thread<I, O> {
    /// Inputs, so many at most; `None` when the caller is gone.
    pub(crate) fn ask(&self, wanted: usize) -> Option<I> {
        let mut shared = self.0.lock();
        shared.wanted = Some(wanted);
        self.0.wake(shared);
        self.0.wait_for(|shared| shared.inputs.is_some())?.inputs.take()
    }

    /// Hands a result over; `false` when the caller is gone.
    #[must_use]
    pub(crate) fn give(&self, result: O) -> bool {
        let Some(mut shared) = self.0.wait_for(|shared| shared.results.len() < RESULTS) else {
            return false;
        };
        shared.results.push_back(result);
        self.0.wake(shared);
        true
    }

    /// Says that there are no more results.
    pub(crate) fn complete(&self) {
        let mut shared = self.0.lock();
        shared.complete = true;
        self.0.wake(shared);
    }
}

impl<I, O> Drop for Thread<I, O> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The caller's end.
pub(crate) struct Caller<I, O> {
    exchange: Arc<Exchange<I, O>>,
    origin: Origin,
}

/// State of the exchange, as the caller finds it.
pub(crate) enum Found {
    /// Perhaps some results, and how many inputs are wanted.
    Results(Option<usize>),
    /// All results were taken.
    End,
    /// The thread ended before it was done.
    Broken,
}

impl<I, O> Caller<I, O> {
    /// Waits until there is something to take, or for so long.
    pub(crate) fn wait(&self, timeout: Duration) {
        let mut shared = self.exchange.lock();
        if !shared.has_news() {
            shared.waits = true;
            // One that wakes too early finds nothing, and comes again.
            drop(self.exchange.changed.wait_timeout(shared, timeout));
        }
    }

    /// True if there is something to take.
    pub(crate) fn has_news(&self) -> bool {
        self.exchange.lock().has_news()
    }

    /// Takes all results that are there into `results`, which is empty.
    pub(crate) fn take(&self, results: &mut VecDeque<O>) -> Found {
        let mut shared = self.exchange.lock();
        mem::swap(results, &mut shared.results);
        let was_full = results.len() == RESULTS;
        let found = match (results.is_empty(), shared.complete, shared.closed) {
            (true, true, _) => Found::End,
            (true, false, true) => Found::Broken,
            _ => Found::Results(shared.wanted),
        };
        if was_full {
            self.exchange.wake(shared);
        }
        found
    }

    /// Gives the thread the inputs that it wanted.
    pub(crate) fn answer(&self, inputs: I) {
        let mut shared = self.exchange.lock();
        shared.wanted = None;
        shared.inputs = Some(inputs);
        self.exchange.wake(shared);
    }
}

impl<I, O> Shared<I, O> {
    fn has_news(&self) -> bool {
        !self.results.is_empty() || self.wanted.is_some() || self.complete || self.closed
    }
}

impl<I, O> Drop for Caller<I, O> {
    fn drop(&mut self) {
        // In a forked process the thread is not there, but it may hold the lock.
        if self.origin.is_here() {
            self.exchange.close();
        }
    }
}
