//! Errors, batches, and guarantees of single precision.

use std::num::NonZeroUsize;

use embedkit_types::{Error, LateText, MultiVector};

use super::{assert_near, clusters};
use crate::{AsVectors, Form, Muvera, MuveraError, MuveraOptions, Vectors, numpy::Generator};

fn small() -> MuveraOptions {
    MuveraOptions { k_sim: 3, dim_proj: 4, r_reps: 2, random_seed: 1 }
}

fn normals(seed: u128, count: usize) -> Vec<f64> {
    let mut generator = Generator::new(seed);
    (0..count).map(|_| generator.normal()).collect()
}

fn multi_vector(seed: u128, count: usize, dim: usize) -> MultiVector {
    let values = normals(seed, count * dim).into_iter().map(|x| x as f32).collect();
    MultiVector::new(values, dim).unwrap()
}

/// A result with the cause of its error, which can be compared.
fn cause<T>(result: Result<T, Error>) -> Result<T, MuveraError> {
    result.map_err(|error| error.downcast_ref::<MuveraError>().expect("of MUVERA").clone())
}

#[test]
fn parameters_are_checked() {
    let with = |change: fn(&mut MuveraOptions)| {
        let mut options = small();
        change(&mut options);
        cause(Muvera::new(8, options)).map(|muvera| muvera.embedding_size())
    };
    assert_eq!(with(|_| {}), Ok(64));
    assert_eq!(with(|options| options.k_sim = 0), Ok(8));
    assert_eq!(with(|options| options.dim_proj = 8), Ok(128));
    assert_eq!(
        with(|options| options.dim_proj = 9).unwrap_err().to_string(),
        "cannot project to a higher dimensionality (dim_proj=9 > dim=8)"
    );
    assert_eq!(
        with(|options| options.dim_proj = 0),
        Err(MuveraError::Zero { parameter: "dim_proj" })
    );
    assert_eq!(with(|options| options.r_reps = 0), Err(MuveraError::Zero { parameter: "r_reps" }));
    assert_eq!(cause(Muvera::new(0, small())).unwrap_err(), MuveraError::Zero { parameter: "dim" });
    for (what, too_large) in [
        ("an encoding", with(|options| options.k_sim = 26)),
        ("an encoding", with(|options| options.k_sim = 63)),
        ("an encoding", with(|options| options.k_sim = 64)),
        ("an encoding", with(|options| options.k_sim = u32::MAX)),
        ("an encoding", with(|options| options.r_reps = usize::MAX)),
        (
            "hyperplanes",
            with(|options| (options.k_sim, options.dim_proj, options.r_reps) = (5, 1, 1 << 23)),
        ),
        (
            "projections",
            with(|options| (options.k_sim, options.dim_proj, options.r_reps) = (0, 1, 1 << 23)),
        ),
    ] {
        let error = too_large.unwrap_err();
        assert!(
            matches!(error, MuveraError::TooLarge { what: found, .. } if found == what),
            "{error}"
        );
        assert!(error.hint().to_string().contains("k_sim"));
    }
    let wide = MuveraOptions { r_reps: 1, ..small() };
    assert!(matches!(cause(Muvera::new(usize::MAX, wide)), Err(MuveraError::TooLarge { .. })));
}

#[test]
fn vectors_are_checked() {
    let muvera = Muvera::new(8, small()).unwrap();
    let error = cause(muvera.process_document(&multi_vector(1, 3, 7))).unwrap_err();
    assert_eq!(error, MuveraError::WrongDim { expected: 8, found: 7 });
    assert!(error.hint().to_string().contains("dim 7"));
    let empty = MultiVector::new(Vec::new(), 8).unwrap();
    assert_eq!(cause(muvera.process_document(&empty)), Err(MuveraError::Empty));
    assert_eq!(cause(muvera.process_query(&empty)), Err(MuveraError::Empty));
    let ragged = cause(Vectors::from_f32(&[0.0; 9], 8));
    assert_eq!(ragged, Err(MuveraError::Ragged { values: 9, dim: 8 }));
    assert_eq!(cause(Vectors::from_f64(&[], 0)), Err(MuveraError::Zero { parameter: "dim" }));

    let mut values = multi_vector(1, 200, 8).into_values();
    values[1234] = f32::NEG_INFINITY;
    let vectors = Vectors::from_f32(&values, 8).unwrap();
    let expected = MuveraError::NotFinite { vector: 154, component: 2, value: f64::NEG_INFINITY };
    assert_eq!(cause(muvera.process_query(&vectors)), Err(expected.clone()));
    assert_eq!(expected.to_string(), "component 2 of vector 154 is -inf, which cannot be encoded");
    values[1234] = f32::NAN;
    let error =
        cause(muvera.process_document(&Vectors::from_f32(&values, 8).unwrap())).unwrap_err();
    assert!(matches!(error, MuveraError::NotFinite { vector: 154, component: 2, .. }));

    // Double precision may accept components that are too large for single precision.
    let large = [1e300; 8];
    let large = Vectors::from_f64(&large, 8).unwrap();
    assert!(muvera.process_document(&large).is_ok());
    let error = cause(Muvera::new_f32(8, small()).unwrap().process_document(&large)).unwrap_err();
    assert_eq!(error, MuveraError::NotFinite { vector: 0, component: 0, value: 1e300 });
    assert!(error.hint().to_string().contains("64 bits"));
}

#[test]
fn a_model_says_its_dim() {
    let model = LateText { dim: 8, ..LateText::DEFAULT };
    let muvera = Muvera::from_multivector_model(&model, small()).unwrap();
    let vectors = multi_vector(2, 5, 8);
    assert_eq!(muvera.dim(), 8);
    assert_eq!(
        muvera.process_document(&vectors).unwrap(),
        Muvera::new(8, small()).unwrap().process_document(&vectors).unwrap()
    );
    let narrow = LateText { dim: 3, ..LateText::DEFAULT };
    assert_eq!(
        cause(Muvera::from_multivector_model(&narrow, small())).unwrap_err(),
        MuveraError::ProjectionTooWide { dim_proj: 4, dim: 3 }
    );
}

#[test]
fn a_batch_is_its_inputs_one_by_one() {
    let muvera = Muvera::new(8, small()).unwrap();
    let inputs: Vec<MultiVector> =
        (0..101).map(|seed| multi_vector(seed, 1 + seed as usize % 13, 8)).collect();
    for form in [Form::DOCUMENT, Form::QUERY] {
        let single: Vec<Vec<f64>> =
            inputs.iter().map(|vectors| muvera.process(vectors, form).unwrap()).collect();
        for threads in [1, 2, 3, 100] {
            let threads = NonZeroUsize::new(threads);
            assert_eq!(muvera.process_batch(&inputs, form, threads).unwrap(), single);
        }
        let views: Vec<Vectors<'_>> = inputs.iter().map(AsVectors::as_vectors).collect();
        assert_eq!(muvera.process_batch(&views, form, None).unwrap(), single);
    }
    let none: [MultiVector; 0] = [];
    assert!(muvera.process_batch(&none, Form::QUERY, None).unwrap().is_empty());
}

#[test]
fn a_batch_names_its_first_bad_input() {
    let muvera = Muvera::new(8, small()).unwrap();
    let mut inputs: Vec<MultiVector> = (0..80).map(|seed| multi_vector(seed, 9, 8)).collect();
    inputs[77] = multi_vector(0, 2, 9);
    inputs[41] = MultiVector::new(Vec::new(), 8).unwrap();
    for threads in [1, 2, 8] {
        let error = cause(muvera.process_batch(&inputs, Form::QUERY, NonZeroUsize::new(threads)));
        let expected = MuveraError::Input { index: 41, source: Box::new(MuveraError::Empty) };
        assert_eq!(error, Err(expected.clone()));
        assert_eq!(expected.to_string(), "input 41 of the batch");
        assert_eq!(expected.hint(), MuveraError::Empty.hint());
    }
}

/// Vectors almost in a hyperplane: single precision alone would choose their sides at random.
#[test]
fn clusters_do_not_depend_on_the_precision() {
    let options = MuveraOptions { k_sim: 5, dim_proj: 16, r_reps: 20, random_seed: 3 };
    let muvera = Muvera::new(64, options.clone()).unwrap();
    let single = Muvera::new_f32(64, options).unwrap();
    let mut disagreed = 0;
    for scale in [1.0, 1e-30, 1e-42, 1e30, 5e37] {
        let mut values = normals(9, 100 * 64);
        for (plane, vector) in values.chunks_exact_mut(64).enumerate() {
            let normal: Vec<f64> = (0..64).map(|i| muvera.hyperplanes.normal(i, plane)).collect();
            let dot: f64 = vector.iter().zip(&normal).map(|(x, y)| x * y).sum();
            let square: f64 = normal.iter().map(|x| x * x).sum();
            for (x, y) in vector.iter_mut().zip(&normal) {
                *x = (*x - dot / square * y) * scale;
            }
        }
        let narrow: Vec<f32> = values.iter().map(|&x| x as f32).collect();
        for vectors in [Vectors::from_f64(&values, 64), Vectors::from_f32(&narrow, 64)] {
            let vectors = vectors.unwrap();
            assert_eq!(clusters(&muvera, vectors), clusters(&single, vectors), "scale {scale:e}");
        }
        // Checks that the vectors are as difficult as intended.
        for (plane, vector) in narrow.chunks_exact(64).enumerate() {
            let mut dots = (0f32, 0f64);
            for (i, &x) in vector.iter().enumerate() {
                let y = muvera.hyperplanes.normal(i, plane);
                dots = (dots.0 + x * y as f32, dots.1 + f64::from(x) * y);
            }
            disagreed += usize::from((dots.0 > 0.0) != (dots.1 > 0.0));
        }
        if scale == 1.0 {
            let expected =
                muvera.process_document(&Vectors::from_f32(&narrow, 64).unwrap()).unwrap();
            let ours = single.process_document(&Vectors::from_f32(&narrow, 64).unwrap()).unwrap();
            assert_near(&ours, &expected, 16, "near the hyperplanes");
        }
    }
    assert!(disagreed > 50, "only {disagreed} of 500 are difficult");
}

/// The best of many documents by dot product of encodings is the best by MaxSim.
#[test]
fn the_nearest_encoding_is_that_of_the_best_match() {
    let (dim, documents) = (32, 40);
    let options = MuveraOptions { k_sim: 4, r_reps: 10, ..MuveraOptions::default() };
    let muvera = Muvera::new(dim, options.clone()).unwrap();
    let single = Muvera::new_f32(dim, options).unwrap();
    let inputs: Vec<MultiVector> = (0..documents).map(|i| multi_vector(i, 24, dim)).collect();
    let encoded = muvera.process_batch(&inputs, Form::DOCUMENT, None).unwrap();
    let encoded_single = single.process_batch(&inputs, Form::DOCUMENT, None).unwrap();
    let mut found = 0;
    for (wanted, input) in inputs.iter().enumerate().step_by(2) {
        // Eight tokens of one document, plus as much noise.
        let noise = normals(1000 + wanted as u128, 8 * dim);
        let tokens = input.values()[..8 * dim].iter().zip(noise).map(|(x, y)| x + y as f32);
        let query = MultiVector::new(tokens.collect(), dim).unwrap();
        let by_match = best(&inputs, |document| {
            let best = |token: &[f32]| {
                let dots = document.rows().map(|row| dot(row, token));
                dots.fold(f64::NEG_INFINITY, f64::max)
            };
            query.rows().map(best).sum()
        });
        assert_eq!(by_match, wanted);
        let encoding = muvera.process_query(&query).unwrap();
        let by_encoding = best(&encoded, |document| dot(document, &encoding));
        let encoding = single.process_query(&query).unwrap();
        assert_eq!(by_encoding, best(&encoded_single, |document| dot(document, &encoding)));
        found += usize::from(by_encoding == wanted);
    }
    println!(
        "the best of {documents} by MaxSim is the best by encodings for {found} of 20 queries"
    );
    assert!(found >= 18, "only {found} of 20");
}

/// Index of the highest score.
fn best<V>(all: &[V], score: impl Fn(&V) -> f64) -> usize {
    let scores: Vec<f64> = all.iter().map(score).collect();
    (0..all.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap()
}

fn dot<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| a.into() * b.into()).sum()
}

#[test]
fn an_encoder_is_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Muvera>();
    shared::<Muvera<f32>>();
}

#[test]
#[cfg(feature = "serde")]
fn options_are_read_and_written() {
    let options = MuveraOptions { k_sim: 6, ..MuveraOptions::default() };
    let text = serde_json::to_string(&options).unwrap();
    assert_eq!(serde_json::from_str::<MuveraOptions>(&text).unwrap(), options);
    let text = toml::to_string(&options).unwrap();
    assert_eq!(toml::from_str::<MuveraOptions>(&text).unwrap(), options);
    assert_eq!(toml::from_str::<MuveraOptions>("k_sim = 6").unwrap(), options);
    assert!(toml::from_str::<MuveraOptions>("ksim = 6").is_err());
}
