//! A model's description, read from the files that sentence-transformers and Transformers wrote.
//!
//! [`describe`] turns `modules.json` and the configurations that it leads to into a [`ModelSpec`], and says
//! for each field which file it came from. Nothing is guessed: a fact that is neither in the files nor in
//! their format's rules is an error that names the field.
//!
//! ```
//! use embedkit_describe::{Folder, describe};
//!
//! # let folder = tempfile::tempdir()?;
//! # let files = [
//! #     ("modules.json", r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
//! #         {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#),
//! #     ("config.json", r#"{"model_type": "bert", "hidden_size": 384}"#),
//! #     ("1_Pooling/config.json",
//! #         r#"{"word_embedding_dimension": 384, "pooling_mode_mean_tokens": true}"#),
//! # ];
//! # std::fs::create_dir(folder.path().join("1_Pooling"))?;
//! # for (path, text) in files { std::fs::write(folder.path().join(path), text)?; }
//! let found = describe("me/my-model", &Folder::open(folder.path())?)?;
//! assert_eq!(found.spec.task.pooling().as_deref(), Some("mean"));
//! assert_eq!(found.fact("pooling").unwrap().file, "1_Pooling/config.json");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A front for a hub implements [`Files`]: it lists a repository, fetches the files of [`wanted`], and
//! chooses among [`graphs`](Description::graphs), or converts the [`Checkpoint`] where there is none. The
//! files that the description itself needs, such as the weights of a dense layer, are in its
//! `additional_files`. `source` is left to the front.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod chat;
mod checkpoint;
mod document;
mod error;
mod files;
mod image;
mod late;
mod layers;
mod modules;
mod prompts;
mod rerank;
mod sentence;
mod settings;
mod sparse;
mod table;
mod tokenizer;
mod vocabulary;

use embedkit_types::ModelSpec;

pub use checkpoint::{Checkpoint, Head};
pub use error::{DescribeError, Place};
pub use files::{Files, Folder, wanted};

use checkpoint::Config;
use document::{Document, Reader};
use modules::{Kind, Module};

/// A description and where it is from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Description {
    /// The model. `file` is the first of `graphs`, or the usual name where there is none.
    pub spec: ModelSpec,
    /// The fields that came from files, in the order in which they were read.
    pub facts: Vec<Fact>,
    /// ONNX files of the encoder, the usual names first; several are variants of one graph.
    pub graphs: Vec<String>,
    /// The checkpoint that a graph can be made from; `None` for models without one.
    pub checkpoint: Option<Checkpoint>,
}

/// A field of a description and the file that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The field, by its name in a row, such as `pooling`.
    pub field: &'static str,
    /// Its value as text.
    pub value: String,
    /// Path of the file.
    pub file: String,
}

impl Description {
    /// The fact of a field.
    #[must_use]
    pub fn fact(&self, field: &str) -> Option<&Fact> {
        self.facts.iter().find(|fact| fact.field == field)
    }
}

/// Files that say what a model does.
const LOOKED_FOR: &[&str] = &[modules::FILE, late::METADATA, "config.json"];

/// Reads the description of the model `id` from its files.
///
/// # Errors
/// Every file is taken as untrusted. [`DescribeError`] names the file and the field; its hint says what to
/// do about it.
pub fn describe(id: &str, files: &dyn Files) -> Result<Description, DescribeError> {
    let reader = Reader::new(id, files);
    let mut found = match modules::read(&reader)? {
        Some(modules) => of_modules(reader, &modules),
        None => of_checkpoint(reader),
    }?;
    tokenizer::settle(&Reader::new(id, files), &mut found)?;
    Ok(found)
}

/// Describes a chain of sentence-transformers, by the type of model that its configuration states or else
/// by its modules.
fn of_modules(reader: Reader<'_>, modules: &[Module]) -> Result<Description, DescribeError> {
    let Some((first, rest)) = modules.split_first() else {
        return Err(reader.missing_file(modules::FILE, "the model"));
    };
    let config = reader.document(prompts::FILE)?;
    let config = config.as_ref();
    let has = |kind| modules.iter().any(|module| module.kind == kind);
    match config.map(|config| config.text("model_type")).transpose()?.flatten() {
        Some("SparseEncoder") => sparse::describe(reader, first, rest, config),
        Some("CrossEncoder") => rerank::of_modules(reader, first, rest, config),
        Some("MultiVectorEncoder" | "ColBERT") => late::of_modules(reader, first, rest, config),
        Some("SentenceTransformer") => sentence::describe(reader, first, rest, config),
        Some(other) => {
            let supported = "SentenceTransformer, SparseEncoder, CrossEncoder, MultiVectorEncoder";
            Err(reader.unsupported(prompts::FILE, "model_type", other, supported))
        }
        None if has(Kind::SpladePooling) || has(Kind::Router) => {
            sparse::describe(reader, first, rest, config)
        }
        None if has(Kind::LogitScore) => rerank::of_modules(reader, first, rest, config),
        None if has(Kind::MultiVectorMask) || config.is_some_and(late::is_pylate) => {
            late::of_modules(reader, first, rest, config)
        }
        None => sentence::describe(reader, first, rest, config),
    }
}

/// Describes a folder without `modules.json`, by `config.json`.
fn of_checkpoint(reader: Reader<'_>) -> Result<Description, DescribeError> {
    let unknown = |reader: &Reader<'_>| DescribeError::Unknown {
        model: reader.model.to_owned(),
        looked_for: LOOKED_FOR,
    };
    let Some(document) = reader.document("config.json")? else { return Err(unknown(&reader)) };
    if document.text("model_type")? == Some(table::MODEL2VEC) {
        return table::of_model2vec(reader, &document);
    }
    let encoder = Config::read(&reader, "", "config.json")?;
    if let Some(output) = image::output(&encoder.model_type)
        && reader.has(image::PREPROCESSOR)
    {
        return image::describe(reader, &encoder, output);
    }
    let architecture = encoder.architecture()?.unwrap_or_default().to_owned();
    if reader.has(late::METADATA) || architecture == "HF_ColBERT" {
        return late::of_stanford(reader, &encoder);
    }
    if architecture.ends_with("ForSequenceClassification") {
        let config: Option<Document> = reader.document(prompts::FILE)?;
        return rerank::of_checkpoint(reader, &encoder, config.as_ref());
    }
    // A bare encoder: neither pooling nor scaling is in its files.
    let (model, file) = (reader.model.to_owned(), modules::FILE.to_owned());
    Err(DescribeError::Missing { model, file, field: "pooling".to_owned() })
}
