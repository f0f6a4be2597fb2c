//! Principal component analysis to two dimensions.
//!
//! The two leading eigenvectors of the covariance come from a block Krylov space: blocks of vectors,
//! each the covariance times the one before, orthonormalised, and in the space they span the small
//! symmetric problem is solved by Jacobi's rotations. The covariance is never formed, so that memory is
//! that of the space, and vectors of many thousand components can be mapped. The space grows until both
//! residuals are small, or until it has no further direction: then the result is exact.

mod jacobi;

use self::jacobi::eigen;

/// Vectors of a block: eigenvalues of up to this multiplicity are found.
const BLOCK: usize = 4;
/// Most vectors of the space, and most of their numbers.
const MOST_VECTORS: usize = 512;
const MOST_NUMBERS: usize = 1 << 26;
/// Residual, as a share of the largest eigenvalue, that ends the search.
const TOLERANCE: f64 = 1e-9;
/// Length, as a share of that before orthogonalisation, below which a vector has no new direction.
const DEPENDENT: f64 = 1e-12;

/// Rows seen from the two directions in which they vary most.
#[derive(Debug)]
pub(crate) struct Projection {
    /// A point for each row.
    pub(crate) points: Vec<[f64; 2]>,
    /// Share of the variance that each of the two directions holds, 0 where there is none.
    pub(crate) explained: [f64; 2],
}

/// Projects rows of equal length, after their mean has been subtracted.
///
/// The directions are orthogonal, the first one holds more of the variance, and in each the component of
/// largest magnitude is positive, so that the same rows always give the same picture.
pub(crate) fn project(rows: &[&[f32]]) -> Projection {
    let centred = Centred::new(rows);
    let total = centred.variance();
    if total == 0.0 {
        return Projection { points: vec![[0.0; 2]; rows.len()], explained: [0.0; 2] };
    }
    let axes = leading(&centred);
    let points = rows
        .iter()
        .map(|row| {
            let along =
                |axis: Option<&Axis>| axis.map_or(0.0, |axis| centred.dot(row, &axis.direction));
            [along(axes.first()), along(axes.get(1))]
        })
        .collect();
    let share = |at: usize| axes.get(at).map_or(0.0, |axis| axis.variance / total);
    Projection { points, explained: [share(0), share(1)] }
}

/// Rows and their mean.
struct Centred<'a> {
    rows: &'a [&'a [f32]],
    mean: Vec<f64>,
}

impl<'a> Centred<'a> {
    fn new(rows: &'a [&'a [f32]]) -> Self {
        let mut mean = vec![0.0; rows.first().map_or(0, |row| row.len())];
        for row in rows {
            mean.iter_mut().zip(*row).for_each(|(mean, &x)| *mean += f64::from(x));
        }
        mean.iter_mut().for_each(|mean| *mean /= rows.len() as f64);
        Self { rows, mean }
    }

    fn centre(&self, row: &[f32], into: &mut [f64]) {
        for ((into, &x), mean) in into.iter_mut().zip(row).zip(&self.mean) {
            *into = f64::from(x) - mean;
        }
    }

    fn dot(&self, row: &[f32], direction: &[f64]) -> f64 {
        let components = row.iter().zip(&self.mean).zip(direction);
        components.map(|((&x, mean), direction)| (f64::from(x) - mean) * direction).sum()
    }

    /// The trace of the covariance, times the number of rows as every eigenvalue here.
    fn variance(&self) -> f64 {
        let squared = |(&x, mean): (&f32, &f64)| (f64::from(x) - mean).powi(2);
        self.rows.iter().map(|row| row.iter().zip(&self.mean).map(squared).sum::<f64>()).sum()
    }

    /// The covariance times vectors, in one pass over the rows.
    fn times(&self, vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut products = vec![vec![0.0; self.mean.len()]; vectors.len()];
        let mut centred = vec![0.0; self.mean.len()];
        for row in self.rows {
            self.centre(row, &mut centred);
            for (vector, product) in vectors.iter().zip(&mut products) {
                add_scaled(product, dot(&centred, vector), &centred);
            }
        }
        products
    }
}

/// A direction and the variance in it.
struct Axis {
    direction: Vec<f64>,
    variance: f64,
}

/// Orthonormal vectors and the covariance times each.
#[derive(Default)]
struct Space {
    vectors: Vec<Vec<f64>>,
    products: Vec<Vec<f64>>,
}

/// The directions with the largest variance: two, or as many as have any.
fn leading(centred: &Centred<'_>) -> Vec<Axis> {
    let dim = centred.mean.len();
    let most = MOST_VECTORS.min(MOST_NUMBERS / dim).max(4 * BLOCK);
    let mut space = Space::default();
    let mut block = centred.times(&start(dim));
    let mut check = 2 * BLOCK;
    loop {
        let fresh = space.extend(block, centred);
        let is_done = fresh.is_empty() || space.vectors.len() >= most;
        if is_done || space.vectors.len() >= check {
            let (axes, residual) = space.axes();
            if is_done || residual <= TOLERANCE {
                return axes;
            }
            check = space.vectors.len() * 3 / 2;
        }
        block = fresh;
    }
}

/// Vectors with components that look random and are always the same.
fn start(dim: usize) -> Vec<Vec<f64>> {
    // SplitMix64.
    let mut state = 0_u64;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    (0..BLOCK.min(dim)).map(|_| (0..dim).map(|_| next()).collect()).collect()
}

impl Space {
    /// Adds what is new in a block, and returns the covariance times that.
    fn extend(&mut self, block: Vec<Vec<f64>>, centred: &Centred<'_>) -> Vec<Vec<f64>> {
        let before = self.vectors.len();
        for mut vector in block {
            let length = norm(&vector);
            // Twice is enough: rounding leaves nothing worth mentioning after the second time.
            for _ in 0..2 {
                for known in &self.vectors {
                    let along = dot(known, &vector);
                    add_scaled(&mut vector, -along, known);
                }
            }
            let rest = norm(&vector);
            if rest > DEPENDENT * length {
                vector.iter_mut().for_each(|x| *x /= rest);
                self.vectors.push(vector);
            }
        }
        let products = centred.times(&self.vectors[before..]);
        self.products.extend(products.iter().cloned());
        products
    }

    /// The two best directions of the space, and how far they are from being eigenvectors, as a share of
    /// the largest eigenvalue.
    fn axes(&self) -> (Vec<Axis>, f64) {
        let size = self.vectors.len();
        let mut matrix = vec![0.0; size * size];
        for (row, vector) in self.vectors.iter().enumerate() {
            for (column, product) in self.products.iter().enumerate().take(row + 1) {
                let entry = dot(vector, product);
                (matrix[row * size + column], matrix[column * size + row]) = (entry, entry);
            }
        }
        let mut pairs = eigen(matrix, size);
        pairs.truncate(2);
        let largest = pairs.first().map_or(0.0, |pair| pair.0);
        // Of fewer dimensions than two the rest is rounding.
        pairs.retain(|pair| pair.0 > 1e-14 * largest);
        let mut worst: f64 = 0.0;
        let axes = pairs.iter().map(|(variance, weights)| {
            let mut direction = combine(&self.vectors, weights);
            let mut residual = combine(&self.products, weights);
            add_scaled(&mut residual, -variance, &direction);
            worst = worst.max(norm(&residual) / largest);
            orient(&mut direction);
            Axis { direction, variance: *variance }
        });
        (axes.collect(), worst)
    }
}

/// The sum of vectors with weights.
fn combine(vectors: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; vectors.first().map_or(0, Vec::len)];
    for (vector, &weight) in vectors.iter().zip(weights) {
        add_scaled(&mut sum, weight, vector);
    }
    sum
}

/// Makes the component of largest magnitude positive, the first one of several.
fn orient(direction: &mut [f64]) {
    let largest = direction.iter().fold(0.0_f64, |a, &b| if b.abs() > a.abs() { b } else { a });
    if largest < 0.0 {
        direction.iter_mut().for_each(|x| *x = -*x);
    }
}

fn add_scaled(sum: &mut [f64], factor: f64, vector: &[f64]) {
    sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += factor * x);
}

fn norm(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

/// The dot product, in several sums so that the compiler may use vector instructions.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() <= tolerance, "{a} and {b}");
    }

    fn slices(rows: &[Vec<f32>]) -> Vec<&[f32]> {
        rows.iter().map(Vec::as_slice).collect()
    }

    /// Rows of pseudo-random numbers; the components shrink, as those of real embeddings do.
    fn rows(count: usize, dim: usize, shrink: f64) -> Vec<Vec<f32>> {
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 24) - 0.5
        };
        let row = |_| (0..dim).map(|at| (next() * shrink.powi(at as i32)) as f32 + 3.0).collect();
        (0..count).map(row).collect()
    }

    /// The largest eigenvalue of the covariance by power iteration, and the covariance without it.
    fn power(covariance: &mut [Vec<f64>]) -> (f64, Vec<f64>) {
        let mut vector: Vec<f64> = (0..covariance.len()).map(|at| 1.0 + at as f64 / 7.0).collect();
        for _ in 0..4_000 {
            vector = covariance.iter().map(|row| dot(row, &vector)).collect();
            let length = norm(&vector);
            vector.iter_mut().for_each(|x| *x /= length);
        }
        let product: Vec<f64> = covariance.iter().map(|row| dot(row, &vector)).collect();
        let value = dot(&product, &vector);
        for (row, &x) in covariance.iter_mut().zip(&vector) {
            add_scaled(row, -value * x, &vector);
        }
        orient(&mut vector);
        (value, vector)
    }

    #[test]
    fn directions_are_those_of_power_iteration_on_the_covariance() {
        for (count, dim, shrink) in [(60, 12, 0.9), (9, 40, 0.8), (100, 50, 0.95), (30, 2, 0.5)] {
            let rows = rows(count, dim, shrink);
            let rows = slices(&rows);
            let centred = Centred::new(&rows);
            let mut covariance = vec![vec![0.0; dim]; dim];
            let mut row_centred = vec![0.0; dim];
            for row in &rows {
                centred.centre(row, &mut row_centred);
                for (line, &x) in covariance.iter_mut().zip(&row_centred) {
                    add_scaled(line, x, &row_centred);
                }
            }
            let total: f64 = (0..dim).map(|at| covariance[at][at]).sum();
            let projection = project(&rows);
            for axis in 0..2 {
                let (value, vector) = power(&mut covariance);
                close(projection.explained[axis], value / total, 1e-9);
                for (row, point) in rows.iter().zip(&projection.points) {
                    close(point[axis], centred.dot(row, &vector), 1e-6);
                }
            }
        }
    }

    /// `u, s, vt = numpy.linalg.svd(a - a.mean(0), full_matrices=False)`, the rows of `vt` with their
    /// largest component positive, `u * s` and `s**2 / (s**2).sum()`.
    #[test]
    fn points_are_those_of_a_singular_value_decomposition() {
        const ROWS: [[f32; 4]; 6] = [
            [-1.25, -0.75, -0.25, 0.25],
            [0.5, 2.0, -1.25, -0.75],
            [-0.5, 4.0, 0.5, 1.0],
            [1.25, 3.0, -0.5, 0.0],
            [0.25, 1.75, 1.25, -1.0],
            [-0.75, -0.25, 0.25, 0.75],
        ];
        const POINTS: [[f64; 2]; 6] = [
            [-2.635339307043665, 0.08019622528406424],
            [0.5927361323487552, -1.3855882293611392],
            [2.0443512560063017, 1.6110401775927248],
            [1.7486994787807413, -0.7114668998113912],
            [0.27085961451323104, -0.08571515767664716],
            [-2.021307174605363, 0.49153388397238934],
        ];
        let projection = project(&ROWS.each_ref().map(|row| &row[..]));
        for (point, expected) in projection.points.iter().zip(POINTS) {
            close(point[0], expected[0], 1e-9);
            close(point[1], expected[1], 1e-9);
        }
        close(projection.explained[0], 0.668094198746059, 1e-12);
        close(projection.explained[1], 0.18860012842606808, 1e-12);
    }

    #[test]
    fn equal_rows_are_one_point_without_variance() {
        for count in [1, 2, 100] {
            let rows = vec![vec![0.1, -7.3, 1e30]; count];
            let projection = project(&slices(&rows));
            assert_eq!(projection.points, vec![[0.0; 2]; count]);
            assert_eq!(projection.explained, [0.0; 2]);
        }
    }

    #[test]
    fn rows_on_a_line_have_one_direction() {
        let rows: Vec<_> = (0..5).map(|at| vec![at as f32, 2.0 * at as f32, 1.0]).collect();
        let projection = project(&slices(&rows));
        assert_eq!(projection.explained[1], 0.0);
        close(projection.explained[0], 1.0, 1e-12);
        for (at, point) in projection.points.iter().enumerate() {
            close(point[0], (at as f64 - 2.0) * 5_f64.sqrt(), 1e-9);
            assert_eq!(point[1], 0.0);
        }
        assert_eq!(project(&[&[1.0], &[3.0]]).points, [[-1.0, 0.0], [1.0, 0.0]]);
    }

    #[test]
    fn equal_variances_are_found_however_many_there_are() {
        // The corners of a simplex: every direction holds the same variance.
        for size in [3, 5, 9] {
            let rows: Vec<Vec<f32>> = (0..size)
                .map(|at| (0..size).map(|other| f32::from(at == other)).collect())
                .collect();
            let projection = project(&slices(&rows));
            for explained in projection.explained {
                close(explained, 1.0 / (size as f64 - 1.0), 1e-9);
            }
        }
    }

    #[test]
    fn extreme_numbers_stay_numbers() {
        for scale in [1e-40, 1e-30, 1e30, 1e38] {
            let rows: Vec<_> = rows(20, 6, 0.8)
                .iter()
                .map(|row| row.iter().map(|x| (x - 3.0) * scale).collect::<Vec<f32>>())
                .collect();
            let projection = project(&slices(&rows));
            assert!(projection.points.as_flattened().iter().all(|x| x.is_finite()));
            let [first, second] = projection.explained;
            assert!(first > second && second > 0.0 && first + second < 1.0);
        }
    }
}
