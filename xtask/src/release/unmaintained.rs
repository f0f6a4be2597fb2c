//! Unmaintained dependencies, direct and indirect. Only the crate that depends on an indirect one can
//! replace it, so this check reports and does not fail.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{missing, no_database, target_directory};
use crate::{repo, run, steps::Outcome};

pub(super) fn run() -> Result<Outcome> {
    if let Some(reason) = missing("deny") {
        return Ok(Outcome::Skipped(reason));
    }
    if let Some(reason) = no_database() {
        return Ok(Outcome::Skipped(reason));
    }
    let settings = repo::root().join("deny.toml");
    let settings = fs::read_to_string(&settings).with_context(|| settings.display().to_string())?;
    let folder = target_directory()?;
    fs::create_dir_all(&folder)?;
    let wider = folder.join("deny-unmaintained.toml");
    fs::write(&wider, widened(&settings)?).with_context(|| wider.display().to_string())?;
    let mut deny = run::cargo(["deny", "--locked", "--format", "json", "--config"]);
    // Its status says that something was found, which is what is asked; its report goes to the errors.
    let output = deny
        .arg(&wider)
        .args(["check", "advisories"])
        .output()
        .context("cargo-deny did not start")?;
    let found = found(&String::from_utf8_lossy(&output.stderr))?;
    for line in &found {
        println!("{line}");
    }
    Ok(Outcome::Passed(match found.len() {
        0 => "none".to_owned(),
        n => format!("{n} to look at: {}", found.into_iter().collect::<Vec<_>>().join("; ")),
    }))
}

/// The settings with all packages in the place of our own, and nothing else changed.
fn widened(settings: &str) -> Result<String> {
    let mut settings: toml::Table = settings.parse().context("deny.toml")?;
    let advisories = settings.get_mut("advisories").and_then(toml::Value::as_table_mut);
    let advisories = advisories.context("deny.toml has no advisories")?;
    advisories.insert("unmaintained".into(), "all".into());
    Ok(settings.to_string())
}

/// Package, version and title of each advisory of this kind in cargo-deny's report, a JSON object a
/// line.
fn found(report: &str) -> Result<BTreeSet<String>> {
    let (mut found, mut whole) = (BTreeSet::new(), false);
    for line in report.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        whole |= line["type"] == "summary";
        let fields = &line["fields"];
        if fields["code"] != "unmaintained" {
            continue;
        }
        let krate = &fields["graphs"][0]["Krate"];
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let (name, version) = (text(&krate["name"]), text(&krate["version"]));
        found.insert(format!("{name} {version} ({})", text(&fields["advisory"]["id"])));
    }
    if !whole {
        bail!("cargo-deny wrote no report: {}", report.lines().last().unwrap_or_default());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_taken_from_the_report() {
        let report = r#"{"type":"log","fields":{"level":"INFO","message":"x"}}
{"type":"diagnostic","fields":{"code":"unmaintained","message":"m","advisory":{"id":"RUSTSEC-2024-0436"},"graphs":[{"Krate":{"name":"paste","version":"1.0.15"}}]}}
{"type":"diagnostic","fields":{"code":"vulnerability","advisory":{"id":"RUSTSEC-2020-0001"},"graphs":[{"Krate":{"name":"x","version":"1.0.0"}}]}}
{"type":"summary","fields":{"advisories":{"errors":2}}}"#;
        let found: Vec<_> = found(report).unwrap().into_iter().collect();
        assert_eq!(found, ["paste 1.0.15 (RUSTSEC-2024-0436)"]);
        assert!(super::found("error: no such option\n").is_err(), "silence is no good news");
    }

    #[test]
    fn only_who_is_meant_changes() {
        let ours = fs::read_to_string(repo::root().join("deny.toml")).unwrap();
        let before: toml::Table = ours.parse().unwrap();
        let mut after: toml::Table = widened(&ours).unwrap().parse().unwrap();
        assert_eq!(after["advisories"]["unmaintained"].as_str(), Some("all"));
        after["advisories"]["unmaintained"] = before["advisories"]["unmaintained"].clone();
        assert_eq!(after, before);
        assert!(widened("[bans]").is_err());
    }
}
