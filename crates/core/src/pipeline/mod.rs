//! Inputs to outputs, in input order, with bounded memory: written once for all families.
//!
//! An [`Engine`] has the long-lived threads of one model and runs everybody's rows: it prepares inputs
//! (tokenising), forms batches of rows of similar length whenever a lane is free, and hands
//! the results to the [`Ticket`]s that they belong to. A [`Stream`] is a ticket behind an iterator: it
//! reads its inputs in windows, one of which is prepared while another runs, so that memory is bounded
//! by two windows however long the input is. Dropping a ticket or a stream takes its rows out; only
//! batches that run already are finished.
//!
//! | call | waits | bounded by |
//! |---|---|---|
//! | [`Engine::run_few`] | for the results | its caller |
//! | [`Engine::stream`], [`Engine::open`] | for each result | two windows |
//! | [`Engine::submit`] | for room in the queue | tokens of its class |
//! | [`Engine::try_submit`] | never: [`Error::Busy`](crate::Error::Busy) | tokens of its class |
//! | [`Engine::pending`] | as its [`QueueOptions`] say | tokens of its class |
//!
//! The queue is a state machine without threads and clocks; the engine puts locks around it, and a test
//! tries interleavings of its threads.
//!
//! [`ParallelMap`] is for models without batches, such as BM25.

mod engine;
mod map;
#[cfg(test)]
mod model_check;
mod pending;
mod queue;
mod rate;
mod rows;
mod stream;
mod ticket;

pub use self::{
    engine::{Depth, Engine},
    map::{ParallelMap, Texts},
    pending::{Pending, QueueOptions},
    queue::{Class, Grouping, Pool},
    rows::{catching, run_rows},
    stream::Stream,
    ticket::{Spent, Ticket},
};

use embedkit_types::Error;

use crate::error::Error as CoreError;

/// Inputs that are the caller's own work at most, where nothing else runs: no thread is started.
const FEW: usize = 8;

/// The steps of a family between input and output.
pub trait Step: Send + Sync + 'static {
    /// One input, such as a text.
    type Input: Send + 'static;
    /// One input made ready, such as its tokens.
    type Prepared: Send + 'static;
    /// One result.
    type Output: Send + 'static;

    /// Inputs that one thread prepares at a time: fewer where one takes long, as an image does.
    const CHUNK: usize = 64;

    /// Makes one input ready.
    ///
    /// # Errors
    /// For this input; the others go on.
    fn prepare(&self, input: Self::Input) -> Result<Self::Prepared, Error>;

    /// Tokens that an input is expected to have, before it is prepared: a text about one for four bytes
    /// ([`text_estimate`]).
    fn estimate(&self, input: &Self::Input) -> usize;

    /// The length of a prepared input in a batch of its own.
    fn length(&self, prepared: &Self::Prepared) -> usize;

    /// Which other inputs a prepared one may share a batch with.
    ///
    /// # Errors
    /// Those of loading the model, where that is done lazily.
    fn pool(&self, prepared: &Self::Prepared) -> Result<Pool, Error>;

    /// Batches that suit the device.
    ///
    /// # Errors
    /// Those of loading the model, where that is done lazily.
    fn capacity(&self) -> Result<Capacity, Error>;

    /// Runs one batch, of rows of one pool: a result for each row, in order.
    ///
    /// # Errors
    /// For the whole batch, which is then [run again in halves](run_rows), or within the list for one
    /// row.
    fn run(&self, workload: Workload, batch: &[Self::Prepared]) -> RunResult<Self>;
}

/// Tokens that a text of so many bytes is expected to have: English has one for four bytes, other
/// languages have more, and there are special ones.
#[must_use]
pub fn text_estimate(bytes: usize) -> usize {
    bytes / 4 + 2
}

/// Batches that suit a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Batches in flight at once.
    pub lanes: usize,
    /// Padded tokens of a batch, where the caller does not say.
    pub tokens: usize,
}

/// Use of the cores by a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Alone, and somebody waits for it: all cores for it.
    Single,
    /// One of many: a core for each.
    Stream,
}

/// The result of one batch of a [`Step`].
pub type RunResult<S> = Result<Vec<Outcome<S>>, Error>;

/// The result of a call with one input.
///
/// # Errors
/// The error of the input.
pub fn only<T>(results: impl IntoIterator<Item = Result<T, Error>>) -> Result<T, Error> {
    let none = || Err(CoreError::Defect { reason: "no result for an input".to_owned() }.into());
    results.into_iter().next().unwrap_or_else(none)
}

/// The result of one input of a [`Step`].
pub type Outcome<S> = Result<<S as Step>::Output, Error>;
