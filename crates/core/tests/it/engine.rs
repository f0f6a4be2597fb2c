//! Many callers on one engine: shared batches, each caller's own results, dropped tickets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake},
    thread::{self, Thread, ThreadId},
    time::Duration,
};

use embedkit_core::{
    Error as CoreError,
    pipeline::{Class, Engine, Grouping, Outcome, Pool, RunResult, Step, Workload},
};
use embedkit_types::{BatchOptions, Error};

/// Doubles numbers, slowly, and says where.
#[derive(Debug, Default)]
struct Doubling {
    batches: AtomicUsize,
    rows: AtomicUsize,
}

impl Step for Doubling {
    type Input = u64;
    type Prepared = u64;
    type Output = (u64, ThreadId, Workload);

    fn prepare(&self, input: u64) -> Result<u64, Error> {
        if input % 97 == 13 {
            return Err(CoreError::Tokenize { reason: "unlucky".to_owned() }.into());
        }
        Ok(input)
    }

    fn length(&self, number: &u64) -> usize {
        (*number % 50) as usize
    }

    fn pool(&self, _: &u64) -> Result<Pool, Error> {
        Ok(Pool::new(Grouping::Any))
    }

    fn lanes(&self) -> Result<usize, Error> {
        Ok(2)
    }

    fn run(&self, workload: Workload, batch: &[u64]) -> RunResult<Self> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(batch.len(), Ordering::Relaxed);
        thread::sleep(Duration::from_micros(200));
        Ok(batch.iter().map(|number| Ok((number * 2, thread::current().id(), workload))).collect())
    }
}

fn engine() -> Engine<Doubling> {
    let options = BatchOptions { rows: Some(32), tokens: Some(800), window: 2048 };
    Engine::new(Doubling::default(), options)
}

fn check(input: u64, outcome: &Outcome<Doubling>) {
    match outcome {
        Ok((output, ..)) => assert_eq!(*output, input * 2),
        Err(_) => assert_eq!(input % 97, 13),
    }
}

#[test]
fn a_few_inputs_for_an_idle_engine_run_on_the_callers_thread() {
    let engine = engine();
    for _ in 0..2 {
        let outcomes = engine.run_few(vec![1, 13, 3]).unwrap();
        assert_eq!((outcomes.len(), outcomes[1].is_err()), (3, true));
        for (_, thread, workload) in outcomes.into_iter().flatten() {
            assert_eq!((thread, workload), (thread::current().id(), Workload::Single));
        }
        // Threads that wait change nothing.
        assert_eq!(engine.stream(0..20).count(), 20);
    }
}

#[test]
fn callers_share_batches_and_get_their_own_results() {
    let engine = engine();
    thread::scope(|scope| {
        for caller in 0..32 {
            let engine = &engine;
            scope.spawn(move || {
                for round in 0..20 {
                    let start = caller * 1000 + round * 10;
                    let inputs: Vec<u64> = (start..=start + round % 3).collect();
                    let outcomes = engine.run_few(inputs.clone()).unwrap();
                    assert_eq!(outcomes.len(), inputs.len());
                    inputs.into_iter().zip(outcomes).for_each(|(input, one)| check(input, &one));
                }
            });
        }
        for caller in 0..4 {
            let engine = &engine;
            scope.spawn(move || {
                let mut ticket = engine.open(Class::Bulk).unwrap();
                for window in 0..5 {
                    let start = caller * 7 + window * 100;
                    ticket.push((start..start + 100).collect());
                }
                // One of them loses interest.
                let taken = if caller == 3 { 10 } else { 500 };
                for index in 0..taken {
                    check(caller * 7 + index, &ticket.next().unwrap());
                }
                assert_eq!(ticket.outstanding(), 500 - taken as usize);
                assert_eq!(ticket.next().is_none(), caller != 3);
            });
        }
    });
    let rows = engine.step().rows.load(Ordering::Relaxed);
    let batches = engine.step().batches.load(Ordering::Relaxed);
    assert!(rows > 3 * batches, "{rows} rows in {batches} batches");
}

#[test]
fn a_stream_never_asks_for_the_graph_of_lone_rows() {
    let engine = engine();
    for count in [9, 33] {
        for (_, _, workload) in engine.stream(0..count).flatten() {
            assert_eq!(workload, Workload::Stream);
        }
    }
}

#[test]
fn rows_of_a_dropped_ticket_do_not_run() {
    let engine = engine();
    let mut dropped = engine.open(Class::Bulk).unwrap();
    dropped.push((0..100_000).collect());
    drop(dropped);
    assert_eq!(engine.stream(0..100).count(), 100);
    assert!(engine.step().rows.load(Ordering::Relaxed) < 20_000);
}

#[test]
fn the_last_clone_ends_the_threads() {
    let engine = engine();
    let mut stream = engine.stream(0..);
    assert!(stream.next().is_some());
    drop(engine);
    assert!(stream.next().is_some());
}

#[test]
fn a_task_is_woken_when_its_result_is_there() {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut ticket = engine().open(Class::Interactive).unwrap();
    ticket.push(vec![5, 6]);
    let mut outputs = Vec::new();
    loop {
        match ticket.poll_next(&mut context) {
            Poll::Ready(Some(outcome)) => outputs.push(outcome.unwrap().0),
            Poll::Ready(None) => break,
            Poll::Pending => thread::park(),
        }
    }
    assert_eq!(outputs, [10, 12]);
}
