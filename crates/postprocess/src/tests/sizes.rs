//! Usual sizes, compared by samples and checksums.

use serde_json::Value;

use super::{assert_near, assert_same, clusters, floats, options, size};
use crate::{Form, Muvera, Vectors, numpy::Generator};

#[test]
fn the_sizes_that_people_use_are_the_originals() {
    let golden: Value =
        serde_json::from_str(include_str!("../../tests/data/muvera-sizes.json")).unwrap();
    let dim = size(&golden["dim"]);
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let mut row = case.clone();
        row["r_reps"] = golden["r_reps"].clone();
        let what = format!("k_sim {}, dim_proj {}", case["k_sim"], case["dim_proj"]);
        let muvera = Muvera::new(dim, options(&row)).unwrap();
        let single = Muvera::new_f32(dim, options(&row)).unwrap();

        let mut generator = Generator::new(u128::from(case["vector_seed"].as_u64().unwrap()));
        let drawn: Vec<f64> = (0..dim * size(&case["count"])).map(|_| generator.normal()).collect();
        let shared = case["shared"].as_f64().unwrap();
        let values: Vec<f64> =
            drawn.iter().zip(drawn[..dim].iter().cycle()).map(|(x, y)| x + shared * y).collect();
        let narrow: Vec<f32> = values.iter().map(|&x| x as f32).collect();
        let vectors = if case["dtype"] == "float32" {
            Vectors::from_f32(&narrow, dim)
        } else {
            Vectors::from_f64(&values, dim)
        };
        let vectors = vectors.unwrap();
        let last = (vectors.len() - 1) * dim;
        let starts: Vec<f64> = (last..last + 3).map(|place| vectors.component(place)).collect();
        assert_eq!(starts, floats(&case["last_starts"]), "{what}");

        let expected: Vec<Vec<u32>> = serde_json::from_value(case["clusters"].clone()).unwrap();
        let ours = clusters(&muvera, vectors);
        assert_eq!(ours, clusters(&single, vectors), "{what}");
        assert_eq!(ours.len(), expected.len(), "{what}");
        for (mut ours, expected) in ours.into_iter().zip(expected) {
            ours.sort_unstable();
            ours.dedup();
            ours.truncate(expected.len());
            assert_eq!(ours, expected, "{what}");
        }
        let dim_proj = muvera.options.dim_proj;
        for (form, key) in [(Form::DOCUMENT, "document"), (Form::QUERY, "query")] {
            let what = format!("{what}, {key}");
            let encoding = muvera.process(&vectors, form).unwrap();
            compare(&encoding, &case[key], &what);
            assert_near(&single.process(&vectors, form).unwrap(), &encoding, dim_proj, &what);
        }
    }
}

fn compare(encoding: &[f64], expected: &Value, what: &str) {
    let step = size(&expected["step"]);
    let sampled: Vec<f64> = encoding.iter().copied().step_by(step).collect();
    assert_same(&sampled, &floats(&expected["values"]), what);
    let nonzero = encoding.iter().filter(|&&x| x != 0.0).count();
    assert_eq!(nonzero, size(&expected["nonzero"]), "{what}");
    let (sum, total) = (encoding.iter().sum::<f64>(), expected["sum"].as_f64().unwrap());
    let absolute: f64 = encoding.iter().map(|x| x.abs()).sum();
    assert!((sum - total).abs() <= super::TOLERANCE * absolute, "{what}: sum {sum} and {total}");
    // Products with signs are exact and all additions are in one order. With the same clusters, two
    // processors cannot differ.
    let bits = encoding
        .iter()
        .zip(1u64..)
        .fold(0, |sum, (x, place)| sum ^ x.to_bits().wrapping_mul(place));
    let expected = expected["xor_of_bits_times_index_plus_1"].as_str().unwrap();
    assert_eq!(format!("{bits:#x}"), expected, "{what}");
}
