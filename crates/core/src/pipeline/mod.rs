//! Inputs to outputs, in input order, with bounded memory: written once for all families.
//!
//! A [`Stream`] reads a window of inputs, prepares them (tokenising), sorts them by length into
//! batches ([`plan`]), runs these on worker threads and yields the results in input order. While one
//! window runs, the next is read and prepared, so that memory is bounded by two windows (or
//! [`Step::AHEAD`] and one) however long the input is. Dropping the stream stops the work after the batches that are running.

mod plan;
mod rows;
mod workers;

use std::{collections::VecDeque, sync::Arc};

use embedkit_types::BatchOptions;

use self::workers::{Done, Job, Workers};
pub use self::{
    plan::{Grouping, plan},
    rows::{RowError, run_rows},
};

/// Inputs of the first window at most: early results soon.
const FIRST_WINDOW: usize = 512;
/// At most this many inputs are the caller's own work: no thread is started.
const SMALL: usize = 8;

/// What a family does with its inputs.
pub trait Step: Send + Sync + 'static {
    /// One input, such as a text.
    type Input: Send + 'static;
    /// One input made ready, such as its tokens.
    type Prepared: Send + 'static;
    /// One result.
    type Output: Send + 'static;
    /// What can go wrong.
    type Error: RowError;

    /// Inputs that one worker prepares at a time: fewer where one takes long, as an image does.
    const CHUNK: usize = 64;

    /// Windows that are read while one runs: more where a window is done in moments.
    const AHEAD: usize = 1;

    /// Makes one input ready.
    ///
    /// # Errors
    /// For this input; the others go on.
    fn prepare(&self, input: Self::Input) -> Result<Self::Prepared, Self::Error>;

    /// The length of a prepared input in a batch of its own.
    fn length(&self, prepared: &Self::Prepared) -> usize;

    /// Which inputs may share a batch.
    ///
    /// # Errors
    /// Those of loading the model, where that is done lazily.
    fn grouping(&self) -> Result<Grouping, Self::Error>;

    /// How many batches can run at once.
    ///
    /// # Errors
    /// Those of loading the model, where that is done lazily.
    fn lanes(&self) -> Result<usize, Self::Error>;

    /// Runs one batch: a result for each row, in order.
    ///
    /// # Errors
    /// For the whole batch, which is then [run again in halves](run_rows), or within the list for one
    /// row.
    fn run(&self, workload: Workload, batch: &[Self::Prepared]) -> RunResult<Self>;
}

/// What a batch is part of, which decides how the cores are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Alone, and somebody waits for it: all cores for it.
    Single,
    /// One of many: a core for each.
    Stream,
}

/// The result of one batch of a [`Step`].
pub type RunResult<S> =
    Result<Vec<Result<<S as Step>::Output, <S as Step>::Error>>, <S as Step>::Error>;

type Outcome<S> = Result<<S as Step>::Output, <S as Step>::Error>;

/// Lazy results in input order; see the [module](self).
pub struct Stream<S: Step, I> {
    step: Arc<S>,
    inputs: std::iter::Fuse<I>,
    options: BatchOptions,
    window: usize,
    opened: u64,
    workers: Option<Workers<S>>,
    /// In order of input; the first is the one whose results come next.
    windows: VecDeque<Window<S>>,
    ready: VecDeque<Outcome<S>>,
}

/// Inputs that are sorted together.
struct Window<S: Step> {
    id: u64,
    results: Vec<Option<Outcome<S>>>,
    prepared: Vec<Option<S::Prepared>>,
    preparing: usize,
    missing: usize,
}

impl<S: Step, I: Iterator<Item = S::Input>> Stream<S, I> {
    /// A stream over `inputs`, of which none is read yet.
    pub fn new(step: S, inputs: impl IntoIterator<IntoIter = I>, options: BatchOptions) -> Self {
        Self {
            step: Arc::new(step),
            inputs: inputs.into_iter().fuse(),
            window: options.window.get().min(FIRST_WINDOW),
            options,
            opened: 0,
            workers: None,
            windows: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// Reads the next window; `None` at the end of the input.
    fn read(&mut self) -> Option<Vec<S::Input>> {
        let inputs: Vec<_> = self.inputs.by_ref().take(self.window).collect();
        self.window = self.window.saturating_mul(2).min(self.options.window.get());
        (!inputs.is_empty()).then_some(inputs)
    }

    /// Whether this is all there is, and little: threads are not worth it then. Where the window is
    /// full, more may follow.
    fn is_small(&self, inputs: usize) -> bool {
        self.opened == 0 && inputs <= SMALL && inputs < self.options.window.get()
    }

    /// A window whose inputs are on their way to the workers.
    fn open(&mut self, inputs: Vec<S::Input>) -> Result<Window<S>, S::Error> {
        self.opened += 1;
        let id = self.opened;
        let window = Window {
            id,
            results: inputs.iter().map(|_| None).collect(),
            prepared: inputs.iter().map(|_| None).collect(),
            preparing: inputs.len(),
            missing: inputs.len(),
        };
        let workers = match &mut self.workers {
            Some(workers) => workers,
            none => none.insert(Workers::start(&self.step, self.step.lanes()?)?),
        };
        let mut inputs = inputs.into_iter();
        let mut start = 0;
        while start < window.results.len() {
            let inputs: Vec<_> = inputs.by_ref().take(S::CHUNK.max(1)).collect();
            let len = inputs.len();
            workers.push(Job::Prepare { window: id, start, inputs });
            start += len;
        }
        Ok(window)
    }

    /// The first window, if it is small: prepared and run here, batch by batch with all cores each,
    /// since threads, and the graph that suits them, cost more than a few texts.
    fn run_here(&mut self, inputs: Vec<S::Input>) -> Result<(), S::Error> {
        self.opened += 1;
        let mut window = Window {
            id: self.opened,
            results: inputs.iter().map(|_| None).collect(),
            prepared: Vec::new(),
            preparing: 0,
            missing: inputs.len(),
        };
        let prepared = workers::prepare(&*self.step, inputs).into_iter();
        window.prepared = prepared.enumerate().map(|(i, p)| window.keep(i, p)).collect();
        for (indices, rows) in window.batches(&*self.step, &self.options)? {
            let results = workers::run(&*self.step, Workload::Single, &rows);
            window.store(indices.into_iter().zip(results));
        }
        self.windows.push_back(window);
        Ok(())
    }

    /// Works until results are ready; `false` at the end of the input.
    fn advance(&mut self) -> Result<bool, S::Error> {
        if self.windows.is_empty() {
            let Some(inputs) = self.read() else { return Ok(false) };
            if self.is_small(inputs.len()) {
                self.run_here(inputs)?;
            } else {
                let window = self.open(inputs)?;
                self.windows.push_back(window);
            }
        }
        while self.windows.front().is_some_and(|window| window.missing > 0) {
            let waiting = self.windows.back().is_some_and(|window| window.preparing == 0);
            if waiting
                && self.windows.len() <= S::AHEAD
                && self.workers.is_some()
                && let Some(inputs) = self.read()
            {
                let window = self.open(inputs)?;
                self.windows.push_back(window);
            }
            self.receive()?;
        }
        if let Some(window) = self.windows.pop_front() {
            self.ready.extend(window.results.into_iter().flatten());
        }
        Ok(true)
    }

    /// Takes one message of the workers.
    fn receive(&mut self) -> Result<(), S::Error> {
        let Some(workers) = &self.workers else { return Ok(()) };
        let done = workers.receive()?;
        let id = match &done {
            Done::Prepared { window, .. } | Done::Run { window, .. } => *window,
        };
        let Some(window) = self.windows.iter_mut().find(|window| window.id == id) else {
            return Ok(());
        };
        match done {
            Done::Prepared { start, prepared, .. } => {
                window.preparing -= prepared.len();
                for (offset, prepared) in prepared.into_iter().enumerate() {
                    window.prepared[start + offset] = window.keep(start + offset, prepared);
                }
                if window.preparing == 0 {
                    for (indices, rows) in window.batches(&*self.step, &self.options)? {
                        workers.push(Job::Run { window: id, indices, rows });
                    }
                }
            }
            Done::Run { indices, results, .. } => window.store(indices.into_iter().zip(results)),
        }
        Ok(())
    }
}

impl<S: Step> Window<S> {
    /// What was prepared; an error becomes the input's result.
    fn keep(
        &mut self,
        index: usize,
        prepared: Result<S::Prepared, S::Error>,
    ) -> Option<S::Prepared> {
        prepared.map_err(|error| self.store([(index, Err(error))])).ok()
    }

    fn store(&mut self, results: impl IntoIterator<Item = (usize, Outcome<S>)>) {
        for (index, result) in results {
            self.missing -= usize::from(self.results[index].is_none());
            self.results[index] = Some(result);
        }
    }

    /// Batches of what was prepared, with the indices of their rows.
    #[expect(clippy::type_complexity, reason = "indices and rows of batches")]
    fn batches(
        &mut self,
        step: &S,
        options: &BatchOptions,
    ) -> Result<Vec<(Vec<usize>, Vec<S::Prepared>)>, S::Error> {
        let present = self.prepared.iter().enumerate();
        let (indices, lengths): (Vec<_>, Vec<_>) =
            present.filter_map(|(index, row)| Some((index, step.length(row.as_ref()?)))).unzip();
        if indices.is_empty() {
            return Ok(Vec::new());
        }
        let batches = plan(&lengths, step.grouping()?, options);
        let batches = batches.into_iter().map(|batch| {
            let indices: Vec<_> = batch.into_iter().map(|i| indices[i]).collect();
            let rows = indices.iter().filter_map(|&index| self.prepared[index].take()).collect();
            (indices, rows)
        });
        Ok(batches.collect())
    }
}

impl<S: Step, I: Iterator<Item = S::Input>> Iterator for Stream<S, I> {
    type Item = Outcome<S>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(result) = self.ready.pop_front() {
                return Some(result);
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(self.fail(error))),
            }
        }
    }
}

impl<S: Step, I> Stream<S, I> {
    /// Ends the stream after an error that concerns no single input, such as a model that cannot be
    /// loaded.
    fn fail(&mut self, error: S::Error) -> S::Error {
        self.workers = None;
        self.windows.clear();
        self.window = 0;
        error
    }
}

impl<S: Step, I> std::fmt::Debug for Stream<S, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("window", &self.window).finish_non_exhaustive()
    }
}
