//! From a name to a model: a built-in id, a folder that describes itself, or a repository of the hub.

mod graph;
#[cfg(feature = "hub")]
mod repository;

use std::path::{Path, PathBuf};

use embedkit_core::registry;
use embedkit_describe::{Description, Fact, Files, Folder, describe};
use embedkit_types::{Canonical, LoadOptions, ModelSpec, SpecError};

use crate::{Error, conversion::Conversion, error::ResolveError, files::FileSource};

/// A model that was looked up by name: its descriptions, and the files that they were read from.
///
/// ```
/// use embedkit::{LoadOptions, resolve};
///
/// let found = resolve("baai/BGE-small-en-v1.5", &LoadOptions::default())?;
/// assert_eq!(found.specs[0].task.dim(), Some(384));
/// assert!(found.facts.is_empty(), "a built-in model has its facts from the registry");
/// # Ok::<(), embedkit::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Resolved {
    /// At least one: an id may stand for an encoder of texts and one of images.
    pub specs: Vec<ModelSpec>,
    /// Fields that were read from the model's files, each with its file; empty for a built-in model.
    pub facts: Vec<Fact>,
    pub(crate) files: FileSource,
}

impl Resolved {
    /// The same model with other descriptions, such as some of its own.
    #[must_use]
    pub fn with_specs(&self, specs: Vec<ModelSpec>) -> Self {
        Self { specs, ..self.clone() }
    }

    /// Known results, from the registry or from the file `canonical.json` of another model.
    #[must_use]
    pub fn canonical(&self) -> Option<&Canonical> {
        self.specs.iter().find_map(|spec| spec.canonical.as_ref())
    }

    /// The folder that the model was found in, where its name is the path of one.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.files.dir.as_deref()
    }
}

/// Looks a model up by name, without opening it.
///
/// A built-in id is a row of the registry. Any other name is that of a folder, if it is a path (it begins
/// with `./`, `../` or `/`) or such a folder exists, else of a repository on the hub, `organisation/name`
/// (feature `hub`): its files say what the model is. Of a repository the list of files and the small ones
/// among them are fetched, once.
///
/// # Errors
/// [`ResolveError`], an unknown id (with the closest ones), files that do not describe a model, and those
/// of the hub.
pub fn resolve(name: &str, options: &LoadOptions) -> Result<Resolved, Error> {
    let unknown = match registry::find(name) {
        Ok(specs) => return built_in(&specs, options),
        Err(unknown) => unknown,
    };
    match folder(name) {
        Some(dir) => in_folder(name, dir, options),
        None if is_repository(name) => in_repository(name, options, &unknown),
        None => Err(unknown),
    }
}

fn built_in(specs: &[&ModelSpec], options: &LoadOptions) -> Result<Resolved, Error> {
    let specs: Vec<_> = specs.iter().map(|&spec| spec.clone()).collect();
    for spec in &specs {
        Conversion::of(spec, options.variant.as_ref())?;
    }
    Ok(Resolved { specs, facts: Vec::new(), files: FileSource::default() })
}

/// True for a name that may stand for a model though it is not built in.
pub(crate) fn leads_elsewhere(name: &str) -> bool {
    folder(name).is_some() || is_repository(name)
}

/// The folder that a name is the path of: one that exists, or one that only a path can mean.
fn folder(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let begins = ["./", "../"].iter().any(|start| name.starts_with(start));
    let is_path = begins || name == "." || name == ".." || path.is_absolute();
    let is_path = is_path || (cfg!(windows) && name.contains('\\'));
    (is_path || path.is_dir()).then(|| path.to_owned())
}

/// True for `organisation/name` as the hub spells names.
fn is_repository(name: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    name.split_once('/').is_some_and(|(organisation, name)| plain(organisation) && plain(name))
}

fn in_folder(name: &str, dir: PathBuf, options: &LoadOptions) -> Result<Resolved, Error> {
    let no_folder =
        |reason: std::io::Error| ResolveError::NoFolder { path: dir.clone(), source: reason };
    let files = Folder::open(&dir).map_err(no_folder)?;
    let mut found = described(name, &files, options)?;
    #[cfg(feature = "convert")]
    if let Some(conversion) = &found.files.conversion {
        crate::files::check_checkpoint(&dir.join(&conversion.folder), conversion)?;
    }
    found.files.dir = Some(dir);
    Ok(found)
}

#[cfg(feature = "hub")]
use repository::in_repository;

#[cfg(not(feature = "hub"))]
fn in_repository(_: &str, _: &LoadOptions, unknown: &Error) -> Result<Resolved, Error> {
    Err(unknown.clone())
}

/// The description of a model with the graph that is wanted of it, or with the checkpoint that has to be
/// converted.
fn described(name: &str, files: &dyn Files, options: &LoadOptions) -> Result<Resolved, Error> {
    let paths = files.paths();
    let described = describe(name, files);
    if let Some(error) = described.is_err().then(|| graph::only_pickled(name, &paths)).flatten() {
        // Nobody should complete a description in vain.
        return Err(error.into());
    }
    let Description { mut spec, facts, graphs, checkpoint, .. } = described?;
    let conversion =
        graph::choose(&mut spec, &graphs, checkpoint, &paths, options.variant.as_ref())?;
    if let Some(conversion) = &conversion {
        graph::check_shards(name, conversion, files, &paths)?;
        if cfg!(not(feature = "convert")) {
            let (package, feature) = ("embedkit", "convert");
            return Err(SpecError::NotCompiled { id: name.into(), package, feature }.into());
        }
    }
    spec.canonical = canonical(name, files)?;
    let files = FileSource { conversion, described: true, ..FileSource::default() };
    Ok(Resolved { specs: vec![spec], facts, files })
}

/// Known results of a model, where it brings some.
fn canonical(model: &str, files: &dyn Files) -> Result<Option<Canonical>, Error> {
    const FILE: &str = "canonical.json";
    const LARGEST: usize = 1 << 20;
    let wrong = |reason: String| ResolveError::File {
        model: model.to_owned(),
        file: FILE.to_owned(),
        reason,
    };
    let text = files.read(FILE, LARGEST + 1).map_err(|error| wrong(error.to_string()))?;
    let Some(text) = text else { return Ok(None) };
    if text.len() > LARGEST {
        return Err(wrong(format!("it has more than {LARGEST} bytes")).into());
    }
    let known: Canonical = serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
    known.check().map_err(wrong)?;
    Ok(Some(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_ids() {
        for name in [".", "..", "./a", "../a/b", "/a"] {
            assert_eq!(folder(name), Some(name.into()), "{name}");
        }
        assert_eq!(folder("src"), Some("src".into()), "tests run in the folder of the crate");
        for name in ["a", "a/b", ".a/b", "src/lib.rs"] {
            assert_eq!(folder(name), None, "{name}");
        }
    }

    #[test]
    fn repositories_have_an_organisation_and_a_name() {
        for name in ["intfloat/e5-base-v2", "a/b", "A_1/b.c"] {
            assert!(is_repository(name), "{name}");
        }
        for name in ["bert", "a/b/c", "/b", "a/", "a b/c", "a/b@main", "https://a/b"] {
            assert!(!is_repository(name), "{name}");
        }
    }
}
