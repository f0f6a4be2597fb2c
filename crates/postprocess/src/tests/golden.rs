//! Small configurations, all components.

use serde_json::Value;

use super::{
    FILL_ONLY, NORMALIZE_ONLY, assert_near, assert_same, clusters, float, floats, options, size,
};
use crate::{Form, Muvera, Precision, Vectors, numpy::Generator};

fn cases() -> Vec<Value> {
    let golden: Value = serde_json::from_str(include_str!("../../tests/data/muvera.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap().clone();
    assert_eq!(cases.len(), 10);
    cases
}

fn flat(rows: &Value) -> Vec<f64> {
    rows.as_array().unwrap().iter().flat_map(floats).collect()
}

fn has_matrices<T: Precision>(muvera: &Muvera<T>, case: &Value) {
    let name = case["name"].as_str().unwrap();
    let (k_sim, dim_proj) = (muvera.options.k_sim as usize, muvera.options.dim_proj);
    for (repetition, expected) in case["simhash_vectors"].as_array().unwrap().iter().enumerate() {
        for (component, expected) in expected.as_array().unwrap().iter().enumerate() {
            let ours: Vec<T> = (0..k_sim)
                .map(|plane| muvera.hyperplanes.normal(component, repetition * k_sim + plane))
                .collect();
            let expected: Vec<T> = floats(expected).into_iter().map(T::from_f64).collect();
            assert_eq!(ours, expected, "{name}");
        }
    }
    let expected = case["dim_reduction_projections"].as_array().unwrap();
    assert_eq!(muvera.projections.len(), if dim_proj < muvera.dim { expected.len() } else { 0 });
    for (ours, expected) in muvera.projections.iter().zip(expected) {
        for (component, expected) in expected.as_array().unwrap().iter().enumerate() {
            let ours: Vec<f64> =
                (0..dim_proj).map(|column| ours.get(component, column).to_f64()).collect();
            assert_eq!(ours, floats(expected), "{name}");
        }
    }
}

#[test]
fn small_configurations_are_the_originals() {
    for case in cases().iter().filter(|case| case["vectors"].is_array()) {
        let name = case["name"].as_str().unwrap();
        let dim = size(&case["params"]["dim"]);
        let dim_proj = size(&case["params"]["dim_proj"]);
        let muvera = Muvera::new(dim, options(&case["params"])).unwrap();
        let single = Muvera::new_f32(dim, options(&case["params"])).unwrap();
        has_matrices(&muvera, case);
        has_matrices(&single, case);
        assert_eq!(muvera.embedding_size(), size(&case["embedding_size"]), "{name}");

        let values = flat(&case["vectors"]);
        let vectors = Vectors::from_f64(&values, dim).unwrap();
        let expected: Vec<Vec<u32>> = serde_json::from_value(case["cluster_ids"].clone()).unwrap();
        assert_eq!(clusters(&muvera, vectors), expected, "{name}");
        assert_eq!(clusters(&single, vectors), expected, "{name}");
        for (form, key) in [
            (Form::DOCUMENT, "document"),
            (Form::QUERY, "query"),
            (FILL_ONLY, "fill_only"),
            (NORMALIZE_ONLY, "normalize_only"),
        ] {
            let expected = floats(&case[key]);
            let what = format!("{name}, {key}");
            assert_same(&muvera.process(&vectors, form).unwrap(), &expected, &what);
            assert_near(&single.process(&vectors, form).unwrap(), &expected, dim_proj, &what);
        }
        assert_same(&muvera.process_document(&vectors).unwrap(), &floats(&case["document"]), name);
        assert_same(&muvera.process_query(&vectors).unwrap(), &floats(&case["query"]), name);
    }
}

/// The defaults, on the vectors that the original encoded, drawn again.
#[test]
fn the_defaults_are_the_originals() {
    let cases = cases();
    let case = cases.iter().find(|case| case["name"] == "defaults_dim128").unwrap();
    let muvera = Muvera::new(128, crate::MuveraOptions::default()).unwrap();
    assert_eq!(muvera.options, options(&case["params"]));
    assert_eq!(muvera.embedding_size(), 10240);

    let mut generator = Generator::new(42);
    let values: Vec<f64> = (0..1280).map(|_| generator.uniform()).collect();
    assert_eq!(values[..4], floats(&case["vectors_first"]));
    assert_eq!(values[1276..], floats(&case["vectors_last"]));
    let vectors = Vectors::from_f64(&values, 128).unwrap();

    let first: Vec<f64> = (0..8).map(|i| muvera.hyperplanes.normal(i / 5, i % 5)).collect();
    assert_eq!(first, floats(&case["simhash_rep0_first"]));
    let last: Vec<f64> = (632..640).map(|i| muvera.hyperplanes.normal(i / 5, 95 + i % 5)).collect();
    assert_eq!(last, floats(&case["simhash_rep19_last"]));
    let expected = floats(&case["projection_first"]);
    let first: Vec<f64> =
        (0..expected.len()).map(|i| muvera.projections[0].get(i / 16, i % 16)).collect();
    assert_eq!(first, expected);
    let expected = floats(&case["projection_last"]);
    let start = 128 * 16 - expected.len();
    let last: Vec<f64> =
        (start..128 * 16).map(|i| muvera.projections[19].get(i / 16, i % 16)).collect();
    assert_eq!(last, expected);

    let expected: Vec<u32> = serde_json::from_value(case["cluster_ids_rep0"].clone()).unwrap();
    assert_eq!(clusters(&muvera, vectors)[0], expected);

    let document = muvera.process_document(&vectors).unwrap();
    let query = muvera.process_query(&vectors).unwrap();
    let places: Vec<usize> = case["index"].as_array().unwrap().iter().map(size).collect();
    for (encoding, name) in [(&document, "document"), (&query, "query")] {
        let sampled: Vec<f64> = places.iter().map(|&place| encoding[place]).collect();
        assert_same(&sampled, &floats(&case[format!("{name}_at_index")]), name);
        let sum: f64 = encoding.iter().sum();
        let norm = encoding.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!((sum - float(&case[format!("{name}_sum")])).abs() < 1e-9, "{name}");
        assert!((norm - float(&case[format!("{name}_norm")])).abs() < 1e-9, "{name}");
    }
    assert_same(&document[..16], &floats(&case["document_first"]), "document");
    let nonzero: Vec<f64> = query.iter().copied().filter(|&x| x != 0.0).collect();
    assert_eq!(nonzero.len(), size(&case["query_nonzero"]));
    assert_same(&nonzero[..16], &floats(&case["query_nonzero_first"]), "query");
}
