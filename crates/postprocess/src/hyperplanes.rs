//! SimHash: the side of each hyperplane that a vector is on, and the cluster that follows from it.

use crate::{
    numpy::Generator,
    product::{Number, Panels},
    vectors::Vectors,
};

/// Hyperplanes of all repetitions.
#[derive(Clone)]
pub(crate) struct Hyperplanes<T> {
    /// One column for each hyperplane, repetition by repetition.
    panels: Panels<T>,
    /// The normals in double precision, one row for each hyperplane; empty if `panels` are exact.
    normals: Vec<f64>,
    /// Minimum distance from zero of a dot product with a unit vector whose sign is certain.
    margin: f64,
    k_sim: u32,
    dim: usize,
}

/// Sides of all vectors, one bit for each hyperplane.
#[derive(Debug, Default)]
pub(crate) struct Sides {
    bits: Vec<u64>,
    /// Words of each vector, the last of them zero.
    stride: usize,
}

/// Maximum error of a dot product per component from numbers below the normal range of `f32`.
const UNDERFLOW: f64 = f64::from_bits((1023 - 145) << 52); // 2^-145

impl<T: Number> Hyperplanes<T> {
    /// Draws a matrix of `dim` rows and `k_sim` columns for each repetition, row by row.
    pub(crate) fn draw(generator: &mut Generator, dim: usize, k_sim: u32, r_reps: usize) -> Self {
        let k = k_sim as usize;
        let drawn: Vec<f64> = (0..r_reps * dim * k).map(|_| generator.normal()).collect();
        let normal =
            |component: usize, plane: usize| drawn[(plane / k * dim + component) * k + plane % k];
        let columns = r_reps * k;
        let panels = Panels::new(dim, columns, |row, column| T::from_f64(normal(row, column)));
        let (mut normals, mut margin) = (Vec::new(), 0.0);
        if !T::EXACT {
            normals.reserve_exact(columns * dim);
            let mut longest = 0f64;
            for plane in 0..columns {
                normals.extend((0..dim).map(|component| normal(component, plane)));
                let square: f64 = normals[plane * dim..].iter().map(|x| x * x).sum();
                longest = longest.max(square.sqrt());
            }
            // Each component and each normal was rounded once, each term of the sum at most twice. The
            // error of n roundings is below n u / (1 - n u) times the product of the lengths.
            let roundings = (dim as f64 + 4.0) * T::ROUNDING;
            margin = if roundings < 0.5 {
                1.01 * roundings / (1.0 - roundings) * longest
            } else {
                f64::INFINITY
            };
        }
        Self { panels, normals, margin, k_sim, dim }
    }

    /// Computes the side of every vector. `rows` are the components of `vectors` in this precision.
    ///
    /// A dot product in single precision may be too close to zero for a certain sign and is then
    /// recomputed in double precision. The sides are therefore independent of the precision.
    #[inline(always)]
    pub(crate) fn sides<const FUSED: bool>(
        &self,
        vectors: Vectors<'_>,
        rows: &[T],
        sides: &mut Sides,
    ) {
        sides.stride = self.panels.columns() / 64 + 2;
        sides.bits.clear();
        sides.bits.resize(rows.len() / self.dim * sides.stride, 0);
        let margins: Vec<T> = if T::EXACT { Vec::new() } else { self.margins(rows) };
        T::multiply::<FUSED>(rows, &self.panels, |row, column, dots| {
            let mut positive = 0u64;
            for (place, &dot) in dots.iter().enumerate() {
                positive |= u64::from(dot > T::default()) << place;
            }
            if !T::EXACT {
                let margin = margins[row];
                let mut unsure = 0u64;
                for (place, &dot) in dots.iter().enumerate() {
                    // An infinity or NaN comes from an overflow of the sum. No short-circuit between
                    // the comparisons, so that they are vectorised.
                    let sure = (dot > margin) & (dot < T::INFINITY)
                        | (dot < -margin) & (dot > -T::INFINITY);
                    unsure |= u64::from(!sure) << place;
                }
                while unsure != 0 {
                    let place = unsure.trailing_zeros() as usize;
                    unsure &= unsure - 1;
                    let side = self.exact_side::<FUSED>(vectors, row, column + place);
                    positive = positive & !(1 << place) | u64::from(side) << place;
                }
            }
            // A panel starts at a multiple of its number of columns, which divides 64.
            let word = &mut sides.bits[row * sides.stride + column / 64];
            *word |= positive << (column % 64);
        });
    }

    /// Minimum distance from zero of each vector's dot products, rounded up.
    #[inline(always)]
    fn margins(&self, rows: &[T]) -> Vec<T> {
        let least = self.dim as f64 * UNDERFLOW;
        let margin = |row: &[T]| {
            let mut squares = [0f64; 8];
            let (chunks, rest) = row.as_chunks::<8>();
            for chunk in chunks {
                for (square, x) in squares.iter_mut().zip(chunk) {
                    *square += x.to_f64() * x.to_f64();
                }
            }
            for (square, x) in squares.iter_mut().zip(rest) {
                *square += x.to_f64() * x.to_f64();
            }
            let length = squares.iter().sum::<f64>().sqrt();
            T::from_f64((self.margin * length + least) * (1.0 + 4.0 * T::ROUNDING))
        };
        rows.chunks_exact(self.dim).map(margin).collect()
    }

    /// Computes a side in double precision: the same sum in the same order.
    #[inline(always)]
    fn exact_side<const FUSED: bool>(
        &self,
        vectors: Vectors<'_>,
        row: usize,
        plane: usize,
    ) -> bool {
        let normal = &self.normals[plane * self.dim..(plane + 1) * self.dim];
        let mut dot = 0f64;
        for (place, &factor) in normal.iter().enumerate() {
            let component = vectors.component(row * self.dim + place);
            dot = if FUSED { component.mul_add(factor, dot) } else { component * factor + dot };
        }
        dot > 0.0
    }

    /// Clusters of all vectors in one repetition; hyperplane `j` is bit `2^j`.
    #[inline(always)]
    pub(crate) fn clusters(&self, sides: &Sides, repetition: usize, clusters: &mut Vec<u32>) {
        let first = repetition * self.k_sim as usize;
        let (word, shift) = (first / 64, first % 64);
        let mask = (1u128 << self.k_sim) - 1;
        clusters.clear();
        clusters.extend(sides.bits.chunks_exact(sides.stride).map(|bits| {
            let both = u128::from(bits[word + 1]) << 64 | u128::from(bits[word]);
            (both >> shift & mask) as u32
        }));
    }

    /// A component of a hyperplane's normal vector.
    #[cfg(test)]
    pub(crate) fn normal(&self, component: usize, plane: usize) -> T {
        self.panels.get(component, plane)
    }
}
