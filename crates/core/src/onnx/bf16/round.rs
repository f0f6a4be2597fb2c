//! Rounding of f32 to bf16.

use std::cell::Cell;

use super::SIZE;

/// Bytes that a thread keeps from one call to the next.
const KEPT: usize = 4 << 20;

/// The bits of the nearest bf16, of two as near the even one. A NaN stays one, and what is larger than the largest
/// bf16 becomes an infinity.
#[inline(always)]
#[must_use]
pub fn round(number: f32) -> u16 {
    let bits = number.to_bits();
    let even = bits >> 16 & 1;
    let rounded = bits.wrapping_add(0x7fff + even) >> 16;
    // Quiet, so that it does not become an infinity where only low bits are set.
    let nan = bits >> 16 | 0x40;
    (if number.is_nan() { nan } else { rounded }) as u16
}

/// Numbers rounded to bf16, little-endian, in memory that the thread uses again.
pub(crate) struct Rounded {
    memory: Vec<[u8; SIZE]>,
    len: usize,
}

thread_local! {
    /// Allocating for each product costs as much as rounding.
    static MEMORY: Cell<Vec<[u8; SIZE]>> = const { Cell::new(Vec::new()) };
}

impl Rounded {
    /// Rounds numbers.
    pub(crate) fn new(numbers: &[f32]) -> Self {
        let mut memory = MEMORY.take();
        if memory.len() < numbers.len() {
            memory.resize(numbers.len(), [0; SIZE]);
        }
        fill(numbers, &mut memory);
        Self { memory, len: numbers.len() }
    }

    /// Bytes of all numbers.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.memory[..self.len].as_flattened()
    }
}

impl Drop for Rounded {
    fn drop(&mut self) {
        if self.memory.capacity() * SIZE <= KEPT {
            MEMORY.set(std::mem::take(&mut self.memory));
        }
    }
}

fn fill(numbers: &[f32], bytes: &mut [[u8; SIZE]]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
        #[expect(unsafe_code, reason = "the processor has what the function was compiled for")]
        // SAFETY: the features were found.
        return unsafe { fill_avx512(numbers, bytes) };
    }
    #[cfg(target_arch = "aarch64")]
    if super::Kernel::Neon.is_available() {
        #[expect(unsafe_code, reason = "the processor has what the function was compiled for")]
        // SAFETY: the feature was found, and every processor with it has NEON.
        return unsafe { super::neon::round(numbers, bytes) };
    }
    fill_any(numbers, bytes);
}

/// [`fill_any`], compiled for AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn fill_avx512(numbers: &[f32], bytes: &mut [[u8; SIZE]]) {
    fill_any(numbers, bytes);
}

#[inline(always)]
pub(super) fn fill_any(numbers: &[f32], bytes: &mut [[u8; SIZE]]) {
    for (bytes, &number) in bytes.iter_mut().zip(numbers) {
        *bytes = round(number).to_le_bytes();
    }
}
