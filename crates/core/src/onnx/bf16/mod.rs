//! A GEMM of numbers rounded to bf16, with f32 sums.
//!
//! bf16 is the upper half of an f32: its range, and 8 bits of precision. Activations and weights are rounded to it,
//! to nearest and halves to even; their products are exact in f32. Bias and GELU are added in f32.
//!
//! ```text
//! y = sum bf16(x) bf16(w) + bias        and a GELU where asked for
//! ```
//!
//! A sum has one order for each kernel, whatever the number of rows and the position in a tile, so that a row's
//! result is bit-equal alone and in any batch. The order differs between [kernels](Kernel), on `AArch64` the rounding of
//! sums as well, and results of different processors in their last digits.
//!
//! Numbers below the smallest normal f32 count as zero, as in the processors' instructions.
//!
//! Layout, tiles, epilogue and microkernels are those of [`int8`](super::int8), with two bytes for a number.

mod dispatch;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod round;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use dispatch::Kernel;
pub use dispatch::kernel_name;
pub(crate) use round::Rounded;
pub use round::round;

/// Bytes of a number.
pub(crate) const SIZE: usize = 2;
