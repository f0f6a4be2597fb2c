//! `codegen`: renders files from `models.toml` and from the published values of models.
//!
//! Rows are read with the types of `embedkit-types`, never with `embedkit-core`, so that this builds
//! even if the generated file there does not.

mod rust;
mod tables;

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::PathBuf,
};

use anyhow::{Context as _, bail, ensure};
use embedkit_types::{DenseLayer, HybridHeads, LateMultimodalKind, ModelSpec, SparseKind, Task};
use serde::Deserialize;

use crate::{canonical, repo};

/// Marks around the table in the README.
const MARKERS: (&str, &str) = ("<!-- models:begin -->", "<!-- models:end -->");

/// Renders the constants of the registry, `docs/models.md` and the table in the README, if there is
/// one. With `check` nothing is written, and stale files are an error.
pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let root = repo::root();
    let source = root.join("models.toml");
    let text = fs::read_to_string(&source).with_context(|| repo::short(&source))?;
    let mut table = parse(&text).context("models.toml")?;
    canonical::fill(&mut table.model, &canonical::published()?);

    let mut rendered = vec![
        (root.join("crates/core/src/registry/generated.rs"), rust::render(&table)),
        (root.join("docs/models.md"), tables::reference(&table.model)),
    ];
    let readme = root.join("README.md");
    if let Some(old) = read(&readme)? {
        let new = between_markers(&old, &tables::overview(&table)?).context("README.md")?;
        rendered.push((readme, new));
    }

    let mut stale = Vec::new();
    for (path, new) in rendered {
        // A checkout on Windows may have other line ends.
        let fresh = read(&path)?.is_some_and(|old| old.replace("\r\n", "\n") == new);
        if fresh {
            continue;
        }
        if !check {
            write(&path, &new)?;
            eprintln!("wrote {}", repo::short(&path));
        }
        stale.push(repo::short(&path));
    }
    ensure!(
        !check || stale.is_empty(),
        "stale: {}; run `cargo xtask codegen` and commit what it writes",
        stale.join(", ")
    );
    Ok(())
}

/// `models.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// Models in the README.
    #[serde(default)]
    readme: Vec<Choice>,
    pub(crate) model: Vec<ModelSpec>,
    #[serde(default)]
    other_name: Vec<OtherName>,
}

/// A row of the table by its key: an id may have several tasks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    id: String,
    task: String,
}

impl Table {
    /// Models of the README, in its order.
    fn chosen(&self) -> anyhow::Result<Vec<&ModelSpec>> {
        let mut chosen: Vec<&ModelSpec> = Vec::new();
        for Choice { id, task } in &self.readme {
            let found = self.model.iter().find(|spec| spec.id == *id && spec.task.name() == *task);
            let Some(spec) = found else {
                bail!("readme: {id} is not registered for {task}");
            };
            ensure!(spec.alias_of.is_none(), "readme: {id} is an alias");
            ensure!(!chosen.contains(&spec), "readme: {id} is there twice");
            chosen.push(spec);
        }
        Ok(chosen)
    }
}

/// A name that people try although it is not registered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OtherName {
    name: String,
    /// The registered id with the same model.
    #[serde(rename = "use")]
    meant: Option<String>,
    /// Reason why there is no model.
    absent: Option<String>,
}

/// Reads the table and checks rules across rows.
pub(crate) fn parse(text: &str) -> anyhow::Result<Table> {
    let table: Table = toml::from_str(text)?;
    let mut seen = HashMap::new();
    for spec in &table.model {
        let id = &spec.id;
        let key = (id.to_lowercase(), spec.task.name());
        if let Some(first) = seen.insert(key, id) {
            bail!("{id}: {} is there twice, first as {first}", spec.task.name());
        }
        ensure!(spec.source.repo.is_some() || spec.source.url.is_some(), "{id}: has no source");
        for file in named_files(&spec.task) {
            ensure!(
                spec.additional_files.iter().any(|known| known == file),
                "{id}: {file} is not among its additional_files"
            );
        }
    }
    let find = |id: &str, task: Option<&str>| {
        let same_task = |spec: &ModelSpec| task.is_none_or(|task| task == spec.task.name());
        table.model.iter().find(|spec| spec.id == id && same_task(spec))
    };
    for spec in &table.model {
        let Some(right) = &spec.alias_of else {
            continue;
        };
        let Some(target) = find(right, Some(spec.task.name())) else {
            bail!("{}: alias_of names {right}, which is not registered for its task", spec.id);
        };
        let expected =
            ModelSpec { id: spec.id.clone(), alias_of: spec.alias_of.clone(), ..target.clone() };
        ensure!(*spec == expected, "{}: differs from {right}, whose alias it is", spec.id);
    }
    table.chosen()?;
    let mut names = HashSet::new();
    for OtherName { name, meant, absent } in &table.other_name {
        let registered = table.model.iter().any(|spec| spec.id.eq_ignore_ascii_case(name));
        ensure!(!registered, "other_name {name}: is registered");
        ensure!(names.insert(name.to_lowercase()), "other_name {name}: is there twice");
        match (meant, absent) {
            (Some(id), None) => {
                ensure!(find(id, None).is_some(), "other_name {name}: {id} is not registered");
            }
            (None, Some(_)) => {}
            _ => bail!("other_name {name}: needs either `use` or `absent`"),
        }
    }
    Ok(table)
}

/// Files that a task's facts name.
fn named_files(task: &Task) -> Vec<&str> {
    match task {
        Task::Sparse(sparse) => match &sparse.kind {
            SparseKind::IfSplade(kind) => vec![&kind.idf_file],
            SparseKind::Bm42(kind) => vec![&kind.stopwords_file],
            SparseKind::MiniCoil(kind) => {
                vec![&kind.weights_file, &kind.vocab_file, &kind.stopwords_file]
            }
            SparseKind::TokenWeights(kind) => file_of(kind.head.as_ref()),
            _ => vec![],
        },
        Task::TextHybrid(hybrid) => match &hybrid.heads {
            HybridHeads::Layers { sparse, multi_vector, .. } => {
                [file_of(sparse.as_ref()), file_of(multi_vector.as_ref())].concat()
            }
            _ => vec![],
        },
        Task::LateMultimodal(late) => match late.kind {
            // It holds the number of tokens for each tile.
            LateMultimodalKind::ColModernVbert(_) => vec!["processor_config.json"],
            _ => vec![],
        },
        _ => vec![],
    }
}

/// File of a layer, where there is one.
fn file_of(layer: Option<&DenseLayer>) -> Vec<&str> {
    layer.map(|layer| layer.file.as_ref()).into_iter().collect()
}

/// Replaces the text between the markers.
fn between_markers(text: &str, new: &str) -> anyhow::Result<String> {
    let (begin, end) = MARKERS;
    let text = text.replace("\r\n", "\n");
    let parts = text
        .split_once(begin)
        .and_then(|(before, rest)| Some((before, rest.split_once(end)?)))
        .filter(|(before, (_, after))| ![before, after].iter().any(|part| part.contains(begin)));
    let Some((before, (_, after))) = parts else {
        bail!("needs the markers {begin} and {end}, once each and in this order");
    };
    Ok(format!("{before}{begin}\n{new}{end}{after}"))
}

/// Text of a file; `None` if it does not exist.
fn read(path: &PathBuf) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| repo::short(path)),
    }
}

fn write(path: &PathBuf, text: &str) -> anyhow::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| repo::short(dir))?;
    }
    fs::write(path, text).with_context(|| repo::short(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"
        [[model]]
        id = "org/One"
        source = { repo = "org/one" }
        task = "rerank"
    "#;

    fn problem(text: &str) -> String {
        match parse(text) {
            Ok(_) => panic!("accepted: {text}"),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn the_table_as_a_whole_is_checked() {
        assert_eq!(parse(ROW).unwrap().model.len(), 1);
        let twice = format!("{ROW}{}", ROW.to_lowercase());
        assert!(problem(&twice).contains("org/one: rerank is there twice, first as org/One"));
        assert!(problem(&ROW.replace("source", "# source")).contains("has no source"));
        assert!(problem(&format!("{ROW}alias_of = \"org/two\"")).contains("not registered"));
        let alias = ROW.replace("One", "Old") + "alias_of = \"org/One\"\n";
        assert_eq!(parse(&format!("{ROW}{alias}")).unwrap().model.len(), 2);
        assert!(problem(&format!("{ROW}{alias}column = 1")).contains("differs from org/One"));
        let sparse = r#"
            [[model]]
            id = "org/sparse"
            source = { repo = "org/sparse" }
            task = "sparse"
            kind = "if-splade"
            requires_idf = false
            idf_file = "idf.json"
        "#;
        assert!(problem(sparse).contains("idf.json is not among its additional_files"));
    }

    #[test]
    fn other_names_lead_somewhere() {
        let name = |fields: &str| format!("{ROW}[[other_name]]\nname = \"x/y\"\n{fields}");
        assert_eq!(parse(&name("use = \"org/One\"")).unwrap().other_name.len(), 1);
        assert_eq!(parse(&name("absent = \"it is not there\"")).unwrap().other_name.len(), 1);
        assert!(problem(&name("")).contains("needs either"));
        assert!(problem(&name("use = \"org/two\"")).contains("org/two is not registered"));
        let registered = name("use = \"org/One\"").replace("x/y", "ORG/one");
        assert!(problem(&registered).contains("is registered"));
    }

    #[test]
    fn models_of_the_readme_are_registered() {
        let choice = |task: &str| format!("readme = [{{ id = \"org/One\", task = \"{task}\" }}]\n");
        let chosen = parse(&format!("{}{ROW}", choice("rerank"))).unwrap();
        assert_eq!(chosen.chosen().unwrap()[0].id, "org/One");
        let text = format!("{}{ROW}", choice("image"));
        assert!(problem(&text).contains("readme: org/One is not registered for image"));
        let once = "{ id = \"org/One\", task = \"rerank\" }";
        let text = format!("readme = [{once}, {once}]\n{ROW}");
        assert!(problem(&text).contains("readme: org/One is there twice"));
        let alias = ROW.replace("One", "Old") + "alias_of = \"org/One\"\n";
        let text = format!("{}{ROW}{alias}", choice("rerank").replace("One", "Old"));
        assert!(problem(&text).contains("readme: org/Old is an alias"));
    }

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let (begin, end) = MARKERS;
        let text = format!("a\n{begin}\nold\n{end}\nb\n");
        let new = between_markers(&text, "new\n").unwrap();
        assert_eq!(new, format!("a\n{begin}\nnew\n{end}\nb\n"));
        assert_eq!(between_markers(&new, "new\n").unwrap(), new);
        for bad in [format!("a {begin}"), format!("{end} {begin}"), format!("{text}{text}")] {
            assert!(between_markers(&bad, "new\n").is_err(), "{bad}");
        }
    }

    #[test]
    fn rendered_files_are_fresh() {
        run(true).unwrap();
    }
}
