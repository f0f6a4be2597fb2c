//! Metrics of rankings are those of trec_eval, which made `metrics.json` by `metrics.py`.

use embedkit_examples::evaluation::{Grades, metrics};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    ranking: Vec<usize>,
    grades: Grades,
    ndcg_10: f64,
    recall_100: f64,
    reciprocal_rank: f64,
}

#[test]
fn metrics_are_those_of_trec_eval() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("metrics.json")).expect("cases");
    assert_eq!(cases.len(), 30);
    for (number, case) in cases.iter().enumerate() {
        let Case { ranking, grades, .. } = case;
        let found = [
            (metrics::ndcg(ranking, grades, 10), case.ndcg_10),
            (metrics::recall(ranking, grades, 100), case.recall_100),
            (metrics::reciprocal_rank(ranking, grades, usize::MAX), case.reciprocal_rank),
        ];
        for (ours, theirs) in found {
            assert!((ours - theirs).abs() < 1e-9, "case {number}: {ours}, trec_eval has {theirs}");
        }
    }
}
