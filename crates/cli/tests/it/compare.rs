//! `compare`: two models on the same inputs.

use embedkit_testkit::{cosine, dense_case};
use serde_json::Value;

use crate::program::{Outcome, Program, arg, file, golden};

const TEXTS: [&str; 4] =
    ["a", "the quick brown fox jumps over the lazy dog", "hello world", "the the the the"];

/// The tiny lookup-table model, which needs no ONNX Runtime, as MODEL_A or MODEL_B.
fn tiny() -> (String, String) {
    let dir = dense_case("static").dir;
    (dir.join("spec.toml").to_str().unwrap().to_owned(), dir.to_str().unwrap().to_owned())
}

/// The tiny model and BM25, which needs no files.
fn with_bm25<'a>(args: impl IntoIterator<Item = &'a str>) -> Program {
    let (spec, dir) = tiny();
    Program::new(["compare", &spec, "Qdrant/bm25", "--model-dir-a", &dir]).args(args)
}

fn with_itself<'a>(args: impl IntoIterator<Item = &'a str>) -> Program {
    let (spec, dir) = tiny();
    let dirs = ["--model-dir-a", &dir, "--model-dir-b", &dir];
    Program::new(["compare", &spec, &spec]).args(dirs).args(args)
}

#[track_caller]
fn object(outcome: Outcome) -> Value {
    let records = outcome.silent_success().records();
    assert_eq!(records.len(), 1);
    records.into_iter().next().unwrap()
}

fn indices(neighbours: &Value) -> Vec<u64> {
    neighbours.as_array().unwrap().iter().map(|hit| hit["index"].as_u64().unwrap()).collect()
}

#[test]
fn a_model_agrees_with_itself() {
    let compared = object(with_itself(TEXTS).run());
    assert_eq!((&compared["overlap"], &compared["correlation"]), (&1.0.into(), &1.0.into()));
    assert_eq!((&compared["inputs"], &compared["queries"]), (&4.into(), &4.into()));
    assert_eq!(compared["most_different"], Value::Array(vec![]));
    for side in ["a", "b"] {
        let model = &compared[side];
        assert_eq!((&model["output"], &model["dim"]), (&"dense".into(), &compared["a"]["dim"]));
        assert!(model["model_bytes"].as_u64().unwrap() > 0);
        assert!(model["inputs_per_second"].as_f64().unwrap() > 0.0);
    }
    let ratio = compared["speed_ratio"].as_f64().unwrap();
    let speed = |side: &str| compared[side]["inputs_per_second"].as_f64().unwrap();
    assert!((ratio - speed("b") / speed("a")).abs() < 1e-9 * ratio);
}

#[test]
fn the_neighbours_are_those_of_the_vectors_without_the_input_itself() {
    let compared = object(with_bm25(TEXTS).args(["--top-k", "3", "--show", "9"]).run());
    assert_eq!(
        (&compared["a"]["output"], &compared["b"]["output"]),
        (&"dense".into(), &"sparse".into())
    );
    assert_eq!(
        (&compared["b"]["dim"], &compared["b"]["model_bytes"]),
        (&Value::Null, &Value::Null)
    );
    let differences = compared["most_different"].as_array().unwrap();
    assert!(!differences.is_empty());
    for difference in differences {
        let query = difference["index"].as_u64().unwrap() as usize;
        assert_eq!(difference["query"], TEXTS[query]);
        let vectors = TEXTS.map(|text| golden("static", text).0);
        let mut expected: Vec<_> = (0..4)
            .filter(|at| *at != query)
            .map(|at| (at as u64, cosine(&vectors[query], &vectors[at])))
            .collect();
        expected.sort_by(|a, b| b.1.total_cmp(&a.1));
        let expected: Vec<_> = expected.into_iter().map(|(at, _)| at).collect();
        assert_eq!(indices(&difference["a"]), expected);
        // Texts without a common word are no neighbours.
        let b = indices(&difference["b"]);
        assert_eq!(difference["common"], b.len());
        assert!(difference["overlap"].as_f64().unwrap() < 1.0);
    }
}

#[test]
fn queries_are_compared_in_place_of_inputs() {
    let compared = object(with_bm25(TEXTS).args(["--query", "the dog", "--query", "world"]).run());
    assert_eq!((&compared["queries"], &compared["inputs"]), (&2.into(), &4.into()));
    let world = compared["most_different"].as_array().unwrap();
    let world = world.iter().find(|difference| difference["query"] == "world").unwrap();
    assert!(world.get("index").is_none());
    assert_eq!((indices(&world["a"]).len(), indices(&world["b"])), (4, vec![2]));
    assert_eq!((&world["common"], &world["overlap"]), (&1.into(), &0.25.into()));
    let marks: Vec<_> = world["a"].as_array().unwrap().iter().map(|hit| &hit["common"]).collect();
    assert_eq!(marks.iter().filter(|mark| ***mark == true).count(), 1);
}

#[test]
fn more_inputs_than_allowed_are_sampled_and_said_so() {
    let outcome = with_itself(["--max-inputs", "3"]).stdin("a\nb\nc\nd\ne\n").run();
    assert_eq!(outcome.status, 0);
    let warning =
        "warning: 3 of 5 inputs are compared, every 2nd; --max-inputs sets another limit\n";
    assert_eq!(outcome.stderr, warning);
    assert_eq!(outcome.records()[0]["inputs"], 3);
}

#[test]
fn bad_inputs_end_it_or_are_left_out() {
    let content = b"a\n\xff\nhello world\n";
    with_itself([]).stdin(content).run().failure(1, "line 2 of standard input: not UTF-8", None);
    let outcome = with_itself(["--on-error", "skip"]).stdin(content).run();
    assert_eq!(outcome.status, 0);
    assert!(outcome.stderr.starts_with("warning: left out: line 2 of"), "{}", outcome.stderr);
    assert_eq!(outcome.records()[0]["inputs"], 2);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    for texts in [&["a"][..], &[]] {
        let program = with_itself(texts.iter().copied()).stdin("");
        program.run().failure(
            1,
            "expected at least 2 inputs to compare, got",
            Some("each is compared"),
        );
    }
    let (spec, dir) = tiny();
    let with =
        |model| Program::new(["compare", &spec, model, "--model-dir-a", &dir, "a", "b"]).run();
    with("Qdrant/clip-ViT-B-32-vision").failure(
        2,
        "take no common kind of input",
        Some("two models"),
    );
    with("BAAI/bge-reranker-base").failure(2, "is a reranker", Some("rerank"));
    with("no/such-model").failure(1, "no/such-model", Some(""));
    let (_dir, input) = file("texts.txt", "a\nb\n");
    let both = with_itself(["a", "--input", arg(&input)]).run();
    both.failure(2, "as arguments and with --input", Some("leave one"));
}
