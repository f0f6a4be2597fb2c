//! Rules for workflows: actions are pinned to a commit, with minimal permissions.

/// Folders of workflows and of our own actions.
const FOLDER: &str = ".github/";
const WORKFLOWS: &str = ".github/workflows/";

/// Each violation in a workflow; `path` is relative to the root and uses `/`.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    let is_yaml = path.ends_with(".yml") || path.ends_with(".yaml");
    if !path.starts_with(FOLDER) || !is_yaml {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for used in used(line) {
            if let Some(wrong) = wrong(used) {
                found.push(format!("{path}:{number}: {wrong}"));
            }
        }
    }
    if path.starts_with(WORKFLOWS) && !text.lines().any(|line| line.starts_with("permissions:")) {
        found.push(format!("{path}: does not say which `permissions:` its jobs have at most"));
    }
    found
}

/// Values of each key `uses`.
fn used(line: &str) -> impl Iterator<Item = &str> {
    let line = if line.trim_start().starts_with('#') { "" } else { line };
    line.match_indices("uses").filter_map(move |(at, key)| {
        let before = line[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || "-_./".contains(c)) {
            return None;
        }
        let rest = line[at + key.len()..].trim_start_matches(['"', '\'']).trim_start();
        rest.strip_prefix(':').map(str::trim)
    })
}

/// Defect in the value of a key `uses`, including the comment after it.
fn wrong(used: &str) -> Option<String> {
    let (value, comment) = used.split_once(" #").unwrap_or((used, ""));
    let value = value.trim().trim_matches(['"', '\'']);
    let hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if value.starts_with("./") {
        return None; // our own, of the same commit
    }
    if let Some(image) = value.strip_prefix("docker://") {
        let digest = image.split_once("@sha256:").is_some_and(|(_, digest)| hex(digest, 64));
        return (!digest).then(|| format!("the image `{value}` is not pinned by its digest"));
    }
    let pinned = value.split_once('@').is_some_and(|(_, commit)| hex(commit, 40));
    if !pinned {
        return Some(format!("the action `{value}` is not pinned by a full commit"));
    }
    let version = comment.trim().strip_prefix('v');
    let version = version.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    (!version).then(|| format!("the action `{value}` has no comment with its version, `# v1.2.3`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "3d3c42e5aac5ba805825da76410c181273ba90b1";

    fn found(steps: &str) -> Vec<String> {
        check(".github/workflows/a.yml", &format!("permissions: {{}}\n{steps}"))
    }

    #[test]
    fn a_commit_with_its_version_passes() {
        let digest = "0".repeat(64);
        for good in [
            format!("  - uses: actions/checkout@{COMMIT} # v7.0.1"),
            format!("    uses: 'owner/repo/.github/workflows/x.yml@{COMMIT}' # v1"),
            "  - uses: ./.github/actions/ours".to_owned(),
            format!("  - uses: docker://alpine@sha256:{digest}"),
            "# uses: actions/checkout@v4".to_owned(),
            "  - run: it uses much, reuses: nothing".to_owned(),
        ] {
            assert_eq!(found(&good), [""; 0], "{good}");
        }
    }

    #[test]
    fn tags_branches_and_short_commits_are_found() {
        for (bad, expect) in [
            ("- uses: actions/checkout@v4".to_owned(), "full commit"),
            ("- uses: actions/checkout@main # v4".to_owned(), "full commit"),
            ("- uses: actions/checkout".to_owned(), "full commit"),
            (format!("- uses: actions/checkout@{} # v7", &COMMIT[..39]), "full commit"),
            (format!("- uses: actions/checkout@{COMMIT}"), "its version"),
            (format!("- uses: actions/checkout@{COMMIT} # newest"), "its version"),
            ("- {name: x, uses: actions/checkout@v4}".to_owned(), "full commit"),
            ("- \"uses\": \"actions/checkout@v4\"".to_owned(), "full commit"),
            ("- uses : actions/checkout@v4".to_owned(), "full commit"),
            ("- uses: docker://alpine:3".to_owned(), "digest"),
        ] {
            let found = found(&bad);
            assert_eq!(found.len(), 1, "{bad}: {found:?}");
            assert!(found[0].starts_with(".github/workflows/a.yml:2: "), "{found:?}");
            assert!(found[0].contains(expect), "{found:?}");
        }
    }

    #[test]
    fn a_workflow_states_its_permissions() {
        let found = check(".github/workflows/a.yml", "jobs:\n  a:\n    permissions: {}\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("permissions"), "{found:?}");
        assert_eq!(check(".github/dependabot.yml", "version: 2"), [""; 0]);
        assert_eq!(check("docs/a.yml", "uses: x@v1"), [""; 0]);
    }
}
