//! A GEMM of f32 with bias and GELU, which reads and writes each number once.
//!
//! ```text
//! y = sum x w + bias        and a GELU where asked for
//! ```
//!
//! A sum has one order, from the first channel to the last with fused multiplications and additions, whatever the
//! number of rows, the position in a tile and the processor. A row's result is therefore bit-equal alone and in any
//! batch, and on every processor that has a [kernel](Kernel).
//!
//! Layout, tiles, epilogue and microkernels are those of [`int8`](super::int8), with four bytes for a number.

mod dispatch;
mod linear;
mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use dispatch::Kernel;
pub(crate) use linear::{Linear, Matrix};

/// Bytes of a number.
pub(super) const SIZE: usize = size_of::<f32>();
/// Bytes of activations in one block of rows, over which all panels pass. With blocks of 128 KB, products of long rows
/// took 1.2 times as long on a Xeon whose L2 cache has 2 MB, since weights passed more often; on an EPYC with 512 KB, 48
/// to 512 KB made no difference.
const BLOCK: usize = 512 * 1024;
