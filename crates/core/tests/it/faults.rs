//! Inputs that a graph cannot take, found before and while it runs, and runs that do not end.

use std::time::Duration;

use embedkit_core::{
    Error,
    onnx::{TextGraph, TextGraphOptions},
    pipeline::Workload,
    tokenizer::{Padding, Side, Tokens},
};
use embedkit_testkit::{FAULT_TOKENS, dense_case, fault, load_options, runtime_library};
use embedkit_types::{GraphOutput, Hint, LoadOptions};

const PADDING: Padding =
    Padding { side: Side::Right, id: 0, type_id: 0, multiple_of: 1, fixed: None };

fn open(name: &str, timeout: Option<Duration>) -> Option<TextGraph> {
    let mut files = dense_case("mean").files();
    files.model = fault(name);
    let load = LoadOptions { onnxruntime: Some(runtime_library()?), timeout, ..load_options() };
    let output = GraphOutput::Index(0);
    let options = TextGraphOptions {
        output,
        more_outputs: Vec::new(),
        padding: PADDING,
        extra_inputs: vec![],
    };
    Some(TextGraph::open(&files, &load, options).unwrap())
}

/// A text of `count` tokens, none of which is padding.
fn tokens(count: usize) -> Tokens {
    Tokens { ids: vec![3; count], ..Tokens::default() }
}

fn run(graph: &TextGraph, rows: &[Tokens]) -> Result<usize, Error> {
    graph.run(Workload::Single, rows, &[], |row| row.shape[0]).map(|rows| rows.len())
}

#[test]
fn the_limit_of_positions_is_the_one_at_which_the_graph_fails() {
    for name in ["shown-range", "shown-slice", "shown-padding", "shown-mask"] {
        let Some(graph) = open(name, None) else { return };
        for count in [1, FAULT_TOKENS, FAULT_TOKENS + 1, 3 * FAULT_TOKENS] {
            let tokens = tokens(count);
            let checked = graph.check(&tokens, |_| None);
            let fits = count <= FAULT_TOKENS;
            assert_eq!(checked.is_ok(), fits, "{name}: {count}");
            assert_eq!(run(&graph, &[tokens]).is_ok(), fits, "{name}: {count}");
            if let Err(error) = checked {
                let (message, limit) = (error.to_string(), format!("for {FAULT_TOKENS} at most"));
                assert!(message.contains(&format!("has {count} tokens")), "{message}");
                assert!(message.contains(&limit) && message.contains(name), "{message}");
                assert!(matches!(error.hint(), Some(Hint::LimitTokens(Some(_)))));
            }
        }
    }
}

#[test]
fn only_what_is_counted_counts() {
    let Some(graph) = open("shown-padding", None) else { return };
    let mut padded = tokens(FAULT_TOKENS);
    padded.ids.extend([0; 9]);
    graph.check(&padded, |_| None).unwrap();
    run(&graph, &[padded]).unwrap();
    let graph = open("shown-mask", None).unwrap();
    let mut unseen = tokens(FAULT_TOKENS + 1);
    unseen.attention = vec![true; FAULT_TOKENS];
    unseen.attention.push(false);
    graph.check(&unseen, |_| None).unwrap();
    run(&graph, &[unseen]).unwrap();
}

#[test]
fn a_token_without_a_row_is_named() {
    let Some(library) = runtime_library() else { return };
    // Its ids go straight to a table.
    let files = dense_case("mean").files();
    let load = LoadOptions { onnxruntime: Some(library), ..load_options() };
    let output = GraphOutput::Index(0);
    let options = TextGraphOptions {
        output,
        more_outputs: Vec::new(),
        padding: PADDING,
        extra_inputs: vec![],
    };
    let graph = TextGraph::open(&files, &load, options).unwrap();
    graph.check(&tokens(3), |_| None).unwrap();
    let strange = Tokens { ids: vec![3, 70_000, 80_000], ..Tokens::default() };
    let error = graph.check(&strange, |id| Some(format!("<{id}>"))).unwrap_err();
    let Error::TokenWithoutRow { token, id: 70_000, rows, .. } = &error else { panic!("{error}") };
    assert_eq!(token, "<70000>");
    assert!(error.hint().unwrap().to_string().contains("tokenizer"));
    // The last row is one.
    let last = u32::try_from(*rows).unwrap() - 1;
    for (id, fits) in [(last, true), (last + 1, false)] {
        let tokens = Tokens { ids: vec![id], ..Tokens::default() };
        assert_eq!(graph.check(&tokens, |_| None).is_ok(), fits);
        assert_eq!(run(&graph, &[tokens]).is_ok(), fits);
    }
}

#[test]
fn what_does_not_show_is_left_to_the_run() {
    let Some(graph) = open("hidden", None) else { return };
    let long = tokens(FAULT_TOKENS + 1);
    graph.check(&long, |_| None).unwrap();
    let error = run(&graph, &[tokens(2), long]).unwrap_err();
    assert!(matches!(error, Error::Run { .. }) && !error.is_of_session(), "{error}");
}

#[test]
fn a_run_that_does_not_end_is_stopped_and_others_are_not() {
    let limit = Duration::from_millis(50);
    let Some(graph) = open("endless", Some(limit)) else { return };
    for workload in [Workload::Single, Workload::Stream, Workload::Single] {
        let rows = [tokens(2), tokens(FAULT_TOKENS + 1)];
        let error = graph.run(workload, &rows, &[], |_| ()).unwrap_err();
        let Error::TimedOut { path, limit: found, rows: 2 } = &error else { panic!("{error}") };
        assert_eq!((path, *found), (&fault("endless"), limit));
        assert_eq!(error.hint(), Some(Hint::RaiseTimeout));
    }
    // The same session goes on; an hour is enough for any machine.
    for timeout in [Some(Duration::from_secs(3600)), Some(Duration::MAX), None] {
        let graph = open("endless", timeout).unwrap();
        assert_eq!(run(&graph, &[tokens(2), tokens(FAULT_TOKENS)]).unwrap(), 2);
    }
}
