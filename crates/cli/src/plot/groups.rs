//! Points by category: the most frequent categories have a colour each.

use std::collections::HashMap;

/// Colours of categories, the second for a dark background. The first ones are of those that people with
/// colour blindness tell apart best.
pub(super) const COLOURS: [[&str; 2]; 10] = [
    ["#0072b2", "#56a8dc"],
    ["#d55e00", "#ff8f40"],
    ["#009e73", "#35c99b"],
    ["#b3589a", "#e29acb"],
    ["#b58900", "#f0c94f"],
    ["#4b3fa8", "#a79cf5"],
    ["#7a5230", "#c9a27a"],
    ["#111111", "#f2f2f2"],
    ["#5f9400", "#b3d94c"],
    ["#c2185b", "#ff7aa8"],
];
/// Colour of everything else.
pub(super) const OTHER: [&str; 2] = ["#8c959f", "#7d8590"];

/// Points of one colour.
#[derive(Debug, PartialEq)]
pub(super) struct Group {
    /// `None` where points have no category.
    pub(super) name: Option<String>,
    /// By their place in the order of the points.
    pub(super) members: Vec<usize>,
    pub(super) colours: [&'static str; 2],
}

/// All points.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) groups: Vec<Group>,
    /// Categories without a colour of their own.
    pub(super) merged: usize,
}

impl Groups {
    /// Points by their category, the most frequent one first, and of equally frequent ones the one that
    /// comes first.
    pub(super) fn new<'a>(categories: impl Iterator<Item = Option<&'a str>>) -> Self {
        let mut places = HashMap::new();
        let mut named: Vec<(&str, Vec<usize>)> = Vec::new();
        let mut without = Vec::new();
        for (at, category) in categories.enumerate() {
            let Some(category) = category else {
                without.push(at);
                continue;
            };
            let place = *places.entry(category).or_insert_with(|| {
                named.push((category, Vec::new()));
                named.len() - 1
            });
            named[place].1.push(at);
        }
        named.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
        let rest = named.split_off(named.len().min(COLOURS.len()));
        let mut groups: Vec<_> = named
            .into_iter()
            .zip(COLOURS)
            .map(|((name, members), colours)| Group {
                name: Some(name.to_owned()),
                members,
                colours,
            })
            .collect();
        let merged = rest.len();
        if merged > 0 {
            let mut members: Vec<_> = rest.into_iter().flat_map(|(_, members)| members).collect();
            members.sort_unstable();
            let name = Some(format!("{merged} others"));
            groups.push(Group { name, members, colours: OTHER });
        }
        if !without.is_empty() {
            let (name, colours) = if groups.is_empty() {
                (None, COLOURS[0])
            } else {
                (Some("none".to_owned()), OTHER)
            };
            groups.push(Group { name, members: without, colours });
        }
        Self { groups, merged }
    }

    /// True if there are categories.
    pub(super) fn has_names(&self) -> bool {
        self.groups.iter().any(|group| group.name.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(groups: &Groups) -> Vec<Option<&str>> {
        groups.groups.iter().map(|group| group.name.as_deref()).collect()
    }

    #[test]
    fn frequent_categories_come_first_and_ties_in_order() {
        let groups = Groups::new(["b", "a", "c", "a", "c"].map(Some).into_iter());
        assert_eq!(names(&groups), [Some("a"), Some("c"), Some("b")]);
        assert_eq!(groups.groups[0].members, [1, 3]);
        assert_eq!((groups.merged, groups.has_names()), (0, true));
    }

    #[test]
    fn points_without_a_category() {
        let groups = Groups::new([None, None].into_iter());
        assert_eq!((names(&groups), groups.has_names()), (vec![None], false));
        let groups = Groups::new([None, Some("a")].into_iter());
        assert_eq!(names(&groups), [Some("a"), Some("none")]);
        assert_eq!(groups.groups[1].colours, OTHER);
    }

    #[test]
    fn rare_categories_share_a_colour() {
        let many: Vec<_> = (0..13).map(|at| format!("category {at}")).collect();
        let groups = Groups::new(many.iter().map(|name| Some(&**name)));
        assert_eq!((groups.groups.len(), groups.merged), (COLOURS.len() + 1, 3));
        assert_eq!(groups.groups[10].members, [10, 11, 12]);
        assert_eq!(groups.groups[10].name.as_deref(), Some("3 others"));
    }
}
