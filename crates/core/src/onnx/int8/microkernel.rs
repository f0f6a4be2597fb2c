//! The microkernel, written once in terms of a few vector operations that each instruction set defines.

use super::gemm::COLUMNS;

/// Bytes of activations in one block of rows, over which all panels pass. Its register tiles read a panel from the L2
/// cache. With 32 KB, products of long rows had 0.96 of the rate on a Xeon with VNNI.
pub(in crate::onnx) const BLOCK: usize = 128 * 1024;

/// Loads the values of a panel's columns, padded with zeros at the end of the matrix.
pub(in crate::onnx) fn load_panel<T: Copy + Default>(
    per_column: &[T],
    panel: usize,
) -> [T; COLUMNS] {
    let values = &per_column[panel * COLUMNS..];
    let mut padded = [T::default(); COLUMNS];
    match values.first_chunk() {
        Some(full) => *full,
        None => {
            padded[..values.len()].copy_from_slice(values);
            padded
        }
    }
}

/// Defines `compute(&Gemm, &mut TileMut)` from these items, which have to be in scope:
///
/// - `LANES`, the floats of a vector, and `VECTORS`, the vectors of a panel.
/// - Accumulation of four bytes of activations times four of weights, for `LANES` columns: `zeros() -> Accumulator`,
///   `broadcast([u8; 4]) -> Activations`, `load_weights(&[i8; 4 * LANES]) -> Weights`,
///   `dot(Accumulator, Activations, Weights) -> Accumulator`.
/// - Correction for the zero point: `zero_point_term(u8, &[i32; LANES]) -> Ints`, the zero point times the
///   sum of each column, and `sub(Accumulator, Ints) -> Floats`. Without scales the term is zero.
/// - `load(&[f32; LANES]) -> Floats`, `splat(f32) -> Floats`, `store(Floats, &mut [f32; LANES])`, and
///   `abs` of one, `add`, `mul`, `min` of two and `mul_add` of three `Floats`. `min` may drop a NaN.
/// - `GELU`, the [`Gelu`](super::gelu::Gelu) of the epilogue.
///
/// With `own accumulate` at the end, in place of the items for one product: `accumulate`, as it is defined here, and
/// `zeros`.
///
/// A register tile has at most `$rows` rows, up to 6, and `$one`, `$two` or `$more` panels for one, two or
/// more rows: enough accumulators to hide the latency of the instructions, and few enough for the registers. With vectors
/// of 64 bytes, 7 to 12 rows are one tile of fewer panels if they are all rows.
///
/// Functions with target features are not inlined into closures that are called from code without them,
/// hence loops over indices.
macro_rules! microkernel {
    ($(#[$feature:meta])* rows: $rows:literal, panels: $one:literal, $two:literal, $more:literal) => {
        microkernel!($(#[$feature])* rows: $rows, panels: $one, $two, $more, own accumulate);

        /// Accumulates `count` steps of `R` rows and `P` panels. Rows are `stride` activations apart,
        /// panels `steps` steps.
        #[inline]
        $(#[$feature])*
        fn accumulate<const R: usize, const P: usize>(
            mut acc: [[[Accumulator; VECTORS]; P]; R],
            rows: &[u8],
            stride: usize,
            panels: &[i8],
            steps: usize,
            count: usize,
        ) -> [[[Accumulator; VECTORS]; P]; R] {
            assert!((R - 1) * stride + count * DEPTH <= rows.len());
            assert!(((P - 1) * steps + count) * STEP <= panels.len());
            for step in 0..count {
                #[expect(unsafe_code, reason = "checks in the innermost loop cost a tenth")]
                // SAFETY: the assertion above keeps the last step of the last panel within `panels`.
                let step_weights: [&[[i8; STEP / VECTORS]; VECTORS]; P] = std::array::from_fn(|p| unsafe {
                    &*panels.as_ptr().add((p * steps + step) * STEP).cast()
                });
                for r in 0..R {
                    #[expect(unsafe_code, reason = "checks in the innermost loop cost a tenth")]
                    // SAFETY: the assertion above keeps the last step of the last row within `rows`.
                    let activations = unsafe { *rows.as_ptr().add(r * stride + step * DEPTH).cast() };
                    let activations = broadcast(activations);
                    for p in 0..P {
                        for v in 0..VECTORS {
                            let weights = load_weights(&step_weights[p][v]);
                            acc[r][p][v] = dot(acc[r][p][v], activations, weights);
                        }
                    }
                }
            }
            acc
        }
    };
    ($(#[$feature:meta])* rows: $rows:literal, panels: $one:literal, $two:literal, $more:literal,
        own accumulate) => {
        /// Rows of a full register tile.
        const ROWS: usize = $rows;

        /// Computes one tile of the result.
        $(#[$feature])*
        pub(in crate::onnx) fn compute(gemm: &Gemm<'_>, out: &mut TileMut<'_>) {
            let rows = out.rows();
            // Weights of a short text come from memory, and pass once with one tile in place of two. Only the 32
            // registers of 64 bytes hold larger tiles; portable code has small ones.
            if VECTORS == 1 && ROWS == 6 {
                match rows.len() {
                    7 => return row_block::<7, 7, 3>(gemm, rows, 1, out),
                    8 => return row_block::<8, 8, 3>(gemm, rows, 1, out),
                    9 => return row_block::<9, 9, 2>(gemm, rows, 1, out),
                    10 => return row_block::<10, 10, 2>(gemm, rows, 1, out),
                    11 => return row_block::<11, 11, 2>(gemm, rows, 1, out),
                    12 => return row_block::<12, 12, 2>(gemm, rows, 1, out),
                    _ => {}
                }
            }
            let rows_of_block = (BLOCK / gemm.k.max(1)).max(ROWS);
            // Row blocks of nearly equal size, each of register tiles of nearly equal size.
            let blocks = rows.len().div_ceil(rows_of_block);
            for block in 0..blocks {
                let start = rows.start + rows.len() * block / blocks;
                let end = rows.start + rows.len() * (block + 1) / blocks;
                let rows = start..end;
                let tiles = rows.len().div_ceil(ROWS);
                match rows.len() / tiles.max(1) {
                    0 => {}
                    1 => row_block::<1, 2, $one>(gemm, rows, tiles, out),
                    2 => row_block::<2, 3, $two>(gemm, rows, tiles, out),
                    3 => row_block::<3, 4, $more>(gemm, rows, tiles, out),
                    4 => row_block::<4, 5, $more>(gemm, rows, tiles, out),
                    5 => row_block::<5, 6, $more>(gemm, rows, tiles, out),
                    _ => row_block::<6, 6, $more>(gemm, rows, tiles, out),
                }
            }
        }

        /// Computes a block of rows in `tiles` register tiles of `R` rows, or `S = R + 1`, and `P` panels.
        $(#[$feature])*
        fn row_block<const R: usize, const S: usize, const P: usize>(
            gemm: &Gemm<'_>,
            rows: std::ops::Range<usize>,
            tiles: usize,
            out: &mut TileMut<'_>,
        ) {
            let columns = out.columns();
            let panels = columns.start / COLUMNS..columns.end.div_ceil(COLUMNS);
            let larger_tiles = rows.len() - R * tiles;
            let mut panel = panels.start;
            while panel < panels.end {
                let width = if P <= panels.end - panel { P } else { 1 };
                let mut columns = [per_column(gemm, panel); P];
                for p in 1..width {
                    columns[p] = per_column(gemm, panel + p);
                }
                let mut row = rows.start;
                for tile in 0..tiles {
                    let larger = tile < larger_tiles;
                    match (larger, width == 1) {
                        (false, false) => register_tile::<R, P>(gemm, row, panel, &columns, out),
                        (false, true) => register_tile::<R, 1>(gemm, row, panel, &columns, out),
                        (true, false) => register_tile::<S, P>(gemm, row, panel, &columns, out),
                        (true, true) => register_tile::<S, 1>(gemm, row, panel, &columns, out),
                    }
                    row += if larger { S } else { R };
                }
                panel += width;
            }
        }

        /// Computes `R` rows of `P` panels with these factors and terms.
        $(#[$feature])*
        fn register_tile<const R: usize, const P: usize>(
            gemm: &Gemm<'_>,
            row: usize,
            panel: usize,
            columns: &[PerColumn],
            out: &mut TileMut<'_>,
        ) {
            let k = gemm.k;
            let (full, steps) = (k / DEPTH, k.div_ceil(DEPTH));
            let rows = &gemm.activations[row * k..(row + R) * k];
            let panels = &gemm.weights[panel * steps * STEP..(panel + P) * steps * STEP];
            let mut acc = accumulate([[[zeros(); VECTORS]; P]; R], rows, k, panels, steps, full);
            if full < steps {
                let mut last = [[0; DEPTH]; R];
                for (r, last) in last.iter_mut().enumerate() {
                    let rest = &rows[r * k + full * DEPTH..(r + 1) * k];
                    last[..rest.len()].copy_from_slice(rest);
                }
                let panels = &panels[full * STEP..];
                acc = accumulate(acc, last.as_flattened(), DEPTH, panels, steps, 1);
            }
            for p in 0..P {
                let first = (panel + p) * COLUMNS - out.columns().start;
                for r in 0..R {
                    let row_scale = gemm.row_scale(row + r);
                    let out = &mut out.row(row + r)[first..];
                    store_row(epilogue(acc[r][p], row_scale, &columns[p], gemm.gelu), out);
                }
            }
        }

        /// Factors and terms of a panel's columns.
        #[derive(Clone, Copy)]
        pub(in crate::onnx) struct PerColumn {
            zero_point_terms: [Ints; VECTORS],
            scales: [Floats; VECTORS],
            biases: [Floats; VECTORS],
        }

        #[inline]
        $(#[$feature])*
        pub(in crate::onnx) fn per_column(gemm: &Gemm<'_>, panel: usize) -> PerColumn {
            let mut loaded = PerColumn {
                zero_point_terms: [zero_point_term(0, &[0; LANES]); VECTORS],
                scales: [splat(1.0); VECTORS],
                biases: [splat(-0.0); VECTORS],
            };
            if let Some(scales) = &gemm.scales {
                let column_sums = load_panel(scales.column_sums, panel);
                let column_scales = load_panel(scales.columns, panel);
                for v in 0..VECTORS {
                    loaded.zero_point_terms[v] =
                        zero_point_term(scales.zero_point, &column_sums.as_chunks().0[v]);
                    loaded.scales[v] = load(&column_scales.as_chunks().0[v]);
                }
            }
            if let Some(bias) = gemm.bias {
                let bias = load_panel(bias, panel);
                for v in 0..VECTORS {
                    loaded.biases[v] = load(&bias.as_chunks().0[v]);
                }
            }
            loaded
        }

        /// Applies zero point, scales, bias and GELU to a row of a panel's accumulators.
        #[inline]
        $(#[$feature])*
        pub(in crate::onnx) fn epilogue(
            acc: [Accumulator; VECTORS],
            row_scale: f32,
            columns: &PerColumn,
            apply_gelu: bool,
        ) -> [Floats; VECTORS] {
            let mut sums = [splat(row_scale); VECTORS];
            for v in 0..VECTORS {
                sums[v] = sub(acc[v], columns.zero_point_terms[v]);
            }
            finish(sums, row_scale, columns, apply_gelu)
        }

        /// Applies scales, bias and GELU to sums.
        #[inline]
        $(#[$feature])*
        pub(in crate::onnx) fn finish(
            sums: [Floats; VECTORS],
            row_scale: f32,
            columns: &PerColumn,
            apply_gelu: bool,
        ) -> [Floats; VECTORS] {
            let row_scale = splat(row_scale);
            let mut results = sums;
            for v in 0..VECTORS {
                let scale = mul(row_scale, columns.scales[v]);
                results[v] = add(mul(sums[v], scale), columns.biases[v]);
                if apply_gelu {
                    results[v] = gelu(results[v]);
                }
            }
            results
        }

        /// Stores results in the first columns of `out`, or in all of them if there are fewer.
        #[inline]
        $(#[$feature])*
        pub(in crate::onnx) fn store_row(results: [Floats; VECTORS], out: &mut [f32]) {
            if let Some(full) = out.first_chunk_mut::<COLUMNS>() {
                for v in 0..VECTORS {
                    store(results[v], &mut full.as_chunks_mut().0[v]);
                }
                return;
            }
            let mut partial = [0.0; COLUMNS];
            for v in 0..VECTORS {
                store(results[v], &mut partial.as_chunks_mut().0[v]);
            }
            out.copy_from_slice(&partial[..out.len()]);
        }

        #[inline]
        $(#[$feature])*
        fn gelu(x: Floats) -> Floats {
            let (magnitude, half) = (abs(x), splat(0.5));
            let place = add(min(magnitude, splat(GELU.end)), splat(-GELU.middle));
            let square = mul(place, place);
            let (pairs, lowest) = GELU.coefficients.as_chunks::<2>();
            let (mut even, mut odd) = (splat(pairs[0][0]), splat(pairs[0][1]));
            for pair in &pairs[1..] {
                even = mul_add(even, square, splat(pair[0]));
                odd = mul_add(odd, square, splat(pair[1]));
            }
            even = mul_add(even, square, splat(lowest[0]));
            let above_half = min(mul_add(odd, place, even), half);
            mul_add(magnitude, above_half, mul(x, half))
        }
    };
}
pub(in crate::onnx) use microkernel;
