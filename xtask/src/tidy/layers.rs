//! Layers: the table of allowed dependencies, checked against Cargo's metadata.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// A crate of the workspace, and the others that it may name under `[dependencies]`.
pub(super) struct Layer {
    pub(super) name: &'static str,
    pub(super) may_use: &'static [&'static str],
}

const fn layer(name: &'static str, may_use: &'static [&'static str]) -> Layer {
    Layer { name, may_use }
}

/// The layers, from the bottom up. A new crate needs a row here, which decides its layer.
pub(super) const LAYERS: &[Layer] = &[
    layer("embedkit-types", &[]),
    layer("embedkit-core", &["embedkit-types"]),
    layer("embedkit-hub", &["embedkit-types"]),
    layer("embedkit-describe", &["embedkit-types"]),
    layer("embedkit-convert", &["embedkit-core", "embedkit-types"]), // core for quantising only
    layer("embedkit-text-dense", &["embedkit-core", "embedkit-types"]),
    layer("embedkit-sparse", &["embedkit-core", "embedkit-types"]),
    layer("embedkit-hybrid", &["embedkit-core", "embedkit-types"]),
    layer("embedkit-image", &["embedkit-core", "embedkit-types"]),
    layer("embedkit-rerank", &["embedkit-core", "embedkit-types"]),
    // The only edge between families: page images are preprocessed like others.
    layer("embedkit-late-interaction", &["embedkit-core", "embedkit-image", "embedkit-types"]),
    layer("embedkit-postprocess", &["embedkit-types"]),
    layer(
        "embedkit",
        &[
            "embedkit-convert",
            "embedkit-core",
            "embedkit-describe",
            "embedkit-hub",
            "embedkit-hybrid",
            "embedkit-image",
            "embedkit-late-interaction",
            "embedkit-postprocess",
            "embedkit-rerank",
            "embedkit-sparse",
            "embedkit-text-dense",
            "embedkit-types",
        ],
    ),
    layer("embedkit-server", &["embedkit"]),
    layer("embedkit-cli", &["embedkit", "embedkit-convert", "embedkit-server", "embedkit-types"]),
    layer("embedkit-python", &["embedkit"]),
    layer("embedkit-examples", &["embedkit"]),
    layer("embedkit-testkit", &["embedkit-types"]),
    // Never core: the generator has to build when the generated file is broken.
    layer("xtask", &["embedkit-convert", "embedkit-hub", "embedkit-types"]),
    layer("embedkit-bench", &["embedkit-convert", "embedkit-core", "xtask"]),
];

/// The package that others may name only as a development dependency without a version.
const TESTKIT: &str = "embedkit-testkit";

/// Packages of the workspace for its developers.
const UNPUBLISHED: [&str; 5] =
    ["embedkit-bench", "embedkit-examples", "embedkit-python", TESTKIT, "xtask"];

/// Third-party packages that only some of ours may name, because they are heavy, open sockets, or would
/// leak into public interfaces.
const RESERVED: &[(&str, &[&str])] = &[
    ("ort", &["embedkit-core"]),
    ("ort-sys", &["embedkit-core"]),
    ("tokenizers", &["embedkit-core"]),
    ("ureq", &["embedkit-hub"]),
    ("rustls", &["embedkit-hub"]),
    ("tokio-rustls", &["embedkit-server"]),
    ("reqwest", &[]),
    ("axum", &["embedkit-server"]),
    ("hyper", &["embedkit-server"]),
    ("tokio", &["embedkit-server"]),
    ("hf-hub", &["embedkit-hub"]),
    ("zip", &["embedkit-core", "embedkit-hub", "xtask"]),
    ("clap", &["embedkit-bench", "embedkit-cli", "xtask"]),
    ("indicatif", &["embedkit-cli"]),
    ("pyo3", &["embedkit-python"]),
    ("numpy", &["embedkit-python"]),
    ("anyhow", &["embedkit-bench", "embedkit-cli", "embedkit-examples", "xtask"]),
    ("tracing-subscriber", &["embedkit-cli"]),
];

/// Packages with parts behind features; no one may enable their defaults.
const WITHOUT_DEFAULTS: &[&str] = &["embedkit-core", "hf-hub", "ort", "tokenizers"];

/// A set of features, and packages that it must not pull in.
pub(super) struct LightUse {
    pub(super) package: &'static str,
    pub(super) features: &'static str,
    pub(super) without: &'static [&'static [&'static str]],
}

const RUNTIME: &[&str] = &["ort", "ort-sys"];
const TOKENIZER: &[&str] = &["tokenizers"];
const HTTP: &[&str] = &["ureq", "reqwest", "hyper", "rustls", "native-tls", "openssl"];
const IMAGE: &[&str] = &["image"];
const SERDE: &[&str] = &["serde"];
const ASYNC: &[&str] = &["tokio", "axum", "async-std", "smol"];

const fn light(
    package: &'static str,
    features: &'static str,
    without: &'static [&'static [&'static str]],
) -> LightUse {
    LightUse { package, features, without }
}

/// Guarantees of light use. A family adds its own as a row here.
pub(super) const LIGHT_USES: &[LightUse] = &[
    light("embedkit-types", "", &[RUNTIME, TOKENIZER, HTTP, IMAGE, SERDE]),
    light("embedkit-types", "serde", &[RUNTIME, TOKENIZER, HTTP, IMAGE]),
    light("embedkit-core", "", &[RUNTIME, TOKENIZER, HTTP, IMAGE]),
    light("embedkit-core", "tokenizer", &[RUNTIME, HTTP, IMAGE]),
    light("embedkit-core", "onnx,load-dynamic", &[TOKENIZER, HTTP, IMAGE]),
    light("embedkit-hub", "", &[RUNTIME, TOKENIZER, IMAGE]),
    light("embedkit-describe", "", &[RUNTIME, TOKENIZER, HTTP, IMAGE]),
    light("embedkit-convert", "", &[RUNTIME, TOKENIZER, HTTP, IMAGE]),
    light("embedkit-text-dense", "static", &[RUNTIME, HTTP, IMAGE]),
    light("embedkit-text-dense", "transformer", &[HTTP, IMAGE]),
    light("embedkit-sparse", "bm25", &[RUNTIME, TOKENIZER, HTTP, IMAGE]),
    light("embedkit-sparse", "splade,bm42,minicoil", &[HTTP, IMAGE]),
    light("embedkit-image", "preprocess", &[RUNTIME, TOKENIZER, HTTP]),
    light("embedkit-image", "models", &[TOKENIZER, HTTP]),
    light("embedkit-rerank", "", &[HTTP, IMAGE]),
    light("embedkit-hybrid", "", &[HTTP, IMAGE]),
    light("embedkit-late-interaction", "", &[RUNTIME, TOKENIZER, HTTP, IMAGE]),
    light("embedkit-late-interaction", "text", &[HTTP, IMAGE]),
    light("embedkit-late-interaction", "multimodal", &[HTTP]),
    light("embedkit-postprocess", "", &[RUNTIME, TOKENIZER, HTTP, IMAGE]),
    // The server alone has an asynchronous runtime.
    light(
        "embedkit",
        "text-dense,sparse,late-interaction,multimodal,image,rerank,postprocess,hub,convert,load-dynamic",
        &[ASYNC],
    ),
    light("embedkit-cli", "completions,man,parquet,png", &[ASYNC]),
    light("embedkit", "image-preprocess", &[RUNTIME, TOKENIZER, HTTP]),
    light("embedkit", "bm25,postprocess", &[RUNTIME, TOKENIZER, HTTP, IMAGE]),
    light(
        "embedkit",
        "text-dense,sparse,late-interaction,hybrid,rerank,load-dynamic",
        &[HTTP, IMAGE],
    ),
];

/// Relevant part of the output of `cargo metadata --no-deps`.
#[derive(Deserialize)]
pub(super) struct Metadata {
    pub(super) packages: Vec<Package>,
}

/// A package of the workspace.
#[derive(Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) license: Option<String>,
    pub(super) repository: Option<String>,
    pub(super) categories: Vec<String>,
    pub(super) keywords: Vec<String>,
    /// `Some` and empty for an unpublished package.
    pub(super) publish: Option<Vec<String>>,
    pub(super) manifest_path: String,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) features: BTreeMap<String, Vec<String>>,
}

/// A dependency of any kind.
#[derive(Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) req: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    pub(super) kind: Option<String>,
    pub(super) uses_default_features: bool,
}

impl Dependency {
    fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

/// Violations of the tables in the workspace's manifests.
pub(super) fn check(metadata: &Metadata) -> Vec<String> {
    let mut found = Vec::new();
    let known: BTreeSet<&str> = LAYERS.iter().map(|layer| layer.name).collect();
    let there: BTreeSet<&str> = metadata.packages.iter().map(|one| one.name.as_str()).collect();
    for name in known.difference(&there) {
        found.push(format!("{name}: has a row in the layer table and is not in the workspace"));
    }
    for package in &metadata.packages {
        let name = package.name.as_str();
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
            found.push(format!("{name}: has no row in the layer table (xtask/src/tidy/layers.rs)"));
            continue;
        };
        for dependency in &package.dependencies {
            check_dependency(package, layer, dependency, &there, &mut found);
        }
        check_description(package, &mut found);
    }
    found
}

fn check_dependency(
    package: &Package,
    layer: &Layer,
    dependency: &Dependency,
    ours: &BTreeSet<&str>,
    found: &mut Vec<String>,
) {
    let (name, other) = (package.name.as_str(), dependency.name.as_str());
    if other == TESTKIT {
        if !dependency.is_dev() {
            found.push(format!("{name}: {TESTKIT} is a development dependency only"));
        } else if dependency.req != "*" {
            found.push(format!("{name}: {TESTKIT} is named by path, without a version"));
        }
    } else if ours.contains(other) && !dependency.is_dev() && !layer.may_use.contains(&other) {
        let may = if layer.may_use.is_empty() {
            "no other crate of ours".to_owned()
        } else {
            layer.may_use.join(", ")
        };
        found.push(format!("{name}: depends on {other}, and may depend on {may}"));
    }
    if let Some((_, users)) = RESERVED.iter().find(|(reserved, _)| *reserved == other)
        && !dependency.is_dev()
        && !users.contains(&name)
    {
        let who = if users.is_empty() { "nobody".to_owned() } else { users.join(", ") };
        found.push(format!("{name}: names {other}, which is for {who}"));
    }
    // A crate that depends on itself for its tests only enables features.
    if WITHOUT_DEFAULTS.contains(&other) && dependency.uses_default_features && other != name {
        found.push(format!("{name}: takes {other} with its default features"));
    }
}

fn check_description(package: &Package, found: &mut Vec<String>) {
    let name = &package.name;
    let mut missing = Vec::new();
    let empty = |text: &Option<String>| text.as_ref().is_none_or(|text| text.trim().is_empty());
    if empty(&package.description) {
        missing.push("description");
    }
    if empty(&package.license) {
        missing.push("license");
    }
    let published = package.publish.as_ref().is_none_or(|registries| !registries.is_empty());
    if published {
        if empty(&package.repository) {
            missing.push("repository");
        }
        if package.categories.is_empty() {
            missing.push("categories");
        }
        if package.keywords.is_empty() {
            missing.push("keywords");
        }
    }
    if !missing.is_empty() {
        found.push(format!("{name}: its Cargo.toml lacks {}", missing.join(", ")));
    }
    if name == "embedkit-core" && package.features.get("default").is_none_or(|on| !on.is_empty()) {
        found.push(format!("{name}: `default` is not the empty list"));
    }
    let inside = UNPUBLISHED.contains(&name.as_str());
    if inside == published {
        let which = if inside { "may be published" } else { "is marked as never published" };
        found.push(format!("{name}: {which}"));
    }
}

/// Packages of `without` that appear in the output of `cargo tree --prefix none`.
pub(super) fn heavy_in_tree(tree: &str, without: &[&[&str]]) -> Vec<String> {
    let mut heavy: Vec<String> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| without.iter().any(|group| group.contains(name)))
        .map(str::to_owned)
        .collect();
    heavy.sort();
    heavy.dedup();
    heavy
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, dependencies: &serde_json::Value) -> serde_json::Value {
        let publish = UNPUBLISHED.contains(&name).then(Vec::<String>::new);
        json!({
            "name": name, "description": "Something", "license": "Apache-2.0",
            "repository": "https://example.com", "categories": ["science"], "keywords": ["x"],
            "publish": publish, "manifest_path": format!("{name}/Cargo.toml"),
            "dependencies": dependencies, "features": { "default": [] },
        })
    }

    fn on(name: &str, kind: Option<&str>) -> serde_json::Value {
        json!({ "name": name, "req": "^0.1", "kind": kind, "uses_default_features": false })
    }

    /// A workspace with all packages of the table, one of them with these dependencies.
    fn workspace(name: &str, dependencies: &serde_json::Value) -> Metadata {
        let packages: Vec<_> = LAYERS
            .iter()
            .map(|layer| {
                let none = json!([]);
                package(layer.name, if layer.name == name { dependencies } else { &none })
            })
            .collect();
        serde_json::from_value(json!({ "packages": packages })).expect("metadata")
    }

    #[track_caller]
    fn found(name: &str, dependencies: &serde_json::Value, expect: &[&str]) {
        let found = check(&workspace(name, dependencies));
        assert_eq!(found.len(), expect.len(), "{found:?}");
        for (line, part) in found.iter().zip(expect) {
            assert!(line.starts_with(&format!("{name}: ")) && line.contains(part), "{line}");
        }
    }

    #[test]
    fn what_the_table_allows_passes() {
        let good =
            json!([on("embedkit-core", None), on("embedkit-types", None), on("serde", None)]);
        found("embedkit-text-dense", &good, &[]);
    }

    #[test]
    fn an_edge_that_is_not_in_the_table_is_found() {
        let upwards = json!([on("embedkit-hub", None)]);
        found("embedkit-text-dense", &upwards, &["depends on embedkit-hub, and may depend on"]);
        found("xtask", &json!([on("embedkit-core", None)]), &["depends on embedkit-core"]);
        found("embedkit-types", &json!([on("embedkit-core", Some("build"))]), &["no other crate"]);
        // Tests may use what they like.
        found("embedkit-text-dense", &json!([on("embedkit-hub", Some("dev"))]), &[]);
    }

    #[test]
    fn reserved_packages_are_found() {
        found(
            "embedkit-hub",
            &json!([on("ort", None)]),
            &["names ort, which is for embedkit-core"],
        );
        found("embedkit", &json!([on("anyhow", None)]), &["names anyhow"]);
        found("embedkit", &json!([on("anyhow", Some("dev"))]), &[]);
        found(
            "embedkit-hub",
            &json!([on("tokio", None)]),
            &["names tokio, which is for embedkit-server"],
        );
    }

    #[test]
    fn defaults_of_split_packages_are_found() {
        let mut core = on("embedkit-core", None);
        core["uses_default_features"] = true.into();
        found("embedkit-text-dense", &json!([core]), &["with its default features"]);
        core["kind"] = "dev".into();
        found("embedkit-core", &json!([core]), &[]);
    }

    #[test]
    fn the_test_kit_is_for_tests_and_has_no_version() {
        let mut testkit = on(TESTKIT, Some("dev"));
        found("embedkit", &json!([testkit]), &["without a version"]);
        testkit["req"] = "*".into();
        found("embedkit", &json!([testkit]), &[]);
        testkit["kind"] = serde_json::Value::Null;
        found("embedkit", &json!([testkit]), &["development dependency only"]);
    }

    #[test]
    fn a_crate_without_a_row_and_a_row_without_a_crate_are_found() {
        let mut metadata = workspace("", &json!([]));
        metadata.packages.retain(|package| package.name != "embedkit-hub");
        let new = package("embedkit-new", &json!([]));
        metadata.packages.push(serde_json::from_value(new).expect("a package"));
        let found = check(&metadata);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("embedkit-hub: has a row"), "{found:?}");
        assert!(found[1].starts_with("embedkit-new: has no row"), "{found:?}");
    }

    #[test]
    fn what_a_manifest_lacks_is_found() {
        let mut metadata = workspace("", &json!([]));
        metadata.packages[0].description = Some(" ".into());
        metadata.packages[0].keywords.clear();
        metadata.packages[1].features.insert("default".into(), vec!["onnx".into()]);
        assert_eq!(
            check(&metadata),
            [
                "embedkit-types: its Cargo.toml lacks description, keywords",
                "embedkit-core: `default` is not the empty list",
            ]
        );
    }

    #[test]
    fn heavy_packages_are_found_by_their_whole_name() {
        let tree =
            "embedkit-sparse v0.1.0 (…)\nort v2.0.0-rc.15\nsort v1.0.0\nort v2.0.0-rc.15 (*)";
        assert_eq!(heavy_in_tree(tree, &[RUNTIME, TOKENIZER]), ["ort"]);
        assert!(heavy_in_tree("sort v1.0.0", &[RUNTIME]).is_empty());
    }
}
