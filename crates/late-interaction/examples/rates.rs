//! How fast MaxSim and token pooling are on this machine.
//!
//! ```sh
//! cargo run --release -p embedkit-late-interaction --no-default-features --example rates
//! ```

#![allow(clippy::print_stdout, reason = "a program")]

use std::{error::Error, num::NonZeroUsize, thread, time::Instant};

use embedkit_late_interaction::{MaxSim, pool_tokens};
use embedkit_types::{MultiVector, MultiVectorError};

const WIDTH: usize = 128;
const TOKENS: usize = 128;
const DOCUMENTS: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut state = 1;
    let documents: Vec<MultiVector> =
        (0..DOCUMENTS).map(|_| noise(&mut state, TOKENS)).collect::<Result<_, _>>()?;
    let cores = thread::available_parallelism()?;
    for threads in [NonZeroUsize::MIN, cores] {
        let scorer = MaxSim::new(&documents)?.with_threads(threads);
        for (queries, tokens) in [(1, 32), (1, 8), (8, 32)] {
            let queries: Vec<MultiVector> =
                (0..queries).map(|_| noise(&mut state, tokens)).collect::<Result<_, _>>()?;
            let seconds = best_of(5, || scorer.score_batch(&queries))?;
            let flop = 2.0 * (queries.len() * tokens * DOCUMENTS * TOKENS * WIDTH) as f64;
            println!(
                "{threads} threads, {} queries of {tokens} tokens, {DOCUMENTS} documents of {TOKENS}: \
                 {:.1} ms, {:.1} GFLOP/s",
                queries.len(),
                seconds * 1e3,
                flop / seconds / 1e9
            );
        }
    }
    for tokens in [128, 512, 2048] {
        let document = noise(&mut state, tokens)?;
        let seconds = best_of(5, || pool_tokens(&document, 2.0))?;
        println!("pooling of {tokens} tokens: {:.2} ms", seconds * 1e3);
    }
    Ok(())
}

/// Vectors with components from -1 to 1.
fn noise(state: &mut u64, tokens: usize) -> Result<MultiVector, MultiVectorError> {
    let mut next = || {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    MultiVector::new((0..tokens * WIDTH).map(|_| next()).collect(), WIDTH)
}

/// Seconds of the fastest of several runs.
fn best_of<T, E>(runs: usize, mut run: impl FnMut() -> Result<T, E>) -> Result<f64, E> {
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}
