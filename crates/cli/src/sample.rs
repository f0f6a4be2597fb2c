//! A sample of a stream whose length is not known: every item up to a number, and of more than that
//! items at equal distances. The same stream gives the same sample.

/// Items at equal distances.
#[derive(Debug)]
pub(crate) struct Sample<T> {
    most: usize,
    stride: u64,
    seen: u64,
    kept: Vec<T>,
}

impl<T> Sample<T> {
    /// No items yet; at most `most` are kept, and at least one.
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), stride: 1, seen: 0, kept: Vec::new() }
    }

    /// Another item. Where there would be too many, every second one is dropped.
    pub(crate) fn push(&mut self, item: T) {
        let at = self.seen;
        self.seen += 1;
        if !at.is_multiple_of(self.stride) {
            return;
        }
        if self.kept.len() == self.most {
            self.stride *= 2;
            let mut odd = true;
            self.kept.retain(|_| {
                odd = !odd;
                !odd
            });
            if !at.is_multiple_of(self.stride) {
                return;
            }
        }
        self.kept.push(item);
    }

    /// Words for what is left out, such as `3 of 9 inputs are drawn, every 4th`; `None` where nothing is.
    pub(crate) fn notice(&self, items: &str, done: &str) -> Option<String> {
        let Self { stride, seen, kept, .. } = self;
        let ending = if stride % 10 == 2 && stride % 100 != 12 { "nd" } else { "th" };
        let kept = kept.len();
        (*stride > 1)
            .then(|| format!("{kept} of {seen} {items} are {done}, every {stride}{ending}"))
    }

    /// The items that are kept, in order.
    pub(crate) fn into_items(self) -> Vec<T> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(most: usize, items: u64) -> Sample<u64> {
        let mut sample = Sample::new(most);
        (0..items).for_each(|item| sample.push(item));
        sample
    }

    fn sample(most: usize, items: u64) -> (u64, Vec<u64>) {
        let sample = filled(most, items);
        (sample.stride, sample.into_items())
    }

    #[test]
    fn what_is_left_out_is_said() {
        let notice = |most, items| filled(most, items).notice("inputs", "drawn");
        assert_eq!(notice(3, 3), None);
        assert_eq!(notice(3, 4).unwrap(), "2 of 4 inputs are drawn, every 2nd");
        assert_eq!(notice(4, 9).unwrap(), "3 of 9 inputs are drawn, every 4th");
        assert_eq!(notice(1, 32).unwrap(), "1 of 32 inputs are drawn, every 32nd");
        assert_eq!(notice(1, 512).unwrap(), "1 of 512 inputs are drawn, every 512th");
    }

    #[test]
    fn all_items_are_kept_up_to_the_limit() {
        assert_eq!(sample(3, 3), (1, vec![0, 1, 2]));
        assert_eq!(sample(3, 0), (1, vec![]));
    }

    #[test]
    fn more_items_are_kept_at_equal_distances() {
        assert_eq!(sample(4, 5), (2, vec![0, 2, 4]));
        assert_eq!(sample(4, 8), (2, vec![0, 2, 4, 6]));
        assert_eq!(sample(4, 9), (4, vec![0, 4, 8]));
        assert_eq!(sample(3, 4), (2, vec![0, 2]));
        for most in 1..20 {
            for items in 0..200 {
                let (stride, kept) = sample(most, items);
                assert!(kept.len() <= most);
                let expected: Vec<_> = (0..items).step_by(stride as usize).collect();
                assert_eq!(kept, expected, "{most} of {items}");
                assert!(items <= most as u64 || kept.len() >= most.div_ceil(2));
            }
        }
    }
}
