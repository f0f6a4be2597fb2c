//! Static models: a table with one row per token, of sentence-transformers or of model2vec.

use embedkit_types::{Encoder, ModelPrompts, ModelSpec, Task, TextDense};
use serde_json::Value;

use crate::{
    DescribeError, Description,
    document::{DIMS, Document, Origin, Reader, TOKENS},
    layers::{Layers, tensor_shape},
    modules::{self, Kind, Module},
    settings::limit_of,
};

/// Names of the tensor with the rows.
const NAMES: [&str; 2] = ["embedding.weight", "embeddings"];
/// `model_type` in `config.json` of model2vec.
pub(crate) const MODEL2VEC: &str = "model2vec";
/// The file of the table.
const FILE: &str = "model.safetensors";

/// Dimension of the rows of a `StaticEmbedding`.
pub(crate) fn dim(reader: &Reader<'_>, module: &Module) -> Result<Origin, DescribeError> {
    module.in_root(reader)?;
    rows(reader, &module.file(FILE), modules::FILE)
}

fn rows(reader: &Reader<'_>, file: &str, needed_by: &str) -> Result<Origin, DescribeError> {
    if !reader.has(file) {
        return Err(reader.missing_file(file, needed_by));
    }
    let shape = tensor_shape(reader, file, &NAMES)?;
    match shape.as_deref() {
        Some(&[_, value]) if DIMS.contains(&value) => {
            Ok(Origin { file: file.to_owned(), field: NAMES[0].to_owned(), value })
        }
        Some(other) => {
            let expected = "shape [rows, dim]";
            Err(reader.wrong(file, NAMES[0], expected, &Value::from(format!("{other:?}"))))
        }
        None => Err(DescribeError::Missing {
            model: reader.model.to_owned(),
            file: file.to_owned(),
            field: NAMES.join("` or `"),
        }),
    }
}

/// A chain that begins with a table: the mean of the rows, without limit and with the unknown token.
pub(crate) fn of_module(
    mut reader: Reader<'_>,
    module: &Module,
    mut layers: Layers,
    prompts: Option<ModelPrompts>,
) -> Description {
    let normalize = layers.take_normalize();
    reader.note("encoder", &"static", modules::FILE);
    reader.note("dim", &layers.dim.value, &layers.dim.file);
    reader.note("normalize", &normalize, modules::FILE);
    let task = TextDense {
        dim: layers.dim.value,
        encoder: Encoder::Static,
        pool_unknown: true,
        layers: layers.list.into(),
        normalize,
        ..TextDense::DEFAULT
    };
    let spec = ModelSpec {
        id: reader.model.to_owned().into(),
        file: module.file(FILE).into(),
        additional_files: layers.files.into_iter().map(Into::into).collect(),
        token_limit: limit_of(*TOKENS.end()),
        prompts,
        task: Task::TextDense(task),
        ..ModelSpec::DEFAULT
    };
    Description { spec, facts: reader.facts, graphs: Vec::new(), checkpoint: None }
}

/// Returns `true` for the chain of model2vec, which leaves the unknown token out and limits texts, unlike
/// sentence-transformers with the same files.
pub(crate) fn is_model2vec(reader: &Reader<'_>, rest: &[Module]) -> Result<bool, DescribeError> {
    let Some(config) = reader.document("config.json")? else { return Ok(false) };
    let plain = rest.iter().all(|module| module.kind == Kind::Normalize);
    Ok(plain && config.text("model_type")? == Some(MODEL2VEC))
}

/// A folder of model2vec, whose configuration says whether vectors are scaled.
pub(crate) fn of_model2vec(
    mut reader: Reader<'_>,
    config: &Document,
) -> Result<Description, DescribeError> {
    let rows = rows(&reader, FILE, &config.file)?;
    if let Some(found) = config.dim(&["hidden_dim"])?
        && found.value != rows.value
    {
        return Err(config.contradiction("hidden_dim", &found.value, &rows));
    }
    let normalize = config.flag("normalize")?.ok_or_else(|| config.missing("normalize"))?;
    reader.note("encoder", &"static", &config.file);
    reader.note("dim", &rows.value, &rows.file);
    reader.note("normalize", &normalize, &config.file);
    let (dim, encoder) = (rows.value, Encoder::Static);
    let task = TextDense { dim, encoder, normalize, ..TextDense::DEFAULT };
    let spec = ModelSpec {
        id: reader.model.to_owned().into(),
        file: FILE.into(),
        task: Task::TextDense(task),
        ..ModelSpec::DEFAULT
    };
    Ok(Description { spec, facts: reader.facts, graphs: Vec::new(), checkpoint: None })
}
