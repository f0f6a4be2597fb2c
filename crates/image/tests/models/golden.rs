//! Every kind of image model on tiny graphs: the original's values, alone and in company.

use std::path::PathBuf;

use embedkit_image::ImageEmbedding;
use embedkit_testkit::{ImageCase, Stage, assert_close, image_case, image_cases};
use embedkit_types::{BatchOptions, LoadOptions};

use crate::options;

fn check(case: &ImageCase, model: &ImageEmbedding) {
    let pictures = case.pictures();
    let expected = match case.expected() {
        Ok(expected) => expected,
        Err(Stage::Load) => panic!("{}: the model should not load", case.name),
        Err(Stage::Embed) => {
            // Each by itself, and several together.
            for some in [&pictures[..1], &pictures[..]] {
                let mut results = model.embed(some.to_vec());
                assert!(results.any(|result| result.is_err()), "{}: nothing fails", case.name);
            }
            return;
        }
    };
    let together: Vec<_> = model.embed(pictures.clone()).collect();
    assert_eq!(together.len(), pictures.len(), "{}", case.name);
    for (index, (vector, expected)) in together.iter().zip(expected).enumerate() {
        let vector = vector.as_ref().unwrap_or_else(|e| panic!("{} {index}: {e}", case.name));
        println!("{} {index}", case.name);
        assert_close(vector, expected, case.tolerance());
        let alone = model.embed_batch(&[pictures[index].clone().into()]).unwrap();
        assert_close(&alone[0], vector, 1e-5);
    }
    assert_eq!(model.embedding_size(), expected[0].len(), "{}", case.name);
}

fn check_all(options: &LoadOptions) {
    let cases = image_cases();
    for case in &cases {
        match ImageEmbedding::from_files(&case.spec, &case.files(), options) {
            Ok(model) => check(case, &model),
            Err(error) => assert!(case.expected().is_err(), "{}: {error}", case.name),
        }
    }
    println!("{} cases", cases.len());
    assert!(cases.len() > 20);
}

#[test]
fn every_case_equals_the_original() {
    let Some(options) = options() else { return };
    check_all(&options);
}

#[test]
fn lazy_models_fail_or_embed_like_eager_ones() {
    let Some(options) = options() else { return };
    check_all(&LoadOptions { lazy: true, ..options });
}

/// Rows of a batch: none changes a vector.
#[test]
fn batches_do_not_change_vectors() {
    let Some(options) = options() else { return };
    let case_names = ["clip", "nomic-quantized", "any-size", "fixed-batch", "half"];
    for (rows, window) in [(1, 1), (2, 3), (5, 64), (64, 64)] {
        let batch = BatchOptions { rows: Some(rows), window, ..BatchOptions::default() };
        let options = LoadOptions { batch, ..options.clone() };
        for name in case_names {
            let case = image_case(name);
            let model = ImageEmbedding::from_files(&case.spec, &case.files(), &options).unwrap();
            // Forwards and backwards, so that neighbours and places differ.
            let mut pictures: Vec<PathBuf> = case.pictures();
            let mut expected = case.golden.embed.clone();
            pictures.extend(case.pictures().into_iter().rev());
            expected.extend(case.golden.embed.iter().rev().cloned());
            let vectors: Vec<_> = model.embed(pictures).collect::<Result<_, _>>().unwrap();
            assert_eq!(vectors.len(), expected.len());
            for (vector, expected) in vectors.iter().zip(&expected) {
                assert_close(vector, expected, case.tolerance());
            }
        }
    }
}
