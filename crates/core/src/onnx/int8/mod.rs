//! An int8 GEMM with a scale for each row of activations and each column of weights.
//!
//! Two steps, both on plain slices:
//!
//! ```text
//! (q, scale) = quantize_rows(x)                 u8 with a zero point of 128, 16 or 0, a scale per row
//! y = (sum (q - zero_point) w) * (row_scale * column_scale) + bias        and a GELU where asked for
//! ```
//!
//! Accumulators are 32-bit integers and exact. Everything else is computed element by element with the
//! same roundings, independent of the number of rows, the position in a tile and the processor. A row's
//! result is therefore bit-equal alone and in any batch. It is bit-equal on every processor as long as
//! no [pair of products](self#16-bit-saturation) saturates.
//!
//! # Layout of weights
//!
//! A matrix of `k` rows (input channels) and `n` columns (output channels) is packed in panels of 16
//! columns: `[n / 16][k / 4][16][4]`, both counts rounded up and padded with zeros. One step of a
//! microkernel multiplies four neighbouring activations of a row by the 64 weights of `[16][4]`.
//!
//! # 16-bit saturation
//!
//! x86-64 without VNNI adds two neighbouring products in 16 bits with saturation. Results are exact if
//! weights are within ±127 and no two neighbours of one sign, `(4 i, 4 i + 1)` or `(4 i + 2, 4 i + 3)`,
//! add up to more than 128. Other weights saturate: the result differs, memory safety does not.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(super) mod amx;
mod dispatch;
pub(super) mod exp;
pub(super) mod gelu;
pub(super) mod gemm;
pub(super) mod microkernel;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
pub(super) mod portable;
mod quantize;
#[cfg(test)]
mod tests;
mod tile;
#[cfg(target_arch = "x86_64")]
pub(super) mod x86;

pub(super) use dispatch::Kernel;
pub use dispatch::kernel_name;
pub(crate) use gemm::{COLUMNS, DEPTH, Gemm, Scales};
pub(crate) use quantize::quantize_rows;
pub(crate) use tile::TileMut;
