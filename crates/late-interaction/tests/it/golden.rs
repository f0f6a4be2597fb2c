//! Every kind of model on tiny graphs: the original's values, alone and in company.

use embedkit_late_interaction::{Error, LateInteractionTextEmbedding};
use embedkit_testkit::{
    LateCase, assert_rows_close, late_cases, load_options, runtime_library, zip_equal,
};
use embedkit_types::{Embedded, LoadOptions, MultiVector, Role};

const ROLES: [Role; 3] = [Role::Raw, Role::Document, Role::Query];

/// Cases that can run here.
fn runnable() -> Vec<(LateCase, LoadOptions)> {
    let Some(library) = runtime_library() else { return Vec::new() };
    let options = LoadOptions { onnxruntime: Some(library), ..load_options() };
    late_cases().into_iter().map(|case| (case, options.clone())).collect()
}

fn open(case: &LateCase, options: &LoadOptions) -> Result<LateInteractionTextEmbedding, Error> {
    LateInteractionTextEmbedding::from_files(&case.spec, &case.files(), options)
}

/// Compares with the vectors of one text.
#[track_caller]
pub(crate) fn assert_equal(found: &MultiVector, expected: &[Vec<f32>], tolerance: f32) {
    let rows: Vec<_> = found.rows().map(<[f32]>::to_vec).collect();
    let expected: Vec<_> = expected.iter().cloned().map(Some).collect();
    assert_rows_close(&rows, &expected, tolerance);
}

fn check(case: &LateCase, model: &LateInteractionTextEmbedding, role: Role) {
    println!("{} {role:?}", case.name);
    let golden = &case.golden;
    let counts = golden.token_counts.as_ref().unwrap();
    let (expected, counts, extended) = match role {
        Role::Query => (&golden.query_embed, &counts.query, &counts.query_extended),
        _ => (&golden.embed, &counts.document, &counts.document_extended),
    };
    let together: Vec<_> = model.embed_detailed(role, &golden.texts).collect();
    assert_eq!(together.len(), expected.len());
    for (index, (result, expected)) in together.into_iter().zip(expected).enumerate() {
        let text = [&golden.texts[index]];
        // What the original cannot embed may be embedded, or refused.
        let Some(expected) = expected else { continue };
        let Embedded { value, tokens, truncated } = result.unwrap();
        assert_equal(&value, expected, case.golden.tolerance());
        let alone = model.embed_batch(role, &[text[0].as_str()]).unwrap().remove(0);
        let rows: Vec<_> = alone.rows().map(<[f32]>::to_vec).collect();
        assert_equal(&value, &rows, case.golden.tolerance().min(1e-3) / 10.0);

        assert_eq!(tokens, counts[index], "{index}");
        assert_eq!(model.token_count(text, role, false).unwrap(), counts[index], "{index}");
        assert_eq!(model.token_count(text, role, true).unwrap(), extended[index], "{index}");
        assert!(!truncated || tokens == *counts.iter().max().unwrap(), "{index}");
    }
}

#[test]
fn every_case_equals_the_original() {
    let cases = runnable();
    for (case, options) in &cases {
        match open(case, options) {
            Ok(model) if case.golden.fails() => {
                let results: Vec<_> = model.embed(&case.golden.texts).collect();
                assert!(results.iter().all(Result::is_err), "{}", case.name);
                let results: Vec<_> = model.query_embed(&case.golden.texts).collect();
                assert!(results.iter().all(Result::is_err), "{}", case.name);
            }
            Ok(model) => {
                for role in ROLES {
                    check(case, &model, role);
                }
                let text = &case.golden.texts[0];
                let one = model.query_embed_one(text).unwrap();
                assert_eq!(one, model.query_embed([text]).next().unwrap().unwrap());
                assert_eq!(model.embedding_size(), 4);
            }
            Err(error) => assert!(case.golden.fails(), "{}: {error}", case.name),
        }
    }
    println!("{} cases", cases.len());
}

#[test]
fn the_last_text_is_cut_and_says_so() {
    for (case, options) in runnable() {
        let Ok(model) = open(&case, &options) else { continue };
        if case.golden.fails() {
            continue;
        }
        for role in ROLES {
            let texts = &case.golden.texts;
            let cut: Vec<bool> = model
                .embed_detailed(role, texts)
                .map(|one| one.is_ok_and(|one| one.truncated))
                .collect();
            assert!(cut[texts.len() - 1] && !cut[2], "{}: {cut:?}", case.name);
        }
    }
}

#[test]
fn lazy_models_embed_like_eager_ones() {
    for (case, options) in runnable() {
        let lazy = LoadOptions { lazy: true, ..options };
        let Ok(model) = open(&case, &lazy) else {
            assert!(case.golden.fails(), "{}", case.name);
            continue;
        };
        let mut results = model.query_embed(&case.golden.texts);
        if case.golden.fails() {
            assert!(results.all(|result| result.is_err()), "{}", case.name);
            continue;
        }
        for (result, expected) in zip_equal(results, &case.golden.query_embed) {
            assert_equal(&result.unwrap(), expected.as_ref().unwrap(), case.golden.tolerance());
        }
    }
}
