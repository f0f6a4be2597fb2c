//! The hand-offs of the engine under a scheduler that tries interleavings: each row exactly once, and
//! nobody waits for ever, whatever callers drop, whatever fails, and in whatever order threads run.
//!
//! A failure prints a schedule, which `shuttle::replay` runs again.

use std::{
    panic::resume_unwind,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use embedkit_types::{BatchOptions, Error, ErrorKind};
use shuttle::{
    Config, Runner,
    future::block_on,
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
    thread,
};

use super::{Capacity, Class, Engine, Grouping, Outcome, Pool, RunResult, Step, Ticket, Workload};
use crate::{Error as CoreError, sync::now};

const CALLERS: usize = 3;
/// Inputs of one caller at most.
const INPUTS: usize = 12;

/// Counts what runs, and fails for some inputs.
#[derive(Debug)]
struct Counting {
    lanes: usize,
    done: Vec<AtomicUsize>,
}

/// The outcome of an input, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    FailsToPrepare,
    FailsToRun,
    Panics,
}

fn fate(input: usize) -> Fate {
    match input % 11 {
        3 => Fate::FailsToPrepare,
        5 => Fate::FailsToRun,
        8 => Fate::Panics,
        _ => Fate::Good,
    }
}

fn failure() -> Error {
    CoreError::Tokenize { reason: "unlucky".to_owned() }.into()
}

impl Step for Counting {
    type Input = usize;
    type Prepared = usize;
    type Output = usize;

    const CHUNK: usize = 2;

    fn prepare(&self, input: usize) -> Result<usize, Error> {
        thread::yield_now();
        if fate(input) == Fate::FailsToPrepare { Err(failure()) } else { Ok(input) }
    }

    fn estimate(&self, _: &usize) -> usize {
        2
    }

    fn length(&self, input: &usize) -> usize {
        input % 4
    }

    fn pool(&self, _: &usize) -> Result<Pool, Error> {
        Ok(Pool::new(Grouping::Any))
    }

    fn capacity(&self) -> Result<Capacity, Error> {
        Ok(Capacity { lanes: self.lanes, tokens: 8 })
    }

    fn run(&self, _: Workload, batch: &[usize]) -> RunResult<Self> {
        thread::yield_now();
        if batch.iter().any(|&input| fate(input) == Fate::Panics) {
            // Past the hook that would print it.
            resume_unwind(Box::new("a defect"));
        }
        if batch.iter().any(|&input| fate(input) == Fate::FailsToRun) {
            return Err(failure());
        }
        for &input in batch {
            self.done[input].fetch_add(1, Ordering::Relaxed);
        }
        Ok(batch.iter().map(|input| Ok(input * 2)).collect())
    }
}

/// Checks one result, and that a row with a result has run once.
fn check(engine: &Engine<Counting>, input: usize, late: bool, outcome: &Outcome<Counting>) {
    let done = engine.step().done[input].load(Ordering::Relaxed);
    match outcome {
        Ok(output) => assert_eq!((*output, done, fate(input)), (input * 2, 1, Fate::Good)),
        Err(error) if error.kind() == ErrorKind::Cancelled => assert!(late && done == 0),
        Err(_) => assert!(fate(input) != Fate::Good && done == 0, "{outcome:?}"),
    }
}

/// Takes results in one way or another, and perhaps not all of them.
fn take(engine: &Engine<Counting>, ticket: &mut Ticket<Counting>, inputs: &[usize], late: bool) {
    let mut random = thread_rng();
    let wanted =
        if random.gen_bool(0.3) { random.gen_range(0..inputs.len()) } else { inputs.len() };
    let as_task = random.gen_bool(0.5);
    for &input in &inputs[..wanted] {
        let outcome = if as_task { block_on(ticket.next_async()) } else { ticket.next() };
        check(engine, input, late, &outcome.expect("one for each input"));
    }
    if wanted == inputs.len() {
        assert!(ticket.next().is_none());
    }
}

/// One caller's work, on inputs that are its own.
fn call(engine: &Engine<Counting>, first: usize) {
    let mut random = thread_rng();
    let inputs: Vec<_> = (first..first + random.gen_range(1..=INPUTS)).collect();
    let class = if random.gen_bool(0.5) { Class::Interactive } else { Class::Bulk };
    let deadline = match random.gen_range(0..4) {
        0 => Some(now()),
        1 => Some(now() + Duration::from_millis(random.gen_range(1..40))),
        _ => None,
    };
    let late = deadline.is_some();
    match random.gen_range(0..5) {
        0 => match engine.submit(inputs.clone(), class, deadline) {
            Ok(mut ticket) => take(engine, &mut ticket, &inputs, late),
            Err(error) => assert!(late && error.kind() == ErrorKind::Cancelled, "{error}"),
        },
        1 => match engine.try_submit(inputs.clone(), class, deadline) {
            Ok(mut ticket) => take(engine, &mut ticket, &inputs, late),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
        },
        2 => {
            let outcomes = engine.run_few(inputs.clone()).unwrap();
            assert_eq!(outcomes.len(), inputs.len());
            for (&input, outcome) in inputs.iter().zip(&outcomes) {
                check(engine, input, false, outcome);
            }
        }
        3 => {
            let mut ticket = engine.open(class).unwrap();
            let (one, other) = inputs.split_at(random.gen_range(0..inputs.len()));
            ticket.push(one.to_vec());
            ticket.push(other.to_vec());
            take(engine, &mut ticket, &inputs, false);
        }
        _ => {
            let wanted = random.gen_range(1..=inputs.len());
            let outcomes = engine.stream(inputs.clone()).take(wanted);
            for (&input, outcome) in inputs.iter().zip(outcomes) {
                check(engine, input, false, &outcome);
            }
        }
    }
}

fn scenario() {
    let mut random = thread_rng();
    let lanes = random.gen_range(1..=2);
    let done = (0..CALLERS * INPUTS).map(|_| AtomicUsize::new(0)).collect();
    let options = BatchOptions {
        rows: Some(3),
        window: 4,
        queue: Some(random.gen_range(1..=12)),
        ..BatchOptions::default()
    };
    let engine = Engine::new(Counting { lanes, done }, options);
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let engine = engine.clone();
            thread::spawn(move || call(&engine, caller * INPUTS))
        })
        .collect();
    for caller in callers {
        caller.join().unwrap();
    }
    // Dropped work leaves nothing behind.
    for class in [Class::Interactive, Class::Bulk] {
        assert_eq!(engine.depth(class), Default::default());
    }
    let most = engine.step().done.iter().map(|done| done.load(Ordering::Relaxed)).max();
    assert!(most <= Some(1));
    // Ends the threads, which is the last hand-off.
    drop(engine);
}

fn model(scheduler: impl Scheduler + 'static) {
    let mut config = Config::new();
    config.stack_size = 1 << 17;
    Runner::new(scheduler, config).run(scenario);
}

#[test]
fn hand_offs_survive_random_schedules() {
    model(RandomScheduler::new(3000));
}

#[test]
fn hand_offs_survive_schedules_that_starve_threads() {
    model(PctScheduler::new(3, 3000));
}
