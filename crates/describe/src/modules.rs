//! `modules.json`: the chain of modules that sentence-transformers runs.

use serde_json::Value;

use crate::{
    DescribeError,
    document::{Document, Reader},
};

/// The file with the chain.
pub(crate) const FILE: &str = "modules.json";
/// Most modules of a chain.
const MOST_MODULES: usize = 32;
/// Packages whose modules are known; code that comes with a model is not run.
const PACKAGES: [&str; 2] = ["sentence_transformers.", "pylate.models."];
/// Most bytes of a path.
const PATH_BYTES: usize = 256;

/// One module of a chain.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    pub(crate) kind: Kind,
    /// Full name of the type, for errors.
    pub(crate) type_name: String,
    /// Folder of the module; empty for the root.
    pub(crate) path: String,
}

/// A module, by the last part of the name of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Transformer,
    Pooling,
    Dense,
    Normalize,
    /// Does nothing outside of training.
    Dropout,
}

/// Names of types, without their package, and the module that each is.
const KINDS: [(&str, Kind); 5] = [
    ("Transformer", Kind::Transformer),
    ("Pooling", Kind::Pooling),
    ("Dense", Kind::Dense),
    ("Normalize", Kind::Normalize),
    ("Dropout", Kind::Dropout),
];

impl Module {
    /// A file in the module's folder.
    pub(crate) fn file(&self, name: &str) -> String {
        within(&self.path, name)
    }
}

/// A file in a folder, which is empty for the root.
pub(crate) fn within(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Reads the chain; `None` where there is no `modules.json`.
pub(crate) fn read(reader: &Reader<'_>) -> Result<Option<Vec<Module>>, DescribeError> {
    let Some(value) = reader.json(FILE)? else { return Ok(None) };
    let list = match value {
        Value::Array(list) if (1..=MOST_MODULES).contains(&list.len()) => list,
        other => {
            let expected = format!("a list of 1 to {MOST_MODULES} modules");
            return Err(reader.wrong(FILE, "", &expected, &other));
        }
    };
    let mut modules = Vec::new();
    for (index, entry) in list.into_iter().enumerate() {
        let entry = reader.object(FILE, &format!("[{index}]"), entry)?;
        let type_name = entry.text("type")?.ok_or_else(|| entry.missing("type"))?;
        let path = entry.text("path")?.unwrap_or_default();
        check_path(&entry, path)?;
        let kind = kind(&entry, type_name)?;
        modules.push(Module { kind, type_name: type_name.to_owned(), path: path.to_owned() });
    }
    Ok(Some(modules))
}

/// The module of a type.
fn kind(entry: &Document, type_name: &str) -> Result<Kind, DescribeError> {
    let class = type_name.rsplit('.').next().unwrap_or_default();
    let ours = PACKAGES.iter().any(|package| type_name.starts_with(package));
    let known = KINDS.iter().find(|(name, _)| ours && *name == class);
    known.map(|&(_, kind)| kind).ok_or_else(|| {
        let names = KINDS.map(|(name, _)| name).join(", ");
        entry.unsupported("type", &type_name, &format!("modules of sentence-transformers: {names}"))
    })
}

/// Checks that a folder lies within the model's own.
fn check_path(entry: &Document, path: &str) -> Result<(), DescribeError> {
    let good = path.len() <= PATH_BYTES
        && !path.contains(|c: char| c == '\\' || c == ':' || c.is_control())
        && (path.is_empty() || path.split('/').all(|part| !matches!(part, "" | "." | "..")));
    if good {
        return Ok(());
    }
    let expected = "a folder within the model's own, without `..`, `:` and backslashes";
    Err(entry.wrong("path", expected, &Value::from(path)))
}
