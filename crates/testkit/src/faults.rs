//! Graphs that fail or never end for some inputs; the other files are those of any case.

use std::{
    fmt::{Debug, Display},
    path::PathBuf,
};

use embedkit_types::BatchOptions;

/// Number of tokens, including special ones, above which the text graphs fail.
pub const FAULT_TOKENS: usize = 30;

/// Path of a graph by name, see `data/README.md`.
///
/// # Panics
/// If the name is unknown.
#[must_use]
pub fn fault(name: &str) -> PathBuf {
    let path = crate::data_dir().join("faults").join(format!("{name}.onnx"));
    assert!(path.is_file(), "no {}", path.display());
    path
}

/// 41 texts of a few words, with the one at `bad` longer than [`FAULT_TOKENS`].
#[must_use]
pub fn texts_with_a_long_one(bad: usize) -> Vec<String> {
    let text = |index: usize| match index {
        index if index == bad => "the fox ".repeat(FAULT_TOKENS),
        index => "a dog and the fox ".repeat(1 + index % 3),
    };
    (0..41).map(text).collect()
}

/// Options that put all inputs of a test into one batch.
#[must_use]
pub fn one_batch() -> BatchOptions {
    let many = Some(1 << 20);
    BatchOptions { rows: many, tokens: many, ..BatchOptions::default() }
}

/// Checks that the result at `bad` is an error and the others equal the results of the same inputs
/// `without` it. Returns the error.
///
/// # Panics
/// If not.
#[track_caller]
pub fn fails_alone<T: Debug + PartialEq, E: Display + Debug>(
    bad: usize,
    results: impl IntoIterator<Item = Result<T, E>>,
    without: impl IntoIterator<Item = Result<T, E>>,
) -> E {
    let mut without = without.into_iter();
    let mut found = None;
    for (index, result) in results.into_iter().enumerate() {
        if index == bad {
            found = Some(result.expect_err("the input is bad"));
            continue;
        }
        let result = result.unwrap_or_else(|error| panic!("{index} instead of {bad}: {error}"));
        let expected = without.next().expect("a result without the bad one");
        assert_eq!(result, expected.expect("all others are good"), "{index}");
    }
    assert!(without.next().is_none(), "results are missing");
    found.expect("a result for the bad one")
}
