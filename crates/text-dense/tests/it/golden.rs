//! Every kind of dense model on tiny graphs: the original's values, alone and in company.

use embedkit_testkit::{
    DenseCase, Expected, Stage, assert_close, dense_cases, load_options, runtime_library, zip_equal,
};
use embedkit_text_dense::{DenseOptions, TextEmbedding};
use embedkit_types::{Encoder, LoadOptions, Role, Task};

fn encoder(case: &DenseCase) -> Encoder {
    match &case.spec.task {
        Task::TextDense(task) => task.encoder,
        other => panic!("{}: a model for {}", case.name, other.name()),
    }
}

/// Cases that can run here: static models need no runtime.
fn runnable() -> Vec<(DenseCase, LoadOptions)> {
    let library = runtime_library();
    dense_cases()
        .into_iter()
        .filter(|case| library.is_some() || encoder(case) == Encoder::Static)
        .map(|case| (case, LoadOptions { onnxruntime: library.clone(), ..load_options() }))
        .collect()
}

fn check(case: &DenseCase, model: &TextEmbedding, role: Role) {
    println!("{} {role:?}", case.name);
    let texts = &case.golden.texts;
    let expected = match case.expected(role) {
        Expected::Vectors(expected) => expected,
        Expected::Error(Stage::Load) => panic!("{}: the model should not load", case.name),
        Expected::Error(Stage::Embed) => {
            let result: Result<Vec<_>, _> = model.embed(texts).collect();
            assert!(result.is_err(), "{}: embedding should fail", case.name);
            return;
        }
    };
    let together: Vec<_> = model.embed_detailed(role, texts).collect();
    assert_eq!(together.len(), texts.len(), "{}", case.name);
    for (index, (result, expected)) in together.iter().zip(&expected).enumerate() {
        let Some(expected) = expected else { continue };
        let embedded = result.as_ref().unwrap_or_else(|e| panic!("{} {index}: {e}", case.name));
        assert_close(&embedded.value, expected, case.tolerance());
        let alone = model.embed_batch(role, &[&texts[index]]).unwrap();
        assert_close(&alone[0], &embedded.value, 1e-5);
        if let Some(counts) = &case.golden.token_counts {
            assert_eq!(embedded.tokens, counts[index], "{} {index}", case.name);
            assert_eq!(model.token_count([&texts[index]]).unwrap(), counts[index]);
        }
    }
}

#[test]
fn every_case_equals_the_original() {
    let cases = runnable();
    for (case, options) in &cases {
        match TextEmbedding::from_files(&case.spec, &case.files(), options) {
            Ok(model) => {
                for role in [Role::Raw, Role::Document, Role::Query] {
                    check(case, &model, role);
                }
            }
            Err(error) => {
                let expected = case.expected(Role::Raw);
                let fails = matches!(expected, Expected::Error(_));
                assert!(fails, "{}: {error}", case.name);
            }
        }
    }
    println!("{} cases", cases.len());
}

#[test]
fn tasks_by_name_equal_the_original() {
    for (case, options) in runnable() {
        let Task::TextDense(task) = &case.spec.task else { continue };
        for (&id, expected) in &case.golden.embed_task {
            let name = task.tasks.as_ref().map(|tasks| tasks.names[id].to_string());
            let dense = DenseOptions { task: name };
            let model = TextEmbedding::from_files_with(&case.spec, &case.files(), &options, &dense)
                .unwrap();
            for (actual, expected) in zip_equal(model.embed(&case.golden.texts), expected) {
                assert_close(&actual.unwrap(), expected, case.tolerance());
            }
        }
    }
}

#[test]
fn lazy_models_fail_or_embed_like_eager_ones() {
    for (case, options) in runnable() {
        let lazy = LoadOptions { lazy: true, ..options };
        let Ok(model) = TextEmbedding::from_files(&case.spec, &case.files(), &lazy) else {
            assert!(matches!(case.expected(Role::Raw), Expected::Error(_)), "{}", case.name);
            continue;
        };
        check_lazy(&case, &model);
    }
}

fn check_lazy(case: &DenseCase, model: &TextEmbedding) {
    let results: Vec<_> = model.embed(&case.golden.texts).collect();
    match case.expected(Role::Raw) {
        Expected::Error(_) => assert!(results.iter().any(Result::is_err), "{}", case.name),
        Expected::Vectors(expected) => {
            for (result, expected) in zip_equal(results, expected) {
                let Some(expected) = expected else { continue };
                assert_close(&result.unwrap(), &expected, case.tolerance());
            }
        }
    }
}
