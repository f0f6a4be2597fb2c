//! The long-lived threads of one model, which run everybody's rows.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use embedkit_types::{BatchOptions, Error};

use super::{
    Class, Outcome, Step, Stream, Ticket, Workload,
    queue::{Chunk, Limits, Queue, Row, TicketId},
    rows::{catching, run_rows},
    ticket::Inbox,
};
use crate::error::Error as CoreError;

/// Most rows of a batch, unless the caller says otherwise.
const ROWS: usize = 256;
/// Most padded tokens of a batch, unless the caller says otherwise: they suit the caches of a CPU.
const TOKENS: usize = 256;

/// A model's threads and its queue; a clone is the same engine.
///
/// Threads, one for each lane and one more, which prepares inputs while the lanes run, start with the
/// first work and end with the last clone. A few inputs for an idle engine are prepared and run on the
/// caller's thread, with all cores: threads, and the graph that suits them, cost more than a few texts.
pub struct Engine<S: Step> {
    handle: Arc<Handle<S>>,
}

/// Ends the threads when the last engine goes. The threads themselves have the rest.
struct Handle<S: Step> {
    shared: Arc<Shared<S>>,
}

struct Shared<S: Step> {
    step: S,
    options: BatchOptions,
    state: Mutex<State<S>>,
    /// There is work, a lane is free, or the engine is closed.
    changed: Condvar,
}

struct State<S: Step> {
    threads: Vec<JoinHandle<()>>,
    /// `None` until there is work for the threads.
    running: Option<Running<S>>,
    /// A caller's thread has all cores.
    lone: bool,
    closed: bool,
}

struct Running<S: Step> {
    queue: Queue<S::Input, S::Prepared>,
    inboxes: HashMap<TicketId, Arc<Inbox<Outcome<S>>>>,
    lanes: usize,
    free: usize,
}

impl<S: Step> Engine<S> {
    /// An engine without threads yet.
    pub fn new(step: S, options: BatchOptions) -> Self {
        let state = State { threads: Vec::new(), running: None, lone: false, closed: false };
        let state = Mutex::new(state);
        let shared = Shared { step, options, state, changed: Condvar::new() };
        Self { handle: Arc::new(Handle { shared: Arc::new(shared) }) }
    }

    /// The step that the engine takes its inputs through.
    #[must_use]
    pub fn step(&self) -> &S {
        &self.handle.shared.step
    }

    /// Results for `inputs`, lazily and in their order.
    pub fn stream<I: IntoIterator<Item = S::Input>>(&self, inputs: I) -> Stream<S, I::IntoIter> {
        Stream::new(self.clone(), inputs.into_iter())
    }

    /// A ticket without inputs.
    ///
    /// # Errors
    /// Those of loading the model, where that is done lazily, and [`CoreError::Thread`].
    pub fn open(&self, class: Class) -> Result<Ticket<S>, Error> {
        self.start()?;
        let inbox = Arc::new(Inbox::new());
        let opened = self.handle.shared.with(|running| {
            let id = running.queue.open(class);
            running.inboxes.insert(id, Arc::clone(&inbox));
            id
        });
        // Started above, and open as long as there is an engine.
        let id = opened.ok_or_else(|| CoreError::Defect { reason: "no engine".to_owned() })?;
        Ok(Ticket::new(self.clone(), id, inbox))
    }

    /// Results for a few inputs that somebody waits for.
    ///
    /// # Errors
    /// As [`open`](Self::open); errors of one input are within the list.
    pub fn run_few(&self, inputs: Vec<S::Input>) -> Result<Vec<Outcome<S>>, Error> {
        let shared = &*self.handle.shared;
        let mut results: BTreeMap<usize, Outcome<S>> = BTreeMap::new();
        let mut rows = Vec::with_capacity(inputs.len());
        {
            let _span = tracing::debug_span!("tokenise", inputs = inputs.len()).entered();
            for (index, input) in inputs.into_iter().enumerate() {
                match catching(|| shared.step.prepare(input)) {
                    Ok(row) => rows.push((index, row)),
                    Err(error) => _ = results.insert(index, Err(error)),
                }
            }
        }
        let rows = rows.into_iter().map(|(index, row)| shared.row(0, index, row));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        match shared.all_lanes() {
            _ if rows.is_empty() => {}
            Some(_permits) => results.extend(shared.run_here(rows)),
            None => {
                let indices: Vec<_> = rows.iter().map(|row| row.index).collect();
                let mut ticket = self.open(Class::Interactive)?;
                ticket.push_rows(rows);
                results.extend(indices.into_iter().zip(ticket));
            }
        }
        Ok(results.into_values().collect())
    }

    /// Inputs of a window at most.
    pub(super) fn window(&self) -> usize {
        self.handle.shared.options.window
    }

    pub(super) fn push(&self, ticket: TicketId, inputs: impl Iterator<Item = (usize, S::Input)>) {
        let shared = &self.handle.shared;
        shared.with(|running| running.queue.push(ticket, inputs));
        shared.changed.notify_all();
    }

    pub(super) fn push_rows(&self, rows: impl Iterator<Item = Row<S::Prepared>>) {
        let shared = &self.handle.shared;
        shared.with(|running| rows.for_each(|row| running.queue.add(0, row)));
        shared.changed.notify_all();
    }

    pub(super) fn close(&self, ticket: TicketId) {
        self.handle.shared.with(|running| {
            running.queue.close(ticket);
            running.inboxes.remove(&ticket);
        });
    }

    /// Starts the threads, unless they run.
    fn start(&self) -> Result<(), Error> {
        let shared = &self.handle.shared;
        if shared.state().running.is_some() {
            return Ok(());
        }
        // Outside the lock: it may load the model, which the step does once.
        let lanes = shared.step.lanes()?.max(1);
        let mut state = shared.state();
        if state.running.is_some() {
            return Ok(());
        }
        // Threads that started before one that could not be had wait for the next attempt.
        while state.threads.len() <= lanes {
            let (worker, started) = (Arc::clone(shared), state.threads.len());
            let thread = thread::Builder::new().name(format!("embedkit-{started}"));
            let thread = thread.spawn(move || worker.work()).map_err(|source| {
                let source = Arc::new(source);
                CoreError::Thread { started, wanted: lanes + 1, source }
            })?;
            state.threads.push(thread);
        }
        let (queue, inboxes) = (Queue::new(shared.limits(lanes)), HashMap::new());
        state.running = Some(Running { queue, inboxes, lanes, free: lanes });
        Ok(())
    }
}

impl<S: Step> Shared<S> {
    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` before the first work.
    fn with<R>(&self, work: impl FnOnce(&mut Running<S>) -> R) -> Option<R> {
        self.state().running.as_mut().map(work)
    }

    fn limits(&self, lanes: usize) -> Limits {
        let BatchOptions { rows, tokens, .. } = self.options;
        Limits { rows: rows.unwrap_or(ROWS), tokens: tokens.unwrap_or(TOKENS), lanes }
    }

    fn row(
        &self,
        ticket: TicketId,
        index: usize,
        prepared: S::Prepared,
    ) -> Result<Row<S::Prepared>, Error> {
        let (pool, length) = (self.step.pool(&prepared)?, self.step.length(&prepared));
        Ok(Row { ticket, index, pool, length, prepared })
    }

    /// All lanes for a caller's thread, if the engine is idle.
    fn all_lanes(&self) -> Option<Permits<'_, S>> {
        let mut state = self.state();
        if state.lone || state.running.as_ref().is_some_and(|running| !running.is_idle()) {
            return None;
        }
        state.lone = true;
        let count = state.running.as_mut().map_or(0, |running| std::mem::take(&mut running.free));
        Some(Permits { shared: self, count, lone: true })
    }

    /// Runs rows on this thread, batch by batch, with all cores each.
    fn run_here(&self, rows: Vec<Row<S::Prepared>>) -> Vec<(usize, Outcome<S>)> {
        let mut results = Vec::with_capacity(rows.len());
        let mut queue = Queue::<S::Input, _>::new(self.limits(1));
        let ticket = queue.open(Class::Interactive);
        rows.into_iter().for_each(|row| queue.add(0, Row { ticket, ..row }));
        while let Some(batch) = queue.next_batch() {
            let (indices, rows): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|row| (row.index, row.prepared)).unzip();
            results.extend(indices.into_iter().zip(self.run(Workload::Single, &rows)));
        }
        results
    }

    fn run(&self, workload: Workload, rows: &[S::Prepared]) -> Vec<Outcome<S>> {
        run_rows(rows, |rows| self.step.run(workload, rows))
    }

    /// A thread of the engine.
    fn work(&self) {
        while let Some(job) = self.next_job() {
            match job {
                Job::Prepare { chunk, inbox } => {
                    inbox.trace(|| self.prepare(chunk, &inbox));
                }
                Job::Run { workload, batch, anchor, permits } => {
                    let (places, rows): (Vec<_>, Vec<_>) = batch
                        .into_iter()
                        .map(|row| ((row.ticket, row.index), row.prepared))
                        .unzip();
                    let results = anchor.trace(|| self.run(workload, &rows));
                    drop(permits);
                    self.deliver(places.into_iter().zip(results));
                }
            }
        }
    }

    /// Waits for work; `None` when the engine is closed.
    fn next_job(&self) -> Option<Job<'_, S>> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(running) = &mut state.running {
                // Running comes first, so that no lane is free while there is something to run.
                if running.free > 0
                    && let Some(batch) = running.queue.next_batch()
                    && let Some(anchor) = running.inbox(batch[0].ticket)
                {
                    let alone = running.free == running.lanes && running.queue.is_empty();
                    // The last row of a stream is not worth a graph of another shape.
                    let (workload, count) = match running.queue.class(batch[0].ticket) {
                        Some(Class::Interactive) if alone && batch.len() == 1 => {
                            (Workload::Single, running.lanes)
                        }
                        _ => (Workload::Stream, 1),
                    };
                    running.free -= count;
                    let permits = Permits { shared: self, count, lone: false };
                    return Some(Job::Run { workload, batch, anchor, permits });
                }
                if let Some(chunk) = running.queue.next_inputs(S::CHUNK)
                    && let Some(inbox) = running.inbox(chunk.ticket)
                {
                    return Some(Job::Prepare { chunk, inbox });
                }
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Makes inputs ready, each by itself.
    fn prepare(&self, chunk: Chunk<S::Input>, inbox: &Inbox<Outcome<S>>) {
        let Chunk { ticket, window, inputs } = chunk;
        let _span = tracing::debug_span!("tokenise", inputs = inputs.len()).entered();
        let mut rows = Vec::with_capacity(inputs.len());
        let mut failed = Vec::new();
        for (index, input) in inputs {
            let prepare = || self.row(ticket, index, self.step.prepare(input)?);
            match catching(prepare) {
                Ok(row) => rows.push(row),
                Err(error) => failed.push((index, Err(error))),
            }
        }
        self.with(|running| rows.into_iter().for_each(|row| running.queue.add(window, row)));
        self.changed.notify_all();
        if !failed.is_empty() {
            inbox.put(failed);
        }
    }

    /// Puts results into the inboxes of their tickets; those of tickets that are gone are dropped.
    fn deliver(&self, results: impl Iterator<Item = ((TicketId, usize), Outcome<S>)>) {
        let mut by_ticket: BTreeMap<TicketId, Vec<(usize, Outcome<S>)>> = BTreeMap::new();
        for ((ticket, index), result) in results {
            by_ticket.entry(ticket).or_default().push((index, result));
        }
        for (ticket, results) in by_ticket {
            if let Some(inbox) = self.with(|running| running.inbox(ticket)).flatten() {
                inbox.put(results);
            }
        }
    }
}

impl<S: Step> Running<S> {
    fn is_idle(&self) -> bool {
        self.free == self.lanes && self.queue.is_empty()
    }

    fn inbox(&self, ticket: TicketId) -> Option<Arc<Inbox<Outcome<S>>>> {
        self.inboxes.get(&ticket).map(Arc::clone)
    }
}

/// Work for a thread.
enum Job<'a, S: Step> {
    Prepare {
        chunk: Chunk<S::Input>,
        inbox: Arc<Inbox<Outcome<S>>>,
    },
    Run {
        workload: Workload,
        batch: Vec<Row<S::Prepared>>,
        /// Of the ticket whose turn it is.
        anchor: Arc<Inbox<Outcome<S>>>,
        permits: Permits<'a, S>,
    },
}

/// Lanes, which are free again when dropped.
struct Permits<'a, S: Step> {
    shared: &'a Shared<S>,
    count: usize,
    /// They are those of a caller's thread.
    lone: bool,
}

impl<S: Step> Drop for Permits<'_, S> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.lone &= !self.lone;
        if let Some(running) = &mut state.running {
            running.free += self.count;
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl<S: Step> Drop for Handle<S> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        let _running = state.running.take();
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        self.shared.changed.notify_all();
        for thread in threads {
            // The last clone may go on a thread of the engine, with a result that it drops.
            if thread.thread().id() != thread::current().id() {
                // A thread that panicked has nothing left to say.
                let _ = thread.join();
            }
        }
    }
}

impl<S: Step> Clone for Engine<S> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<S: Step + fmt::Debug> fmt::Debug for Engine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("step", self.step()).finish_non_exhaustive()
    }
}
