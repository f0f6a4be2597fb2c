//! The engine with more lanes than there are cores: a lane sleeps where it would compute, so that what is left is what
//! lanes cost each other, their locks and wake-ups.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use bench_contestant::{Result, answer};
use embedkit_core::pipeline::{
    Capacity, Class, Engine, Grouping, Pool, RunResult, Step, Workload, text_estimate,
};
use embedkit_types::{BatchOptions, Error};
use serde::Deserialize;
use serde_json::{Value, json};

/// Padded tokens of a batch, the default on a CPU.
const TOKENS: usize = 256;
/// Lengths of texts, which repeat: as a mixture of queries and paragraphs has them.
const LENGTHS: [usize; 8] = [9, 62, 14, 38, 120, 24, 45, 17];

#[derive(Deserialize)]
struct Request {
    lanes: usize,
    /// Texts for each lane.
    texts: usize,
    /// Microseconds that a full batch takes.
    batch_us: u64,
    /// Callers with a text at a time each; one stream of all texts at 0.
    callers: usize,
}

/// Sleeps as long as a batch takes.
struct Sleeping {
    lanes: usize,
    batch: Duration,
}

impl Step for Sleeping {
    type Input = usize;
    type Prepared = usize;
    type Output = ();

    fn prepare(&self, length: usize) -> std::result::Result<usize, Error> {
        Ok(length)
    }

    fn estimate(&self, length: &usize) -> usize {
        text_estimate(4 * length)
    }

    fn length(&self, length: &usize) -> usize {
        *length
    }

    fn pool(&self, _: &usize) -> std::result::Result<Pool, Error> {
        Ok(Pool::new(Grouping::Any))
    }

    fn capacity(&self) -> std::result::Result<Capacity, Error> {
        Ok(Capacity { lanes: self.lanes, tokens: TOKENS })
    }

    /// Takes time for the padded tokens, as much with all cores.
    fn run(&self, _: Workload, batch: &[usize]) -> RunResult<Self> {
        let tokens = batch.len() * batch.iter().max().unwrap_or(&0);
        thread::sleep(self.batch.mul_f64(tokens as f64 / TOKENS as f64));
        Ok(batch.iter().map(|_| Ok(())).collect())
    }
}

fn main() -> std::io::Result<()> {
    answer(|request: &Value| {
        let request = Request::deserialize(request)?;
        let Request { lanes, batch_us, .. } = request;
        let step = Sleeping { lanes, batch: Duration::from_micros(batch_us) };
        let engine = Engine::new(step, BatchOptions::default());
        let texts = request.texts * lanes;
        let start = Instant::now();
        match request.callers {
            0 => stream(&engine, texts)?,
            callers => call(&engine, texts, callers),
        }
        Ok(json!({"seconds": start.elapsed().as_secs_f64(), "texts": texts}))
    })
}

fn lengths() -> impl Iterator<Item = usize> {
    LENGTHS.into_iter().cycle()
}

fn stream(engine: &Engine<Sleeping>, texts: usize) -> Result<()> {
    Ok(engine.stream(lengths().take(texts)).try_for_each(|result| result)?)
}

/// Each caller waits for one text after the other.
fn call(engine: &Engine<Sleeping>, texts: usize, callers: usize) {
    let ready = Barrier::new(callers);
    thread::scope(|scope| {
        for caller in 0..callers {
            let (engine, ready) = (engine.clone(), &ready);
            scope.spawn(move || {
                ready.wait();
                for length in lengths().skip(caller % LENGTHS.len()).take(texts / callers) {
                    let submitted = engine.submit(vec![length], Class::Interactive, None);
                    let results = submitted.expect("the queue is open");
                    results.for_each(|result| result.expect("a lane that sleeps"));
                }
            });
        }
    });
}
