//! The files of the cases are consistent and meaningful.

use std::{collections::BTreeSet, fs, path::Path};

use embedkit_testkit::{DenseCase, Expected, Repair, dense_cases};
use embedkit_types::{Encoder, Role, Task, TextDense};

const ROLES: [Role; 3] = [Role::Raw, Role::Document, Role::Query];

fn facts(case: &DenseCase) -> &TextDense {
    let Task::TextDense(facts) = &case.spec.task else { panic!("{} is not dense", case.name) };
    facts
}

#[test]
fn vectors_have_the_width_of_the_model_and_one_row_per_text() {
    for case in dense_cases() {
        let name = &case.name;
        let width = facts(&case).dim;
        for role in ROLES {
            let Expected::Vectors(rows) = case.expected(role) else {
                continue;
            };
            assert_eq!(rows.len(), case.golden.texts.len(), "{name}");
            assert!(rows.iter().flatten().all(|row| row.len() == width), "{name}");
            assert!(rows.iter().flatten().flatten().all(|x| x.is_finite()), "{name}");
            let open = rows.iter().filter(|row| row.is_none()).count();
            assert_eq!(open, case.golden.embed_batch_1_errors.len(), "{name}");
        }
    }
}

#[test]
fn token_counts_are_the_sums_of_the_masks() {
    for case in dense_cases() {
        let (name, golden) = (&case.name, &case.golden);
        let (Some(ids), Some(mask)) = (&golden.input_ids, &golden.attention_mask) else {
            continue;
        };
        let counts = golden.token_counts.as_ref().expect(name);
        for ((ids, mask), count) in ids.iter().zip(mask).zip(counts) {
            assert_eq!(ids.len(), mask.len(), "{name}");
            assert_eq!(mask.iter().sum::<u32>() as usize, *count, "{name}");
        }
        assert_eq!(counts.len(), golden.texts.len(), "{name}");
    }
}

#[test]
fn every_case_has_its_files_unless_their_absence_is_the_point() {
    for case in dense_cases() {
        let files = case.files();
        let lacks = |what: &str| case.name == format!("error-{what}-missing");
        assert!(files.model.is_file(), "{}", case.name);
        for extra in case.spec.additional_files.iter() {
            assert!(files.path(extra.as_ref()).is_file(), "{}: {extra}", case.name);
        }
        let vocabulary = files.path("vocab.txt").is_file();
        let tokenizer = files.path("tokenizer.json").is_file();
        let lacking = vocabulary || lacks("tokenizer") || lacks("static-tokenizer");
        assert_ne!(tokenizer, lacking, "{}", case.name);
        let config = files.path("tokenizer_config.json").is_file();
        let needed =
            facts(&case).encoder == Encoder::Transformer && case.name != "vocabulary-alone";
        assert_eq!(config, needed && !lacks("tokenizer-config"), "{}", case.name);
    }
}

#[test]
fn errors_are_expected_where_the_name_says_so() {
    for case in dense_cases() {
        let error = matches!(case.expected(Role::Raw), Expected::Error(_));
        let named = case.name.starts_with("error-");
        assert!(error == named, "{}: error {error}, named so {named}", case.name);
        if let Some(repaired) = &case.golden.repaired {
            assert_eq!(repaired.to == Repair::Error, error, "{}", case.name);
        }
    }
}

/// The graphs are made to be sensitive to these inputs; an insensitive case tests nothing.
#[test]
fn what_a_case_is_about_changes_its_values() {
    let cases = dense_cases();
    let get = |name: &str| cases.iter().find(|case| case.name == name).expect(name);
    for name in ["cls-left", "no-mask-input-sees-padding", "dynamic-quantized"] {
        let golden = &get(name).golden;
        let (whole, alone) = (golden.embed.as_ref(), golden.embed_batch_1.as_ref());
        let difference = whole
            .expect(name)
            .iter()
            .zip(alone.expect(name))
            .map(|(a, b)| embedkit_testkit::max_abs_diff(a, b.as_ref().expect(name)))
            .fold(0.0, f32::max);
        assert!(difference > 10.0 * get(name).tolerance(), "{name}: {difference}");
    }
    let tasks = get("tasks");
    let mut rows = vec![tasks.expected(Role::Raw), tasks.expected(Role::Query)];
    assert_eq!(rows[0], tasks.expected(Role::Document));
    rows.extend(
        tasks
            .golden
            .embed_task
            .values()
            .map(|vectors| Expected::Vectors(vectors.iter().cloned().map(Some).collect())),
    );
    // Tasks 1 (raw and document) and 0 (query, once by role and once by id), then 2, 3 and 4.
    assert_eq!(tasks.golden.embed_task.keys().copied().collect::<Vec<_>>(), [0, 2, 3, 4]);
    assert_eq!(rows[1], rows[2]);
    rows.remove(2);
    for (i, a) in rows.iter().enumerate() {
        assert!(rows[i + 1..].iter().all(|b| a != b), "two tasks give the same");
    }
}

#[test]
fn every_kind_of_the_original_is_covered() {
    let models: BTreeSet<String> = dense_cases()
        .into_iter()
        .map(|case| case.golden.model)
        .map(|model| if model.starts_with("custom/") { "custom".to_owned() } else { model })
        .collect();
    assert_eq!(models.len(), 10, "nine transformer kinds and the static one: {models:?}");
}

#[test]
fn files_stay_small() {
    fn size(folder: &Path, sum: &mut u64) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                size(&path, sum);
                continue;
            }
            let length = path.metadata().unwrap().len();
            assert!(length < 200_000, "{} has {length} bytes", path.display());
            *sum += length;
        }
    }
    let mut sum = 0;
    size(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data/dense"), &mut sum);
    assert!(sum < 1_800_000, "{sum} bytes");
}
