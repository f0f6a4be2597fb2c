//! Suggestions of similar ids.

use embedkit_types::ModelSpec;

/// Maximum number of suggestions.
const MOST: usize = 5;
/// Maximum length in bytes of a name that is compared; longer names resemble none.
const LONGEST: usize = 256;

/// Ids most similar to a lower-case name, the most similar first.
pub(super) fn ids(asked: &str, models: &'static [ModelSpec]) -> Vec<&'static str> {
    if asked.len() > LONGEST {
        return Vec::new();
    }
    let mut ranked: Vec<(usize, &'static str)> = models
        .iter()
        .filter(|spec| spec.alias_of.is_none())
        .filter_map(|spec| Some((rank(asked, spec)?, spec.id.as_ref())))
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank); // stable: equals stay in the order of the registry
    let mut ids = Vec::new();
    for (_, id) in ranked {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids.truncate(MOST);
    ids
}

/// Distance of a model from a lower-case name, 0 for the closest; `None` if they have nothing in
/// common. Typos rank before parts of names, and these before other models of the same organisation.
fn rank(asked: &str, spec: &ModelSpec) -> Option<usize> {
    const PART: usize = 1 << 10;
    const ORGANISATION: usize = 1 << 20;

    let id = spec.id.to_ascii_lowercase();
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
    fn distances() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", ""), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
        assert_eq!(edit_distance("Ωa", "a"), 1);
    }
}
