//! `cargo xtask matrix features`: every crate with no features, its default ones, and each alone.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{
    run,
    steps::{Outcome, Steps},
};

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    publish: Option<Vec<String>>,
    features: BTreeMap<String, Vec<String>>,
}

/// Checks all sets and ends with a table.
pub(super) fn run() -> Result<()> {
    let text = run::output(&mut run::cargo(["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: Metadata =
        serde_json::from_str(&text).context("cargo metadata wrote something unexpected")?;
    let mut steps = Steps::default();
    for package in &metadata.packages {
        for set in sets(package) {
            steps.run(&format!("{} {}", package.name, set.name()), || {
                // Clippy, since it alone can refuse warnings of ours without building all else anew.
                let mut arguments = vec!["clippy", "--quiet", "--package", &package.name];
                arguments.extend(set.arguments());
                arguments.extend(["--", "--deny=warnings"]);
                let mut command = run::cargo(arguments);
                // Nothing is linked, so nothing has to be there to link with.
                command.env("ORT_SKIP_DOWNLOAD", "1");
                run::status(&mut command)?;
                Ok(Outcome::Passed(String::new()))
            });
        }
    }
    steps.finish()
}

/// A choice of features.
#[derive(Debug, PartialEq, Eq)]
enum FeatureSet<'a> {
    None,
    Default,
    Only(&'a str),
}

impl<'a> FeatureSet<'a> {
    fn name(&self) -> String {
        match self {
            Self::None => "with no features".to_owned(),
            Self::Default => "with default features".to_owned(),
            Self::Only(feature) => format!("with {feature} alone"),
        }
    }

    fn arguments(&self) -> Vec<&'a str> {
        match self {
            Self::None => vec!["--no-default-features"],
            Self::Default => vec![],
            Self::Only(feature) => vec!["--no-default-features", "--features", feature],
        }
    }
}

/// The sets of a package that is published; none of one that is not.
fn sets(package: &Package) -> Vec<FeatureSet<'_>> {
    if package.publish.as_ref().is_some_and(Vec::is_empty) {
        return Vec::new();
    }
    let mut sets = vec![FeatureSet::None];
    if package.features.get("default").is_some_and(|default| !default.is_empty()) {
        sets.push(FeatureSet::Default);
    }
    let alone = package.features.keys().filter(|feature| *feature != "default");
    sets.extend(alone.map(|feature| FeatureSet::Only(feature)));
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_default_and_each_alone() {
        let features = |default: &[&str]| {
            let default = default.iter().map(|name| (*name).to_owned()).collect();
            let mut features = BTreeMap::from([("default".to_owned(), default)]);
            features.insert("a".to_owned(), vec![]);
            features.insert("b".to_owned(), vec!["a".to_owned()]);
            features
        };
        let mut package = Package { name: "x".into(), publish: None, features: features(&["a"]) };
        assert_eq!(
            sets(&package),
            [FeatureSet::None, FeatureSet::Default, FeatureSet::Only("a"), FeatureSet::Only("b")]
        );
        package.features = features(&[]);
        assert_eq!(
            sets(&package),
            [FeatureSet::None, FeatureSet::Only("a"), FeatureSet::Only("b")]
        );
        assert_eq!(FeatureSet::Only("b").arguments(), ["--no-default-features", "--features", "b"]);
        package.publish = Some(vec![]);
        assert!(sets(&package).is_empty());
    }
}
