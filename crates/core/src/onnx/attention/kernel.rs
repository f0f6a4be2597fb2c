//! The kernel, written once in terms of a few vector operations that each instruction set defines.

/// Defines `attend(&Head, &mut Scratch, &mut TileMut)` from these items, which have to be in scope:
///
/// - `LANES`, the floats of a vector, and `VECTORS`, the vectors of a panel.
/// - `load(&[f32; LANES]) -> Floats`, `splat(f32) -> Floats`, `store(Floats, &mut [f32; LANES])`, `add`, `mul` and
///   `max` of two and `mul_add` of three `Floats`. Where `b` is NaN, `max(a, b)` is NaN.
/// - `transpose(&[&[f32; STEP]; LANES]) -> [Floats; STEP]`.
/// - `power_of_two(Floats) -> Floats` of integers that were rounded by adding
///   [`ROUND`](crate::onnx::int8::exp::ROUND).
///
/// A register tile has at most `$rows` rows, up to 6, and `$panels` panels, up to 4, as many as the registers hold.
///
/// Functions with target features are not inlined into closures that are called from code without them,
/// hence loops over indices.
macro_rules! attention {
    ($(#[$feature:meta])* rows: $rows:literal, panels: $panels:literal) => {
        /// Rows of a full register tile.
        const ROWS: usize = $rows;
        /// Panels of a full register tile.
        const PANELS: usize = $panels;

        /// Computes the output of one head.
        $(#[$feature])*
        pub(in crate::onnx::attention) fn attend(head: &Head<'_>, scratch: &mut Scratch, out: &mut TileMut<'_>) {
            scratch.prepare(head, ROWS);
            pack_keys(head, &mut scratch.key_panels);
            pack_values(head, &mut scratch.value_panels);
            for first in (0..head.queries).step_by(ROWS) {
                match (head.queries - first).min(ROWS) {
                    1 => block::<1>(head, first, scratch, out),
                    2 => block::<2>(head, first, scratch, out),
                    3 => block::<3>(head, first, scratch, out),
                    4 => block::<4>(head, first, scratch, out),
                    5 => block::<5>(head, first, scratch, out),
                    _ => block::<ROWS>(head, first, scratch, out),
                }
            }
        }

        /// Transposes keys into panels.
        $(#[$feature])*
        fn pack_keys(head: &Head<'_>, panels: &mut [f32]) {
            let width = head.width;
            let row = |at: usize| &head.key.from(at.min(head.keys - 1))[..width];
            for (index, panel) in panels.chunks_exact_mut(COLUMNS * width).enumerate() {
                for v in 0..VECTORS {
                    let first = index * COLUMNS + v * LANES;
                    let rows: [_; LANES] = std::array::from_fn(|at| row(first + at).as_chunks::<STEP>());
                    for step in 0..width / STEP {
                        let columns = transpose(&std::array::from_fn(|at| &rows[at].0[step]));
                        for (c, column) in columns.into_iter().enumerate() {
                            let to = &mut panel[(step * STEP + c) * COLUMNS..][..COLUMNS];
                            store(column, &mut to.as_chunks_mut().0[v]);
                        }
                    }
                    for (at, (_, rest)) in rows.into_iter().enumerate() {
                        for (column, number) in (width / STEP * STEP..).zip(rest) {
                            panel[column * COLUMNS + v * LANES + at] = *number;
                        }
                    }
                }
            }
        }

        /// Copies values into panels.
        $(#[$feature])*
        fn pack_values(head: &Head<'_>, panels: &mut [f32]) {
            for (index, panel) in panels.chunks_exact_mut(COLUMNS * head.keys).enumerate() {
                for (key, to) in panel.as_chunks_mut::<COLUMNS>().0.iter_mut().enumerate() {
                    let from = &head.value.from(key)[..head.width][index * COLUMNS..];
                    match from.first_chunk() {
                        Some(from) => *to = *from,
                        None => {
                            *to = [0.0; COLUMNS];
                            to[..from.len()].copy_from_slice(from);
                        }
                    }
                }
            }
        }

        /// Computes the output of `R` queries.
        $(#[$feature])*
        fn block<const R: usize>(
            head: &Head<'_>,
            first: usize,
            scratch: &mut Scratch,
            out: &mut TileMut<'_>,
        ) {
            if head.mask.stride > 0 {
                scratch.load_mask(head, first, R);
            }
            let Scratch { key_panels, value_panels, mask, scores } = scratch;
            let columns = head.padded_keys();
            let query = head.query.from(first);
            let mut largest = [[splat(f32::NEG_INFINITY); VECTORS]; R];
            let panels = columns / COLUMNS;
            let mut panel = 0;
            while panel < panels {
                let (at, width, stride) = (panel * COLUMNS, head.width, head.query.stride);
                let keys = &key_panels[at * width..];
                let (mask, scores) = (&mask[at..], &mut scores[at..]);
                let best = &mut largest;
                panel += match (panels - panel).min(PANELS) {
                    1 => score(product::<R, 1>(query, stride, keys, width), head.scale, columns, mask, scores, best),
                    2 => score(product::<R, 2>(query, stride, keys, width), head.scale, columns, mask, scores, best),
                    3 => score(product::<R, 3>(query, stride, keys, width), head.scale, columns, mask, scores, best),
                    _ => score(product::<R, PANELS>(query, stride, keys, width), head.scale, columns, mask, scores, best),
                };
            }
            let mut factors = [0.0; R];
            for r in 0..R {
                let row = &mut scores[r * columns..(r + 1) * columns];
                factors[r] = 1.0 / exponentials(row, largest[r]);
            }
            let panels = head.width.div_ceil(COLUMNS);
            let mut panel = 0;
            while panel < panels {
                let values = &value_panels[panel * COLUMNS * head.keys..];
                let keys = head.keys;
                panel += match (panels - panel).min(PANELS) {
                    1 => finish(product::<R, 1>(scores, columns, values, keys), &factors, first, panel, out),
                    2 => finish(product::<R, 2>(scores, columns, values, keys), &factors, first, panel, out),
                    3 => finish(product::<R, 3>(scores, columns, values, keys), &factors, first, panel, out),
                    _ => finish(product::<R, PANELS>(scores, columns, values, keys), &factors, first, panel, out),
                };
            }
        }

        /// Multiplies `R` rows of `k` numbers, `stride` apart, by `P` panels.
        #[inline]
        $(#[$feature])*
        fn product<const R: usize, const P: usize>(
            rows: &[f32],
            stride: usize,
            panels: &[f32],
            k: usize,
        ) -> [[[Floats; VECTORS]; P]; R] {
            assert!((R - 1) * stride + k <= rows.len());
            assert!(P * k * COLUMNS <= panels.len());
            let mut acc = [[[splat(0.0); VECTORS]; P]; R];
            for step in 0..k {
                #[expect(unsafe_code, reason = "checks in the innermost loop cost a tenth")]
                // SAFETY: the assertion above keeps the last step of the last panel within `panels`.
                let step_panels: [&[[f32; LANES]; VECTORS]; P] = std::array::from_fn(|p| unsafe {
                    &*panels.as_ptr().add((p * k + step) * COLUMNS).cast()
                });
                for r in 0..R {
                    #[expect(unsafe_code, reason = "checks in the innermost loop cost a tenth")]
                    // SAFETY: the assertion above keeps the last number of the last row within `rows`.
                    let number = splat(unsafe { *rows.get_unchecked(r * stride + step) });
                    for p in 0..P {
                        for v in 0..VECTORS {
                            acc[r][p][v] = mul_add(number, load(&step_panels[p][v]), acc[r][p][v]);
                        }
                    }
                }
            }
            acc
        }

        /// Stores the scores of `R` queries and `P` panels, rows of `columns`, and updates the largest ones. Returns `P`.
        #[inline]
        $(#[$feature])*
        fn score<const R: usize, const P: usize>(
            sums: [[[Floats; VECTORS]; P]; R],
            scale: f32,
            columns: usize,
            mask: &[f32],
            scores: &mut [f32],
            largest: &mut [[Floats; VECTORS]; R],
        ) -> usize {
            let scale = splat(scale);
            for r in 0..R {
                let mask = &mask[r * columns..][..P * COLUMNS].as_chunks().0;
                let scores = &mut scores[r * columns..][..P * COLUMNS].as_chunks_mut().0;
                for p in 0..P {
                    for v in 0..VECTORS {
                        let at = p * VECTORS + v;
                        let score = mul_add(sums[r][p][v], scale, load(&mask[at]));
                        largest[r][v] = max(largest[r][v], score);
                        store(score, &mut scores[at]);
                    }
                }
            }
            P
        }

        /// Replaces scores by the exponentials of their distances to the largest one, and returns the sum.
        #[inline]
        $(#[$feature])*
        fn exponentials(scores: &mut [f32], largest: [Floats; VECTORS]) -> f32 {
            let largest = in_lanes(largest);
            let largest = splat(-reduce(largest, |a, b| if a > b { a } else { b }));
            let mut total = [splat(0.0); VECTORS];
            for panel in scores.as_chunks_mut::<COLUMNS>().0 {
                let panel = panel.as_chunks_mut().0;
                for v in 0..VECTORS {
                    let power = exp(add(load(&panel[v]), largest));
                    total[v] = add(total[v], power);
                    store(power, &mut panel[v]);
                }
            }
            reduce(in_lanes(total), |a, b| a + b)
        }

        #[inline]
        $(#[$feature])*
        fn in_lanes(vectors: [Floats; VECTORS]) -> [f32; COLUMNS] {
            let mut lanes = [0.0; COLUMNS];
            for v in 0..VECTORS {
                store(vectors[v], &mut lanes.as_chunks_mut().0[v]);
            }
            lanes
        }

        /// The exponential of numbers up to 0; of NaN it is NaN.
        #[inline]
        $(#[$feature])*
        fn exp(x: Floats) -> Floats {
            let x = max(splat(LEAST), x);
            let rounded = mul_add(x, splat(LOG2_E), splat(ROUND));
            let n = add(rounded, splat(-ROUND));
            let r = mul_add(n, splat(-LN_2[1]), mul_add(n, splat(-LN_2[0]), x));
            let mut power = splat(COEFFICIENTS[0]);
            for &coefficient in &COEFFICIENTS[1..] {
                power = mul_add(power, r, splat(coefficient));
            }
            mul(power, power_of_two(rounded))
        }

        /// Multiplies the sums of `R` queries and `P` panels of values by the factors of the queries, and stores them.
        /// Returns `P`.
        #[inline]
        $(#[$feature])*
        fn finish<const R: usize, const P: usize>(
            sums: [[[Floats; VECTORS]; P]; R],
            factors: &[f32; R],
            first: usize,
            panel: usize,
            out: &mut TileMut<'_>,
        ) -> usize {
            let first_row = out.rows().start + first;
            for r in 0..R {
                let factor = splat(factors[r]);
                let row = &mut out.row(first_row + r)[panel * COLUMNS..];
                for (p, out) in row.chunks_mut(COLUMNS).take(P).enumerate() {
                    let mut results = sums[r][p];
                    for v in 0..VECTORS {
                        results[v] = mul(results[v], factor);
                    }
                    match out.first_chunk_mut::<COLUMNS>() {
                        Some(full) => {
                            for v in 0..VECTORS {
                                store(results[v], &mut full.as_chunks_mut().0[v]);
                            }
                        }
                        None => out.copy_from_slice(&in_lanes(results)[..out.len()]),
                    }
                }
            }
            P
        }
    };
}
pub(super) use attention;
