//! The written form of a model: one flat row with the field names of `models.toml`.
//!
//! [`ModelSpec`] itself is deserialised through [`Row`], so whatever reads one has been through the
//! checks here; [`ModelFile`] is a file that describes a single model.

mod checks;
mod file;
mod task;
#[cfg(test)]
mod tests;

use serde::Deserialize;

use crate::{
    Activation, AdapterTasks, Canonical, DenseLayer, Encoder, FileDigest, GraphOutput, Layer, List,
    Markers, ModelPrompts, ModelSpec, QueryPadding, Repeat, Role, Source, Sparse, SparseKind, Str,
    Task, TextDense, TokenizerFiles,
};

use checks::{Checks, is_blank_or_control};
pub use file::ModelFile;

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// No family has this task.
    #[error("model {id:?}: there is no task {task:?}, use one of {}", Task::NAMES.join(", "))]
    UnknownTask {
        /// The model.
        id: String,
        /// What its row says.
        task: String,
    },
    /// A field that the task needs is not there.
    #[error("model {id:?}, task {task}: field `{field}` is missing")]
    Missing {
        /// The model.
        id: String,
        /// Its task.
        task: String,
        /// The field.
        field: &'static str,
    },
    /// A field is there that means nothing for the task.
    #[error("model {id:?}, task {task}: field `{field}` has no meaning here, remove it")]
    Unexpected {
        /// The model.
        id: String,
        /// Its task.
        task: String,
        /// The field.
        field: &'static str,
    },
    /// A field has a value that it cannot have.
    #[error("model {id:?}, task {task}: field `{field}` is {found}, but has to be {expected}")]
    Invalid {
        /// The model.
        id: String,
        /// Its task.
        task: String,
        /// The field.
        field: &'static str,
        /// The value.
        found: String,
        /// What it could be.
        expected: String,
    },
}

/// Declares [`Row`]: the fields that all tasks have, and those that only some have, each of which is
/// optional here and taken out by the tasks that know it.
macro_rules! row {
    ($($field:ident: $type:ty,)*) => {
        /// One model as it is written: all fields of all tasks side by side.
        ///
        /// Only for deserialising; [`ModelSpec`] is made from it by `TryFrom`.
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Row {
            id: Str,
            #[serde(default)]
            source: RowSource,
            file: Option<Str>,
            #[serde(default)]
            additional_files: List<Str>,
            #[serde(default)]
            folder: Str,
            #[serde(default)]
            tokenizer: TokenizerFiles,
            #[serde(default)]
            files: List<FileDigest>,
            license: Option<Str>,
            size_gb: Option<f32>,
            max_tokens: Option<u32>,
            #[serde(default)]
            lower_case: bool,
            #[serde(default)]
            languages: List<Str>,
            year: Option<u16>,
            alias_of: Option<Str>,
            notice: Option<Str>,
            task: String,
            $($field: Option<$type>,)*
        }

        impl Row {
            /// A field that no task has taken out.
            fn left_over(&self) -> Option<&'static str> {
                $(if self.$field.is_some() {
                    return Some(stringify!($field));
                })*
                None
            }
        }
    };
}

row! {
    prompts: ModelPrompts,
    canonical: Canonical,
    dim: usize,
    encoder: Encoder,
    output: GraphOutput,
    pooling: String,
    pool_prompt: bool,
    pool_unknown: bool,
    accept_pooled: bool,
    layers: List<Layer>,
    normalize: bool,
    pad_to_limit: bool,
    tasks: AdapterTasks,
    requires_idf: bool,
    vocab_size: usize,
    sum: bool,
    log_twice: bool,
    special_tokens: bool,
    kind: String,
    k: f64,
    b: f64,
    avg_len: f64,
    alpha: f64,
    language: Str,
    token_max_length: usize,
    idf_file: Str,
    stopwords_file: Str,
    weights_file: Str,
    vocab_file: Str,
    markers: Markers,
    reserve: usize,
    query_limit: usize,
    query_padding: QueryPadding,
    skip_punctuation: bool,
    skip_padding_id: bool,
    normalize_queries: bool,
    text_prefix: Str,
    text_augmentation: Repeat,
    text_suffix: Str,
    text_start_ids: List<u32>,
    image_side: usize,
    image_token_id: u32,
    image_tokens: usize,
    image_prompt_ids: List<u32>,
    image_prefix: Str,
    image_suffix: Str,
    image_token: Str,
    frame_token: Str,
    global_token: Str,
    column: usize,
    activation: Activation,
    template: List<Str>,
    true_token: u32,
    false_token: u32,
    head: DenseLayer,
    sparse_head: DenseLayer,
    multi_vector_head: DenseLayer,
    sparse_output: GraphOutput,
    multi_vector_output: GraphOutput,
    skip_tokens: List<Str>,
}

/// [`Source`] as it is written; the model file may stand in it.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowSource {
    repo: Option<Str>,
    revision: Option<Str>,
    url: Option<Str>,
    file: Option<Str>,
}

impl TryFrom<Row> for ModelSpec {
    type Error = RowError;

    fn try_from(mut row: Row) -> Result<Self, RowError> {
        let checks = Checks { id: row.id.to_string(), task: row.task.clone() };
        checks.path("id", &row.id)?;
        let task = task::read(&mut row, &checks)?;
        let (prompts, canonical) = match task {
            Task::TextDense(_) => (row.prompts.take(), row.canonical.take()),
            _ => (None, None),
        };
        if let Some(field) = row.left_over() {
            return Err(RowError::Unexpected { id: checks.id, task: checks.task, field });
        }

        let file = match (row.file.take(), row.source.file.take()) {
            (Some(file), Some(_)) => {
                return Err(checks.invalid("file", &file, "given once, here or in `source`"));
            }
            (file, in_source) => file.or(in_source).unwrap_or_else(|| default_file(&task)),
        };
        checks.path("file", &file)?;
        row.check(prompts.as_ref(), &checks)?;
        if let Some(known) = &canonical {
            let found = known.check();
            let problem = found.as_ref().err().map_or("", String::as_str);
            checks.require(found.is_ok(), "canonical", &problem, "vectors of its texts")?;
        }

        Ok(Self {
            id: row.id,
            source: Source {
                repo: row.source.repo,
                revision: row.source.revision,
                url: row.source.url,
            },
            file,
            additional_files: row.additional_files,
            folder: row.folder,
            tokenizer: row.tokenizer,
            files: row.files,
            license: row.license,
            size_gb: row.size_gb,
            max_tokens: row.max_tokens,
            token_limit: None,
            lower_case: row.lower_case,
            languages: row.languages,
            year: row.year,
            prompts,
            alias_of: row.alias_of,
            canonical,
            notice: row.notice,
            task,
        })
    }
}

impl Row {
    /// Checks what rows of all tasks have.
    fn check(&self, prompts: Option<&ModelPrompts>, checks: &Checks) -> Result<(), RowError> {
        for path in self.additional_files.iter() {
            checks.path("additional_files", path)?;
        }
        if !self.folder.is_empty() {
            checks.path("folder", &self.folder)?;
        }
        for (n, pinned) in self.files.iter().enumerate() {
            let FileDigest { path, size: _, sha256 } = pinned;
            checks.path("files.path", path)?;
            let once = self.files[..n].iter().all(|before| before.path != *path);
            checks.require(once, "files.path", path, "there once")?;
            checks.sha256("files.sha256", sha256)?;
        }
        if let Some(repo) = &self.source.repo {
            checks.repository("source.repo", repo)?;
        }
        if let Some(revision) = &self.source.revision {
            checks.path("source.revision", revision)?;
        }
        if let Some(url) = &self.source.url {
            let rule = "an https:// address without blanks";
            let good = url.starts_with("https://") && !url.contains(is_blank_or_control);
            checks.require(good, "source.url", url, rule)?;
        }
        if let Some(size) = self.size_gb {
            let good = size.is_finite() && size >= 0.0;
            checks.require(good, "size_gb", &size, "a number of gigabytes")?;
        }
        if let Some(tokens) = self.max_tokens {
            checks.require(tokens > 0, "max_tokens", &tokens, "above 0")?;
        }
        if let Some(license) = &self.license {
            checks.text("license", license)?;
        }
        for language in self.languages.iter() {
            checks.text("languages", language)?;
        }
        if let Some(prompts) = prompts {
            let contradiction =
                prompts.unknown && Role::ALL.iter().any(|&role| prompts.of(role).is_some());
            let rule = "either `unknown` or texts";
            checks.require(!contradiction, "prompts", &"both", rule)?;
        }
        if let Some(alias_of) = &self.alias_of {
            checks.path("alias_of", alias_of)?;
            let other = !alias_of.eq_ignore_ascii_case(&self.id);
            checks.require(other, "alias_of", alias_of, "another id")?;
        }
        if let Some(notice) = &self.notice {
            checks.text("notice", notice)?;
        }
        Ok(())
    }
}

/// Where the model lies when the row does not say: the usual places of exports and of tables.
fn default_file(task: &Task) -> Str {
    match task {
        Task::TextDense(TextDense { encoder: Encoder::Static, .. }) => "model.safetensors".into(),
        Task::Sparse(Sparse { kind: SparseKind::Bm25(_), .. }) => "config.json".into(),
        _ => ModelSpec::DEFAULT.file,
    }
}
