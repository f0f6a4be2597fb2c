//! Suggestions of similar ids.

use embedkit_types::ModelSpec;

/// Maximum number of suggestions.
const MOST: usize = 5;
/// Maximum length in bytes of a name that is compared; longer names resemble none.
const LONGEST: usize = 256;

/// Ids most similar to a name, the most similar first.
pub(super) fn ids(asked: &str, models: &'static [ModelSpec]) -> Vec<&'static str> {
    let models = models.iter().filter(|spec| spec.alias_of.is_none());
    similar_names(asked, models.map(|spec| spec.id.as_ref()))
}

/// Those of `names` that resemble one that is not among them, in any case: the most similar first, and at
/// most five. A name is an id, with its organisation or without.
#[must_use]
pub fn similar_names<'a>(asked: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    if asked.len() > LONGEST {
        return Vec::new();
    }
    let asked = asked.to_ascii_lowercase();
    let ranked = names.into_iter().filter_map(|name| Some((rank(&asked, name)?, name)));
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort_by_key(|(rank, _)| *rank); // stable: equals stay in the order of the names
    let mut found = Vec::new();
    for (_, name) in ranked {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found.truncate(MOST);
    found
}

/// Distance of an id from a lower-case name, 0 for the closest; `None` if they have nothing in
/// common. Typos rank before parts of names, and these before other models of the same organisation.
fn rank(asked: &str, id: &str) -> Option<usize> {
    const PART: usize = 1 << 10;
    const ORGANISATION: usize = 1 << 20;

    let id = id.to_ascii_lowercase();
    let (organisation, name) = split(&id);
    let (asked_organisation, asked_name) = split(asked);
    if name == asked_name {
        return Some(0);
    }
    let slips = edit_distance(asked, &id).min(edit_distance(asked_name, name));
    if slips <= asked_name.chars().count() / 4 {
        return Some(slips);
    }
    let part = asked_name.len() >= 3 && (name.contains(asked_name) || asked.contains(name));
    if part {
        return Some(PART + name.len().abs_diff(asked_name.len()));
    }
    let same = !organisation.is_empty() && organisation == asked_organisation;
    same.then_some(ORGANISATION + slips)
}

/// Splits an id into organisation and name; there is no organisation without a slash.
fn split(id: &str) -> (&str, &str) {
    id.split_once('/').unwrap_or(("", id))
}

/// Levenshtein distance: characters to insert, delete or replace.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
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
    fn a_part_or_a_slip_leads_to_a_name() {
        let names = ["Qdrant/bm25", "BAAI/bge-small-en", "BAAI/bge-base-en"];
        for (asked, expected) in
            [("bge-smal", &names[1..2]), ("BGE-base-em", &names[2..]), ("unlike", &[])]
        {
            assert_eq!(similar_names(asked, names), expected, "{asked}");
        }
        assert!(similar_names(&"x".repeat(LONGEST + 1), names).is_empty());
    }

    #[test]
    fn distances() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", ""), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
        assert_eq!(edit_distance("Ωa", "a"), 1);
    }
}
