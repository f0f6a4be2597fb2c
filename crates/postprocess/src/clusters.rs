//! Vectors of one repetition sorted into clusters, and the nearest occupied cluster of each empty one.

/// Vectors by cluster. Buffers are reused for the next repetition.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    /// End of each cluster in `members`; the previous cluster's end is its start.
    ends: Vec<usize>,
    /// Indices of the vectors, cluster by cluster, in input order within each.
    members: Vec<usize>,
    /// Occupied clusters, ascending.
    occupied: Vec<u32>,
    /// For each cluster the distance to the nearest occupied one (upper half) and its number.
    nearest: Vec<u64>,
}

impl Clusters {
    /// Sorts vectors into `count` clusters; `of` is the cluster of each vector.
    #[inline(always)]
    pub(crate) fn sort(&mut self, of: &[u32], count: usize) {
        self.ends.clear();
        self.ends.resize(count, 0);
        for &cluster in of {
            self.ends[cluster as usize] += 1;
        }
        // Turns counts into starts; each start then moves to its end while members are inserted.
        self.occupied.clear();
        let mut start = 0;
        for (cluster, end) in (0u32..).zip(&mut self.ends) {
            if *end > 0 {
                self.occupied.push(cluster);
            }
            start += std::mem::replace(end, start);
        }
        self.members.clear();
        self.members.resize(of.len(), 0);
        for (vector, &cluster) in of.iter().enumerate() {
            let place = &mut self.ends[cluster as usize];
            self.members[*place] = vector;
            *place += 1;
        }
    }

    /// Occupied clusters, ascending.
    #[inline(always)]
    pub(crate) fn occupied(&self) -> &[u32] {
        &self.occupied
    }

    /// Vectors of a cluster, in input order.
    #[inline(always)]
    pub(crate) fn members(&self, cluster: u32) -> &[usize] {
        let cluster = cluster as usize;
        let start = if cluster == 0 { 0 } else { self.ends[cluster - 1] };
        &self.members[start..self.ends[cluster]]
    }

    /// Finds the nearest occupied cluster of each cluster: the fewest differing bits, then the lowest
    /// number. At least one cluster has to be occupied.
    ///
    /// Hamming distances add up over bits. It is enough to pass each cluster's nearest, for one bit
    /// after another, to the cluster that differs in that bit, one step further.
    #[inline(always)]
    pub(crate) fn find_nearest(&mut self) {
        const STEP: u64 = 1 << 32;
        const NONE: u64 = u64::MAX >> 1; // more than any distance, and no step overflows
        self.nearest.clear();
        self.nearest.resize(self.ends.len(), NONE);
        for &cluster in &self.occupied {
            self.nearest[cluster as usize] = u64::from(cluster);
        }
        let mut bit = 1;
        while bit < self.nearest.len() {
            for pair in self.nearest.chunks_exact_mut(2 * bit) {
                let (without, with) = pair.split_at_mut(bit);
                for (a, b) in without.iter_mut().zip(with) {
                    (*a, *b) = ((*a).min(*b + STEP), (*b).min(*a + STEP));
                }
            }
            bit *= 2;
        }
    }

    /// Nearest occupied cluster, from [`Self::find_nearest`].
    #[inline(always)]
    pub(crate) fn nearest(&self, cluster: usize) -> u32 {
        self.nearest[cluster] as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order() {
        let mut clusters = Clusters::default();
        clusters.sort(&[2, 0, 2, 3, 0, 2], 4);
        assert_eq!(clusters.occupied(), [0, 2, 3]);
        let members: Vec<_> = (0..4).map(|cluster| clusters.members(cluster).to_vec()).collect();
        assert_eq!(members, [vec![1, 4], vec![], vec![0, 2, 5], vec![3]]);
        clusters.sort(&[1], 2);
        assert_eq!((clusters.occupied(), clusters.members(1)), (&[1][..], &[0][..]));
    }

    #[test]
    fn the_nearest_is_that_of_a_full_search() {
        let mut clusters = Clusters::default();
        let mut state = 1u32;
        for k_sim in 0..8 {
            let count = 1usize << k_sim;
            for vectors in 1..=count.min(20) {
                let of: Vec<u32> = (0..vectors)
                    .map(|_| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (state >> 8) % count as u32
                    })
                    .collect();
                clusters.sort(&of, count);
                let occupied = clusters.occupied().to_vec();
                clusters.find_nearest();
                for (cluster, &nearest) in (0u32..).zip(&clusters.nearest) {
                    let expected = occupied
                        .iter()
                        .min_by_key(|&&other| ((other ^ cluster).count_ones(), other));
                    assert_eq!(nearest as u32, *expected.unwrap());
                    assert_eq!((nearest >> 32) as u32, (nearest as u32 ^ cluster).count_ones());
                }
            }
        }
    }
}
