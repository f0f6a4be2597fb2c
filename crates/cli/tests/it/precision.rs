//! `--precision`: numbers that a graph multiplies.

use embedkit::runtime::bf16_kernel;

use crate::program::Program;

#[test]
fn the_precisions_have_names() {
    let outcome = Program::new(["embed", "--precision", "f64", "a text"]).run();
    assert_eq!(outcome.status, 2, "{}", outcome.stderr);
    for part in ["--precision", "f64", "f32", "bf16", "auto-fast"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
}

/// Nothing runs in its place: not on a processor without the instructions, and not without a graph.
#[test]
fn a_precision_that_cannot_be_is_an_error() {
    let bm25 = ["embed", "--model", "Qdrant/bm25", "--precision"];
    Program::new(bm25).args(["f32", "a text"]).run().status_is(0);
    Program::new(bm25).args(["auto-fast", "a text"]).run().status_is(0);
    let outcome = Program::new(bm25).args(["bf16", "a text"]).run();
    assert_ne!(outcome.status, 0);
    let expected = match bf16_kernel() {
        Some(_) => "`precision` has no meaning for Qdrant/bm25",
        None => "this processor has no instructions for bf16",
    };
    assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
    assert!(outcome.stdout.is_empty());
}
