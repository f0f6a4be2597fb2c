//! One row's failure belongs to that row: a batch that fails is run again in halves.

use std::{
    any::Any,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
};

use embedkit_types::Error;

use crate::error::Error as CoreError;

/// Runs of one batch that may reach the time limit. They find one slow row among thousands; more of
/// them would be a graph that never ends, row after row.
const MOST_TIMEOUTS: usize = 16;

/// Runs a batch and returns a result for each row, in order.
///
/// Where `run` fails, panics or returns another number of results than it got rows, each half of the
/// batch is run by itself, down to single rows: `k` rows that fail among `n` cost `O(k log n)` runs
/// more, and at most `2n - 1` runs in all. An error that [no row is to blame
/// for](CoreError::is_of_session) is not tried again; each row that has no result yet gets it.
pub fn run_rows<R, T>(
    rows: &[R],
    mut run: impl FnMut(&[R]) -> Result<Vec<Result<T, Error>>, Error>,
) -> Vec<Result<T, Error>> {
    let mut results = Vec::with_capacity(rows.len());
    let mut timeouts = 0;
    // The next part is the last one, so that results come in order.
    let mut parts: Vec<Range<usize>> = Vec::from([Range { start: 0, end: rows.len() }]);
    while let Some(part) = parts.pop() {
        let error = match run_part(&rows[part.clone()], &mut run) {
            Ok(done) => {
                results.extend(done);
                continue;
            }
            Err(error) => error,
        };
        let core = error.downcast_ref::<CoreError>();
        timeouts += usize::from(matches!(core, Some(CoreError::TimedOut { .. })));
        if timeouts >= MOST_TIMEOUTS || core.is_some_and(CoreError::is_of_session) {
            results.resize_with(rows.len(), || Err(error.clone()));
            break;
        }
        if part.len() <= 1 {
            results.push(Err(error));
            continue;
        }
        tracing::debug!(rows = part.len(), "a batch failed, its halves are run by themselves");
        let middle = part.start + part.len() / 2;
        parts.push(middle..part.end);
        parts.push(part.start..middle);
    }
    results
}

/// One run, whose panic and whose wrong number of results are errors like others.
fn run_part<R, T>(
    rows: &[R],
    run: &mut impl FnMut(&[R]) -> Result<Vec<Result<T, Error>>, Error>,
) -> Result<Vec<Result<T, Error>>, Error> {
    let results = catching(|| run(rows))?;
    if results.len() != rows.len() {
        let reason = format!("{} results for {} inputs", results.len(), rows.len());
        return Err(CoreError::Defect { reason }.into());
    }
    Ok(results)
}

/// Calls `work`, whose panic becomes an error.
///
/// # Errors
/// Those of `work`, and its panic.
pub fn catching<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // What a panic leaves behind is dropped, or is behind a lock that takes poison into account.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic).into()))
}

fn panicked(panic: &(dyn Any + Send)) -> CoreError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    CoreError::Panicked { reason: text.unwrap_or("without a message").to_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn row_error() -> Error {
        CoreError::Run { path: "model.onnx".into(), reason: "no such token".to_owned() }.into()
    }

    fn session_error() -> Error {
        CoreError::OutOfMemory { path: "model.onnx".into(), reason: "no memory".to_owned() }.into()
    }

    fn timeout(rows: usize) -> Error {
        let path = "model.onnx".into();
        CoreError::TimedOut { path, limit: Duration::from_secs(1), rows }.into()
    }

    /// Doubles `0..n`; `fails` says how a batch fails, if it does. Returns the results and the sizes
    /// of the batches that were run.
    fn double(
        n: u32,
        fails: impl Fn(&[u32]) -> Option<Error>,
    ) -> (Vec<Result<u32, Error>>, Vec<usize>) {
        let rows: Vec<u32> = (0..n).collect();
        let mut sizes = Vec::new();
        let results = run_rows(&rows, |rows| {
            sizes.push(rows.len());
            match fails(rows) {
                Some(error) => Err(error),
                None => Ok(rows.iter().map(|row| Ok(row * 2)).collect()),
            }
        });
        (results, sizes)
    }

    fn failed(results: &[Result<u32, Error>]) -> Vec<usize> {
        (0..).zip(results).filter(|(_, result)| result.is_err()).map(|(index, _)| index).collect()
    }

    fn assert_others_doubled(results: &[Result<u32, Error>]) {
        for (row, result) in (0..).zip(results) {
            assert!(result.as_ref().map_or(true, |doubled| *doubled == row * 2), "{row}");
        }
    }

    #[test]
    fn a_good_batch_is_run_once() {
        for n in [0, 1, 7] {
            let (results, sizes) = double(n, |_| None);
            assert_eq!(failed(&results), [0usize; 0]);
            assert_eq!(sizes, [n as usize]);
        }
    }

    #[test]
    fn each_bad_row_fails_alone_and_costs_two_runs_a_halving() {
        for bad in [vec![0], vec![40], vec![17], vec![3, 4], vec![0, 20, 40]] {
            let (results, sizes) = double(41, |rows| {
                rows.iter().any(|row| bad.contains(&(*row as usize))).then(row_error)
            });
            assert_eq!(results.len(), 41);
            assert_eq!(failed(&results), bad);
            assert_others_doubled(&results);
            // 2 x ceil(log2(41)) and the first.
            assert!(sizes.len() <= 1 + bad.len() * 12, "{bad:?}: {sizes:?}");
        }
    }

    #[test]
    fn rows_that_all_fail_cost_less_than_two_runs_each() {
        let (results, sizes) = double(64, |_| Some(row_error()));
        assert_eq!(failed(&results).len(), 64);
        assert_eq!(sizes.len(), 127);
    }

    #[test]
    fn panics_and_lost_rows_are_isolated_too() {
        let rows: Vec<u32> = (0..9).collect();
        for panics in [true, false] {
            let results = run_rows(&rows, |rows| {
                let bad = rows.contains(&5);
                assert!(!(bad && panics), "row 5");
                let kept = rows.iter().skip(usize::from(bad));
                Ok(kept.map(|row| Ok(row * 2)).collect())
            });
            assert_eq!(failed(&results), [5]);
            assert_others_doubled(&results);
            let message = results[5].as_ref().unwrap_err().to_string();
            let expected = if panics { "row 5" } else { "0 results for 1 inputs" };
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_failure_of_the_session_is_not_repeated() {
        let (results, sizes) = double(41, |_| Some(session_error()));
        assert_eq!((failed(&results).len(), sizes.len()), (41, 1));
        // Met on the way to a bad row: what was done is kept.
        let (results, sizes) = double(8, |rows| match rows {
            [0, 1, ..] if rows.len() == 8 => Some(row_error()),
            [4, ..] => Some(session_error()),
            _ => None,
        });
        assert_eq!(failed(&results), [4, 5, 6, 7]);
        assert_others_doubled(&results);
        assert_eq!(sizes, [8, 4, 4]);
        let error = results[7].as_ref().unwrap_err().downcast_ref();
        assert!(matches!(error, Some(CoreError::OutOfMemory { .. })));
    }

    #[test]
    fn one_slow_row_is_found_and_a_graph_that_never_ends_is_given_up() {
        let slow = |rows: &[u32]| rows.contains(&200).then(|| timeout(rows.len()));
        let (results, _) = double(256, slow);
        assert_eq!(failed(&results), [200]);
        let error = results[200].as_ref().unwrap_err().downcast_ref();
        assert!(matches!(error, Some(CoreError::TimedOut { rows: 1, .. })));
        let (results, sizes) = double(256, |rows| Some(timeout(rows.len())));
        assert_eq!((failed(&results).len(), sizes.len()), (256, MOST_TIMEOUTS));
    }
}
