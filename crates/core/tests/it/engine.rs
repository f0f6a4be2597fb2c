//! Many callers on one engine: shared batches, each caller's own results, dropped tickets.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake},
    thread::{self, Thread, ThreadId},
    time::{Duration, Instant},
};

use embedkit_core::{
    Error as CoreError,
    pipeline::{
        Capacity, Class, Depth, Engine, Grouping, Outcome, Pool, RunResult, Step, Ticket, Workload,
    },
};
use embedkit_types::{BatchOptions, Error, ErrorKind};

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

    fn estimate(&self, _: &u64) -> usize {
        25
    }

    fn length(&self, number: &u64) -> usize {
        (*number % 50) as usize
    }

    fn pool(&self, _: &u64) -> Result<Pool, Error> {
        Ok(Pool::new(Grouping::Any))
    }

    fn capacity(&self) -> Result<Capacity, Error> {
        Ok(Capacity { lanes: 2, tokens: 256 })
    }

    fn run(&self, workload: Workload, batch: &[u64]) -> RunResult<Self> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(batch.len(), Ordering::Relaxed);
        thread::sleep(Duration::from_micros(200));
        Ok(batch.iter().map(|number| Ok((number * 2, thread::current().id(), workload))).collect())
    }
}

fn engine() -> Engine<Doubling> {
    let options = BatchOptions { rows: Some(32), tokens: Some(800), ..BatchOptions::default() };
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

/// Inputs from here on take time to prepare.
const SLOW: u64 = 1000;

/// Runs rows of 10 tokens when it is told to.
#[derive(Debug)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    prepared: AtomicUsize,
    begun: AtomicUsize,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

impl Step for Gate {
    type Input = u64;
    type Prepared = u64;
    type Output = u64;

    fn prepare(&self, input: u64) -> Result<u64, Error> {
        self.prepared.fetch_add(1, Ordering::SeqCst);
        if input >= SLOW {
            thread::sleep(Duration::from_micros(100));
        }
        Ok(input)
    }

    fn estimate(&self, _: &u64) -> usize {
        10
    }

    fn length(&self, _: &u64) -> usize {
        10
    }

    fn pool(&self, _: &u64) -> Result<Pool, Error> {
        Ok(Pool::new(Grouping::Any))
    }

    fn capacity(&self) -> Result<Capacity, Error> {
        Ok(Capacity { lanes: 1, tokens: 256 })
    }

    fn run(&self, _: Workload, batch: &[u64]) -> RunResult<Self> {
        self.begun.fetch_add(batch.len(), Ordering::SeqCst);
        // A test that fails lets go, too.
        let (open, limit) = (self.open.lock().unwrap(), Duration::from_secs(20));
        drop(self.opened.wait_timeout_while(open, limit, |open| !*open).unwrap());
        Ok(batch.iter().map(|number| Ok(number * 2)).collect())
    }
}

/// An engine with one lane, batches of two rows, and room for so many tokens of a class.
fn gated(room: usize) -> Engine<Gate> {
    let gate = Gate {
        open: Mutex::new(false),
        opened: Condvar::new(),
        prepared: AtomicUsize::new(0),
        begun: AtomicUsize::new(0),
    };
    let options = BatchOptions {
        rows: Some(2),
        tokens: Some(20),
        queue: Some(room),
        ..BatchOptions::default()
    };
    Engine::new(gate, options)
}

fn until(done: impl Fn() -> bool) {
    while !done() {
        thread::yield_now();
    }
}

/// A ticket of two rows that run, and stay in their lane until the gate opens.
fn occupy(engine: &Engine<Gate>) -> Ticket<Gate> {
    let ticket = engine.submit(vec![100, 101], Class::Bulk, None).unwrap();
    until(|| engine.step().begun.load(Ordering::SeqCst) == 2);
    ticket
}

#[track_caller]
fn busy(submitted: Result<Ticket<Gate>, Error>) -> Option<Duration> {
    let error = submitted.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    let Some(CoreError::Busy { retry_after }) = error.downcast_ref() else { panic!("{error:?}") };
    *retry_after
}

fn is_late<T>(result: &Result<T, Error>) -> bool {
    let late = |error: &Error| {
        let cause = error.downcast_ref();
        error.kind() == ErrorKind::Cancelled && matches!(cause, Some(CoreError::DeadlinePassed))
    };
    result.as_ref().is_err_and(late)
}

#[test]
fn the_queue_is_bounded_by_tokens_of_a_class() {
    let engine = gated(50);
    // What runs does not wait.
    let running = occupy(&engine);
    let waiting = engine.try_submit(vec![1, 2, 3], Class::Bulk, None).unwrap();
    let two = || vec![8, 9];
    let more = engine.try_submit(two(), Class::Bulk, None).unwrap();
    assert_eq!(busy(engine.try_submit(vec![4], Class::Bulk, None)), None);
    let other = engine.try_submit(two(), Class::Interactive, None).unwrap();
    // A dropped ticket makes room, and a stream takes none.
    drop(more);
    let mut stream = engine.open(Class::Bulk).unwrap();
    stream.push((0..SLOW).collect());
    let more = engine.try_submit(two(), Class::Bulk, None).unwrap();
    busy(engine.try_submit(two(), Class::Bulk, None));
    engine.step().open();
    for (ticket, inputs) in
        [(running, &[100, 101][..]), (waiting, &[1, 2, 3]), (more, &[8, 9]), (other, &[8, 9])]
    {
        let outputs: Vec<_> = ticket.map(Result::unwrap).collect();
        assert!(outputs.into_iter().eq(inputs.iter().map(|input| input * 2)));
    }
    assert_eq!(stream.count(), 1000);
    // More than there is ever room for has all of it.
    let large = engine.try_submit((0..200).collect(), Class::Bulk, None).unwrap();
    assert_eq!(large.count(), 200);
}

#[test]
fn a_full_queue_says_when_there_may_be_room() {
    let engine = gated(40);
    engine.step().open();
    assert_eq!(engine.submit(vec![1, 2, 3], Class::Bulk, None).unwrap().count(), 3);
    *engine.step().open.lock().unwrap() = false;
    let before = engine.step().begun.load(Ordering::SeqCst);
    let _running = engine.submit(vec![1], Class::Bulk, None).unwrap();
    until(|| engine.step().begun.load(Ordering::SeqCst) > before);
    let _waiting = engine.submit(vec![0; 4], Class::Bulk, None).unwrap();
    let few = busy(engine.try_submit(vec![0], Class::Bulk, None)).unwrap();
    let many = busy(engine.try_submit(vec![0; 4], Class::Bulk, None)).unwrap();
    assert!(few < many, "{few:?} {many:?}");
    engine.step().open();
}

#[test]
fn those_who_wait_for_room_get_it_in_order_of_arrival() {
    let engine = gated(20);
    let running = occupy(&engine);
    let waiting = engine.submit(vec![0, 1], Class::Bulk, None).unwrap();
    let (sender, order) = mpsc::channel();
    thread::scope(|scope| {
        for caller in 0..4 {
            let (engine, sender) = (&engine, sender.clone());
            // The first wants more than there ever is at once, and the others less.
            let inputs = if caller == 0 { vec![0; 10] } else { vec![0] };
            scope.spawn(move || {
                let ticket = engine.submit(inputs, Class::Bulk, None).unwrap();
                sender.send(caller).unwrap();
                ticket.count()
            });
            until(|| engine.depth(Class::Bulk).callers == caller + 1);
        }
        // Nobody passes those who wait.
        drop(waiting);
        assert_eq!(order.recv().unwrap(), 0);
        assert_eq!(engine.depth(Class::Bulk), Depth { tokens: 100, callers: 3 });
        busy(engine.try_submit(vec![0], Class::Bulk, None));
        engine.step().open();
        assert_eq!(running.count(), 2);
    });
    assert_eq!(order.try_iter().count(), 3);
}

#[test]
fn rows_that_have_not_begun_at_their_deadline_are_given_up() {
    let engine = gated(1000);
    let running = occupy(&engine);
    let deadline = Instant::now() + Duration::from_millis(30);
    let late = engine.submit(vec![1, 2, 3], Class::Interactive, Some(deadline)).unwrap();
    let patient = engine.submit(vec![4], Class::Interactive, None).unwrap();
    // The lane is busy for as long as the gate is shut, and still the caller is told.
    let results: Vec<_> = late.collect();
    assert!(Instant::now() >= deadline);
    assert_eq!(results.len(), 3);
    assert!(results.iter().all(is_late));
    engine.step().open();
    assert_eq!(running.count(), 2);
    assert_eq!(patient.map(Result::unwrap).collect::<Vec<_>>(), [8]);
    assert_eq!(engine.step().begun.load(Ordering::SeqCst), 3);
}

#[test]
fn what_is_late_already_is_neither_prepared_nor_run() {
    let engine = gated(1000);
    engine.step().open();
    let late = engine.submit(vec![0; 100], Class::Bulk, Some(Instant::now())).unwrap();
    assert!(late.into_iter().all(|result| is_late(&result)));
    assert_eq!(engine.step().prepared.load(Ordering::SeqCst), 0);
    assert_eq!(engine.step().begun.load(Ordering::SeqCst), 0);
}

#[test]
fn rows_that_run_at_their_deadline_have_results() {
    let engine = gated(1000);
    let deadline = Instant::now() + Duration::from_millis(30);
    let ticket = engine.submit(vec![1, 2, 3], Class::Bulk, Some(deadline)).unwrap();
    until(|| engine.step().begun.load(Ordering::SeqCst) == 2);
    until(|| Instant::now() >= deadline);
    engine.step().open();
    let (given, late): (Vec<_>, Vec<_>) = ticket.partition(Result::is_ok);
    assert_eq!((given.len(), late.len()), (2, 1));
    assert!(is_late(&late[0]));
}

#[test]
fn nobody_waits_for_room_beyond_the_deadline() {
    let engine = gated(20);
    let _running = occupy(&engine);
    let _waiting = engine.submit(vec![0, 1], Class::Bulk, None).unwrap();
    let deadline = Instant::now() + Duration::from_millis(10);
    let late = engine.submit(vec![2], Class::Bulk, Some(deadline));
    assert!(is_late(&late), "{late:?}");
    assert!(Instant::now() >= deadline);
    assert_eq!(engine.depth(Class::Bulk), Depth { tokens: 20, callers: 0 });
    engine.step().open();
}

#[test]
fn rows_of_a_dropped_ticket_are_not_prepared_where_the_queue_is_full() {
    let engine = gated(20);
    let running = occupy(&engine);
    let dropped = engine.submit((SLOW..11_000).collect(), Class::Bulk, None).unwrap();
    busy(engine.try_submit(vec![1], Class::Bulk, None));
    drop(dropped);
    let next = engine.try_submit(vec![1], Class::Bulk, None).unwrap();
    engine.step().open();
    assert_eq!((running.count(), next.count()), (2, 1));
    assert_eq!(engine.step().begun.load(Ordering::SeqCst), 3);
    assert!(engine.step().prepared.load(Ordering::SeqCst) < 10_000);
}
