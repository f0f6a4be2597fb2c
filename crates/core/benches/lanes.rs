//! Cost of the engine's queue with many lanes: `cargo bench -p embedkit-core --bench lanes`.
//!
//! A lane sleeps as long as a batch takes, so that the lanes of a large machine can be simulated on a small one.
//! Efficiency is the time that lanes without a queue would take, divided by the time measured; the queue, its lock and
//! the threads of all callers share the cores that there are.

#![allow(clippy::cast_precision_loss, reason = "counts of batches")]

use std::{
    thread,
    time::{Duration, Instant},
};

use embedkit_core::pipeline::{Capacity, Class, Engine, Grouping, Pool, RunResult, Step, Workload};
use embedkit_types::{BatchOptions, Error};

/// Time of a batch: 256 tokens of a model with 6 layers of width 384 on one core.
const BATCH: Duration = Duration::from_millis(40);
/// Tokens of a text.
const TOKENS: usize = 16;
/// Texts of a batch.
const ROWS: usize = 256 / TOKENS;
/// Batches of each lane.
const BATCHES: usize = 50;

/// Sleeps instead of multiplying.
struct Sleeping {
    lanes: usize,
}

impl Step for Sleeping {
    type Input = usize;
    type Prepared = usize;
    type Output = usize;

    fn prepare(&self, input: usize) -> Result<usize, Error> {
        Ok(input)
    }

    fn estimate(&self, _: &usize) -> usize {
        TOKENS
    }

    fn length(&self, _: &usize) -> usize {
        TOKENS
    }

    fn pool(&self, _: &usize) -> Result<Pool, Error> {
        Ok(Pool::new(Grouping::Any))
    }

    fn capacity(&self) -> Result<Capacity, Error> {
        Ok(Capacity { lanes: self.lanes, tokens: ROWS * TOKENS })
    }

    fn run(&self, _: Workload, rows: &[usize]) -> RunResult<Self> {
        thread::sleep(BATCH * u32::try_from(rows.len()).unwrap_or(u32::MAX) / ROWS as u32);
        Ok(rows.iter().map(|row| Ok(*row)).collect())
    }
}

fn main() {
    println!(
        "{:>6} {:>10} {:>16} {:>22}",
        "lanes", "a stream", "many requests", "a lane, of one core"
    );
    for lanes in [2, 8, 32, 96] {
        let texts = lanes * BATCHES * ROWS;
        let ideal = (BATCH * u32::try_from(BATCHES).unwrap_or(u32::MAX)).as_secs_f64();
        let options = BatchOptions { window: 4 * lanes * ROWS, ..BatchOptions::default() };
        let engine = Engine::new(Sleeping { lanes }, options);

        let (start, work) = (Instant::now(), processor_seconds());
        assert_eq!(engine.stream(0..texts).count(), texts);
        let stream = start.elapsed().as_secs_f64();
        let share = (processor_seconds() - work) / (stream * lanes as f64);

        // Requests of one batch each, two for each lane in progress.
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..2 * lanes {
                scope.spawn(|| {
                    for _ in 0..BATCHES / 2 {
                        let inputs = (0..ROWS).collect();
                        let ticket = engine.submit(inputs, Class::Interactive, None);
                        assert_eq!(ticket.map(Iterator::count).ok(), Some(ROWS));
                    }
                });
            }
        });
        let requests = start.elapsed().as_secs_f64();
        println!(
            "{lanes:>6} {:>9.1}% {:>15.1}% {:>21.2}%",
            100.0 * ideal / stream,
            100.0 * ideal / requests,
            100.0 * share
        );
    }
}

/// Processor time of this process; zero if the system does not report it.
fn processor_seconds() -> f64 {
    // Fields 14 and 15, counted behind the name, in hundredths of a second on Linux.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}
