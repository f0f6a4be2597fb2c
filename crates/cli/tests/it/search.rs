//! `search`: the best inputs, best first.

use std::fs;

use embedkit_testkit::cosine;

use crate::program::{Program, arg, file, golden};

const TEXTS: [&str; 4] =
    ["a", "the quick brown fox jumps over the lazy dog", "hello world", "the the the the"];

fn search<'a>(args: impl IntoIterator<Item = &'a str>) -> Program {
    Program::new(["search"]).case("static").args(args)
}

#[test]
fn hits_come_best_first_with_their_cosine() {
    let outcome = search(["Hello, World!"]).args(TEXTS).run().silent_success();
    let query = golden("static", "Hello, World!").0;
    let mut expected: Vec<_> = TEXTS
        .iter()
        .enumerate()
        .map(|(at, text)| (at, cosine(&query, &golden("static", text).0)))
        .collect();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    let hits = outcome.records();
    assert_eq!(hits.len(), TEXTS.len());
    for (rank, (hit, (index, score))) in hits.iter().zip(expected).enumerate() {
        assert_eq!(hit["rank"], rank + 1);
        assert_eq!(hit["index"], index);
        assert_eq!(hit["text"], TEXTS[index]);
        assert!((hit["score"].as_f64().unwrap() - f64::from(score as f32)).abs() < 1e-4, "{hit}");
    }
    assert!(outcome.text().starts_with("{\"rank\":1,\"index\":"));
}

#[test]
fn equal_scores_keep_the_order_of_the_inputs() {
    let content = "a\nhello world\na\nhello world\na\nhello world\n";
    let outcome = search(["hello world", "--top-k", "2"]).stdin(content).run().silent_success();
    let hits = outcome.records();
    assert_eq!(hits.len(), 2);
    assert_eq!((&hits[0]["index"], &hits[1]["index"]), (&1.into(), &3.into()));
    assert_eq!(hits[0]["score"], 1.0);
}

#[test]
fn a_text_without_tokens_has_no_angle_and_is_no_hit() {
    let hits = search(["hello world", "", "a"]).run().silent_success().records();
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0]["text"], "a");
    for args in [["", "a"], ["hello world", ""]] {
        let outcome = search(args).run();
        assert_eq!((outcome.status, outcome.stdout.len()), (0, 0));
        assert!(outcome.stderr.starts_with("warning: nothing was found: "), "{}", outcome.stderr);
    }
}

#[test]
fn bad_inputs_are_left_out_and_counted() {
    let outcome =
        search(["hello world", "--on-error", "skip"]).stdin(b"a\n\xff\nhello world\n").run();
    assert_eq!(outcome.status, 0);
    assert_eq!(outcome.stderr, "warning: 1 of 3 inputs was skipped\n");
    let hits = outcome.records();
    assert_eq!((&hits[0]["index"], &hits[1]["index"]), (&2.into(), &0.into()));
}

#[test]
fn a_bad_input_leaves_the_output_as_it_was() {
    let (_dir, output) = file("out.jsonl", "earlier\n");
    let program = search(["hello world", "--output", arg(&output)]).stdin(b"a\n\xff\n");
    program.run().failure(1, "line 2 of standard input", None);
    assert_eq!(fs::read(&output).unwrap(), b"earlier\n");
    search(["hello world", "--output", arg(&output)]).stdin("a\n").run().silent_success();
    assert_eq!(fs::read_to_string(&output).unwrap().lines().count(), 1);
}

#[test]
fn nothing_to_look_in_is_nothing_found() {
    let outcome = Program::new(["search", "hello"]).stdin("").run().silent_success();
    assert!(outcome.stdout.is_empty());
}
