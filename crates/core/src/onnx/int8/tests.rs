//! Every microkernel that this machine has, bit-equal to the definition.

#![allow(clippy::print_stdout, reason = "says what was tested")]

use super::super::testing::{Random, available, bits, size};
use super::dispatch::Kernel;
use super::gelu::{PRECISE, SHORT};
use super::gemm::{COLUMNS, DEPTH, Gemm, Scales, packed_len};
use super::quantize::quantize_rows;
use super::tile::TileMut;

fn pack(matrix: &[i8], k: usize, n: usize) -> Vec<i8> {
    let mut packed = vec![0; packed_len(k, n).unwrap()];
    let steps = k.div_ceil(DEPTH);
    for row in 0..k {
        for column in 0..n {
            let step = column / COLUMNS * steps + row / DEPTH;
            let at = (step * COLUMNS + column % COLUMNS) * DEPTH + row % DEPTH;
            packed[at] = matrix[row * n + column];
        }
    }
    packed
}

/// Owned operands of a GEMM.
struct Case {
    k: usize,
    n: usize,
    zero_point: u8,
    gelu: bool,
    activations: Vec<u8>,
    row_scales: Vec<f32>,
    matrix: Vec<i8>,
    packed: Vec<i8>,
    column_sums: Vec<i32>,
    column_scales: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Case {
    /// Random activations, and weights that are exact on all processors.
    fn random(random: &mut Random, m: usize, k: usize, n: usize) -> Self {
        let activations = (0..m * k).map(|_| random.below(256) as u8).collect();
        let mut matrix: Vec<i8> =
            (0..k * n).map(|_| (random.below(129) as i32 - 64) as i8).collect();
        if n != 0 && k != 0 {
            matrix[random.below((k * n) as u32) as usize] = 64;
        }
        Self::new(random, (m, k, n), activations, matrix)
    }

    fn new(
        random: &mut Random,
        (m, k, n): (usize, usize, usize),
        activations: Vec<u8>,
        matrix: Vec<i8>,
    ) -> Self {
        let column_sums =
            (0..n).map(|c| (0..k).map(|r| i32::from(matrix[r * n + c])).sum()).collect();
        Self {
            k,
            n,
            zero_point: [128, 16, 0][random.below(3) as usize],
            gelu: random.below(2) == 0,
            packed: pack(&matrix, k, n),
            activations,
            row_scales: (0..m).map(|_| 1e-4 + random.float().abs() * 1e-2).collect(),
            matrix,
            column_sums,
            column_scales: (0..n).map(|_| 1e-4 + random.float().abs() * 1e-2).collect(),
            bias: (random.below(2) == 0).then(|| (0..n).map(|_| random.float()).collect()),
        }
    }

    fn scales(&self) -> Scales<'_> {
        Scales {
            rows: &self.row_scales,
            zero_point: self.zero_point,
            column_sums: &self.column_sums,
            columns: &self.column_scales,
        }
    }

    fn gemm(&self) -> Gemm<'_> {
        Gemm {
            activations: &self.activations,
            m: self.row_scales.len(),
            k: self.k,
            n: self.n,
            weights: &self.packed,
            scales: Some(self.scales()),
            bias: self.bias.as_deref(),
            gelu: self.gelu,
        }
    }

    fn compute(&self, kernel: Kernel) -> Vec<f32> {
        let mut out = vec![f32::NAN; self.row_scales.len() * self.n];
        self.gemm().compute_with(kernel, &mut TileMut::new(&mut out, self.n));
        out
    }

    /// The definition, element by element.
    fn expected(&self) -> Vec<f32> {
        let mut out = Vec::new();
        for (row, row_scale) in self.row_scales.iter().enumerate() {
            for column in 0..self.n {
                let term = |i: usize| {
                    let q = i64::from(self.activations[row * self.k + i]);
                    let q = q - i64::from(self.zero_point);
                    q * i64::from(self.matrix[i * self.n + column])
                };
                let sum = i32::try_from((0..self.k).map(term).sum::<i64>()).unwrap();
                let mut y = sum as f32 * (row_scale * self.column_scales[column]);
                if let Some(bias) = &self.bias {
                    y += bias[column];
                }
                out.push(if self.gelu { SHORT.of(y) } else { y });
            }
        }
        out
    }
}

fn kernels() -> impl Iterator<Item = Kernel> {
    available(Kernel::ALL, Kernel::is_available)
}

#[test]
fn every_microkernel_matches_the_definition() {
    let mut random = Random(1);
    let mut cases = Vec::new();
    for m in (1..=13).step_by(size(1, 4)) {
        for &k in &[1, 2, 3, 4, 5, 7, 8, 31, 64, 129][..size(10, 7)] {
            let n = 1 + random.below(40) as usize;
            cases.push(Case::random(&mut random, m, k, n));
        }
    }
    for n in (1..=16).chain([17, 31, 32, 33, 47, 48, 63, 64, 65, 80, 112, 128, 130]) {
        let (m, k) = (1 + random.below(8) as usize, 1 + random.below(size(70, 5) as u32) as usize);
        cases.push(Case::random(&mut random, m, k, n));
    }
    // Several row blocks: the activations do not fit into the L1 cache together.
    cases.push(Case::random(&mut random, 29, size(20_000, 1_200), size(17, 1)));
    for kernel in kernels() {
        for case in &cases {
            let what = (case.row_scales.len(), case.k, case.n, case.zero_point, case.gelu);
            assert_eq!(bits(&case.compute(kernel)), bits(&case.expected()), "{kernel:?}, {what:?}");
        }
    }
}

/// Tiles have up to 32 rows, 32 columns and 64 activations of a row at a time.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn every_rest_of_a_tile_matches_the_definition() {
    let mut random = Random(8);
    let mut cases = Vec::new();
    for m in 1..=70 {
        let (k, n) = (1 + random.below(300) as usize, 1 + random.below(130) as usize);
        cases.push(Case::random(&mut random, m, k, n));
    }
    for k in (1..=130).chain([191, 192, 193, 1024, 1537, 3000]) {
        let (m, n) = (1 + random.below(70) as usize, 1 + random.below(70) as usize);
        cases.push(Case::random(&mut random, m, k, n));
    }
    for n in 1..=130 {
        let (m, k) = (1 + random.below(70) as usize, 1 + random.below(130) as usize);
        cases.push(Case::random(&mut random, m, k, n));
    }
    // All values of a byte, which saturate 16 bits and not 32.
    for (m, k, n) in [(33, 129, 33), (70, 3000, 20)] {
        let activations = (0..m * k).map(|_| 255 - random.below(2) as u8).collect();
        let matrix = (0..k * n).map(|_| [127, -128][random.below(2) as usize]).collect();
        cases.push(Case::new(&mut random, (m, k, n), activations, matrix));
    }
    for kernel in [Kernel::Avx512Vnni, Kernel::Amx] {
        if !kernel.is_available() {
            println!("skipped, not available: {kernel:?}");
            continue;
        }
        for case in &cases {
            let shape = (case.row_scales.len(), case.k, case.n);
            assert_eq!(
                bits(&case.compute(kernel)),
                bits(&case.expected()),
                "{kernel:?}, {shape:?}"
            );
        }
    }
}

#[test]
fn extremes_are_exact() {
    let mut random = Random(2);
    let (m, k, n) = (7, 4 * size(300, 2) + 2, size(35, 17));
    for kernel in kernels() {
        for activation in [0, 255] {
            // The largest neighbouring weights that do not saturate.
            for pair in
                [[127, 1], [1, 127], [64, 64], [-127, -1], [-1, -127], [-64, -64], [127, -127]]
            {
                let matrix = (0..k * n).map(|i| pair[i / n % 2]).collect();
                let case = Case::new(&mut random, (m, k, n), vec![activation; m * k], matrix);
                assert_eq!(
                    bits(&case.compute(kernel)),
                    bits(&case.expected()),
                    "{kernel:?}, {pair:?}"
                );
            }
        }
    }
}

#[test]
fn a_row_is_the_same_alone_and_in_any_tile() {
    let mut random = Random(3);
    let (m, k, n) = (size(23, 7), size(50, 6), size(70, 37));
    let case = Case { gelu: true, ..Case::random(&mut random, m, k, n) };
    let expected = bits(&case.expected());
    for kernel in kernels() {
        for row in 0..m {
            let gemm = Gemm {
                activations: &case.activations[row * k..][..k],
                m: 1,
                scales: Some(Scales { rows: &case.row_scales[row..=row], ..case.scales() }),
                ..case.gemm()
            };
            let mut out = vec![f32::NAN; n];
            gemm.compute_with(kernel, &mut TileMut::new(&mut out, n));
            assert_eq!(bits(&out), &expected[row * n..][..n], "{kernel:?}, row {row}");
        }
        for (parts, min_rows) in [(1, 1), (2, 1), (3, 8), (2, 100), (5, 100), (9, 100), (99, 1)] {
            let mut out = vec![f32::NAN; m * n];
            let tiles = TileMut::new(&mut out, n).split(parts, min_rows);
            assert!((1..=parts).contains(&tiles.len()));
            std::thread::scope(|scope| {
                for mut tile in tiles {
                    let gemm = case.gemm();
                    scope.spawn(move || gemm.compute_with(kernel, &mut tile));
                }
            });
            assert_eq!(bits(&out), expected, "{kernel:?}, {parts} parts");
        }
    }
}

#[test]
fn empty_operands_are_valid() {
    let mut random = Random(4);
    for kernel in kernels() {
        for (m, k, n) in [(0, 5, 5), (5, 0, 5), (5, 5, 0), (0, 0, 0)] {
            let case = Case::random(&mut random, m, k, n);
            assert_eq!(bits(&case.compute(kernel)), bits(&case.expected()), "{kernel:?}");
        }
    }
}

#[test]
fn lengths_are_checked() {
    let case = Case::random(&mut Random(5), 3, 5, 20);
    let gemm = case.gemm();
    assert!(gemm.is_consistent());
    assert!(!Gemm { k: 4, ..gemm }.is_consistent());
    assert!(!Gemm { weights: &case.packed[1..], ..gemm }.is_consistent());
    assert!(!Gemm { bias: Some(&[0.0]), ..gemm }.is_consistent());
    assert!(!Gemm { m: 1, ..gemm }.is_consistent());
    assert!(!Gemm { n: 4, ..gemm }.is_consistent());
    let scales = case.scales();
    for scales in [
        Scales { column_sums: &case.column_sums[1..], ..scales },
        Scales { columns: &case.column_scales[1..], ..scales },
        Scales { rows: &[1.0], ..scales },
    ] {
        assert!(!Gemm { scales: Some(scales), ..gemm }.is_consistent());
    }
    assert_eq!(packed_len(usize::MAX, usize::MAX), None);
}

/// erf, by its power series or its continued fraction.
fn erf(x: f64) -> f64 {
    let z = x.abs();
    let value = if z < 3.0 {
        let (mut sum, mut term) = (z, z);
        for i in 1..200 {
            term *= -z * z / f64::from(i);
            sum += term / f64::from(2 * i + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        let fraction = (1..200).rev().fold(z, |rest, i| z + f64::from(i) / 2.0 / rest);
        1.0 - (-z * z).exp() / fraction / std::f64::consts::PI.sqrt()
    };
    value.copysign(x)
}

/// A product of no activations is the bias, so that the GELU sees any number.
#[test]
fn the_gelu_of_any_number_has_the_bits_of_its_formula() {
    let mut random = Random(9);
    let numbers: Vec<f32> =
        (0..=u32::MAX).step_by(size(9973, 99_999_989)).map(f32::from_bits).collect();
    for bias in numbers.chunks(1 << 16) {
        let case = Case::new(&mut random, (6, 0, bias.len()), Vec::new(), Vec::new());
        let case = Case { gelu: true, bias: Some(bias.to_vec()), ..case };
        let expected: Vec<f32> = bias.iter().map(|&x| SHORT.of(0.0 + x)).collect();
        for kernel in kernels() {
            for row in case.compute(kernel).chunks(bias.len()) {
                for ((x, y), expected) in bias.iter().zip(row).zip(&expected) {
                    let same = y.to_bits() == expected.to_bits() || y.is_nan() && expected.is_nan();
                    assert!(same, "{kernel:?}: gelu({x}) = {y}, expected {expected}");
                }
            }
        }
    }
}

#[test]
fn the_gelu_is_close_to_its_definition() {
    assert!((erf(0.5) - 0.520_499_877_813_046_5).abs() < 1e-14);
    assert!((erf(2.5) - 0.999_593_047_982_555).abs() < 1e-14);
    assert!((erf(-3.5) + 0.999_999_256_901_627_7).abs() < 1e-14);
    let (mut near, mut far, mut short, mut relative) = (0f64, 0f64, 0f64, 0f64);
    for i in (-80_000..=80_000).step_by(size(1, 3_999)) {
        let x = i as f32 / 10_000.0;
        let exact =
            f64::from(x) / 2.0 * (1.0 + erf(f64::from(x) * std::f64::consts::FRAC_1_SQRT_2));
        let precise = if x.abs() <= 1.0 { &mut near } else { &mut far };
        *precise = precise.max((f64::from(PRECISE.of(x)) - exact).abs());
        let error = (f64::from(SHORT.of(x)) - exact).abs();
        short = short.max(error);
        relative = relative.max(error / f64::from(x.abs()).max(1e-30));
    }
    println!("largest error of the GELU: {near:.2e} up to 1, {far:.2e} up to 8");
    println!("of the short one: {short:.2e}, {relative:.2e} of the number");
    assert!(near < 2.7e-7 && far < 6e-7, "{near:e}, {far:e}");
    assert!(short < 1.4e-5 && relative < 2.7e-5, "{short:e}, {relative:e}");
    for gelu in [|x| PRECISE.of(x), |x| SHORT.of(x)] {
        for x in [6.0f32, 10.0, 1e10, f32::MAX, f32::INFINITY] {
            assert_eq!(gelu(x), x);
            assert!(gelu(-x) == 0.0 || x.is_infinite());
        }
        assert_eq!(gelu(0.0), 0.0);
        assert!(gelu(f32::NAN).is_nan());
    }
}

#[test]
fn nan_and_infinity_propagate() {
    let x = [1.0, f32::NAN, 2.0, 3.0, -f32::NAN, 1.0, f32::INFINITY, 1.0, 1.0, f32::NEG_INFINITY];
    for zero_point in [128, 16, 0] {
        let (mut q, mut row_scales) = (vec![0; 10], vec![0.0; 5]);
        quantize_rows(&x, 2, None, zero_point, &mut q, &mut row_scales);
        assert!(row_scales[0].is_nan() && row_scales[2].is_nan(), "{zero_point}: {row_scales:?}");
        assert!(
            row_scales[1].is_finite() && row_scales[3].is_infinite(),
            "{zero_point}: {row_scales:?}"
        );
        assert!(row_scales[4].is_infinite() || zero_point == 0, "{zero_point}: {row_scales:?}");
        for kernel in kernels() {
            for gelu in [false, true] {
                let case = Case {
                    activations: q.clone(),
                    row_scales: row_scales.clone(),
                    zero_point,
                    gelu,
                    ..Case::new(
                        &mut Random(6),
                        (5, 2, 20),
                        q.clone(),
                        (0..40).map(|i| i - 20).collect(),
                    )
                };
                let y = case.compute(kernel);
                assert!(y[..20].iter().chain(&y[40..60]).all(|y| y.is_nan()), "{kernel:?}: {y:?}");
                assert!(y[20..40].iter().all(|y| y.is_finite()), "{kernel:?}: {y:?}");
                assert!(gelu || y[60..80].iter().all(|y| !y.is_finite()), "{kernel:?}: {y:?}");
            }
        }
    }
}

/// Quantises a row with the steps of the standard ONNX operators.
fn quantized(x: &[f32], smooth_scales: Option<&[f32]>, zero_point: u8) -> (Vec<u8>, f32) {
    let x: Vec<f32> = match smooth_scales {
        Some(smooth) => x.iter().zip(smooth).map(|(x, smooth)| x * smooth).collect(),
        None => x.to_vec(),
    };
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let min = x.iter().copied().fold(f32::INFINITY, f32::min);
    let (qmax, range) = match zero_point {
        128 => (127.0, max.max(-min)),
        0 => (255.0, max),
        _ => {
            let qmax = f32::from(255 - zero_point);
            (qmax, max.max(min * (-qmax / f32::from(zero_point))))
        }
    };
    let range = range.max(1e-30);
    let inverse = qmax / range;
    let quantize =
        |x: &f32| ((x * inverse).round_ties_even() + f32::from(zero_point)).clamp(0.0, 255.0);
    (x.iter().map(|x| quantize(x) as u8).collect(), range / qmax)
}

#[test]
fn rows_are_quantised_like_the_standard_operators() {
    let mut random = Random(7);
    let check = |x: &[f32], k: usize, smooth_scales: Option<&[f32]>| {
        for zero_point in [128, 16, 0] {
            let (mut q, mut scales) = (vec![7; x.len()], vec![0.0; x.len() / k]);
            quantize_rows(x, k, smooth_scales, zero_point, &mut q, &mut scales);
            for ((x, q), scale) in x.chunks(k).zip(q.chunks(k)).zip(scales) {
                assert_eq!(
                    (q.to_vec(), scale),
                    quantized(x, smooth_scales, zero_point),
                    "{zero_point}, {x:?}"
                );
            }
        }
    };
    for k in (1..=70).step_by(size(1, 9)).chain([384, 1000].map(|k| size(k, 80))) {
        let magnitude = 10f32.powi(random.below(60) as i32 - 30);
        let x: Vec<f32> = (0..3 * k).map(|_| random.float() * magnitude).collect();
        let smooth_scales: Vec<f32> = (0..k).map(|_| 0.05 + random.float().abs()).collect();
        check(&x, k, None);
        check(&x, k, Some(&smooth_scales));
    }
    // Halves, which go to the even neighbour: 127 and 239 are the largest.
    let halves: Vec<f32> = (-20..20).map(|i| i as f32 + 0.5).collect();
    for largest in [127.0, -127.0, 239.0, 255.0] {
        check(&[&halves[..], &[largest]].concat(), 41, None);
    }
    let tiny = f32::from_bits(1);
    check(
        &[0.0, -0.0, 0.0, tiny, -tiny, tiny, 1e-30, -1e-30, 1e-31, 1e-38, 2e-38, -3e-38],
        3,
        None,
    );
    check(
        &[f32::MAX, -f32::MAX, f32::MAX, 0.0, -f32::MAX, tiny, -1.0, -2.0, -3.0, 5.0, 5.0, 5.0],
        3,
        None,
    );
    check(&[-1.0, -2.0], 2, Some(&[1e-30, 1e30]));
}
