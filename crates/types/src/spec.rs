//! What a model is: plain data, the same type for built-in models and for a user's own.

use std::{borrow::Cow, num::NonZeroU32};

use crate::{Canonical, Pooling, Prompts, Role, Task, TextDense};

/// A string that is a constant for built-in models and owned for a user's.
pub type Str = Cow<'static, str>;
/// A list that is a constant for built-in models and owned for a user's.
pub type List<T> = Cow<'static, [T]>;

/// The description of one model for one task.
///
/// An id may appear twice in the registry, once per task (a text and an image encoder).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(try_from = "crate::row::Row"))]
pub struct ModelSpec {
    /// The published name, such as `BAAI/bge-small-en-v1.5`. Looked up without regard to case.
    pub id: Str,
    /// Where the files come from.
    pub source: Source,
    /// The model file, relative to the root of the source, such as `onnx/model.onnx`.
    pub file: Str,
    /// Further files that the model needs, relative to the root of the source.
    pub additional_files: List<Str>,
    /// Folder of the tokenizer and of the encoder's configuration, relative to the root of the source; empty
    /// for the root, where nearly all models have them.
    pub folder: Str,
    /// Files that the tokenizer is read from.
    pub tokenizer: TokenizerFiles,
    /// What files are known to be, none or all of those that the model needs.
    pub files: List<FileDigest>,
    /// The licence's identifier, lower case, as FastEmbed states it.
    pub license: Option<Str>,
    /// Download size in gigabytes (10^9 bytes), as FastEmbed states it.
    pub size_gb: Option<f32>,
    /// The context length that the authors state, in tokens. In force where the model's own files
    /// give no limit; they usually do.
    pub max_tokens: Option<u32>,
    /// The most tokens of a text, whatever the model's files say; [`LoadOptions::max_tokens`] goes
    /// before it. `None` for built-in models. In a file that describes a single model it is
    /// `max_tokens`.
    ///
    /// [`LoadOptions::max_tokens`]: crate::LoadOptions::max_tokens
    pub token_limit: Option<NonZeroU32>,
    /// `true` if texts are lower-cased before they are split into tokens, beside what the tokenizer does of
    /// itself.
    pub lower_case: bool,
    /// Languages in plain words, such as `English`.
    pub languages: List<Str>,
    /// Year of publication.
    pub year: Option<u16>,
    /// The texts that the authors put before queries and passages. Not applied by default.
    pub prompts: Option<ModelPrompts>,
    /// The id that this one is an old spelling of: the model loads, with a warning.
    pub alias_of: Option<Str>,
    /// Known results, to compare with.
    pub canonical: Option<Canonical>,
    /// What whoever opens the model should be told, such as that earlier releases gave other
    /// vectors. A warning, never an error.
    pub notice: Option<Str>,
    /// What the model does, with the facts that its family needs.
    pub task: Task,
}

impl ModelSpec {
    /// A description with everything optional left out, for struct update syntax. `id`, `source`,
    /// `file` and `task` have to be replaced.
    pub const DEFAULT: Self = Self {
        id: Cow::Borrowed(""),
        source: Source::DEFAULT,
        file: Cow::Borrowed("onnx/model.onnx"),
        additional_files: Cow::Borrowed(&[]),
        folder: Cow::Borrowed(""),
        tokenizer: TokenizerFiles::Json,
        files: Cow::Borrowed(&[]),
        license: None,
        size_gb: None,
        max_tokens: None,
        token_limit: None,
        lower_case: false,
        languages: Cow::Borrowed(&[]),
        year: None,
        prompts: None,
        alias_of: None,
        canonical: None,
        notice: None,
        task: Task::TextDense(TextDense { pooling: Pooling::Mean, ..TextDense::DEFAULT }),
    };

    /// Path of a file in the folder of the tokenizer, relative to the root of the source.
    #[must_use]
    pub fn in_folder(&self, name: &str) -> String {
        if self.folder.is_empty() { name.to_owned() } else { format!("{}/{name}", self.folder) }
    }

    /// Size and hash that the file at `path`, relative to the root of the source, is pinned to.
    #[must_use]
    pub fn pinned(&self, path: &str) -> Option<&FileDigest> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Prompts by the caller's choice; `None` where the model needs one whose text is not known.
    #[must_use]
    pub fn prompts_for(&self, choice: &Prompts) -> Option<ModelPrompts> {
        let prompts = match choice {
            Prompts::None => ModelPrompts::default(),
            Prompts::Model => self.prompts.clone().unwrap_or_default(),
            Prompts::Custom { query, document } => ModelPrompts {
                query: query.clone().map(Cow::Owned),
                passage: document.clone().map(Cow::Owned),
                ..ModelPrompts::default()
            },
        };
        (!prompts.unknown).then_some(prompts)
    }
}

/// Files that a tokenizer is read from, with `tokenizer_config.json` beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum TokenizerFiles {
    /// `tokenizer.json`.
    #[default]
    Json,
    /// `vocab.txt`, the vocabulary of BERT's `WordPiece`.
    WordPiece,
    /// `vocab.json` and `merges.txt`, of byte-level BPE.
    BytePairs,
}

impl TokenizerFiles {
    /// Every form, the one that is taken first where there are several.
    pub const ALL: [Self; 3] = [Self::Json, Self::WordPiece, Self::BytePairs];

    /// Names of the files.
    #[must_use]
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Json => &["tokenizer.json"],
            Self::WordPiece => &["vocab.txt"],
            Self::BytePairs => &["vocab.json", "merges.txt"],
        }
    }
}

/// Path, size and hash of one file of a model. In a [`ModelSpec`] it is a pin: other content under that
/// path is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct FileDigest {
    /// Relative to the root of the source, such as `onnx/model.onnx`.
    pub path: Str,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content, 64 lower-case hexadecimal digits.
    pub sha256: Str,
}

/// Where the files of a model come from; the sources are tried in the order of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// Repository on the hub, `organisation/name`, in its own spelling.
    pub repo: Option<Str>,
    /// Branch, tag or commit of the repository; `main` when absent.
    pub revision: Option<Str>,
    /// A tar.gz archive over HTTPS.
    pub url: Option<Str>,
}

impl Source {
    /// No source at all: a model that is only ever opened from a local folder.
    pub const DEFAULT: Self = Self { repo: None, revision: None, url: None };
}

/// The texts that a model's authors put before queries, passages and raw texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct ModelPrompts {
    /// Before a query; `None` where queries stand bare.
    #[cfg_attr(feature = "serde", serde(default))]
    pub query: Option<Str>,
    /// Before a passage; `None` where passages stand bare.
    #[cfg_attr(feature = "serde", serde(default))]
    pub passage: Option<Str>,
    /// Before a raw text, which is neither: the default prompt of sentence-transformers. `None` where raw
    /// texts stand bare, as in nearly all models.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub raw: Option<Str>,
    /// The model was trained with a prompt whose text is not known here: asking for prompts is an
    /// error, not silence.
    #[cfg_attr(feature = "serde", serde(default))]
    pub unknown: bool,
}

impl ModelPrompts {
    /// The prompt of a role.
    #[must_use]
    pub fn of(&self, role: Role) -> Option<&str> {
        match role {
            Role::Raw => self.raw.as_deref(),
            Role::Document => self.passage.as_deref(),
            Role::Query => self.query.as_deref(),
        }
    }

    /// The text behind the prompt of its role.
    #[must_use]
    pub fn apply<'a>(&self, role: Role, text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let text = text.into();
        match self.of(role) {
            None => text,
            Some(prompt) => Cow::Owned(format!("{prompt}{text}")),
        }
    }
}
