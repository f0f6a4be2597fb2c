//! Turns within rounds, so that other load affects all contestants.

use anyhow::Result;

/// Order of turns in a round: every round starts with another contestant.
pub(super) fn turns(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| (turn + round) % count)
}

/// Lets `count` contestants measure in turn for a number of rounds; returns the values of each, round
/// by round.
pub(super) fn interleave<T>(
    rounds: usize,
    count: usize,
    mut measure: impl FnMut(usize) -> Result<T>,
) -> Result<Vec<Vec<T>>> {
    let mut found: Vec<Vec<T>> = (0..count).map(|_| Vec::with_capacity(rounds)).collect();
    for round in 0..rounds {
        for turn in turns(count, round) {
            found[turn].push(measure(turn)?);
        }
    }
    Ok(found)
}

/// Element by element.
pub(super) fn zip(a: &[f64], b: &[f64], with: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| with(*a, *b)).collect()
}

/// Rate a second.
pub(super) fn rates(seconds: &[f64], much: f64) -> Vec<f64> {
    seconds.iter().map(|seconds| much / seconds).collect()
}

/// In billions.
pub(super) fn giga(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value / 1e9).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_a_turn_and_begins_once() {
        let rounds: Vec<Vec<_>> = (0..3).map(|round| turns(3, round).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
    }

    #[test]
    fn values_come_by_contestant() {
        let mut order = Vec::new();
        let found = interleave(2, 2, |turn| {
            order.push(turn);
            Ok(order.len())
        });
        assert_eq!(found.expect("values"), [[1, 4], [2, 3]]);
        assert_eq!(order, [0, 1, 1, 0]);
    }
}
