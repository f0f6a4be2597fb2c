//! The kernel for any processor, which defines the results of the others.

use super::super::int8::TileMut;
use super::super::int8::gelu::PRECISE as GELU;
use super::super::int8::gemm::{COLUMNS, DEPTH, Gemm, STEP};
use super::super::int8::microkernel::{load_panel, microkernel};
use super::super::int8::portable::{
    Activations, Floats, Ints, LANES, VECTORS, Weights, abs, add, broadcast, load, load_weights,
    min, mul, mul_add, splat, store, zero_point_term,
};
use super::BLOCK;

type Accumulator = Floats;

fn zeros() -> Accumulator {
    [0.0; LANES]
}

fn dot(acc: Accumulator, activations: Activations, weights: Weights) -> Accumulator {
    let x = f32::from_le_bytes(activations);
    let weights = weights.as_chunks::<DEPTH>().0;
    std::array::from_fn(|lane| {
        x.mul_add(f32::from_le_bytes(weights[lane].map(i8::cast_unsigned)), acc[lane])
    })
}

fn sub(acc: Accumulator, _: Ints) -> Floats {
    acc
}

microkernel!(rows: 2, panels: 1, 1, 1);
