//! Rows that an operator quantises itself, while they are in a cache.

use std::cell::Cell;

use ort::value::TensorElementType::{self, Float32, Uint8};

use super::{
    super::int8::quantize_rows, Call, MAX_PARTS, elements_mut, for_each, quantize::MIN_WORK, refuse,
};

/// Inputs behind those of the operator that gives f32, and their names:
///
/// - `factors`: smoothing scale of each column, f32 `[k]`, or `[0]` for none
/// - `zero_point`: of the quantised rows, u8 scalar
pub(super) const INPUTS: [TensorElementType; 2] = [Float32, Uint8];
pub(super) const INPUT_NAMES: [&str; 2] = ["factors", "zero_point"];
/// Outputs: quantised rows `[…, k]` and their scales `[…, 1]`.
pub(super) const OUTPUTS: [TensorElementType; 2] = [Uint8, Float32];

/// Bytes of f32 that a thread keeps from one call to the next.
const KEPT: usize = 4 << 20;

thread_local! {
    static MEMORY: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Quantised rows of `k` numbers, to be filled.
pub(super) struct QuantizedRows<'a> {
    k: usize,
    factors: Option<&'a [f32]>,
    zero_point: u8,
    quantized: &'a mut [u8],
    scales: &'a mut [f32],
}

impl QuantizedRows<'_> {
    /// Lets `fill` fill the outputs from `output` on, rows that have the dims `before`, by the inputs from `input` on.
    pub(super) fn write(
        call: &Call<'_>,
        input: usize,
        output: usize,
        before: &[i64],
        k: usize,
        fill: impl FnOnce(QuantizedRows<'_>) -> ort::Result<()>,
    ) -> ort::Result<()> {
        let [factors, zero_point] = [call.input(input)?, call.input(input + 1)?];
        // Of a tensor in memory.
        let k_i64 = k as i64;
        let factors = match factors.shape() {
            [0] => None,
            _ => {
                factors.expect_shape(&[k_i64])?;
                Some(factors.elements()?)
            }
        };
        let &[zero_point] = zero_point.elements::<u8>()? else {
            return Err(zero_point.mismatch("[]"));
        };
        let quantized = call.context.output(output, [before, &[k_i64]].concat())?;
        let scales = call.context.output(output + 1, [before, &[1]].concat())?;
        let (Some(mut quantized), Some(mut scales)) = (quantized, scales) else {
            return Err(refuse(call.operator, "one of its outputs is not wanted"));
        };
        let (quantized, scales) = (elements_mut(&mut quantized)?, elements_mut(&mut scales)?);
        if k == 0 {
            // Rows of length 0 cannot be split into parts, but have scales.
            quantize_rows(&[], 0, None, zero_point, quantized, scales);
            return Ok(());
        }
        fill(QuantizedRows { k, factors, zero_point, quantized, scales })
    }

    /// Fills row `row` from f32.
    pub(super) fn fill_row(&mut self, row: usize, x: &[f32]) {
        let quantized = &mut self.quantized[row * self.k..][..self.k];
        let scale = &mut self.scales[row..=row];
        quantize_rows(x, self.k, self.factors, self.zero_point, quantized, scale);
    }
}

impl<'a> QuantizedRows<'a> {
    /// Bands of `rows` rows, the last one of fewer.
    pub(super) fn bands(self, rows: usize) -> impl Iterator<Item = QuantizedRows<'a>> {
        let Self { k, factors, zero_point, quantized, scales } = self;
        let bands = quantized.chunks_mut(rows * k).zip(scales.chunks_mut(rows));
        bands.map(move |(quantized, scales)| Self { k, factors, zero_point, quantized, scales })
    }
}

/// Fills all outputs of an operator, rows of `k` numbers that have the dims `before`, a block of `rows` rows after the
/// other. `compute` takes the first row of a block and writes its f32.
pub(super) fn quantize_blocks(
    call: &Call<'_>,
    input: usize,
    before: &[i64],
    k: usize,
    rows: usize,
    parallel: bool,
    compute: impl Fn(usize, &mut [f32]) -> ort::Result<()>,
) -> ort::Result<()> {
    QuantizedRows::write(call, input, 0, before, k, |all| {
        let mut memory = MEMORY.take();
        let rows = rows.clamp(1, all.scales.len().max(1));
        if memory.len() < rows * k {
            memory.resize(rows * k, 0.0);
        }
        for (block, band) in all.bands(rows).enumerate() {
            let x = &mut memory[..band.quantized.len()];
            compute(block * rows, x)?;
            let parts = if parallel { (x.len() / MIN_WORK).clamp(1, MAX_PARTS) } else { 1 };
            let rows = band.scales.len().div_ceil(parts);
            let parts = x.chunks(rows * k).zip(band.bands(rows)).collect();
            for_each(call, parts, |(x, rows)| {
                for (at, x) in x.chunks(k).enumerate() {
                    rows.fill_row(at, x);
                }
            })?;
        }
        if size_of_val(memory.as_slice()) <= KEPT {
            MEMORY.set(memory);
        }
        Ok(())
    })
}
