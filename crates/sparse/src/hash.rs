//! The index of a term.

/// The absolute value of the 32-bit MurmurHash3 (x86 variant, seed 0) of the term's UTF-8 bytes, read
/// as a signed number: 0 to 2³¹. Stored vectors depend on it.
#[must_use]
#[cfg_attr(not(feature = "bm25"), allow(unreachable_pub, reason = "other kinds do not offer it"))]
pub fn term_index(term: &str) -> u32 {
    murmur3_32(term.as_bytes()).cast_signed().unsigned_abs()
}

/// MurmurHash3_x86_32 by Austin Appleby, seed 0.
fn murmur3_32(bytes: &[u8]) -> u32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let scramble = |k: u32| k.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = 0u32;
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = tail.iter().rev().fold(0, |rest, &byte| rest << 8 | u32::from(byte));
    hash ^= scramble(rest);
    #[expect(clippy::cast_possible_truncation, reason = "the length counts modulo 2^32")]
    let length = bytes.len() as u32;
    hash ^= length;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_mmh3_package() {
        for (term, expected) in [
            ("", 0),
            ("a", 1_009_084_850),
            ("ab", -1_681_926_305),
            ("abc", -1_277_324_294),
            ("abcd", 1_139_631_978),
            ("hello", 613_153_351),
            ("world", -74_040_069),
            ("quick", 771_291_085),
            ("привет", 993_413_998),
            ("世界", -1_974_475_094),
            ("𝒶", 196_440_394),
            ("bfjkywb2", i32::MIN),
        ] {
            assert_eq!(murmur3_32(term.as_bytes()).cast_signed(), expected, "{term}");
        }
        assert_eq!(term_index("bfjkywb2"), 1 << 31);
        assert_eq!(term_index("trxbf"), term_index("jnfgc"));
    }
}
