//! Which registered ids somebody may have meant.

use embedkit_types::ModelSpec;

/// Ids that are named at most.
const MOST: usize = 5;
/// Names longer than this many bytes resemble nothing, and are not worth the time to compare.
const LONGEST: usize = 256;

/// The ids most similar to a lower-case name, the most similar first.
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

/// How far a model is from a lower-case name, 0 being the nearest; `None` where they have nothing in
/// common. Slips of the keyboard come before parts of names, and these before other models of the
/// same organisation.
fn rank(asked: &str, spec: &ModelSpec) -> Option<usize> {
    const PART: usize = 1 << 10;
    const ORGANISATION: usize = 1 << 20;

    let id = spec.id.to_ascii_lowercase();
    let (organisation, name) = split(&id);
    let (asked_organisation, asked_name) = split(asked);
    if name == asked_name
        || spec.source.repo.as_ref().is_some_and(|repo| repo.eq_ignore_ascii_case(asked))
    {
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

/// Organisation and name; no organisation where there is no slash.
fn split(id: &str) -> (&str, &str) {
    id.split_once('/').unwrap_or(("", id))
}

/// Levenshtein's distance: characters to insert, delete or replace.
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
