//! From lengths to batches.

use embedkit_types::BatchOptions;

/// Which rows may share a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Any: padding does not change a row's result.
    Any,
    /// Only rows of one length: padding would change the result.
    SameLength,
    /// None: neighbours would change the result.
    Alone,
}

/// Groups rows by length, longest first, and returns their indices.
///
/// A batch is closed before `rows x longest` exceeds `options.tokens`, or at `options.rows` rows; a
/// row that is longer than the budget is a batch of its own. Longest first, so that memory is at its
/// peak at once and the last batches, which the lanes finish at different times, are small.
#[must_use]
pub fn plan(lengths: &[usize], grouping: Grouping, options: &BatchOptions) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for index in order {
        let fits = |batch: &&mut Vec<usize>| {
            let longest = lengths[batch[0]];
            let rows = batch.len() + 1;
            let similar = match grouping {
                Grouping::Any => true,
                Grouping::SameLength => lengths[index] == longest,
                Grouping::Alone => false,
            };
            similar
                && rows <= options.rows.get()
                && rows.saturating_mul(longest) <= options.tokens.get()
        };
        match batches.last_mut().filter(fits) {
            Some(batch) => batch.push(index),
            None => batches.push(vec![index]),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn options(rows: usize, tokens: usize) -> BatchOptions {
        BatchOptions {
            rows: NonZeroUsize::new(rows).unwrap(),
            tokens: NonZeroUsize::new(tokens).unwrap(),
            ..BatchOptions::default()
        }
    }

    #[test]
    fn closes_by_padded_tokens_and_by_rows() {
        let lengths = [3, 10, 4, 2, 2];
        assert_eq!(
            plan(&lengths, Grouping::Any, &options(9, 10)),
            [vec![1], vec![2, 0], vec![3, 4]]
        );
        assert_eq!(plan(&lengths, Grouping::Any, &options(1, 100)).len(), 5);
        assert_eq!(plan(&[], Grouping::Any, &options(9, 10)), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn groups_by_length_where_padding_matters() {
        let lengths = [2, 3, 2, 3, 3];
        let options = options(9, 100);
        assert_eq!(plan(&lengths, Grouping::SameLength, &options), [vec![1, 3, 4], vec![0, 2]]);
        assert_eq!(plan(&lengths, Grouping::Alone, &options).len(), 5);
    }

    #[test]
    fn every_row_is_in_exactly_one_batch_within_the_budget() {
        let mut state = 7u64;
        let lengths: Vec<usize> = (0..500)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 55) as usize
            })
            .collect();
        let options = options(16, 256);
        let batches = plan(&lengths, Grouping::Any, &options);
        let mut seen: Vec<_> = batches.iter().flatten().copied().collect();
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..500));
        for batch in &batches {
            let longest = batch.iter().map(|&index| lengths[index]).max().unwrap();
            assert!(batch.len() == 1 || batch.len() <= 16 && batch.len() * longest <= 256);
        }
    }
}
