//! Every kernel that this machine has, bit-equal to its definition.

use std::sync::Arc;

use super::super::int8::TileMut;
use super::super::int8::gelu::PRECISE;
use super::super::testing::{Random, available, bits, size};
use super::{Kernel, Linear, Matrix};

/// Owned operands of a product.
struct Case {
    m: usize,
    k: usize,
    n: usize,
    x: Vec<f32>,
    matrix: Vec<f32>,
    bias: Option<Vec<f32>>,
    gelu: bool,
}

impl Case {
    fn random(random: &mut Random, m: usize, k: usize, n: usize) -> Self {
        let bias = (random.below(2) == 0).then(|| random.floats(n));
        let gelu = random.below(2) == 0;
        Self { m, k, n, x: random.floats(m * k), matrix: random.floats(k * n), bias, gelu }
    }

    fn linear(&self) -> Linear {
        let matrix = Arc::new(Matrix::pack(&self.matrix, self.k).unwrap());
        Linear::new(matrix, self.bias.as_deref().map(Arc::from), self.gelu).unwrap()
    }

    fn compute(&self, kernel: Kernel) -> Vec<f32> {
        let linear = self.linear();
        let mut out = vec![f32::NAN; self.m * self.n];
        let gemm = linear.times(&self.x, self.m).unwrap();
        kernel.compute(&gemm, &mut TileMut::new(&mut out, self.n));
        out
    }

    /// The definition, element by element.
    fn expected(&self) -> Vec<f32> {
        let mut out = Vec::new();
        for row in 0..self.m {
            for column in 0..self.n {
                let mut y = (0..self.k).fold(0.0, |sum, i| {
                    self.x[row * self.k + i].mul_add(self.matrix[i * self.n + column], sum)
                });
                if let Some(bias) = &self.bias {
                    y += bias[column];
                }
                out.push(if self.gelu { PRECISE.of(y) } else { y });
            }
        }
        out
    }
}

fn kernels() -> impl Iterator<Item = Kernel> {
    [Kernel::Portable].into_iter().chain(available(Kernel::ALL, Kernel::is_available))
}

#[test]
fn every_kernel_adds_in_the_same_order() {
    let mut random = Random(1);
    let mut cases = Vec::new();
    for m in (1..=40).step_by(size(1, 23)) {
        let (k, n) =
            (1 + random.below(90) as usize, 1 + random.below(size(70, 20) as u32) as usize);
        cases.push(Case::random(&mut random, m, k, n));
    }
    for n in (1..=size(70, 2)).chain([80, 112, 128, 130]) {
        let (m, k) = (1 + random.below(size(20, 2) as u32) as usize, 1 + random.below(70) as usize);
        cases.push(Case::random(&mut random, m, k, n));
    }
    // Several blocks of rows.
    cases.push(Case::random(&mut random, size(70, 7), size(3_000, 3_000), size(17, 1)));
    for kernel in kernels() {
        for case in &cases {
            let what = (case.m, case.k, case.n, case.gelu);
            assert_eq!(bits(&case.compute(kernel)), bits(&case.expected()), "{kernel:?}, {what:?}");
        }
    }
}

#[test]
fn a_row_is_the_same_alone_and_in_any_tile() {
    let mut random = Random(2);
    let (m, k, n) = (size(67, 7), size(75, 6), size(70, 37));
    let case = Case { gelu: true, ..Case::random(&mut random, m, k, n) };
    let linear = case.linear();
    for kernel in kernels() {
        let expected = bits(&case.compute(kernel));
        for row in 0..m {
            let gemm = linear.times(&case.x[row * k..][..k], 1).unwrap();
            let mut out = vec![f32::NAN; n];
            kernel.compute(&gemm, &mut TileMut::new(&mut out, n));
            assert_eq!(bits(&out), &expected[row * n..][..n], "{kernel:?}, row {row}");
        }
        for (parts, min_rows) in [(1, 1), (2, 1), (3, 8), (2, 100), (5, 100), (99, 1)] {
            let mut out = vec![f32::NAN; m * n];
            std::thread::scope(|scope| {
                for mut tile in TileMut::new(&mut out, n).split(parts, min_rows) {
                    let gemm = linear.times(&case.x, m).unwrap();
                    scope.spawn(move || kernel.compute(&gemm, &mut tile));
                }
            });
            assert_eq!(bits(&out), expected, "{kernel:?}, {parts} parts");
        }
    }
}

#[test]
fn empty_operands_are_valid() {
    for kernel in kernels() {
        for (m, k, n) in [(0, 5, 5), (5, 5, 0)] {
            let case = Case::random(&mut Random(3), m, k, n);
            assert_eq!(bits(&case.compute(kernel)), bits(&case.expected()), "{kernel:?}");
        }
    }
}

#[test]
fn nan_and_infinity_follow_the_definition() {
    let (m, k, n) = (4, 2, 20);
    let rows = [
        [f32::NAN, 1.0],
        [f32::INFINITY, 1.0],
        [f32::INFINITY, f32::NEG_INFINITY],
        [f32::MIN_POSITIVE / 2.0, f32::MIN_POSITIVE / 4.0],
    ];
    for kernel in kernels() {
        let (x, matrix) = (rows.concat(), vec![1.0; k * n]);
        let y = Case { m, k, n, x, matrix, bias: None, gelu: false }.compute(kernel);
        let row = |row: usize| &y[row * n..][..n];
        assert!(row(0).iter().all(|y| y.is_nan()), "{kernel:?}");
        assert!(row(1).iter().all(|&y| y == f32::INFINITY), "{kernel:?}");
        assert!(row(2).iter().all(|y| y.is_nan()), "{kernel:?}");
        assert!(row(3).iter().all(|&y| y == f32::MIN_POSITIVE * 0.75), "{kernel:?}");
    }
}

#[test]
fn lengths_are_checked() {
    let case = Case::random(&mut Random(5), 3, 5, 20);
    assert!(Matrix::pack(&case.matrix[1..], 5).is_none());
    assert!(Matrix::pack(&case.matrix, 0).is_none());
    let matrix = Arc::new(Matrix::pack(&case.matrix, 5).unwrap());
    assert!(Linear::new(matrix, Some([0.0; 19].into()), false).is_none());
    let linear = case.linear();
    assert!(linear.times(&case.x, 3).is_some());
    assert!(linear.times(&case.x, 2).is_none() && linear.times(&case.x[1..], 3).is_none());
    assert!(linear.times(&case.x, usize::MAX).is_none());
}
