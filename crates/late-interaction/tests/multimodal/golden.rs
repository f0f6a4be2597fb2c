//! Every case: the original's values, alone and in company, and an error wherever it has one.

use embedkit_late_interaction::{Error, LateInteractionMultimodalEmbedding};
use embedkit_testkit::{MultimodalCase, assert_close, multimodal_cases};
use embedkit_types::{BatchOptions, Embedded, LoadOptions, MultiVector};

type Results = Vec<Result<Embedded<MultiVector>, Error>>;

/// Values hold on any CPU; halves carry 11 bits.
fn tolerance(case: &MultimodalCase) -> f32 {
    if case.golden.dtype.as_deref() == Some("float16") { 1e-3 } else { 1e-4 }
}

/// Checks what came of texts or images: `rows` vectors for each, with these values.
fn check_values(
    case: &MultimodalCase,
    what: &str,
    results: &Results,
    expected: &[(usize, &[f32])],
) {
    assert_eq!(results.len(), expected.len(), "{} {what}", case.name);
    for (index, (result, (rows, values))) in results.iter().zip(expected).enumerate() {
        let found = result.as_ref().unwrap_or_else(|e| panic!("{} {what} {index}: {e}", case.name));
        assert_eq!(found.value.len(), *rows, "{} {what} {index}", case.name);
        let width = found.value.dim();
        println!("{} {what} {index}: {rows} x {width}", case.name);
        assert_close(found.value.values(), &values[..rows * width], tolerance(case));
    }
}

/// Checks that there are results, and that every one is an error.
fn check_errors(case: &MultimodalCase, what: &str, results: &Results) {
    assert!(!results.is_empty(), "{} {what}", case.name);
    for result in results {
        let error = result.as_ref().expect_err(&case.name);
        println!("{} {what}: {error}", case.name);
    }
}

fn check_texts(case: &MultimodalCase, model: &LateInteractionMultimodalEmbedding) {
    let golden = &case.golden;
    let results: Results = model.embed_text_detailed(&golden.texts).collect();
    if golden.embed_text.error.is_some() || golden.embed_text.shape.is_some() {
        return check_errors(case, "text", &results);
    }
    let counts = &golden.token_counts_with_extension;
    let expected = golden.embed_text.rows.iter().zip(&case.golden.text_values).zip(counts);
    // The original's ColPali keeps vectors of padding, which come last, and has two tokens at least.
    let expected: Vec<_> = expected
        .map(|((&rows, values), &tokens)| (rows.min(tokens.max(2)), values.as_slice()))
        .collect();
    check_values(case, "text", &results, &expected);
    for (index, text) in golden.texts.iter().enumerate() {
        let counted = [false, true].map(|extended| model.token_count([text], extended).unwrap());
        assert_eq!(counted[0], golden.token_counts[index], "{} {index}", case.name);
        assert_eq!(counted[1], counts[index].max(expected[index].0), "{} {index}", case.name);
        assert_eq!(results[index].as_ref().unwrap().tokens, counted[1], "{} {index}", case.name);
    }
}

fn check_images(case: &MultimodalCase, model: &LateInteractionMultimodalEmbedding) {
    let golden = &case.golden.embed_image;
    let results: Results = model.embed_image_detailed(case.images()).collect();
    let repaired_to_error = case.name.starts_with("error-") && case.golden.repaired.is_some();
    match (&golden.error, &case.golden.repaired) {
        (Some(_), Some(_)) => {
            let whole = results.iter().map(|result| result.as_ref().unwrap().value.len());
            assert!(whole.eq([1030]), "{}", case.name);
        }
        (Some(_), None) => check_errors(case, "image", &results),
        (None, Some(_)) if repaired_to_error => check_errors(case, "image", &results),
        (None, _) => {
            let expected = golden.rows.iter().zip(&case.golden.image_values);
            let expected: Vec<_> = expected.map(|(&rows, v)| (rows, v.as_slice())).collect();
            check_values(case, "image", &results, &expected);
        }
    }
}

/// Opens and checks every case; those of errors have to end in one.
fn check_all(change: impl Fn(LoadOptions) -> LoadOptions) {
    let Some(options) = super::options() else { return };
    let options = change(options);
    let mut opened = 0;
    for case in multimodal_cases() {
        let files = case.files();
        match LateInteractionMultimodalEmbedding::from_files(&case.spec, &files, &options) {
            Ok(model) => {
                assert!(case.golden.error.is_none(), "{} should not open", case.name);
                check_texts(&case, &model);
                check_images(&case, &model);
                opened += 1;
            }
            Err(error) => {
                println!("{}: {error}", case.name);
                assert!(case.name.starts_with("error-"), "{}: {error}", case.name);
            }
        }
    }
    assert!(opened > 15, "{opened} cases");
}

#[test]
fn every_case_equals_the_original() {
    check_all(|options| options);
}

#[test]
fn lazy_models_do_too() {
    check_all(|options| LoadOptions { lazy: true, ..options });
}

#[test]
fn neighbours_change_nothing() {
    let large = 1 << 20;
    let batch = BatchOptions {
        rows: Some(large),
        tokens: Some(large),
        window: large,
        ..BatchOptions::default()
    };
    check_all(|options| LoadOptions { batch, ..options });
}
