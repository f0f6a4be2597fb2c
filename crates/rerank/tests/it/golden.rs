//! Every kind of cross-encoder on tiny graphs: the original's scores, alone and in company.

use std::collections::HashMap;

use embedkit_core::tokenizer::PairTokenizer;
use embedkit_testkit::{RerankCase, Stage, assert_close, rerank_cases, zip_equal};
use embedkit_types::{BatchOptions, GraphOutput, LoadOptions, Rerank, Task};

use crate::{open, options};

/// Cases that have scores.
fn scored() -> impl Iterator<Item = RerankCase> {
    rerank_cases().into_iter().filter(|case| case.golden.error.is_none())
}

/// How far from the stored scores one may be. Halves carry 11 bits.
fn tolerance(case: &RerankCase) -> f32 {
    if case.name == "half" { 5e-3 } else { 1e-4 }
}

#[track_caller]
fn assert_score(case: &RerankCase, index: usize, score: f32, expected: Option<f32>) {
    println!("{} {index}", case.name); // shown where the comparison fails
    if let Some(expected) = expected {
        assert_close(&[score], &[expected], tolerance(case));
    }
}

#[test]
fn pairs_become_the_tokens_of_the_original() {
    for case in scored() {
        let tokenizer = PairTokenizer::load(&case.files()).unwrap();
        let golden = &case.golden;
        let mut queries = HashMap::new();
        for (index, (query, document)) in golden.all_pairs().into_iter().enumerate() {
            let name = format!("{} {index}", case.name);
            let tokens = tokenizer.encode(query, document).unwrap();
            let query = queries.entry(query).or_insert_with(|| tokenizer.first(query).unwrap());
            assert_eq!(tokenizer.encode_with(query, document).unwrap(), tokens, "{name}");
            assert_eq!(tokens.ids.len(), golden.token_counts[index], "{name}");
            assert_eq!(tokens.truncated, golden.truncated[index], "{name}");
            assert!(tokens.ids.len() <= tokenizer.limit(), "{name}");
            if let (Some(ids), Some(type_ids)) = (&golden.input_ids, &golden.type_ids) {
                assert_eq!(tokens.ids, ids[index], "{name}");
                assert_eq!(tokens.type_ids, type_ids[index], "{name}");
            }
        }
    }
}

#[test]
fn every_case_equals_the_original() {
    let Some(options) = options() else { return };
    for case in rerank_cases() {
        let golden = &case.golden;
        let pairs = golden.all_pairs();
        let model = match (open(&case, &options), &golden.error) {
            (Ok(model), None) => model,
            (Ok(model), Some(failure)) => {
                assert_eq!(failure.stage, Stage::Embed, "{} opens", case.name);
                let mut scores = model.rerank_pairs(pairs.iter().copied());
                assert!(scores.any(|score| score.is_err()), "{} gives scores", case.name);
                continue;
            }
            (Err(error), failure) => {
                assert!(failure.is_some(), "{}: {error}", case.name);
                continue;
            }
        };
        let expected = golden.all_scores();
        let together: Vec<_> = model.rerank_pairs_detailed(pairs.iter().copied()).collect();
        assert_eq!(together.len(), pairs.len(), "{}", case.name);
        for (index, result) in together.into_iter().enumerate() {
            let scored = result.unwrap();
            assert_score(&case, index, scored.value, expected[index]);
            assert_eq!(scored.tokens, golden.token_counts[index], "{} {index}", case.name);
            assert_eq!(scored.truncated, golden.truncated[index], "{} {index}", case.name);
            let alone = model.rerank_pairs([pairs[index]]).next().unwrap().unwrap();
            assert_close(&[alone], &[scored.value], 1e-5);
            assert_eq!(model.token_count([pairs[index]]).unwrap(), scored.tokens);
        }
        let scores: Vec<_> = model.rerank(&golden.query, &golden.documents).collect();
        assert_eq!(scores.len(), golden.documents.len(), "{}", case.name);
        for (index, score) in scores.into_iter().enumerate() {
            assert_score(&case, index, score.unwrap(), golden.rerank[index]);
        }
        let sum: usize = golden.token_counts.iter().sum();
        assert_eq!(model.token_count(pairs).unwrap(), sum, "{}", case.name);
    }
}

#[test]
fn scores_do_not_depend_on_batches() {
    let Some(plain) = options() else { return };
    for case in scored() {
        let expected = case.golden.all_scores();
        for (rows, tokens, window, replicas) in
            [(1, 1, 1, 1), (5, 64, 7, 3), (256, 100_000, 999, 2)]
        {
            let batch = BatchOptions {
                rows: Some(rows),
                tokens: Some(tokens),
                window,
                ..BatchOptions::default()
            };
            let options =
                LoadOptions { batch, replicas: Some(replicas), lazy: true, ..plain.clone() };
            let model = open(&case, &options).unwrap();
            let scores: Vec<_> = model.rerank_pairs(case.golden.all_pairs()).collect();
            assert_eq!(scores.len(), expected.len(), "{}", case.name);
            for (index, (score, expected)) in scores.into_iter().zip(&expected).enumerate() {
                assert_score(&case, index, score.unwrap(), *expected);
            }
        }
    }
}

#[test]
fn the_column_and_the_output_are_those_of_the_description() {
    let Some(options) = options() else { return };
    let mut case = embedkit_testkit::rerank_case("two-labels");
    let columns = case.golden.columns.clone().unwrap();
    for column in 0..2 {
        case.spec.task = Task::Rerank(Rerank {
            output: GraphOutput::Name("logits".into()),
            column,
            ..Rerank::DEFAULT
        });
        let model = open(&case, &options).unwrap();
        let scores = model.rerank_pairs(case.golden.all_pairs());
        for (index, (score, columns)) in zip_equal(scores, &columns).enumerate() {
            assert_score(&case, index, score.unwrap(), Some(columns[column]));
        }
    }
    case.spec.task =
        Task::Rerank(Rerank { output: GraphOutput::Index(0), column: 2, ..Rerank::DEFAULT });
    let model = open(&case, &options).unwrap();
    let error = model.rerank("a", ["b"]).next().unwrap().unwrap_err().to_string();
    assert!(error.ends_with("expected [pairs, 3 or more columns], got [1, 2]"), "{error}");
    case.spec.task =
        Task::Rerank(Rerank { output: GraphOutput::Name("scores".into()), ..Rerank::DEFAULT });
    let error = open(&case, &options).unwrap_err().to_string();
    assert!(error.contains("no output `scores`; it has [\"logits\"]"), "{error}");
}
