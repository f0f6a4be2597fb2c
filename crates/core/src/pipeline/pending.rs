//! Results of submitted inputs, whatever engine has them.

use std::{
    fmt, future,
    task::{Context, Poll},
    time::Instant,
    vec::IntoIter,
};

use embedkit_types::Error;

use super::{Class, Spent, Step, Ticket, rows::catching};
use crate::error::Error as CoreError;

/// The place of submitted inputs in a model's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueOptions {
    /// Interactive inputs come before bulk ones, which get a share of the lanes all the same.
    pub class: Class,
    /// Inputs that have not begun to run by then fail with [`CoreError::DeadlinePassed`].
    pub deadline: Option<Instant>,
    /// With a full queue: waits for room on the caller's thread, or fails with
    /// [`CoreError::Busy`].
    pub wait: bool,
}

impl QueueOptions {
    /// Inputs that somebody waits for: no deadline, and an error where the queue is full.
    pub const INTERACTIVE: Self = Self { class: Class::Interactive, deadline: None, wait: false };
    /// Many inputs: no deadline, and the caller waits while the queue is full.
    pub const BULK: Self = Self { class: Class::Bulk, deadline: None, wait: true };
}

/// Results of submitted inputs, in their order: an iterator that blocks, or polled by a task, on any
/// executor. Dropping it takes the inputs that do not run yet out of the queue.
///
/// Nothing wakes a task at the deadline of its inputs; one that wants to be told at once polls again then.
pub struct Pending<T> {
    results: Box<dyn Results<T>>,
    outstanding: usize,
}

/// A source of results, which is asked for no more than it has.
trait Results<T>: Send {
    fn wait(&mut self) -> Option<Result<T, Error>>;

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, Error>>>;

    /// True if the thread that asks computes a result.
    fn is_computed(&self) -> bool {
        false
    }

    /// `None` where nobody measures it.
    fn spent(&self) -> Option<Spent>;
}

impl<T: 'static> Pending<T> {
    /// Results of a function, for models without batches: each is computed when it is asked for, by
    /// the thread that asks.
    pub fn computed<A: Send + 'static>(
        inputs: Vec<A>,
        options: QueueOptions,
        function: impl Fn(A) -> Result<T, Error> + Send + 'static,
    ) -> Self {
        let (outstanding, deadline) = (inputs.len(), options.deadline);
        let results = Computed { inputs: inputs.into_iter(), deadline, function };
        Self { results: Box::new(results), outstanding }
    }

    /// Results of several submissions as those of one; `order` has the submission of each result.
    ///
    /// # Panics
    /// An `order` that does not name each submission once for each of its results.
    #[must_use]
    pub fn merged(parts: Vec<Self>, order: Vec<usize>) -> Self {
        for (index, part) in parts.iter().enumerate() {
            let named = order.iter().filter(|&&of| of == index).count();
            assert_eq!(named, part.outstanding, "results of submission {index}");
        }
        let outstanding = order.len();
        let results = Merged { parts, order: order.into_iter(), next: None };
        Self { results: Box::new(results), outstanding }
    }

    /// The same with another form of each result that is no error.
    #[must_use]
    pub fn map_ok<U: 'static>(self, function: impl Fn(T) -> U + Send + 'static) -> Pending<U> {
        let outstanding = self.outstanding;
        Pending { results: Box::new(Mapped { pending: self, function }), outstanding }
    }
}

impl<T> Pending<T> {
    /// Inputs whose results were not taken yet.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// True if the thread that asks for a result computes it, as for models without batches: a task may
    /// want to ask on another thread.
    #[must_use]
    pub fn is_computed(&self) -> bool {
        self.results.is_computed()
    }

    /// Time that was spent on the inputs so far; `None` for models without batches, whose results are computed
    /// by the thread that asks.
    #[must_use]
    pub fn spent(&self) -> Option<Spent> {
        self.results.spent()
    }

    /// The result of the next input, once it is there; `None` after the last.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        if self.outstanding == 0 {
            return Poll::Ready(None);
        }
        let result = self.results.poll(context);
        self.outstanding -= usize::from(result.is_ready());
        result
    }

    /// [`poll_next`](Self::poll_next) as a future.
    pub fn next_async(&mut self) -> impl Future<Output = Option<Result<T, Error>>> {
        future::poll_fn(|context| self.poll_next(context))
    }
}

impl<T> Iterator for Pending<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.outstanding == 0 {
            return None;
        }
        self.outstanding -= 1;
        self.results.wait()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.outstanding, Some(self.outstanding))
    }
}

impl<T> ExactSizeIterator for Pending<T> {}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outstanding = self.outstanding;
        f.debug_struct("Pending").field("outstanding", &outstanding).finish_non_exhaustive()
    }
}

impl<S: Step> From<Ticket<S>> for Pending<S::Output> {
    fn from(ticket: Ticket<S>) -> Self {
        let outstanding = ticket.outstanding();
        Self { results: Box::new(ticket), outstanding }
    }
}

impl<S: Step> Results<S::Output> for Ticket<S> {
    fn wait(&mut self) -> Option<Result<S::Output, Error>> {
        self.next()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<S::Output, Error>>> {
        self.poll_next(context)
    }

    fn spent(&self) -> Option<Spent> {
        Some(self.spent())
    }
}

struct Computed<A, F> {
    inputs: IntoIter<A>,
    deadline: Option<Instant>,
    function: F,
}

impl<A, T, F> Results<T> for Computed<A, F>
where
    A: Send,
    F: Fn(A) -> Result<T, Error> + Send,
{
    fn wait(&mut self) -> Option<Result<T, Error>> {
        let input = self.inputs.next()?;
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Some(Err(CoreError::DeadlinePassed.into()));
        }
        Some(catching(|| (self.function)(input)))
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        Poll::Ready(self.wait())
    }

    fn is_computed(&self) -> bool {
        true
    }

    fn spent(&self) -> Option<Spent> {
        None
    }
}

struct Merged<T> {
    parts: Vec<Pending<T>>,
    order: IntoIter<usize>,
    /// The submission of the next result, while a task waits for it.
    next: Option<usize>,
}

impl<T> Results<T> for Merged<T> {
    fn wait(&mut self) -> Option<Result<T, Error>> {
        let part = self.next.take().or_else(|| self.order.next())?;
        self.parts[part].next()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        let Some(part) = self.next.take().or_else(|| self.order.next()) else {
            return Poll::Ready(None);
        };
        let result = self.parts[part].poll_next(context);
        self.next = result.is_pending().then_some(part);
        result
    }

    fn is_computed(&self) -> bool {
        self.parts.iter().any(Pending::is_computed)
    }

    fn spent(&self) -> Option<Spent> {
        let mut all = Spent::default();
        for part in &self.parts {
            all.add(part.spent()?);
        }
        Some(all)
    }
}

struct Mapped<T, F> {
    pending: Pending<T>,
    function: F,
}

impl<T, U, F: Fn(T) -> U + Send> Results<U> for Mapped<T, F> {
    fn wait(&mut self) -> Option<Result<U, Error>> {
        Some(self.pending.next()?.map(&self.function))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<U, Error>>> {
        self.pending.poll_next(context).map(|next| next.map(|result| result.map(&self.function)))
    }

    fn is_computed(&self) -> bool {
        self.pending.is_computed()
    }

    fn spent(&self) -> Option<Spent> {
        self.pending.spent()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn doubled(inputs: Vec<u32>, options: QueueOptions) -> Pending<u32> {
        Pending::computed(inputs, options, |input| match input {
            13 => panic!("a defect"),
            input => Ok(input * 2),
        })
    }

    #[test]
    fn a_function_is_called_for_each_result_that_is_taken() {
        let mut pending = doubled(vec![1, 13, 3], QueueOptions::BULK);
        assert_eq!(pending.len(), 3);
        assert!(pending.is_computed());
        assert_eq!(pending.next().unwrap().unwrap(), 2);
        assert!(pending.next().unwrap().is_err());
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(pending.poll_next(&mut context), Poll::Ready(Some(Ok(6)))));
        assert!(matches!(pending.poll_next(&mut context), Poll::Ready(None)));
        assert!(pending.next().is_none());
    }

    #[test]
    fn a_deadline_that_has_passed_fails_what_is_left() {
        let options = QueueOptions { deadline: Some(Instant::now()), ..QueueOptions::INTERACTIVE };
        for result in doubled(vec![1, 2], options) {
            let error = result.unwrap_err();
            assert!(matches!(error.downcast_ref(), Some(CoreError::DeadlinePassed)), "{error}");
        }
    }

    #[test]
    fn several_submissions_come_in_one_order() {
        let parts = vec![
            doubled(vec![1, 2], QueueOptions::BULK),
            doubled(vec![10], QueueOptions::BULK).map_ok(|value| value + 1),
        ];
        let merged = Pending::merged(parts, vec![0, 1, 0]);
        let values: Result<Vec<_>, _> = merged.collect();
        assert_eq!(values.unwrap(), [2, 21, 4]);
    }
}
