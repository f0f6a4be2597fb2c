//! The long-lived threads of one model, which run everybody's rows.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    ops::AddAssign,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use embedkit_types::{BatchOptions, Error};

use super::{
    Capacity, Class, Outcome, Pending, QueueOptions, Step, Stream, Ticket, Workload,
    queue::{Chunk, Limits, Queue, Row, Terms, TicketId, Unprepared},
    rate::Rate,
    rows::{catching, run_rows},
    ticket::{Inbox, Spent},
};
use crate::{
    error::Error as CoreError,
    sync::{
        Condvar, Mutex, MutexGuard, now,
        thread::{self, JoinHandle},
    },
};

/// Full batches of each lane that may wait where the options set no other bound: work for seconds.
const WAITING_BATCHES: usize = 64;

/// Most rows of a batch, unless the caller says otherwise.
const ROWS: usize = 256;

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
    /// There is work, a lane is free, or the engine is closed. Work wakes one thread, which wakes the next one where
    /// there is more: to wake all of them would cost as many calls of the system as the machine has cores.
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
    /// Callers who wait for room, by class, in order of arrival.
    submitters: [VecDeque<Submitter>; 2],
    lanes: usize,
    free: usize,
    rate: Rate,
}

/// The load of an engine by bounded tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Tokens that have room in the queue and have not begun to run.
    pub tokens: usize,
    /// Callers who wait for room.
    pub callers: usize,
}

/// A caller who waits for room in the queue.
struct Submitter {
    /// Notified when its turn may have come.
    turn: Arc<Condvar>,
    tokens: usize,
}

impl AddAssign for Depth {
    fn add_assign(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.callers += other.callers;
    }
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

    /// A ticket without inputs, for a stream: its windows bound what waits, in place of the queue's
    /// room.
    ///
    /// # Errors
    /// Those of loading the model, where that is done lazily, and [`CoreError::Thread`].
    pub fn open(&self, class: Class) -> Result<Ticket<S>, Error> {
        self.start()?;
        let mut state = self.handle.shared.state();
        let terms = Terms { class, deadline: None, bounded: false };
        let (id, inbox) = state.running()?.open(terms);
        drop(state);
        Ok(Ticket::new(self.clone(), id, inbox, None))
    }

    /// A ticket for these inputs. Waits, behind those who came before, while the queue is full.
    ///
    /// The queue has room for so many tokens of each class ([`BatchOptions`]), where inputs that are
    /// not prepared yet count by their [estimate](Step::estimate). More inputs than there is ever room
    /// for wait until nothing else of their class does. [Streams](Self::stream) take no room.
    ///
    /// Inputs that have not begun to run at the deadline get [`CoreError::DeadlinePassed`] as their
    /// result; a caller who waits for the ticket has it then.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`CoreError::DeadlinePassed`] where there is no room until then.
    pub fn submit(
        &self,
        inputs: Vec<S::Input>,
        class: Class,
        deadline: Option<Instant>,
    ) -> Result<Ticket<S>, Error> {
        self.start()?;
        let shared = &*self.handle.shared;
        let (inputs, tokens) = shared.estimated(inputs);
        let turn = Arc::new(Condvar::new());
        let mut state = shared.state();
        let submitter = Submitter { turn: Arc::clone(&turn), tokens };
        state.running()?.submitters[class as usize].push_back(submitter);
        loop {
            let running = state.running()?;
            let submitters = &mut running.submitters[class as usize];
            let is_me = |submitter: &Submitter| Arc::ptr_eq(&submitter.turn, &turn);
            let left = deadline.map(|deadline| deadline.saturating_duration_since(now()));
            if submitters.front().is_some_and(is_me) && running.queue.has_room(class, tokens) {
                submitters.pop_front();
                return Ok(self.admit(state, inputs, class, deadline)?);
            }
            state = match left {
                None => turn.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => {
                    submitters.retain(|submitter| !is_me(submitter));
                    running.wake_submitters();
                    return Err(CoreError::DeadlinePassed.into());
                }
                Some(left) => {
                    turn.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// As [`submit`](Self::submit), but never waits.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`CoreError::Busy`] where there is no room.
    pub fn try_submit(
        &self,
        inputs: Vec<S::Input>,
        class: Class,
        deadline: Option<Instant>,
    ) -> Result<Ticket<S>, Error> {
        self.start()?;
        let shared = &*self.handle.shared;
        let (inputs, tokens) = shared.estimated(inputs);
        let mut state = shared.state();
        let running = state.running()?;
        let before: usize = running.submitters[class as usize].iter().map(|one| one.tokens).sum();
        let excess = running.queue.excess(class, before.saturating_add(tokens));
        if excess > 0 || before > 0 {
            let retry_after = running.rate.time(excess.saturating_add(before), running.lanes);
            return Err(CoreError::Busy { retry_after }.into());
        }
        Ok(self.admit(state, inputs, class, deadline)?)
    }

    /// Results of inputs whose place in the queue is a caller's choice.
    ///
    /// # Errors
    /// Those of [`submit`](Self::submit), or of [`try_submit`](Self::try_submit) without waiting.
    pub fn pending(
        &self,
        inputs: Vec<S::Input>,
        options: QueueOptions,
    ) -> Result<Pending<S::Output>, Error> {
        let QueueOptions { class, deadline, wait } = options;
        let ticket = if wait {
            self.submit(inputs, class, deadline)?
        } else {
            self.try_submit(inputs, class, deadline)?
        };
        Ok(ticket.into())
    }

    /// Load of a class by bounded tickets, for monitoring; streams are not in it.
    #[must_use]
    pub fn depth(&self, class: Class) -> Depth {
        let depth = |running: &mut Running<S>| {
            let tokens = running.queue.waiting(class);
            Depth { tokens, callers: running.submitters[class as usize].len() }
        };
        self.handle.shared.with(depth).unwrap_or_default()
    }

    /// A bounded ticket for inputs that have room.
    fn admit(
        &self,
        mut state: MutexGuard<'_, State<S>>,
        inputs: Vec<Unprepared<S::Input>>,
        class: Class,
        deadline: Option<Instant>,
    ) -> Result<Ticket<S>, CoreError> {
        let running = state.running()?;
        let (id, inbox) = running.open(Terms { class, deadline, bounded: true });
        let mut ticket = Ticket::new(self.clone(), id, inbox, deadline);
        ticket.expect(inputs.len());
        running.queue.push(id, inputs);
        // There may be room for the next one, too.
        running.wake_submitters();
        drop(state);
        self.handle.shared.changed.notify_one();
        Ok(ticket)
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
            Some(_permits) => results.extend(shared.run_here(rows)?),
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

    /// Another window of a ticket that the queue does not bound.
    pub(super) fn push(&self, ticket: TicketId, inputs: impl Iterator<Item = (usize, S::Input)>) {
        let shared = &self.handle.shared;
        let inputs = inputs.map(|(index, input)| Unprepared { index, input, estimate: 0 });
        shared.with(|running| running.queue.push(ticket, inputs));
        shared.changed.notify_one();
    }

    pub(super) fn push_rows(&self, rows: impl Iterator<Item = Row<S::Prepared>>) {
        let shared = &self.handle.shared;
        shared.with(|running| rows.for_each(|row| running.queue.add(0, row)));
        shared.changed.notify_one();
    }

    /// Gives up what has not begun to run at its deadline.
    pub(super) fn expire(&self) {
        let expired = self.handle.shared.with(Running::expire);
        expired.into_iter().flatten().for_each(Expired::deliver);
    }

    pub(super) fn close(&self, ticket: TicketId) {
        self.handle.shared.with(|running| {
            running.queue.close(ticket);
            running.inboxes.remove(&ticket);
            running.wake_submitters();
        });
    }

    /// Starts the threads, unless they run.
    fn start(&self) -> Result<(), Error> {
        let shared = &self.handle.shared;
        if shared.state().running.is_some() {
            return Ok(());
        }
        // Outside the lock: it may load the model, which the step does once.
        let capacity = shared.step.capacity()?;
        let lanes = capacity.lanes.max(1);
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
        state.running = Some(Running {
            queue: Queue::new(shared.limits(Capacity { lanes, ..capacity })),
            inboxes: HashMap::new(),
            submitters: Default::default(),
            lanes,
            free: lanes,
            rate: Rate::default(),
        });
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

    fn limits(&self, capacity: Capacity) -> Limits {
        let BatchOptions { rows, tokens, window, queue } = self.options;
        let tokens = tokens.unwrap_or(capacity.tokens);
        let waiting = queue.unwrap_or(match tokens {
            // Images, of which each has a length of 1 and much memory: as many as a stream has.
            usize::MAX => window.saturating_mul(2),
            tokens => tokens.saturating_mul(capacity.lanes).saturating_mul(WAITING_BATCHES),
        });
        Limits { rows: rows.unwrap_or(ROWS), tokens, lanes: capacity.lanes, waiting }
    }

    /// Inputs with the tokens that they are expected to have, at least one each, and their sum.
    fn estimated(&self, inputs: Vec<S::Input>) -> (Vec<Unprepared<S::Input>>, usize) {
        let mut tokens = 0;
        let estimated = |(index, input)| {
            let estimate = self.step.estimate(&input).max(1);
            tokens += estimate;
            Unprepared { index, input, estimate }
        };
        (inputs.into_iter().enumerate().map(estimated).collect(), tokens)
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
    fn run_here(&self, rows: Vec<Row<S::Prepared>>) -> Result<Vec<(usize, Outcome<S>)>, Error> {
        let mut results = Vec::with_capacity(rows.len());
        let capacity = Capacity { lanes: 1, ..self.step.capacity()? };
        let mut queue = Queue::<S::Input, _>::new(self.limits(capacity));
        let class = Class::Interactive;
        let ticket = queue.open(Terms { class, deadline: None, bounded: false });
        rows.into_iter().for_each(|row| queue.add(0, Row { ticket, ..row }));
        while let Some(batch) = queue.next_batch() {
            let (indices, rows): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|row| (row.index, row.prepared)).unzip();
            results.extend(indices.into_iter().zip(self.run(Workload::Single, &rows)));
        }
        Ok(results)
    }

    fn run(&self, workload: Workload, rows: &[S::Prepared]) -> Vec<Outcome<S>> {
        run_rows(rows, |rows| self.step.run(workload, rows))
    }

    /// A thread of the engine.
    fn work(&self) {
        while let Some(job) = self.next_job() {
            match job {
                Job::Expire(expired) => expired.into_iter().for_each(Expired::deliver),
                Job::Prepare { chunk, inbox } => {
                    inbox.trace(|| self.prepare(chunk, &inbox));
                }
                Job::Run { workload, batch, anchor, permits } => {
                    let start = now();
                    let tokens = batch.iter().map(|row| row.length).sum();
                    let (places, rows): (Vec<_>, Vec<_>) = batch
                        .into_iter()
                        .map(|row| ((row.ticket, row.index), row.prepared))
                        .unzip();
                    let results = anchor.trace(|| self.run(workload, &rows));
                    let (lanes, time) = (permits.count, now().saturating_duration_since(start));
                    self.with(|running| running.rate.add(tokens, lanes, time));
                    drop(permits);
                    self.deliver(places.into_iter().zip(results), time);
                }
            }
        }
    }

    /// Waits for work, and wakes a thread for what is left; `None` when the engine is closed.
    fn next_job(&self) -> Option<Job<'_, S>> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(running) = &mut state.running
                && let Some(job) = self.take_job(running)
            {
                let more = running.has_work();
                drop(state);
                if more {
                    self.changed.notify_one();
                }
                return Some(job);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn take_job(&self, running: &mut Running<S>) -> Option<Job<'_, S>> {
        let expired = running.expire();
        if !expired.is_empty() {
            return Some(Job::Expire(expired));
        }
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
            running.wake_submitters();
            let permits = Permits { shared: self, count, lone: false };
            return Some(Job::Run { workload, batch, anchor, permits });
        }
        let chunk = running.queue.next_inputs(S::CHUNK)?;
        let inbox = running.inbox(chunk.ticket)?;
        Some(Job::Prepare { chunk, inbox })
    }

    /// Makes inputs ready, each by itself.
    fn prepare(&self, chunk: Chunk<S::Input>, inbox: &Inbox<Outcome<S>>) {
        let Chunk { ticket, window, deadline, inputs } = chunk;
        // Not the clock of deadlines, which a test steps whenever it is asked.
        let start = Instant::now();
        let _span = tracing::debug_span!("tokenise", inputs = inputs.len()).entered();
        let mut rows = Vec::with_capacity(inputs.len());
        let mut failed = Vec::new();
        let mut estimates = 0;
        for Unprepared { index, input, estimate } in inputs {
            estimates += estimate;
            let prepare = || {
                if deadline.is_some_and(|deadline| deadline <= now()) {
                    return Err(CoreError::DeadlinePassed.into());
                }
                self.row(ticket, index, self.step.prepare(input)?)
            };
            match catching(prepare) {
                Ok(row) => rows.push(row),
                Err(error) => failed.push((index, Err(error))),
            }
        }
        inbox.spend(Spent { preparing: start.elapsed(), ..Spent::default() });
        self.with(|running| {
            running.queue.leave(ticket, estimates);
            rows.into_iter().for_each(|row| running.queue.add(window, row));
            running.wake_submitters();
        });
        // This thread looks for work next. Where it has failures to deliver first, the caller's waker may take its time.
        if !failed.is_empty() {
            self.changed.notify_one();
            inbox.put(failed);
        }
    }

    /// Puts results into the inboxes of their tickets; those of tickets that are gone are dropped.
    fn deliver(
        &self,
        results: impl Iterator<Item = ((TicketId, usize), Outcome<S>)>,
        running: Duration,
    ) {
        let mut by_ticket: BTreeMap<TicketId, Vec<(usize, Outcome<S>)>> = BTreeMap::new();
        for ((ticket, index), result) in results {
            by_ticket.entry(ticket).or_default().push((index, result));
        }
        for (ticket, results) in by_ticket {
            if let Some(inbox) = self.with(|running| running.inbox(ticket)).flatten() {
                inbox.spend(Spent { running, ..Spent::default() });
                inbox.put(results);
            }
        }
    }
}

impl<S: Step> State<S> {
    /// The queue and its lanes, which are there as long as there is an engine that was started.
    fn running(&mut self) -> Result<&mut Running<S>, CoreError> {
        let gone = || CoreError::Defect { reason: "no engine".to_owned() };
        self.running.as_mut().ok_or_else(gone)
    }
}

impl<S: Step> Running<S> {
    fn is_idle(&self) -> bool {
        self.free == self.lanes && self.queue.is_empty()
    }

    /// True where a thread that waits has something to do.
    fn has_work(&self) -> bool {
        self.queue.has_inputs() || self.free > 0 && self.queue.has_rows()
    }

    fn open(&mut self, terms: Terms) -> (TicketId, Arc<Inbox<Outcome<S>>>) {
        let (id, inbox) = (self.queue.open(terms), Arc::new(Inbox::new()));
        self.inboxes.insert(id, Arc::clone(&inbox));
        (id, inbox)
    }

    fn inbox(&self, ticket: TicketId) -> Option<Arc<Inbox<Outcome<S>>>> {
        self.inboxes.get(&ticket).map(Arc::clone)
    }

    /// Wakes those who wait for room and whose turn it is.
    fn wake_submitters(&self) {
        for submitter in self.submitters.iter().filter_map(VecDeque::front) {
            submitter.turn.notify_one();
        }
    }

    /// Takes out what has not begun to run at its deadline. Without deadlines the clock is not asked.
    fn expire(&mut self) -> Vec<Expired<S>> {
        if self.queue.next_deadline().is_none_or(|deadline| deadline > now()) {
            return Vec::new();
        }
        let expired = self.queue.expire(now()).into_iter();
        let expired = expired
            .filter_map(|(ticket, indices)| Some(Expired { inbox: self.inbox(ticket)?, indices }))
            .collect();
        self.wake_submitters();
        expired
    }
}

/// Inputs of a ticket whose deadline has passed.
struct Expired<S: Step> {
    inbox: Arc<Inbox<Outcome<S>>>,
    indices: Vec<usize>,
}

impl<S: Step> Expired<S> {
    fn deliver(self) {
        let failed = |index| (index, Err(CoreError::DeadlinePassed.into()));
        self.inbox.put(self.indices.into_iter().map(failed));
    }
}

/// Work for a thread.
enum Job<'a, S: Step> {
    Expire(Vec<Expired<S>>),
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
        let mut more = false;
        if let Some(running) = &mut state.running {
            running.free += self.count;
            more = running.has_work();
        }
        drop(state);
        if more {
            self.shared.changed.notify_one();
        }
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
