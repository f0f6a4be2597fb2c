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
    /// The file and the field that name the type, for errors.
    listed: (String, String),
}

/// A module, by the last part of the name of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Transformer,
    Pooling,
    Dense,
    Normalize,
    StaticEmbedding,
    SpladePooling,
    SparseStaticEmbedding,
    Router,
    MultiVectorMask,
    LogitScore,
    /// Does nothing outside of training.
    Dropout,
}

/// Names of types, without their package, and the module that each is.
const KINDS: [(&str, Kind); 13] = [
    ("Transformer", Kind::Transformer),
    ("MLMTransformer", Kind::Transformer),
    ("Pooling", Kind::Pooling),
    ("Dense", Kind::Dense),
    ("Normalize", Kind::Normalize),
    ("StaticEmbedding", Kind::StaticEmbedding),
    ("SpladePooling", Kind::SpladePooling),
    ("SparseStaticEmbedding", Kind::SparseStaticEmbedding),
    ("Router", Kind::Router),
    ("Asym", Kind::Router),
    ("MultiVectorMask", Kind::MultiVectorMask),
    ("LogitScore", Kind::LogitScore),
    ("Dropout", Kind::Dropout),
];

impl Module {
    /// A module that a router leads to, by its folder within that of the router.
    pub(crate) fn of_route(
        types: &Document,
        router: &Self,
        path: &str,
    ) -> Result<Self, DescribeError> {
        let type_name = types.text(path)?.ok_or_else(|| types.missing(path))?;
        check_path(types, path, path)?;
        Ok(Self {
            kind: kind(types, path, type_name)?,
            type_name: type_name.to_owned(),
            path: if path.is_empty() { router.path.clone() } else { within(&router.path, path) },
            listed: (types.file.clone(), format!("types.{path}")),
        })
    }

    /// The error of a module at a place where it has no meaning here.
    pub(crate) fn out_of_place(&self, reader: &Reader<'_>, supported: &str) -> DescribeError {
        let (file, field) = &self.listed;
        reader.unsupported(file, field, &self.type_name, &format!("at this place {supported}"))
    }

    /// Refuses a module in a folder of its own, where the files of its vocabulary are read from the root.
    pub(crate) fn in_root(&self, reader: &Reader<'_>) -> Result<(), DescribeError> {
        if self.path.is_empty() {
            return Ok(());
        }
        let (file, field) = &self.listed;
        let field = field.replace("type", "path");
        Err(reader.unsupported(file, &field, &self.path, "an encoder in the model's root"))
    }

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
        // model2vec writes `.` for the root.
        let path = entry.text("path")?.filter(|path| *path != ".").unwrap_or_default();
        check_path(&entry, "path", path)?;
        let kind = kind(&entry, "type", type_name)?;
        let listed = (FILE.to_owned(), format!("[{index}].type"));
        let (type_name, path) = (type_name.to_owned(), path.to_owned());
        modules.push(Module { kind, type_name, path, listed });
    }
    Ok(Some(modules))
}

/// The module of a type.
fn kind(entry: &Document, field: &str, type_name: &str) -> Result<Kind, DescribeError> {
    let class = type_name.rsplit('.').next().unwrap_or_default();
    let ours = PACKAGES.iter().any(|package| type_name.starts_with(package));
    let known = KINDS.iter().find(|(name, _)| ours && *name == class);
    known.map(|&(_, kind)| kind).ok_or_else(|| {
        let names = KINDS.map(|(name, _)| name).join(", ");
        entry.unsupported(field, &type_name, &format!("modules of sentence-transformers: {names}"))
    })
}

/// Checks that a folder lies within the model's own.
fn check_path(entry: &Document, field: &str, path: &str) -> Result<(), DescribeError> {
    let good = path.len() <= PATH_BYTES
        && !path.contains(|c: char| c == '\\' || c == ':' || c.is_control())
        && (path.is_empty() || path.split('/').all(|part| !matches!(part, "" | "." | "..")));
    if good {
        return Ok(());
    }
    let expected = "a folder within the model's own, without `..`, `:` and backslashes";
    Err(entry.wrong(field, expected, &Value::from(path)))
}
