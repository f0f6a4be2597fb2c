//! The form of the changelog, which `.github/workflows/release.yml` relies on.

/// Groups of changes.
const GROUPS: [&str; 6] = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];

/// Deviations from Keep a Changelog; `version` is the one that would be released next.
pub(super) fn check(text: &str, version: &str) -> Vec<String> {
    let versions: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut found = Vec::new();
    if versions.first() != Some(&"[Unreleased]") {
        found.push("expected `## [Unreleased]` as the first section".to_owned());
    }
    if !versions.iter().any(|heading| heading.starts_with(&format!("[{version}] - "))) {
        found.push(format!("has no section `## [{version}] - DATE`"));
    }
    for heading in versions {
        let name = heading.split_once(" - ").map_or(heading, |(name, _)| name);
        if !text.lines().any(|line| line.starts_with(&format!("{name}: https://"))) {
            found.push(format!("has no link for {name}"));
        }
    }
    let groups = text.lines().filter_map(|line| line.strip_prefix("### "));
    for group in groups.filter(|group| !GROUPS.contains(group)) {
        found.push(format!("expected a group of {}, got {group}", GROUPS.join(", ")));
    }
    found.into_iter().map(|found| format!("CHANGELOG.md: {found}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - unreleased\n\n### Added\n\n- a\n\n\
                        [Unreleased]: https://a\n[0.1.0]: https://b\n";

    #[test]
    fn a_changelog_has_its_sections_groups_and_links() {
        assert!(check(GOOD, "0.1.0").is_empty());
        let found = |text: &str, version: &str| check(text, version).join("\n");
        assert_eq!(found(GOOD, "0.2.0"), "CHANGELOG.md: has no section `## [0.2.0] - DATE`");
        let late = GOOD.replace("## [Unreleased]\n", "");
        assert_eq!(
            found(&late, "0.1.0"),
            "CHANGELOG.md: expected `## [Unreleased]` as the first section"
        );
        let linkless = GOOD.replace("[0.1.0]: https://b\n", "");
        assert_eq!(found(&linkless, "0.1.0"), "CHANGELOG.md: has no link for [0.1.0]");
        let group = GOOD.replace("### Added", "### New");
        assert!(found(&group, "0.1.0").ends_with("Fixed, Security, got New"));
    }
}
