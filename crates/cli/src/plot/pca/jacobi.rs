//! Eigenvalues and eigenvectors of a small symmetric matrix by Jacobi's rotations.

/// Sweeps over all pairs of rows; some ten suffice for any matrix.
const MOST_SWEEPS: usize = 64;

/// The eigenvalues with their eigenvectors of unit length, the largest first. `matrix` has `size` rows
/// of `size` entries.
pub(super) fn eigen(mut matrix: Vec<f64>, size: usize) -> Vec<(f64, Vec<f64>)> {
    // The vectors are the rows.
    let mut vectors = vec![0.0; size * size];
    (0..size).for_each(|at| vectors[at * size + at] = 1.0);
    let scale = matrix.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    for _ in 0..MOST_SWEEPS {
        let mut rotated = false;
        for p in 0..size {
            for q in p + 1..size {
                if matrix[p * size + q].abs() > 1e-16 * scale {
                    rotate(&mut matrix, &mut vectors, size, p, q);
                    rotated = true;
                }
            }
        }
        if !rotated {
            break;
        }
    }
    let pair = |at: usize| (matrix[at * size + at], vectors[at * size..(at + 1) * size].to_vec());
    let mut pairs: Vec<_> = (0..size).map(pair).collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    pairs
}

/// Makes the entry at (p, q) zero.
fn rotate(matrix: &mut [f64], vectors: &mut [f64], size: usize, p: usize, q: usize) {
    let (pp, pq, qq) = (matrix[p * size + p], matrix[p * size + q], matrix[q * size + q]);
    let theta = (qq - pp) / (2.0 * pq);
    let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cosine = tangent.hypot(1.0).recip();
    let sine = tangent * cosine;
    let turn = |a: f64, b: f64| (cosine * a - sine * b, sine * a + cosine * b);
    for at in 0..size {
        let (a, b) = (at * size + p, at * size + q);
        (matrix[a], matrix[b]) = turn(matrix[a], matrix[b]);
    }
    for at in 0..size {
        let (a, b) = (p * size + at, q * size + at);
        (matrix[a], matrix[b]) = turn(matrix[a], matrix[b]);
        (vectors[a], vectors[b]) = turn(vectors[a], vectors[b]);
    }
    (matrix[p * size + q], matrix[q * size + p]) = (0.0, 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_a_known_matrix() {
        let pairs = eigen(vec![2.0, 1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 5.0], 3);
        let values: Vec<_> = pairs.iter().map(|pair| pair.0).collect();
        for (value, expected) in values.iter().zip([5.0, 3.0, 1.0]) {
            assert!((value - expected).abs() < 1e-12, "{values:?}");
        }
        let half = 0.5_f64.sqrt();
        assert!((pairs[1].1[0].abs() - half).abs() < 1e-12 && pairs[1].1[2].abs() < 1e-12);
        assert!(eigen(Vec::new(), 0).is_empty());
    }

    #[test]
    fn a_matrix_is_made_of_its_pairs_again() {
        let size = 30;
        let entry = |at: usize| (((at % size) * (at / size)) as f64 * 0.7).sin();
        let matrix: Vec<_> = (0..size * size).map(entry).collect();
        let pairs = eigen(matrix.clone(), size);
        assert!(pairs.is_sorted_by(|a, b| a.0 >= b.0));
        for row in 0..size {
            for column in 0..size {
                let sum: f64 = pairs.iter().map(|(value, v)| value * v[row] * v[column]).sum();
                assert!((sum - matrix[row * size + column]).abs() < 1e-10, "{row} {column}");
            }
        }
    }
}
