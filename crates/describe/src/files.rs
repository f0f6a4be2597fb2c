//! Files of a model: a folder on disk, or what a front knows of a repository.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::PathBuf,
};

/// Files of a model by path relative to its root, with `/` between parts.
///
/// [`Folder`] is one on disk. A front for a hub lists what the repository has, and fetches the files of
/// [`wanted`] first; a file that it cannot read is an error of its own.
pub trait Files {
    /// All paths, in any order.
    fn paths(&self) -> Vec<String>;

    /// The first `most` bytes of a file, or all of a shorter one; `None` where there is no such file.
    ///
    /// # Errors
    /// A file that exists and cannot be read.
    fn read(&self, path: &str, most: usize) -> io::Result<Option<Vec<u8>>>;
}

/// Most files of a folder that are listed; a model has some dozens.
const MOST_FILES: usize = 10_000;
/// Depth to which a folder is listed: a module of a route of a router lies three folders down.
const DEPTH: usize = 4;

/// A folder on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    root: PathBuf,
    paths: Vec<String>,
}

impl Folder {
    /// Lists a folder.
    ///
    /// # Errors
    /// A folder that cannot be listed, or with more than 10,000 files.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        let mut paths = Vec::new();
        list(&root, "", DEPTH, &mut paths)?;
        paths.sort();
        Ok(Self { root, paths })
    }
}

/// Adds the files below a folder. Links to files count as files, as in the hub's cache; links to folders
/// are not followed, so there is no way round in circles.
fn list(folder: &PathBuf, prefix: &str, depth: usize, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A name that is not UTF-8 is in no configuration.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            if depth > 0 && !name.starts_with('.') {
                list(&entry.path(), &format!("{path}/"), depth - 1, paths)?;
            }
        } else if entry.path().is_file() {
            if paths.len() == MOST_FILES {
                let reason = format!("the folder has more than {MOST_FILES} files");
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            paths.push(path);
        }
    }
    Ok(())
}

impl Files for Folder {
    fn paths(&self) -> Vec<String> {
        self.paths.clone()
    }

    fn read(&self, path: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        if self.paths.binary_search_by(|known| known.as_str().cmp(path)).is_err() {
            return Ok(None);
        }
        let mut content = Vec::new();
        File::open(self.root.join(path))?.take(most as u64).read_to_end(&mut content)?;
        Ok(Some(content))
    }
}

/// Files in the root that a description may be read from.
const ROOT: [&str; 18] = [
    "modules.json",
    "config_sentence_transformers.json",
    "config.json",
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
    "router_config.json",
    "artifact.metadata",
    "preprocessor_config.json",
    "chat_template.jinja",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.json",
];

/// Names of small files in the folders of modules.
const OF_MODULES: [&str; 4] =
    ["config.json", "router_config.json", "sentence_bert_config.json", "tokenizer_config.json"];

/// Files that a description may be read from, among `paths`, small ones and the tokenizer, in the order in which they are wanted:
/// a front for a hub fetches these before it calls [`describe`](crate::describe).
#[must_use]
pub fn wanted(paths: &[String]) -> Vec<String> {
    let in_root = ROOT.into_iter().filter(|name| paths.iter().any(|path| path == name));
    let mut wanted: Vec<_> = in_root.map(str::to_owned).collect();
    let of_module = |path: &&String| {
        let parts: Vec<_> = path.split('/').collect();
        (2..=4).contains(&parts.len()) && parts.last().is_some_and(|name| OF_MODULES.contains(name))
    };
    let mut of_modules: Vec<_> = paths.iter().filter(of_module).cloned().collect();
    of_modules.sort();
    wanted.extend(of_modules);
    wanted
}
