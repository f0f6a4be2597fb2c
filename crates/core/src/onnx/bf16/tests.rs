//! Every kernel that this machine has, bit-equal to its definition, and rounding.

use half::bf16;

use super::super::int8::gelu::SHORT;
use super::super::int8::gemm::packed_len;
use super::super::int8::{Gemm, TileMut};
use super::super::operators::pack_bf16;
use super::super::testing::{Random, available, bits, size};
use super::{Kernel, Rounded, SIZE, round};

/// Owned operands of a product.
struct Case {
    m: usize,
    k: usize,
    n: usize,
    x: Vec<f32>,
    matrix: Vec<u16>,
    packed: Vec<i8>,
    bias: Option<Vec<f32>>,
    gelu: bool,
}

impl Case {
    fn random(random: &mut Random, m: usize, k: usize, n: usize) -> Self {
        let x = (0..m * k).map(|_| random.float()).collect();
        let matrix = (0..k * n).map(|_| round(random.float())).collect();
        let bias = (random.below(2) == 0).then(|| (0..n).map(|_| random.float()).collect());
        let gelu = random.below(2) == 0;
        Self { bias, gelu, ..Self::new((m, k, n), x, matrix) }
    }

    fn new((m, k, n): (usize, usize, usize), x: Vec<f32>, matrix: Vec<u16>) -> Self {
        let packed = pack_bf16(&matrix, k, n).0.into_iter().flat_map(u16::to_le_bytes);
        let packed = packed.map(u8::cast_signed).collect();
        Self { m, k, n, x, matrix, packed, bias: None, gelu: false }
    }

    fn gemm<'a>(&'a self, rounded: &'a Rounded) -> Gemm<'a> {
        Gemm {
            activations: rounded.bytes(),
            m: self.m,
            k: self.k * SIZE,
            n: self.n,
            weights: &self.packed,
            scales: None,
            bias: self.bias.as_deref(),
            gelu: self.gelu,
        }
    }

    fn compute(&self, kernel: Kernel) -> Vec<f32> {
        let rounded = Rounded::new(&self.x);
        let mut out = vec![f32::NAN; self.m * self.n];
        kernel.compute(&self.gemm(&rounded), &mut TileMut::new(&mut out, self.n));
        out
    }

    /// The definition of a kernel, element by element.
    fn expected(&self, kernel: Kernel) -> Vec<f32> {
        let mut out = Vec::new();
        for row in 0..self.m {
            for column in 0..self.n {
                let factors: Vec<[f32; 2]> = (0..self.k)
                    .map(|i| {
                        let x = bf16::from_f32(self.x[row * self.k + i]);
                        [x, bf16::from_bits(self.matrix[i * self.n + column])].map(f32::from)
                    })
                    .collect();
                let mut y = sum(kernel, &factors);
                if let Some(bias) = &self.bias {
                    y += bias[column];
                }
                out.push(if self.gelu { SHORT.of(y) } else { y });
            }
        }
        out
    }
}

/// Products, added in the order of a kernel. Sums are exact in f64 for the numbers here, then rounded to f32.
fn sum(kernel: Kernel, factors: &[[f32; 2]]) -> f32 {
    let add = |sum: f32, [x, w]: [f32; 2]| {
        (f64::from(sum) + f64::from(flushed(x)) * f64::from(flushed(w))) as f32
    };
    #[cfg(target_arch = "x86_64")]
    if kernel == Kernel::Avx512 {
        let pairs = factors.chunks(2);
        return pairs
            .fold(0.0, |sum, pair| flushed(pair.iter().rev().fold(sum, |sum, &f| add(sum, f))));
    }
    #[cfg(target_arch = "aarch64")]
    if kernel == Kernel::Neon {
        let product = |[x, w]: [f32; 2]| f64::from(flushed(x)) * f64::from(flushed(w));
        return factors.chunks(2).fold(0.0, |sum, pair| {
            let pair = to_odd(pair.iter().map(|&f| product(f)).sum());
            to_odd(f64::from(sum) + f64::from(pair))
        });
    }
    assert!(kernel.is_available());
    factors.chunks(32).fold(0.0, |sum, part| {
        let places = |first: usize| part[first.min(part.len())..].iter().step_by(2);
        let [even, odd] =
            [0, 1].map(|first| places(first).fold(0.0, |sum, &f| flushed(add(sum, f))));
        sum + (even + odd)
    })
}

/// Rounded to the one of both neighbours whose last bit is set, unless it is an f32 itself.
#[cfg(target_arch = "aarch64")]
fn to_odd(number: f64) -> f32 {
    let nearest = number as f32;
    if f64::from(nearest) == number {
        return flushed(nearest);
    }
    let further = u32::from(f64::from(nearest).abs() > number.abs());
    flushed(f32::from_bits((nearest.to_bits() - further) | 1))
}

fn flushed(number: f32) -> f32 {
    if number.is_subnormal() { 0.0f32.copysign(number) } else { number }
}

fn kernels() -> impl Iterator<Item = Kernel> {
    [Kernel::Portable].into_iter().chain(available(Kernel::ALL, Kernel::is_available))
}

#[test]
fn every_kernel_adds_in_its_order() {
    let mut random = Random(1);
    let mut cases = Vec::new();
    for m in (1..=70).step_by(size(1, 23)) {
        let (k, n) =
            (1 + random.below(150) as usize, 1 + random.below(size(70, 20) as u32) as usize);
        cases.push(Case::random(&mut random, m, k, n));
    }
    for k in (1..=size(130, 4)).chain([191, 192, 193, 1537].map(|k| size(k, 35))) {
        let (m, n) = (1 + random.below(size(40, 3) as u32) as usize, 1 + random.below(40) as usize);
        cases.push(Case::random(&mut random, m, k, n));
    }
    for n in (1..=size(70, 2)).chain([80, 112, 128, 130]) {
        let (m, k) = (1 + random.below(size(40, 2) as u32) as usize, 1 + random.below(70) as usize);
        cases.push(Case::random(&mut random, m, k, n));
    }
    // Several blocks of rows: the activations do not fit into the L1 cache together.
    cases.push(Case::random(&mut random, size(70, 7), size(3_000, 3_000), size(17, 1)));
    for kernel in kernels() {
        for case in &cases {
            let what = (case.m, case.k, case.n, case.gelu);
            let (found, expected) = (case.compute(kernel), case.expected(kernel));
            assert_eq!(bits(&found), bits(&expected), "{kernel:?}, {what:?}");
        }
    }
}

/// Each addition errs by one bit of its sum at most, which is no larger than the sum of all magnitudes.
#[test]
fn every_kernel_is_close_to_exact_sums() {
    let mut random = Random(6);
    for (m, k, n) in [(7, 1, 17), (6, 35, 33), (5, size(768, 40), 16)] {
        let case = Case { bias: None, gelu: false, ..Case::random(&mut random, m, k, n) };
        for kernel in kernels() {
            for (at, found) in case.compute(kernel).into_iter().enumerate() {
                let product = |i: usize| {
                    let x = bf16::from_f32(case.x[at / n * k + i]).to_f64();
                    x * bf16::from_bits(case.matrix[i * n + at % n]).to_f64()
                };
                let exact: f64 = (0..k).map(product).sum();
                let magnitudes: f64 = (0..k).map(|i| product(i).abs()).sum();
                let most = (k + 1) as f64 * f64::from(f32::EPSILON) * magnitudes;
                let error = (f64::from(found) - exact).abs();
                assert!(error <= most, "{kernel:?}, {k}: {found} instead of {exact}");
            }
        }
    }
}

#[test]
fn a_row_is_the_same_alone_and_in_any_tile() {
    let mut random = Random(2);
    let (m, k, n) = (size(67, 7), size(75, 6), size(70, 37));
    let case = Case { gelu: true, ..Case::random(&mut random, m, k, n) };
    for kernel in kernels() {
        let expected = bits(&case.compute(kernel));
        for row in 0..m {
            let rounded = Rounded::new(&case.x[row * k..][..k]);
            let gemm = Gemm { m: 1, ..case.gemm(&rounded) };
            let mut out = vec![f32::NAN; n];
            kernel.compute(&gemm, &mut TileMut::new(&mut out, n));
            assert_eq!(bits(&out), &expected[row * n..][..n], "{kernel:?}, row {row}");
        }
        for (parts, min_rows) in [(1, 1), (2, 1), (3, 8), (2, 100), (5, 100), (9, 100), (99, 1)] {
            let mut out = vec![f32::NAN; m * n];
            let rounded = Rounded::new(&case.x);
            std::thread::scope(|scope| {
                for mut tile in TileMut::new(&mut out, n).split(parts, min_rows) {
                    let gemm = case.gemm(&rounded);
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
        for (m, k, n) in [(0, 5, 5), (5, 0, 5), (5, 5, 0), (0, 0, 0)] {
            let case = Case::random(&mut Random(3), m, k, n);
            assert_eq!(bits(&case.compute(kernel)), bits(&case.expected(kernel)), "{kernel:?}");
        }
    }
}

#[test]
fn nan_infinity_and_tiny_numbers_follow_the_definition() {
    const TINY: f32 = f32::MIN_POSITIVE;
    let (m, k, n) = (6, 3, 20);
    let rows = [
        [f32::NAN, 1.0, 1.0],
        [f32::INFINITY, 1.0, 1.0],
        [f32::INFINITY, f32::NEG_INFINITY, 1.0],
        // Subnormal numbers, products and sums are zero.
        [TINY / 2.0, TINY / 4.0, -TINY / 2.0],
        [TINY, -TINY, TINY],
        [1e38, 3e38, -1.0],
    ];
    let one = round(1.0);
    for kernel in kernels() {
        let all = |w: u16| Case::new((m, k, n), rows.concat(), vec![w; k * n]).compute(kernel);
        let y = all(one);
        let row = |row: usize| &y[row * n..][..n];
        assert!(row(0).iter().all(|y| y.is_nan()), "{kernel:?}");
        assert!(row(1).iter().all(|&y| y == f32::INFINITY), "{kernel:?}");
        assert!(row(2).iter().all(|y| y.is_nan()), "{kernel:?}");
        assert!(row(3).iter().all(|&y| y == 0.0), "{kernel:?}: {:?}", row(3));
        assert!(row(4).iter().all(|&y| y == TINY), "{kernel:?}: {:?}", row(4));
        assert!(row(5).iter().all(|&y| y == f32::INFINITY), "{kernel:?}: {:?}", row(5));
        let y = all(round(0.5));
        assert!(y[4 * n..5 * n].iter().all(|&y| y == 0.0), "{kernel:?}: {y:?}");
        let y = all(round(TINY / 2.0));
        assert!(y[5 * n..].iter().all(|&y| y == 0.0), "{kernel:?}: {y:?}");
    }
}

#[test]
fn lengths_are_checked() {
    let case = Case::random(&mut Random(5), 3, 5, 20);
    let rounded = Rounded::new(&case.x);
    let gemm = case.gemm(&rounded);
    assert!(gemm.is_consistent());
    assert!(!Gemm { k: 5, ..gemm }.is_consistent());
    assert!(!Gemm { m: 4, ..gemm }.is_consistent());
    assert!(!Gemm { n: 36, ..gemm }.is_consistent());
    assert!(!Gemm { bias: Some(&[0.0]), ..gemm }.is_consistent());
    assert_eq!(packed_len(5 * SIZE, 20), Some(case.packed.len()));
}

/// Both are the nearest number, of two the even one, and NaN stays NaN.
#[test]
fn numbers_are_rounded_to_the_nearest() {
    assert_eq!(round(1.0 + 1.0 / 256.0), round(1.0), "half way, the even one is below");
    assert_eq!(round(1.0 + 3.0 / 256.0), round(1.0 + 4.0 / 256.0), "it is above");
    assert_eq!(bf16::from_bits(round(f32::MAX)), bf16::INFINITY);
    assert!(bf16::from_bits(round(f32::from_bits(0x7f80_0001))).is_nan());
    let numbers: Vec<f32> =
        (0..=u32::MAX).step_by(size(9973, 99_999_989)).map(f32::from_bits).collect();
    let rounded = Rounded::new(&numbers);
    for (&number, bytes) in numbers.iter().zip(rounded.bytes().as_chunks().0) {
        let found = bf16::from_le_bytes(*bytes);
        assert_eq!(found.to_bits(), round(number));
        let expected = bf16::from_f32(number);
        let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
        assert!(same, "{number:e}: {found} instead of {expected}");
    }
}

#[test]
fn memory_is_used_again_for_fewer_numbers() {
    drop(Rounded::new(&[1.0; 9]));
    let two = Rounded::new(&[2.0; 2]);
    assert_eq!(two.bytes(), [0, 0x40, 0, 0x40]);
    let other = Rounded::new(&[1.0]);
    assert_eq!((other.bytes(), two.bytes().len()), ([0x80, 0x3f].as_slice(), 4));
}
