//! Encodings compared with FastEmbed's, and further guarantees of the encoder.

mod behaviour;
mod golden;
mod sizes;

use serde_json::Value;

use crate::{Form, Muvera, MuveraOptions};

/// Maximum relative difference of a component from the original's.
const TOLERANCE: f64 = 1e-12;

const FILL_ONLY: Form = Form { fill_empty_clusters: true, normalize_by_count: false };
const NORMALIZE_ONLY: Form = Form { fill_empty_clusters: false, normalize_by_count: true };

fn float(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(float).collect()
}

fn size(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

/// Panics if a component differs by more than the tolerance, relative to the expected one.
#[track_caller]
fn assert_same(ours: &[f64], expected: &[f64], what: &str) {
    assert_eq!(ours.len(), expected.len(), "{what}");
    for (place, (&ours, &expected)) in ours.iter().zip(expected).enumerate() {
        assert!(
            (ours - expected).abs() <= TOLERANCE * expected.abs(),
            "{what}: component {place} is {ours:e}, expected {expected:e}"
        );
    }
}

/// Panics if single precision is further away than its rounding explains, relative to the usual size of
/// the components of the same cluster, which are sums of the same numbers.
#[track_caller]
fn assert_near(ours: &[f32], expected: &[f64], dim_proj: usize, what: &str) {
    assert_eq!(ours.len(), expected.len(), "{what}");
    let clusters = ours.chunks(dim_proj).zip(expected.chunks(dim_proj));
    for (cluster, (ours, expected)) in clusters.enumerate() {
        let square: f64 = expected.iter().map(|x| x * x).sum();
        let usual = (square / dim_proj as f64).sqrt();
        for (&ours, &expected) in ours.iter().zip(expected) {
            assert!(
                (f64::from(ours) - expected).abs() <= 4e-6 * usual,
                "{what}: cluster {cluster} has {ours:e}, expected {expected:e}, usually {usual:e}"
            );
        }
    }
}

/// Parameters in a row of golden data.
fn options(row: &Value) -> MuveraOptions {
    let seed = &row["random_seed"];
    MuveraOptions {
        k_sim: size(&row["k_sim"]) as u32,
        dim_proj: size(&row["dim_proj"]),
        r_reps: size(&row["r_reps"]),
        random_seed: seed
            .as_str()
            .map_or_else(|| u128::from(seed.as_u64().unwrap()), |digits| digits.parse().unwrap()),
    }
}

/// Clusters of the vectors in every repetition.
fn clusters<T: crate::Precision>(muvera: &Muvera<T>, vectors: crate::Vectors<'_>) -> Vec<Vec<u32>> {
    let mut buffer = Vec::new();
    let (mut sides, mut of) = (crate::hyperplanes::Sides::default(), Vec::new());
    let rows = T::components(vectors, &mut buffer);
    muvera.hyperplanes.sides::<false>(vectors, rows, &mut sides);
    (0..muvera.options.r_reps)
        .map(|repetition| {
            muvera.hyperplanes.clusters(&sides, repetition, &mut of);
            of.clone()
        })
        .collect()
}
