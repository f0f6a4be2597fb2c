//! `cargo xtask matrix features`: every crate with no features, default features, each feature alone,
//! those of the command line program, and all; checks what each choice must not pull in.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{
    run,
    steps::{Outcome, Steps},
    tidy,
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
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    features: Vec<String>,
}

/// Checks all sets and ends with a table.
pub(super) fn run() -> Result<()> {
    let text = run::output(&mut run::cargo(["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: Metadata =
        serde_json::from_str(&text).context("cargo metadata wrote something unexpected")?;
    let mut steps = Steps::default();
    for (choice, heavy) in tidy::light_uses() {
        steps.run(&format!("{choice} stays light"), || {
            let heavy = heavy?;
            ensure!(heavy.is_empty(), "pulls in {}", heavy.join(", "));
            Ok(Outcome::Passed(String::new()))
        });
    }
    for package in &metadata.packages {
        for set in sets(package, &metadata.packages) {
            steps.run(&format!("{} {}", package.name, set.name()), || {
                // Clippy, because only it can deny our own warnings without rebuilding everything else.
                let mut arguments = vec!["clippy".into(), "--quiet".into()];
                arguments.extend(["--package".into(), package.name.clone()]);
                arguments.extend(set.arguments());
                arguments.extend(["--".into(), "--deny=warnings".into()]);
                let mut command = run::cargo(arguments);
                // Nothing is linked, so no library is needed.
                command.env("ORT_SKIP_DOWNLOAD", "1");
                run::status(&mut command)?;
                Ok(Outcome::Passed(String::new()))
            });
        }
    }
    steps.finish()
}

/// A set of features.
#[derive(Debug, PartialEq, Eq)]
enum FeatureSet<'a> {
    None,
    Default,
    Only(&'a str),
    /// Features of a package that the command line program uses, if more than one.
    Program(&'a [String]),
    All,
}

impl FeatureSet<'_> {
    fn name(&self) -> String {
        match self {
            Self::None => "with no features".to_owned(),
            Self::Default => "with default features".to_owned(),
            Self::Only(feature) => format!("with {feature} alone"),
            Self::Program(_) => format!("with what {PROGRAM} takes"),
            Self::All => "with all features".to_owned(),
        }
    }

    fn arguments(&self) -> Vec<String> {
        let without_defaults = |features: String| {
            vec!["--no-default-features".to_owned(), "--features".to_owned(), features]
        };
        match self {
            Self::None => vec!["--no-default-features".to_owned()],
            Self::Default => vec![],
            Self::Only(feature) => without_defaults((*feature).to_owned()),
            Self::Program(features) => without_defaults(features.join(",")),
            Self::All => vec!["--all-features".to_owned()],
        }
    }
}

/// The package that has all modalities.
const PROGRAM: &str = "embedkit-cli";

/// Feature sets of a published package; empty for others.
fn sets<'a>(package: &'a Package, all: &'a [Package]) -> Vec<FeatureSet<'a>> {
    if package.publish.as_ref().is_some_and(Vec::is_empty) {
        return Vec::new();
    }
    let mut sets = vec![FeatureSet::None];
    if package.features.get("default").is_some_and(|default| !default.is_empty()) {
        sets.push(FeatureSet::Default);
    }
    let alone: Vec<_> = package.features.keys().filter(|feature| *feature != "default").collect();
    sets.extend(alone.iter().map(|feature| FeatureSet::Only(feature)));
    let program = all.iter().filter(|package| package.name == PROGRAM);
    let taken = program
        .flat_map(|program| &program.dependencies)
        .find(|dependency| dependency.name == package.name && dependency.kind.is_none())
        .map_or(&[][..], |dependency| &dependency.features);
    if taken.len() > 1 {
        sets.push(FeatureSet::Program(taken));
    }
    if alone.len() > 1 {
        sets.push(FeatureSet::All);
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, features: &[(&str, &[&str])]) -> Package {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let features = features.iter().map(|(name, on)| ((*name).to_owned(), owned(on)));
        Package {
            name: name.into(),
            publish: None,
            features: features.collect(),
            dependencies: vec![],
        }
    }

    #[test]
    fn none_default_each_alone_and_all() {
        use FeatureSet::{All, Default, None, Only};
        let mut one = package("x", &[("default", &["a"]), ("a", &[]), ("b", &["a"])]);
        assert_eq!(sets(&one, &[]), [None, Default, Only("a"), Only("b"), All]);
        one.features.insert("default".into(), vec![]);
        assert_eq!(sets(&one, &[]), [None, Only("a"), Only("b"), All]);
        one.features.remove("b");
        assert_eq!(sets(&one, &[]), [None, Only("a")]);
        assert_eq!(Only("b").arguments(), ["--no-default-features", "--features", "b"]);
        one.publish = Some(vec![]);
        assert!(sets(&one, &[]).is_empty());
    }

    #[test]
    fn what_the_program_takes_together() {
        let one = package("x", &[("a", &[]), ("b", &[])]);
        let mut program = package(PROGRAM, &[]);
        let features = vec!["a".to_owned(), "b".to_owned()];
        let kind = Some("dev".to_owned());
        program.dependencies.push(Dependency { name: "x".into(), kind, features });
        assert_eq!(sets(&one, std::slice::from_ref(&program)).len(), 4);
        program.dependencies[0].kind = None;
        let all = [program];
        let taken = &sets(&one, &all)[3];
        assert_eq!(taken.arguments(), ["--no-default-features", "--features", "a,b"]);
    }
}
