//! The kernels, and which of them the processor has.
//!
//! They are one: [`kernel`] writes it down in terms of a few vector operations, which the modules of the
//! processors define.

use std::sync::OnceLock;

use super::block::Block;
use super::{COLUMNS, Product, portable};

/// A way to compute a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    /// Vectors as the compiler finds them.
    Portable,
    /// x86-64, pairs of products in 16 bits.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// x86-64, pairs of products in 16 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// x86-64, four products in one instruction.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// x86-64, four products in one instruction.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// `AArch64`, pairs of products in 16 bits.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// `AArch64`, four products in one instruction.
    #[cfg(target_arch = "aarch64")]
    NeonDot,
}

impl Kernel {
    /// All of the architecture, from the slowest to the fastest.
    pub(super) const ALL: &[Self] = &[
        Self::Portable,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "x86_64")]
        Self::AvxVnni,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512Vnni,
        #[cfg(target_arch = "aarch64")]
        Self::Neon,
        #[cfg(target_arch = "aarch64")]
        Self::NeonDot,
    ];

    /// The fastest that the processor has, found once.
    pub(super) fn fastest() -> Self {
        static FASTEST: OnceLock<Kernel> = OnceLock::new();
        *FASTEST.get_or_init(|| {
            let available = Self::ALL.iter().rev().find(|kernel| kernel.is_available());
            *available.unwrap_or(&Self::Portable)
        })
    }

    /// Whether the processor has its instructions.
    pub(super) fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            // Miri lacks many of the instructions.
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            _ if cfg!(miri) => false,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
            }
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => Self::Avx2.is_available() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                Self::Avx512.is_available() && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => {
                Self::Neon.is_available() && std::arch::is_aarch64_feature_detected!("dotprod")
            }
        }
    }

    /// Computes a block of a product. Falls back to the portable kernel where the processor lacks this
    /// one.
    pub(super) fn run(self, product: &Product<'_>, out: &mut Block<'_>) {
        if !self.is_available() {
            return portable::compute(product, out);
        }
        #[expect(unsafe_code, reason = "functions for processors with certain features")]
        // SAFETY: the processor has the features: asked above.
        unsafe {
            match self {
                Self::Portable => portable::compute(product, out),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => super::x86::avx2::compute(product, out),
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 => super::x86::avx512::compute(product, out),
                #[cfg(target_arch = "x86_64")]
                Self::AvxVnni => super::x86::avx_vnni::compute(product, out),
                #[cfg(target_arch = "x86_64")]
                Self::Avx512Vnni => super::x86::avx512_vnni::compute(product, out),
                #[cfg(target_arch = "aarch64")]
                Self::Neon => super::neon::pairs::compute(product, out),
                #[cfg(target_arch = "aarch64")]
                Self::NeonDot => super::neon::dot::compute(product, out),
            }
        }
    }
}

/// Bytes of activations that are multiplied by one panel after the other: they, and the lines of the
/// result that are written meanwhile, should stay near.
pub(super) const NEAR: usize = 32 * 1024;

/// What belongs to the columns of a panel, with zeros beyond the matrix.
pub(super) fn of_panel<T: Copy + Default>(numbers: &[T], panel: usize) -> [T; COLUMNS] {
    let numbers = &numbers[panel * COLUMNS..];
    let mut padded = [T::default(); COLUMNS];
    match numbers.first_chunk() {
        Some(full) => *full,
        None => {
            padded[..numbers.len()].copy_from_slice(numbers);
            padded
        }
    }
}

/// Defines `compute(&Product, &mut Block)` from these, which have to be in scope:
///
/// - `LANES`, the floats of a vector, and `VECTORS`, those of a panel.
/// - Sums of four activations times as many weights, for `LANES` columns: `zeros() -> Sums`,
///   `repeat([u8; 4]) -> Values`, `weights(&[i8; 4 * LANES]) -> Weights`,
///   `dot(Sums, Values, Weights) -> Sums`.
/// - What is subtracted at the end: `zero_times(u8, &[i32; LANES]) -> Ints`, and
///   `minus(Sums, Ints) -> Floats`.
/// - `load(&[f32; LANES]) -> Floats`, `splat(f32) -> Floats`, `store(Floats, &mut [f32; LANES])`, and
///   `add`, `mul`, `div`, `min`, `max` of two and `mul_add` of three `Floats`. `min` and `max` may
///   drop a NaN.
///
/// A tile has `$rows` rows or fewer, up to 6, and `$one`, `$two` or `$more` panels if it has one row, two
/// or more: enough sums for the instructions in flight, and few enough for the registers.
///
/// Functions with features are not inlined into closures that code without them calls: hence loops over
/// indices.
macro_rules! kernel {
    ($(#[$feature:meta])* rows: $rows:literal, panels: $one:literal, $two:literal, $more:literal) => {
        /// Rows of a full tile.
        const ROWS: usize = $rows;

        /// Computes a block of the result.
        $(#[$feature])*
        pub(in crate::onnx::int8) fn compute(product: &Product<'_>, out: &mut Block<'_>) {
            let all = out.rows();
            let near = (NEAR / product.k.max(1)).max(ROWS);
            // Parts of nearly the same number of rows, each of tiles of nearly the same number.
            let parts = all.len().div_ceil(near);
            for part in 0..parts {
                let first = all.start + all.len() * part / parts;
                let end = all.start + all.len() * (part + 1) / parts;
                let rows = first..end;
                match rows.len() / rows.len().div_ceil(ROWS).max(1) {
                    0 => {}
                    1 => part_of::<1, 2, $one>(product, rows, out),
                    2 => part_of::<2, 3, $two>(product, rows, out),
                    3 => part_of::<3, 4, $more>(product, rows, out),
                    4 => part_of::<4, 5, $more>(product, rows, out),
                    5 => part_of::<5, 6, $more>(product, rows, out),
                    _ => part_of::<6, 6, $more>(product, rows, out),
                }
            }
        }

        /// Computes some rows in tiles of `R` rows, or of `S`, one more, and `P` panels.
        $(#[$feature])*
        fn part_of<const R: usize, const S: usize, const P: usize>(
            product: &Product<'_>,
            rows: std::ops::Range<usize>,
            out: &mut Block<'_>,
        ) {
            let columns = out.columns();
            let panels = columns.start / COLUMNS..columns.end.div_ceil(COLUMNS);
            let tiles = rows.len().div_ceil(ROWS);
            let larger = rows.len() - R * tiles;
            let mut panel = panels.start;
            while panel < panels.end {
                let together = if P <= panels.end - panel { P } else { 1 };
                let mut row = rows.start;
                for number in 0..tiles {
                    let larger = number < larger;
                    match (larger, together == 1) {
                        (false, false) => tile::<R, P>(product, row, panel, out),
                        (false, true) => tile::<R, 1>(product, row, panel, out),
                        (true, false) => tile::<S, P>(product, row, panel, out),
                        (true, true) => tile::<S, 1>(product, row, panel, out),
                    }
                    row += if larger { S } else { R };
                }
                panel += together;
            }
        }

        /// Computes `R` rows of `P` panels.
        $(#[$feature])*
        fn tile<const R: usize, const P: usize>(
            product: &Product<'_>,
            row: usize,
            panel: usize,
            out: &mut Block<'_>,
        ) {
            let k = product.k;
            let (full, steps) = (k / DEPTH, k.div_ceil(DEPTH));
            let rows = &product.rows[row * k..(row + R) * k];
            let panels = &product.weights[panel * steps * STEP..(panel + P) * steps * STEP];
            let mut sums = sums_of([[[zeros(); VECTORS]; P]; R], rows, k, panels, steps, full);
            if full < steps {
                let mut last = [[0; DEPTH]; R];
                for (r, last) in last.iter_mut().enumerate() {
                    let values = &rows[r * k + full * DEPTH..(r + 1) * k];
                    last[..values.len()].copy_from_slice(values);
                }
                let panels = &panels[full * STEP..];
                sums = sums_of(sums, last.as_flattened(), DEPTH, panels, steps, 1);
            }
            for (p, panel) in (panel..panel + P).enumerate() {
                let sums: [[Sums; VECTORS]; R] = std::array::from_fn(|r| sums[r][p]);
                finish(product, row, panel, sums, out);
            }
        }

        /// Adds the products of `count` steps of `R` rows and `P` panels: rows begin every `stride` values,
        /// panels every `steps` steps.
        #[inline]
        $(#[$feature])*
        fn sums_of<const R: usize, const P: usize>(
            mut sums: [[[Sums; VECTORS]; P]; R],
            rows: &[u8],
            stride: usize,
            panels: &[i8],
            steps: usize,
            count: usize,
        ) -> [[[Sums; VECTORS]; P]; R] {
            assert!((R - 1) * stride + count * DEPTH <= rows.len());
            assert!(((P - 1) * steps + count) * STEP <= panels.len());
            for step in 0..count {
                #[expect(unsafe_code, reason = "checks in the innermost loop cost a tenth")]
                // SAFETY: the last step of the last panel ends within `panels`: asserted.
                let weights_here: [&[[i8; STEP / VECTORS]; VECTORS]; P] = std::array::from_fn(|p| unsafe {
                    &*panels.as_ptr().add((p * steps + step) * STEP).cast()
                });
                for r in 0..R {
                    #[expect(unsafe_code, reason = "checks in the innermost loop cost a tenth")]
                    // SAFETY: the last step of the last row ends within `rows`: asserted.
                    let values = unsafe { *rows.as_ptr().add(r * stride + step * DEPTH).cast() };
                    let values = repeat(values);
                    for p in 0..P {
                        for v in 0..VECTORS {
                            sums[r][p][v] = dot(sums[r][p][v], values, weights(&weights_here[p][v]));
                        }
                    }
                }
            }
            sums
        }

        /// Writes `R` rows of a panel's results.
        #[inline]
        $(#[$feature])*
        fn finish<const R: usize>(
            product: &Product<'_>,
            row: usize,
            panel: usize,
            sums: [[Sums; VECTORS]; R],
            out: &mut Block<'_>,
        ) {
            let (mut scales, mut biases) = ([splat(0.0); VECTORS], [splat(-0.0); VECTORS]);
            let mut of_zero = [zero_times(0, &[0; LANES]); VECTORS];
            let (of_columns, of_scales) = (of_panel(product.sums, panel), of_panel(product.scales, panel));
            let of_bias = product.bias.map(|bias| of_panel(bias, panel));
            for v in 0..VECTORS {
                of_zero[v] = zero_times(product.zero, &of_columns.as_chunks().0[v]);
                scales[v] = load(&of_scales.as_chunks().0[v]);
                if let Some(bias) = &of_bias {
                    biases[v] = load(&bias.as_chunks().0[v]);
                }
            }
            let first = panel * COLUMNS - out.columns().start;
            for r in 0..R {
                let row_scale = splat(product.row_scales[row + r]);
                let out = &mut out.row(row + r)[first..];
                let mut partial = [0.0; COLUMNS];
                let (full, results) = match out.first_chunk_mut() {
                    Some(full) => (true, full),
                    None => (false, &mut partial),
                };
                for v in 0..VECTORS {
                    let scale = mul(row_scale, scales[v]);
                    let mut result = add(mul(minus(sums[r][v], of_zero[v]), scale), biases[v]);
                    if product.gelu {
                        result = gelu(result);
                    }
                    store(result, &mut results.as_chunks_mut().0[v]);
                }
                if !full {
                    out.copy_from_slice(&partial[..out.len()]);
                }
            }
        }

        #[inline]
        $(#[$feature])*
        fn gelu(x: Floats) -> Floats {
            let z = max(min(x, splat(END)), splat(-END));
            let square = mul(z, z);
            let mut p = splat(P[0]);
            for &coefficient in &P[1..] {
                p = mul_add(p, square, splat(coefficient));
            }
            let mut q = splat(Q[0]);
            for &coefficient in &Q[1..] {
                q = mul_add(q, square, splat(coefficient));
            }
            let odd = max(min(div(mul(z, p), q), splat(0.5)), splat(-0.5));
            mul(x, add(odd, splat(0.5)))
        }
    };
}
pub(super) use kernel;
