//! Threads that prepare inputs and run batches for one stream.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
};

use super::{
    Step, Workload,
    rows::{catching, run_rows},
};
use crate::error::Error;

/// Work for a thread.
pub(super) enum Job<S: Step> {
    Prepare { window: u64, start: usize, inputs: Vec<S::Input> },
    Run { window: u64, indices: Vec<usize>, rows: Vec<S::Prepared> },
}

/// Work that is done.
pub(super) enum Done<S: Step> {
    Prepared { window: u64, start: usize, prepared: Vec<Result<S::Prepared, S::Error>> },
    Run { window: u64, indices: Vec<usize>, results: Vec<Result<S::Output, S::Error>> },
}

/// The threads of one stream; dropping it lets them finish what they are at and ends them.
pub(super) struct Workers<S: Step> {
    queue: Arc<Queue<S>>,
    done: mpsc::Receiver<Done<S>>,
    threads: Vec<JoinHandle<()>>,
}

struct Queue<S: Step> {
    jobs: Mutex<Jobs<S>>,
    changed: Condvar,
}

struct Jobs<S: Step> {
    prepare: VecDeque<Job<S>>,
    /// Running comes first, so that no lane is free while there is something to run; one thread more
    /// than there are lanes is left to prepare what comes next.
    run: VecDeque<Job<S>>,
    /// Lanes that are free; a thread without one would only wait inside the session.
    lanes: usize,
    closed: bool,
}

impl<S: Step> Workers<S> {
    /// Starts one thread per lane and one more, which prepares while the lanes run.
    pub(super) fn start(step: &Arc<S>, lanes: usize) -> Result<Self, S::Error> {
        let (send, done) = mpsc::channel();
        let jobs = Jobs { prepare: VecDeque::new(), run: VecDeque::new(), lanes, closed: false };
        let queue = Arc::new(Queue { jobs: Mutex::new(jobs), changed: Condvar::new() });
        let mut workers = Self { queue, done, threads: Vec::with_capacity(lanes + 1) };
        for number in 0..=lanes {
            let (step, queue, send) = (Arc::clone(step), Arc::clone(&workers.queue), send.clone());
            // The caller's span and subscriber, so that the work shows up where it belongs.
            let dispatch = tracing::dispatcher::get_default(Clone::clone);
            let span = tracing::Span::current();
            let work = move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    span.in_scope(|| work(&*step, &queue, &send));
                });
            };
            let thread = std::thread::Builder::new().name(format!("embedkit-{number}"));
            workers.threads.push(thread.spawn(work).map_err(|error| Error::Thread {
                started: number,
                wanted: lanes + 1,
                source: Arc::new(error),
            })?);
        }
        Ok(workers)
    }

    pub(super) fn push(&self, job: Job<S>) {
        let mut jobs = self.queue.jobs();
        match job {
            Job::Prepare { .. } => jobs.prepare.push_back(job),
            Job::Run { .. } => jobs.run.push_back(job),
        }
        drop(jobs);
        self.queue.changed.notify_one();
    }

    pub(super) fn receive(&self) -> Result<Done<S>, Error> {
        // Threads catch panics and only end when the queue is closed.
        self.done
            .recv()
            .map_err(|_| Error::Defect { reason: "all worker threads are gone".to_owned() })
    }
}

impl<S: Step> Drop for Workers<S> {
    fn drop(&mut self) {
        let mut jobs = self.queue.jobs();
        jobs.closed = true;
        jobs.prepare.clear();
        jobs.run.clear();
        drop(jobs);
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to say.
            let _ = thread.join();
        }
    }
}

impl<S: Step> Queue<S> {
    fn jobs(&self) -> MutexGuard<'_, Jobs<S>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, with a lane if it is a run; `None` when the queue is closed.
    fn pop(&self) -> Option<Job<S>> {
        let mut jobs = self.jobs();
        loop {
            if jobs.closed {
                return None;
            }
            if jobs.lanes > 0
                && let Some(job) = jobs.run.pop_front()
            {
                jobs.lanes -= 1;
                return Some(job);
            }
            if let Some(job) = jobs.prepare.pop_front() {
                return Some(job);
            }
            jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_lane_back(&self) {
        self.jobs().lanes += 1;
        self.changed.notify_one();
    }
}

fn work<S: Step>(step: &S, queue: &Queue<S>, send: &mpsc::Sender<Done<S>>) {
    while let Some(job) = queue.pop() {
        let done = match job {
            Job::Prepare { window, start, inputs } => {
                Done::Prepared { window, start, prepared: prepare(step, inputs) }
            }
            Job::Run { window, indices, rows } => {
                let results = run(step, Workload::Stream, &rows);
                queue.give_lane_back();
                Done::Run { window, indices, results }
            }
        };
        if send.send(done).is_err() {
            return; // the stream is gone
        }
    }
}

/// Makes inputs ready, each by itself.
pub(super) fn prepare<S: Step>(
    step: &S,
    inputs: Vec<S::Input>,
) -> Vec<Result<S::Prepared, S::Error>> {
    let _span = tracing::debug_span!("tokenise", inputs = inputs.len()).entered();
    inputs.into_iter().map(|input| catching(|| step.prepare(input))).collect()
}

/// Runs one batch: a result for each of its rows.
pub(super) fn run<S: Step>(
    step: &S,
    workload: Workload,
    rows: &[S::Prepared],
) -> Vec<Result<S::Output, S::Error>> {
    run_rows(rows, |rows| step.run(workload, rows))
}
