//! Late interaction against FastEmbed 0.9.1, on tiny graphs and on a real model; `MaxSim` against the
//! plain formula, and token pooling against SciPy.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "in tests")]

#[cfg(feature = "text")]
mod behaviour;
#[cfg(feature = "text")]
mod golden;
mod max_sim;
mod pooling;
#[cfg(feature = "text")]
mod real;

use embedkit_types::MultiVector;

/// Numbers from -1 to 1 that look like noise and are the same every time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn vectors(&mut self, len: usize, width: usize) -> MultiVector {
        MultiVector::new((0..len * width).map(|_| self.next()).collect(), width).unwrap()
    }
}
