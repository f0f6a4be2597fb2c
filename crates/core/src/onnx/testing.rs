//! Helpers of the tests of our kernels.

#![allow(clippy::print_stdout, reason = "says what was tested")]

use std::fmt::Debug;

/// The usual size, or a smaller one under Miri, which is some thousand times slower.
pub(super) fn size(usual: usize, under_miri: usize) -> usize {
    if cfg!(miri) { under_miri } else { usual }
}

/// A seeded generator of pseudo-random numbers.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    pub(super) fn below(&mut self, end: u32) -> u32 {
        self.next() % end
    }

    /// A number within ±1.
    pub(super) fn float(&mut self) -> f32 {
        self.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0
    }

    pub(super) fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }
}

/// Bits of numbers. All NaN are the same.
pub(super) fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }).collect()
}

/// The kernels of this machine among `all`. Prints which ones it lacks.
pub(super) fn available<K: Copy + Debug>(
    all: &[K],
    is_available: impl Fn(K) -> bool,
) -> impl Iterator<Item = K> {
    all.iter().copied().filter(move |&kernel| {
        let available = is_available(kernel);
        println!("{}: {kernel:?}", if available { "tested" } else { "skipped, not available" });
        available
    })
}
