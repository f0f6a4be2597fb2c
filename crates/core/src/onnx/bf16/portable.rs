//! The kernel for any processor, which defines the results of AMX.

use super::super::int8::TileMut;
use super::super::int8::gelu::SHORT as GELU;
use super::super::int8::gemm::{COLUMNS, DEPTH, Gemm, STEP};
use super::super::int8::microkernel::{BLOCK, load_panel, microkernel};
use super::super::int8::portable::{
    Activations, Floats, Ints, LANES, VECTORS, Weights, abs, add, broadcast, load, load_weights,
    min, mul, mul_add, splat, store, zero_point_term,
};

/// Pairs of products that an instruction adds, in one sum for each place.
const PAIRS: usize = 16;

/// Sums of a panel's columns: those of whole instructions, and those of the places of the present one.
#[derive(Clone, Copy)]
pub(in crate::onnx) struct Accumulator {
    sum: Floats,
    even: Floats,
    odd: Floats,
    pairs: usize,
}

fn zeros() -> Accumulator {
    Accumulator { sum: [0.0; LANES], even: [0.0; LANES], odd: [0.0; LANES], pairs: 0 }
}

fn dot(mut acc: Accumulator, activations: Activations, weights: Weights) -> Accumulator {
    let [even, odd] = numbers(activations);
    for (lane, bytes) in weights.as_chunks::<DEPTH>().0.iter().enumerate() {
        let weights = numbers(bytes.map(i8::cast_unsigned));
        acc.even[lane] = flushed(even.mul_add(weights[0], acc.even[lane]));
        acc.odd[lane] = flushed(odd.mul_add(weights[1], acc.odd[lane]));
    }
    acc.pairs += 1;
    if acc.pairs == PAIRS { folded(acc) } else { acc }
}

/// The state after an instruction.
fn folded(acc: Accumulator) -> Accumulator {
    let sum = |lane: usize| flushed(acc.sum[lane] + flushed(acc.even[lane] + acc.odd[lane]));
    Accumulator { sum: std::array::from_fn(sum), ..zeros() }
}

fn sub(acc: Accumulator, _: Ints) -> Floats {
    if acc.pairs == 0 { acc.sum } else { folded(acc).sum }
}

/// Two numbers of 16 bits.
fn numbers([a, b, c, d]: [u8; DEPTH]) -> [f32; 2] {
    [[a, b], [c, d]]
        .map(|bytes| flushed(f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << u16::BITS)))
}

/// Zero, with its sign, for a number below the normal ones.
fn flushed(number: f32) -> f32 {
    if number.is_subnormal() { 0.0f32.copysign(number) } else { number }
}

microkernel!(rows: 2, panels: 1, 1, 1);
