//! Every kernel that this machine has, bit-equal to the portable one, which is close to the definition in f64.

use super::super::testing::bits;
use super::{Head, Kernel, Rows, Scratch, TileMut, attend_with};

/// Numbers around 0 within ±1.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Owned operands of a head. Rows are three elements further apart than they are long.
#[derive(Clone)]
struct Case {
    queries: usize,
    keys: usize,
    width: usize,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    mask: Vec<f32>,
    mask_stride: usize,
    mask_per_key: bool,
}

const GAP: usize = 3;
const SCALE: f32 = 1.7;

impl Case {
    fn new(queries: usize, keys: usize, width: usize) -> Self {
        let rows = |seed, rows: usize| noise(seed, rows * (width + GAP));
        Self {
            queries,
            keys,
            width,
            query: rows(1, queries),
            key: rows(2, keys),
            value: rows(3, keys),
            mask: vec![0.0],
            mask_stride: 0,
            mask_per_key: false,
        }
    }

    fn masked(self, mask: Vec<f32>, mask_stride: usize) -> Self {
        Self { mask, mask_stride, mask_per_key: true, ..self }
    }

    /// The output as bits or numbers, by one kernel.
    fn run(&self, kernel: Kernel) -> Vec<f32> {
        let stride = self.width + GAP;
        let head = Head {
            queries: self.queries,
            keys: self.keys,
            width: self.width,
            query: Rows { elements: &self.query, stride },
            key: Rows { elements: &self.key, stride },
            value: Rows { elements: &self.value, stride },
            scale: SCALE,
            mask: Rows { elements: &self.mask, stride: self.mask_stride },
            mask_per_key: self.mask_per_key,
        };
        let mut out = vec![f32::NAN; self.queries * self.width];
        // What a head before left behind.
        let mut scratch = Scratch::default();
        scratch.scores.resize(1000, f32::NAN);
        scratch.key_panels.resize(1000, f32::NAN);
        scratch.value_panels.resize(1000, f32::NAN);
        attend_with(kernel, &head, &mut scratch, &mut TileMut::new(&mut out, self.width));
        out
    }

    /// The definition.
    fn expected(&self) -> Vec<f64> {
        let stride = self.width + GAP;
        let dot = |query: usize, key: usize| -> f64 {
            (0..self.width)
                .map(|i| {
                    f64::from(self.query[query * stride + i])
                        * f64::from(self.key[key * stride + i])
                })
                .sum()
        };
        let mut out = Vec::new();
        for query in 0..self.queries {
            let mask = |key: usize| {
                let at = query * self.mask_stride + if self.mask_per_key { key } else { 0 };
                f64::from(self.mask[at])
            };
            let scores: Vec<f64> =
                (0..self.keys).map(|key| dot(query, key) * f64::from(SCALE) + mask(key)).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
            let total: f64 = weights.iter().sum();
            for i in 0..self.width {
                let sum: f64 = weights
                    .iter()
                    .enumerate()
                    .map(|(key, weight)| weight * f64::from(self.value[key * stride + i]))
                    .sum();
                out.push(sum / total);
            }
        }
        out
    }
}

fn check_kernels(case: &Case) -> Vec<f32> {
    let portable = case.run(Kernel::Portable);
    for &kernel in Kernel::ALL.iter().filter(|kernel| kernel.is_available()) {
        assert_eq!(bits(&case.run(kernel)), bits(&portable), "{kernel:?}");
    }
    portable
}

/// Sizes around those of register tiles and panels.
const SIZES: [(usize, usize, usize); 12] = [
    (1, 1, 1),
    (1, 5, 32),
    (2, 16, 16),
    (3, 17, 8),
    (4, 31, 33),
    (5, 64, 64),
    (6, 65, 96),
    (7, 7, 32),
    (13, 80, 64),
    (40, 40, 32),
    (12, 130, 80),
    (9, 200, 128),
];

#[test]
fn kernels_agree_with_the_definition() {
    for (queries, keys, width) in SIZES {
        let plain = Case::new(queries, keys, width);
        let of_keys = noise(4, keys);
        let of_both = noise(5, queries * keys);
        let cases = [plain.clone(), plain.clone().masked(of_keys, 0), plain.masked(of_both, keys)];
        for case in cases {
            let found = check_kernels(&case);
            for (found, expected) in found.iter().zip(case.expected()) {
                let error = (f64::from(*found) - expected).abs();
                assert!(error < 5e-6, "{queries} x {keys} x {width}: {found} for {expected}");
            }
        }
    }
}

/// Padding changes no bit, with any of the usual masks.
#[test]
fn masked_keys_change_nothing() {
    for (queries, keys, width) in SIZES {
        let alone = Case::new(queries, keys, width).run(Kernel::fastest());
        for masked in [f32::NEG_INFINITY, f32::MIN, -1e4] {
            let mut case = Case::new(queries, keys + 37, width);
            case.key[..keys * (width + GAP)].copy_from_slice(&noise(2, keys * (width + GAP)));
            case.value[..keys * (width + GAP)].copy_from_slice(&noise(3, keys * (width + GAP)));
            let mask = [vec![0.0; keys], vec![masked; 37]].concat();
            let padded = case.masked(mask, 0).run(Kernel::fastest());
            assert_eq!(bits(&padded), bits(&alone), "{queries} x {keys} x {width}, {masked}");
        }
    }
}

#[test]
fn what_is_no_number_stays_in_its_row() {
    for number in [f32::NAN, f32::INFINITY] {
        let mut case = Case::new(9, 20, 32);
        case.query[4 * (32 + GAP)] = number;
        let found = check_kernels(&case);
        for (row, found) in found.chunks(32).enumerate() {
            assert_eq!(found.iter().all(|x| x.is_nan()), row == 4, "{number}: row {row}");
            assert_eq!(found.iter().any(|x| x.is_nan()), row == 4, "{number}: row {row}");
        }
    }
    // A key that is no number has a weight in each row, but for those that mask it.
    let mut case = Case::new(3, 20, 16);
    case.key[7 * (16 + GAP)] = f32::NAN;
    assert!(check_kernels(&case).iter().all(|x| x.is_nan()));
    // Nothing to attend to.
    let case = Case::new(3, 20, 16).masked(vec![f32::NEG_INFINITY; 20], 0);
    assert!(check_kernels(&case).iter().all(|x| x.is_nan()));
}

#[test]
fn heads_may_be_empty() {
    assert!(check_kernels(&Case::new(0, 3, 16)).is_empty());
    assert!(check_kernels(&Case::new(3, 3, 0)).is_empty());
}

/// Large scores neither overflow nor lose the difference.
#[test]
fn large_scores_are_exact() {
    let mut case = Case::new(2, 33, 16);
    case.query.iter_mut().for_each(|x| *x *= 1e4);
    let found = check_kernels(&case);
    for (found, expected) in found.iter().zip(case.expected()) {
        assert!((f64::from(*found) - expected).abs() < 1e-2, "{found} for {expected}");
    }
}
