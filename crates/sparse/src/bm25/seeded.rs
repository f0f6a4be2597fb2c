//! A fast hash for short words, with a seed that nobody can guess.
//!
//! Looking words up is most of BM25's work, and the standard library's hash most of that. This one
//! multiplies eight bytes at a time and folds the 128-bit product, as wyhash does.

use std::hash::{BuildHasher, Hasher, RandomState};

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where a hash starts; random for each table.
#[derive(Debug, Clone)]
pub(super) struct Seed(u64);

impl Default for Seed {
    fn default() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }
}

impl BuildHasher for Seed {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding(self.0)
    }
}

pub(super) struct Folding(u64);

impl Folding {
    fn fold(&mut self, part: u64) {
        let product = u128::from(self.0 ^ part) * u128::from(MULTIPLIER ^ self.0.rotate_left(32));
        #[expect(clippy::cast_possible_truncation, reason = "both halves")]
        let folded = product as u64 ^ (product >> 64) as u64;
        self.0 = folded;
    }
}

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        let (parts, rest) = bytes.as_chunks::<8>();
        for part in parts {
            self.fold(u64::from_le_bytes(*part));
        }
        let rest = rest.iter().fold(0, |rest, &byte| rest << 8 | u64::from(byte));
        // The length tells `a` from `a` and a zero byte.
        self.fold(rest ^ (bytes.len() as u64) << 56);
    }

    fn write_u128(&mut self, both: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "both halves")]
        let halves = [both as u64, (both >> 64) as u64];
        halves.into_iter().for_each(|half| self.fold(half));
    }

    /// The byte that ends a string says nothing that its length does not.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn hashes_spread_and_depend_on_the_seed() {
        let seed = Seed(7);
        let words: Vec<String> = (0..100_000).map(|i| format!("w{i}")).collect();
        let hashes: HashSet<u64> = words.iter().map(|word| seed.hash_one(word)).collect();
        assert_eq!(hashes.len(), words.len());
        // Tables look at the lowest bits first: 16 of them should meet about 63 % of all places.
        let low: HashSet<u64> = hashes.iter().take(65_536).map(|hash| hash & 0xffff).collect();
        assert!((38_000..45_000).contains(&low.len()), "{}", low.len());
        assert_ne!(seed.hash_one("a"), seed.hash_one("a\0"));
        assert_ne!(seed.hash_one("a"), Seed(8).hash_one("a"));
    }
}
