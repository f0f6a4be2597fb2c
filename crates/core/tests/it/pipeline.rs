//! Order, errors, panics and the end of a stream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use embedkit_core::{
    Error as CoreError,
    pipeline::{Capacity, Engine, Grouping, Pool, RunResult, Step, Workload},
};
use embedkit_types::{BatchOptions, Error};

/// Doubles numbers; the length of a number is its last digit and one.
#[derive(Default)]
struct Doubling {
    lanes: usize,
    fail_to_prepare: Option<u32>,
    fail_to_run: Option<u32>,
    panic_on: Option<u32>,
    lose_a_row: bool,
    no_model: bool,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

fn broken(what: &str) -> Error {
    CoreError::Tokenize { reason: what.to_owned() }.into()
}

impl Step for Doubling {
    type Input = u32;
    type Prepared = u32;
    type Output = u64;

    fn prepare(&self, input: u32) -> Result<u32, Error> {
        if Some(input) == self.fail_to_prepare { Err(broken("prepare")) } else { Ok(input) }
    }

    fn estimate(&self, _: &u32) -> usize {
        5
    }

    fn length(&self, prepared: &u32) -> usize {
        (prepared % 10) as usize + 1
    }

    fn pool(&self, _: &u32) -> Result<Pool, Error> {
        if self.no_model { Err(broken("model")) } else { Ok(Pool::new(Grouping::Any)) }
    }

    fn capacity(&self) -> Result<Capacity, Error> {
        if self.no_model {
            Err(broken("model"))
        } else {
            Ok(Capacity { lanes: self.lanes.max(1), tokens: 256 })
        }
    }

    fn run(&self, _: Workload, batch: &[u32]) -> RunResult<Self> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        assert!(!batch.iter().any(|&x| Some(x) == self.panic_on), "a defect");
        let fails = batch.iter().any(|&x| Some(x) == self.fail_to_run);
        std::thread::yield_now();
        self.running.fetch_sub(1, Ordering::SeqCst);
        if fails {
            return Err(broken("run"));
        }
        let mut results: Vec<_> = batch.iter().map(|&x| Ok(u64::from(x) * 2)).collect();
        if self.lose_a_row {
            results.pop();
        }
        Ok(results)
    }
}

fn options(rows: usize, tokens: usize, window: usize) -> BatchOptions {
    BatchOptions { rows: Some(rows), tokens: Some(tokens), window, ..BatchOptions::default() }
}

fn stream(step: Doubling, inputs: u32, options: BatchOptions) -> Vec<Result<u64, Error>> {
    Engine::new(step, options).stream(0..inputs).collect()
}

#[test]
fn results_come_in_input_order() {
    for lanes in [1, 3] {
        for inputs in [0, 1, 7, 8, 9, 500, 3000] {
            for options in [options(4, 16, 10), options(256, 1024, 2048), options(1, 1, 1)] {
                let step = Doubling { lanes, ..Doubling::default() };
                let results = stream(step, inputs, options);
                let values: Vec<_> = results.into_iter().map(Result::unwrap).collect();
                assert!(values.into_iter().eq((0..u64::from(inputs)).map(|x| x * 2)));
            }
        }
    }
}

#[test]
fn no_more_batches_run_at_once_than_there_are_lanes() {
    let most = Arc::new(AtomicUsize::new(0));
    let step = Doubling { lanes: 2, most: Arc::clone(&most), ..Doubling::default() };
    stream(step, 2000, options(2, 8, 100));
    assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
}

#[test]
fn an_input_that_cannot_be_prepared_is_an_error_in_its_place() {
    for inputs in [5, 300] {
        let step = Doubling { fail_to_prepare: Some(3), ..Doubling::default() };
        let results = stream(step, inputs, options(256, 64, 100));
        assert_eq!(results.len(), inputs as usize);
        for (index, result) in results.iter().enumerate() {
            assert_eq!(result.is_err(), index == 3, "{index}");
        }
    }
}

#[test]
fn a_row_that_fails_does_so_alone() {
    // Few are the work of the caller's thread, many that of others.
    for (inputs, bad) in [(8, 3), (400, 44)] {
        for panics in [false, true] {
            let mut step = Doubling::default();
            *(if panics { &mut step.panic_on } else { &mut step.fail_to_run }) = Some(bad);
            let results = stream(step, inputs, options(256, 100_000, 2048));
            assert_eq!(results.len(), inputs as usize);
            for (index, result) in (0..).zip(results) {
                match result {
                    Ok(doubled) => {
                        assert_eq!((doubled, index == bad), (u64::from(index) * 2, false));
                    }
                    Err(error) => {
                        assert_eq!(index, bad);
                        assert_eq!(error.to_string().contains("a defect"), panics, "{error}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_step_that_loses_a_row_is_an_error_not_a_shift() {
    let results =
        stream(Doubling { lose_a_row: true, ..Doubling::default() }, 3, options(9, 99, 9));
    assert_eq!(results.len(), 3);
    assert!(results.iter().all(Result::is_err));
}

#[test]
fn a_model_that_cannot_be_loaded_ends_the_stream() {
    for inputs in [2, 100] {
        let step = Doubling { no_model: true, ..Doubling::default() };
        let results = stream(step, inputs, options(4, 64, 50));
        assert_eq!(results.len(), 1);
        assert!(results[0].is_err());
    }
}

#[test]
fn dropping_the_stream_ends_its_threads() {
    let step = Doubling { lanes: 2, ..Doubling::default() };
    let alive = Arc::clone(&step.running);
    let mut stream = Engine::new(step, options(4, 64, 64)).stream(0..);
    assert!(stream.next().is_some());
    drop(stream);
    // The step, and with it this counter, lives as long as any thread.
    assert_eq!(Arc::strong_count(&alive), 1);
}

/// Takes its time, and counts what was prepared while something ran.
#[derive(Default)]
struct Slow {
    running: AtomicUsize,
    beside: Arc<AtomicUsize>,
}

impl Step for Slow {
    type Input = u32;
    type Prepared = u32;
    type Output = u32;

    const CHUNK: usize = 1;

    fn prepare(&self, input: u32) -> Result<u32, Error> {
        std::thread::sleep(Duration::from_millis(1));
        if self.running.load(Ordering::SeqCst) > 0 {
            self.beside.fetch_add(1, Ordering::SeqCst);
        }
        Ok(input)
    }

    fn estimate(&self, _: &u32) -> usize {
        1
    }

    fn length(&self, _: &u32) -> usize {
        1
    }

    fn pool(&self, _: &u32) -> Result<Pool, Error> {
        Ok(Pool::new(Grouping::Alone))
    }

    fn capacity(&self) -> Result<Capacity, Error> {
        Ok(Capacity { lanes: 1, tokens: 256 })
    }

    fn run(&self, _: Workload, batch: &[u32]) -> RunResult<Self> {
        self.running.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(4));
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(batch.iter().copied().map(Ok).collect())
    }
}

#[test]
fn the_next_inputs_are_prepared_while_the_lane_is_busy() {
    let step = Slow::default();
    let beside = Arc::clone(&step.beside);
    let stream = Engine::new(step, options(1, 1, 8)).stream(0..48);
    let results: Vec<_> = stream.map(Result::unwrap).collect();
    assert!(results.into_iter().eq(0..48));
    // The first window has nothing to run beside it; after it, only a switch between two batches can
    // fall into a preparation.
    let beside = beside.load(Ordering::SeqCst);
    assert!(beside >= 30, "{beside} of 40 were prepared while the lane was busy");
}
