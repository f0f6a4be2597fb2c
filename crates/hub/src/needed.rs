//! The files of a repository that a model needs, derived from its task.

use std::{
    fs,
    path::{Path, PathBuf},
};

use embedkit_types::{
    Encoder, LateMultimodalKind, ModelFiles, ModelSpec, SparseKind, Task, TokenizerFiles,
};

use crate::{Error, error::DiskResult, names};

/// The files of a model, by their names in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededFiles {
    /// Without these the model cannot be opened from the cache.
    pub required: Vec<String>,
    /// Taken where the repository has them. Those that the model pins are among the required ones.
    pub optional: Vec<String>,
}

impl NeededFiles {
    /// All files, the required ones first, each with true if it is required.
    pub fn iter(&self) -> impl Iterator<Item = (&str, bool)> {
        let required = self.required.iter().map(|name| (name.as_str(), true));
        required.chain(self.optional.iter().map(|name| (name.as_str(), false)))
    }
}

const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const PREPROCESSOR_CONFIG: &str = "preprocessor_config.json";
const CONFIG: &str = "config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const ADDED_TOKENS: &str = "added_tokens.json";
/// Has the limit on tokens of some models.
const SENTENCE_CONFIG: &str = "sentence_bert_config.json";

/// Files that are read beside the model file and its additional files.
struct Companions {
    model: bool,
    /// Files of a tokenizer, from the folder of the tokenizer.
    tokenizer: bool,
    /// `tokenizer_config.json` is read where there is a tokenizer.
    tokenizer_config: bool,
    /// Further files, from the root.
    required: &'static [&'static str],
    /// From the folder of the tokenizer.
    optional: &'static [&'static str],
}

impl Companions {
    /// A graph that reads tokens. New kinds of tasks are treated so until they say otherwise here.
    const TEXT: Self = Self {
        model: true,
        tokenizer: true,
        tokenizer_config: true,
        required: &[],
        optional: &[CONFIG, SPECIAL_TOKENS, SENTENCE_CONFIG],
    };
    /// A table of rows per token.
    const STATIC: Self = Self {
        tokenizer_config: false,
        optional: &[TOKENIZER_CONFIG, CONFIG, SPECIAL_TOKENS],
        ..Self::TEXT
    };
    const IMAGE: Self = Self {
        tokenizer: false,
        tokenizer_config: false,
        required: &[PREPROCESSOR_CONFIG],
        optional: &[CONFIG],
        ..Self::TEXT
    };
    const TEXT_AND_IMAGE: Self = Self {
        required: &[PREPROCESSOR_CONFIG],
        optional: &[CONFIG, SPECIAL_TOKENS],
        ..Self::TEXT
    };
    /// Tiles: the side of an image is read from the model's configuration.
    const TEXT_AND_TILES: Self = Self {
        required: &[PREPROCESSOR_CONFIG, CONFIG],
        optional: &[SPECIAL_TOKENS],
        ..Self::TEXT
    };
    /// Lists of words and nothing else; the model file only keeps a place.
    const WORDS: Self = Self {
        model: false,
        tokenizer: false,
        tokenizer_config: false,
        required: &[],
        optional: &[],
    };

    fn of(spec: &ModelSpec) -> &'static Self {
        match &spec.task {
            Task::TextDense(task) => match task.encoder {
                Encoder::Transformer => &Self::TEXT,
                Encoder::Static => &Self::STATIC,
            },
            Task::Sparse(task) => match &task.kind {
                SparseKind::Bm25(_) => &Self::WORDS,
                _ => &Self::TEXT,
            },
            Task::Image(_) => &Self::IMAGE,
            Task::LateMultimodal(task) => match &task.kind {
                LateMultimodalKind::ColPali(_) => &Self::TEXT_AND_IMAGE,
                _ => &Self::TEXT_AND_TILES,
            },
            _ => &Self::TEXT,
        }
    }

    /// Files of the tokenizer that have to be there, in the given form.
    fn of_tokenizer(&self, spec: &ModelSpec, form: TokenizerFiles) -> Vec<String> {
        let files = form.names().iter().filter(|_| self.tokenizer);
        // A vocabulary alone has usual settings.
        let config = self.tokenizer_config && form == TokenizerFiles::Json;
        let config = config.then_some(&TOKENIZER_CONFIG);
        files.chain(config).map(|name| spec.in_folder(name)).collect()
    }

    fn required(&self, spec: &ModelSpec) -> Vec<String> {
        let mut files = self.of_tokenizer(spec, spec.tokenizer);
        files.extend(self.required.iter().map(|&name| name.to_owned()));
        files
    }

    fn optional(&self, spec: &ModelSpec) -> Vec<String> {
        let of_vocabulary: &[_] = match spec.tokenizer {
            TokenizerFiles::Json => &[],
            _ if !self.tokenizer => &[],
            _ => &[TOKENIZER_CONFIG, ADDED_TOKENS],
        };
        self.optional.iter().chain(of_vocabulary).map(|name| spec.in_folder(name)).collect()
    }
}

/// The files that `spec` needs from its repository.
#[must_use]
pub fn needed_files(spec: &ModelSpec) -> NeededFiles {
    let companions = Companions::of(spec);
    let mut required: Vec<String> = Vec::new();
    let model = companions.model.then(|| spec.file.to_string());
    let additional = spec.additional_files.iter().map(ToString::to_string);
    for name in model.into_iter().chain(additional).chain(companions.required(spec)) {
        if !required.contains(&name) {
            required.push(name);
        }
    }
    let optional = companions.optional(spec).into_iter().filter(|name| !required.contains(name));
    // A file that is pinned is known to be there, and the model is not the same without it.
    let (pinned, optional): (Vec<_>, Vec<_>) =
        optional.partition(|name: &String| spec.pinned(name).is_some());
    required.extend(pinned);
    NeededFiles { required, optional }
}

/// The files of `spec` in a folder of the user's own, which is laid out like the repository.
///
/// The model file, `tokenizer.json` and their like have to be there; additional files are checked by
/// their readers, since not all are needed for every use. A vocabulary (`vocab.txt`, or `vocab.json` with
/// `merges.txt`) may take the place of `tokenizer.json` and `tokenizer_config.json`, as it does for
/// models of old. No network.
///
/// # Errors
/// [`Error::Missing`] with the names of the files that are not there, [`Error::Disk`] where `dir` is
/// not a folder that can be read.
pub fn local(dir: &Path, spec: &ModelSpec) -> Result<ModelFiles, Error> {
    let companions = Companions::of(spec);
    let model = companions.model.then(|| spec.file.to_string());
    let names: Vec<_> = model.iter().cloned().chain(companions.required(spec)).collect();
    fs::read_dir(dir).or_disk("open", dir)?;
    let mut missing = missing(dir, names.iter().map(String::as_str))?;
    let tokenizer = companions.of_tokenizer(spec, spec.tokenizer);
    // A static model's table has no use for a vocabulary.
    if companions.tokenizer_config && missing.contains(&spec.in_folder(spec.tokenizer.names()[0])) {
        let is_there = |form: &TokenizerFiles| {
            form.names().iter().all(|name| dir.join(spec.in_folder(name)).is_file())
        };
        if TokenizerFiles::ALL.iter().any(is_there) {
            missing.retain(|name| !tokenizer.contains(name));
        }
    }
    if missing.is_empty() {
        return Ok(ModelFiles::in_dir(dir, spec));
    }
    let found = match model {
        Some(model) if missing.contains(&model) => model_files(dir),
        _ => Vec::new(),
    };
    Err(Error::Missing { model: spec.id.to_string(), dir: dir.into(), missing, found })
}

/// Entries of a folder that are looked at for files that may be the model.
const MOST_ENTRIES: usize = 1000;

/// The files in a folder and the folders in it that may be the model, by their names.
fn model_files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    let mut left = MOST_ENTRIES;
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(dir.join(&folder)) else { continue };
        for entry in entries.take(left).flatten() {
            left -= 1;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Links may lead anywhere, also back.
            let Ok(kind) = entry.file_type() else { continue };
            let model = [".onnx", ".safetensors"].iter().any(|end| name.ends_with(end));
            if kind.is_dir() && folder.is_empty() && !name.starts_with('.') {
                folders.push(format!("{name}/"));
            } else if model && !kind.is_dir() {
                found.push(format!("{folder}{name}"));
            }
        }
    }
    // Graphs first, and those that are nearer.
    found.sort_by_key(|name| (!name.ends_with(".onnx"), name.contains('/'), name.clone()));
    found
}

/// The names among `names` without a file in `root`, links followed.
pub(crate) fn missing<'a>(
    root: &Path,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<String>, Error> {
    let mut missing = Vec::new();
    for name in names {
        let path: PathBuf = root.join(names::file_path(name)?);
        if !path.is_file() {
            missing.push(name.to_owned());
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use embedkit_types::{Hint, TextDense};

    use super::*;

    const TOKENIZER: &str = "tokenizer.json";
    const VOCABULARY: &str = "vocab.txt";

    fn spec(encoder: Encoder) -> ModelSpec {
        ModelSpec {
            id: "a/b".into(),
            file: "onnx/model.onnx".into(),
            additional_files: vec!["onnx/model.onnx_data".into(), "config.json".into()].into(),
            task: Task::TextDense(TextDense { encoder, ..TextDense::DEFAULT }),
            ..ModelSpec::DEFAULT
        }
    }

    #[test]
    fn each_file_is_named_once() {
        let files = needed_files(&spec(Encoder::Transformer));
        let expect =
            ["onnx/model.onnx", "onnx/model.onnx_data", CONFIG, TOKENIZER, TOKENIZER_CONFIG];
        assert_eq!(files.required, expect);
        assert_eq!(files.optional, [SPECIAL_TOKENS, SENTENCE_CONFIG]);
        let files = needed_files(&spec(Encoder::Static));
        assert!(!files.required.iter().any(|name| name == TOKENIZER_CONFIG));
    }

    #[test]
    fn files_of_a_vocabulary_and_of_a_folder_are_needed() {
        let plain = ModelSpec { additional_files: Vec::new().into(), ..spec(Encoder::Transformer) };
        let vocabulary = ModelSpec { tokenizer: TokenizerFiles::WordPiece, ..plain.clone() };
        let files = needed_files(&vocabulary);
        assert_eq!(files.required, ["onnx/model.onnx", VOCABULARY]);
        assert!(files.optional.iter().any(|name| name == TOKENIZER_CONFIG));
        let folder = ModelSpec {
            tokenizer: TokenizerFiles::BytePairs,
            folder: "0_Transformer".into(),
            ..plain
        };
        let files = needed_files(&folder);
        let expect = ["onnx/model.onnx", "0_Transformer/vocab.json", "0_Transformer/merges.txt"];
        assert_eq!(files.required, expect);
        assert!(files.optional.iter().all(|name| name.starts_with("0_Transformer/")), "{files:?}");

        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("onnx")).unwrap();
        fs::create_dir(dir.path().join("0_Transformer")).unwrap();
        for name in &expect[..2] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let Err(Error::Missing { missing, .. }) = local(dir.path(), &folder) else {
            panic!("half a vocabulary was accepted");
        };
        assert_eq!(missing, expect[2..]);
        fs::write(dir.path().join(expect[2]), "x").unwrap();
        let files = local(dir.path(), &folder).unwrap();
        assert_eq!(files.tokenizer_dir, dir.path().join("0_Transformer"));
        // A tokenizer.json takes the place of either.
        fs::remove_file(dir.path().join(expect[1])).unwrap();
        fs::write(dir.path().join("0_Transformer/tokenizer.json"), "x").unwrap();
        local(dir.path(), &folder).unwrap();
    }

    #[test]
    fn a_model_under_another_name_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("other/deep")).unwrap();
        for name in ["model.onnx", "other/model_q.onnx", "other/deep/x.onnx", "a.safetensors"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let error = local(dir.path(), &spec(Encoder::Transformer)).unwrap_err();
        let Error::Missing { found, .. } = &error else { panic!("{error}") };
        assert_eq!(found, &["model.onnx", "other/model_q.onnx", "a.safetensors"]);
        assert_eq!(error.hint(), Some(Hint::NameModelFile("model.onnx".into())), "{error}");
        // It is the tokenizer that is missing, and nothing is known of that.
        let spec = ModelSpec { file: "model.onnx".into(), ..spec(Encoder::Transformer) };
        let error = local(dir.path(), &spec).unwrap_err();
        assert!(error.hint().is_none(), "{error}");
    }

    #[test]
    fn a_local_folder_needs_model_and_tokenizer() {
        let dir = tempfile::tempdir().unwrap();
        let spec = spec(Encoder::Transformer);
        let Err(Error::Missing { missing, .. }) = local(dir.path(), &spec) else {
            panic!("an empty folder was accepted");
        };
        assert_eq!(missing, ["onnx/model.onnx", TOKENIZER, TOKENIZER_CONFIG]);
        fs::create_dir(dir.path().join("onnx")).unwrap();
        for name in missing {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let files = local(dir.path(), &spec).unwrap();
        assert_eq!(files.model, dir.path().join("onnx").join("model.onnx"));
        fs::remove_file(dir.path().join(TOKENIZER)).unwrap();
        fs::remove_file(dir.path().join(TOKENIZER_CONFIG)).unwrap();
        assert!(local(dir.path(), &spec).is_err());
        fs::write(dir.path().join(VOCABULARY), "x").unwrap();
        local(dir.path(), &spec).unwrap();
        let away = ModelSpec { file: "../model.onnx".into(), ..spec };
        assert!(matches!(local(dir.path(), &away), Err(Error::Name { .. })));
    }
}
