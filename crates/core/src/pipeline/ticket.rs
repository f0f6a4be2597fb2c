//! One caller's inputs on their way through an engine.

use std::{
    collections::BTreeMap,
    fmt, future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tracing::{Dispatch, Span};

use super::{
    Engine, Outcome, Step,
    queue::{Row, TicketId},
};
use crate::sync::{Condvar, Mutex, MutexGuard, now};

/// One caller's inputs: pushed in any number of windows, taken in input order, by a blocking iterator or
/// by a task. Dropping it takes out the rows that do not run yet.
pub struct Ticket<S: Step> {
    engine: Engine<S>,
    id: TicketId,
    inbox: Arc<Inbox<Outcome<S>>>,
    /// Until it has passed, and this ticket has said so.
    deadline: Option<Instant>,
    pushed: usize,
    taken: usize,
}

impl<S: Step> Ticket<S> {
    pub(super) fn new(
        engine: Engine<S>,
        id: TicketId,
        inbox: Arc<Inbox<Outcome<S>>>,
        deadline: Option<Instant>,
    ) -> Self {
        Self { engine, id, inbox, deadline, pushed: 0, taken: 0 }
    }

    /// Takes note of inputs that are in the queue already.
    pub(super) fn expect(&mut self, inputs: usize) {
        self.pushed += inputs;
    }

    /// Another window of inputs, which are sorted by length together. Never waits for room.
    pub fn push(&mut self, inputs: Vec<S::Input>) {
        let start = self.pushed;
        self.pushed += inputs.len();
        self.engine.push(self.id, (start..).zip(inputs));
    }

    /// Inputs that were made ready already.
    pub(super) fn push_rows(&mut self, rows: Vec<Row<S::Prepared>>) {
        let start = self.pushed;
        self.pushed += rows.len();
        let rows = (start..).zip(rows);
        self.engine.push_rows(rows.map(|(index, row)| Row { ticket: self.id, index, ..row }));
    }

    /// Inputs whose results were not taken yet.
    pub fn outstanding(&self) -> usize {
        self.pushed - self.taken
    }

    /// Time that was spent on the inputs so far.
    pub fn spent(&self) -> Spent {
        self.inbox.state().spent
    }

    /// The result of the next input, if it is there.
    pub fn try_next(&mut self) -> Option<Outcome<S>> {
        let result = self.inbox.state().results.remove(&self.taken)?;
        self.taken += 1;
        Some(result)
    }

    /// The result of the next input, once it is there; `None` after the last that was pushed.
    ///
    /// Nothing wakes the task at the deadline, since the engine has no timer: a task that wants to be
    /// told at once polls again then.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Outcome<S>>> {
        if self.outstanding() == 0 {
            return Poll::Ready(None);
        }
        if let Some(deadline) = self.deadline
            && deadline <= now()
        {
            self.expire();
        }
        let mut state = self.inbox.state();
        let Some(result) = state.results.remove(&self.taken) else {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        self.taken += 1;
        Poll::Ready(Some(result))
    }

    /// [`poll_next`](Self::poll_next) as a future.
    pub fn next_async(&mut self) -> impl Future<Output = Option<Outcome<S>>> {
        future::poll_fn(|context| self.poll_next(context))
    }

    /// Gives up what has not begun to run.
    fn expire(&mut self) {
        self.deadline = None;
        self.engine.expire();
    }
}

impl<S: Step> Iterator for Ticket<S> {
    type Item = Outcome<S>;

    /// Waits for the result of the next input; `None` after the last that was pushed.
    fn next(&mut self) -> Option<Outcome<S>> {
        if self.outstanding() == 0 {
            return None;
        }
        let inbox = Arc::clone(&self.inbox);
        let mut state = inbox.state();
        loop {
            if let Some(result) = state.results.remove(&self.taken) {
                self.taken += 1;
                return Some(result);
            }
            let left = self.deadline.map(|deadline| deadline.saturating_duration_since(now()));
            state = match left {
                None => inbox.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => {
                    // The engine has its own lock, and comes to this one itself.
                    drop(state);
                    self.expire();
                    inbox.state()
                }
                Some(left) => {
                    let waited = inbox.arrived.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl<S: Step> Drop for Ticket<S> {
    fn drop(&mut self) {
        self.engine.close(self.id);
    }
}

impl<S: Step> fmt::Debug for Ticket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outstanding = self.outstanding();
        f.debug_struct("Ticket").field("outstanding", &outstanding).finish_non_exhaustive()
    }
}

/// Results on their way to a ticket.
pub(super) struct Inbox<T> {
    state: Mutex<Received<T>>,
    arrived: Condvar,
    /// The caller's subscriber and span, so that the work shows up where it belongs.
    trace: (Dispatch, Span),
}

struct Received<T> {
    /// By position of the input.
    results: BTreeMap<usize, T>,
    waker: Option<Waker>,
    spent: Spent,
}

/// Time that threads have spent on the inputs of one caller so far. Threads that work at once count each for
/// itself, and a batch counts for each caller that it has inputs of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// For making inputs ready, which is tokenising for texts.
    pub preparing: Duration,
    /// For running batches.
    pub running: Duration,
}

impl Spent {
    /// Adds more time.
    pub fn add(&mut self, more: Self) {
        self.preparing += more.preparing;
        self.running += more.running;
    }
}

impl<T> Inbox<T> {
    pub(super) fn new() -> Self {
        let trace = (tracing::dispatcher::get_default(Clone::clone), Span::current());
        let state = Received { results: BTreeMap::new(), waker: None, spent: Spent::default() };
        Self { state: Mutex::new(state), arrived: Condvar::new(), trace }
    }

    /// Puts results there and wakes who waits for them.
    pub(super) fn put(&self, results: impl IntoIterator<Item = (usize, T)>) {
        let mut state = self.state();
        state.results.extend(results);
        let waker = state.waker.take();
        drop(state);
        self.arrived.notify_all();
        if let Some(waker) = waker {
            // A waker is the caller's code; its panic must not end a thread of the engine.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    /// Takes note of time that was spent; before the results are put there, so that who has them knows it.
    pub(super) fn spend(&self, more: Spent) {
        self.state().spent.add(more);
    }

    /// Works as part of the caller's span.
    pub(super) fn trace<R>(&self, work: impl FnOnce() -> R) -> R {
        let (dispatch, span) = &self.trace;
        tracing::dispatcher::with_default(dispatch, || span.in_scope(work))
    }

    fn state(&self) -> MutexGuard<'_, Received<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
