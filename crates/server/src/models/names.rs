//! Names that are similar to one that is not known.

/// Most names that are offered.
const MOST: usize = 3;
/// Characters of a name that are compared and shown; longer names resemble none.
pub(super) const LONGEST: usize = 128;

/// The names closest to one: those that it is a part of before those with few edits.
pub(super) fn closest(asked: &str, mut names: Vec<String>) -> Vec<String> {
    let asked: Vec<char> = asked.chars().take(LONGEST).flat_map(char::to_lowercase).collect();
    names.sort_by_cached_key(|name| {
        let known: Vec<char> = name.chars().take(LONGEST).flat_map(char::to_lowercase).collect();
        // People leave the organisation out.
        let short = known.iter().rposition(|&c| c == '/').map_or(&*known, |at| &known[at + 1..]);
        let is_part = !asked.is_empty() && known.windows(asked.len()).any(|part| part == asked);
        (!is_part, distance(&asked, &known).min(distance(&asked, short)))
    });
    names.truncate(MOST);
    names
}

/// Levenshtein's distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        let distance = |a: &str, b: &str| {
            distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
        };
        for (a, b, expected) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn the_closest_name_comes_first() {
        let names = ["x/unrelated-model", "BAAI/bge-small-en", "BAAI/bge-base-en", "y/another"];
        let found = closest("BGE-smal-en", names.map(str::to_owned).into());
        assert_eq!(found.len(), 3);
        assert_eq!(found[..2], ["BAAI/bge-small-en", "BAAI/bge-base-en"]);
    }
}
