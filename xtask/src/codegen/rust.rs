//! The registry as Rust constants.

use std::fmt::Debug;

use embedkit_types::{
    Activation, AdapterTasks, Bm25Config, Bm42Config, Canonical, ColModernVbertConfig,
    ColPaliConfig, DenseLayer, Encoder, FileDigest, GraphOutput, HybridHeads, IfSpladeConfig,
    Image, ImagePooling, LateMultimodal, LateMultimodalKind, LateText, Layer, List, Markers,
    MiniCoilConfig, ModelPrompts, ModelSpec, Pooling, QueryPadding, Repeat, Rerank, Source, Sparse,
    SparseKind, SpladeConfig, Str, Task, TextDense, TextHybrid, TokenScore, TokenWeightsConfig,
    TokenizerFiles,
};

use super::{OtherName, Table};

/// Renders the registry's module `generated`.
pub(super) fn render(table: &Table) -> String {
    let mut out = String::from(
        "//! Generated from models.toml by `cargo xtask codegen`. Do not edit.\n\n\
         #[allow(clippy::wildcard_imports, reason = \"which types occur depends on the models\")]\n\
         use embedkit_types::*;\n\
         use std::borrow::Cow::Borrowed;\n\n\
         use super::Meant;\n\n\
         pub(super) static MODELS: &[ModelSpec] = &[\n",
    );
    for spec in &table.model {
        out += "    ModelSpec {\n";
        for field in fields(spec) {
            out += &format!("        {field},\n");
        }
        out += "    },\n";
    }
    out += "];\n\npub(super) static OTHER_NAMES: &[(&str, Meant)] = &[\n";
    for OtherName { name, meant, absent } in &table.other_name {
        let meant = match (meant, absent) {
            (Some(id), _) => format!("Model({id:?})"),
            (None, why) => format!("Nothing({:?})", why.as_deref().unwrap_or_default()),
        };
        out += &format!("    ({name:?}, Meant::{meant}),\n");
    }
    out += "];\n";
    out
}

/// Fields of a model, each `name: value`.
fn fields(spec: &ModelSpec) -> Vec<String> {
    // Destructured, so that a new field is not forgotten here.
    let ModelSpec {
        id,
        source,
        file,
        additional_files,
        folder,
        tokenizer,
        files,
        license,
        size_gb,
        max_tokens,
        // Only in a user's own description.
        token_limit: _,
        lower_case,
        languages,
        year,
        prompts,
        alias_of,
        canonical,
        notice,
        task,
    } = spec;
    vec![
        format!("id: {}", id.literal()),
        format!("source: {}", source.literal()),
        format!("file: {}", file.literal()),
        format!("additional_files: {}", additional_files.literal()),
        format!("folder: {}", folder.literal()),
        format!("tokenizer: {}", tokenizer.literal()),
        format!("files: {}", files.literal()),
        format!("license: {}", license.literal()),
        format!("size_gb: {}", size_gb.literal()),
        format!("max_tokens: {}", max_tokens.literal()),
        "token_limit: None".to_owned(),
        format!("lower_case: {}", lower_case.literal()),
        format!("languages: {}", languages.literal()),
        format!("year: {}", year.literal()),
        format!("prompts: {}", prompts.literal()),
        format!("alias_of: {}", alias_of.literal()),
        format!("canonical: {}", canonical.literal()),
        format!("notice: {}", notice.literal()),
        format!("task: {}", task.literal()),
    ]
}

/// A value as a Rust constant expression.
trait Literal {
    fn literal(&self) -> String;
}

impl Literal for Str {
    fn literal(&self) -> String {
        format!("Borrowed({self:?})")
    }
}

impl<T: Clone + Literal> Literal for List<T> {
    fn literal(&self) -> String {
        let items: Vec<_> = self.iter().map(Literal::literal).collect();
        format!("Borrowed(&[{}])", items.join(", "))
    }
}

impl<T: Literal> Literal for Option<T> {
    fn literal(&self) -> String {
        self.as_ref().map_or_else(|| "None".into(), |value| format!("Some({})", value.literal()))
    }
}

/// Values whose `Debug` output is valid Rust, prefixed with the type's name for enums.
macro_rules! as_debug {
    ($prefix:literal: $($type:ty),*) => {
        $(impl Literal for $type {
            fn literal(&self) -> String {
                format!(concat!($prefix, "{:?}"), self as &dyn Debug)
            }
        })*
    };
}
as_debug!("": bool, u16, u32, u64, usize, f32, f64);
as_debug!("Pooling::": Pooling);
as_debug!("Activation::": Activation);
as_debug!("Encoder::": Encoder);
as_debug!("ImagePooling::": ImagePooling);
as_debug!("TokenizerFiles::": TokenizerFiles);

/// Structs, field by field, destructured so that a new field is not forgotten here.
macro_rules! structs {
    ($($type:ident { $($field:ident),* })*) => {
        $(impl Literal for $type {
            fn literal(&self) -> String {
                let Self { $($field),* } = self;
                let fields = [$(format!(concat!(stringify!($field), ": {}"), $field.literal())),*];
                format!(concat!(stringify!($type), " {{ {} }}"), fields.join(", "))
            }
        })*
    };
}
structs! {
    Source { repo, revision, url }
    FileDigest { path, size, sha256 }
    Canonical { texts, vectors, tolerance }
    ModelPrompts { query, passage, raw, unknown }
    TextDense {
        dim, encoder, output, pooling, concat, pool_prompt, pool_unknown, accept_pooled, layers,
        normalize, pad_to_limit, tasks
    }
    DenseLayer { file, dim, bias, activation }
    AdapterTasks { input, names, default, query, passage }
    Sparse { requires_idf, vocab_size, kind }
    Bm25Config { k, b, avg_len, language, token_max_length }
    SpladeConfig { output, sum, log_twice }
    IfSpladeConfig { documents, idf_file, special_tokens }
    Bm42Config { output, alpha, language, stopwords_file }
    MiniCoilConfig { output, k, b, avg_len, language, weights_file, vocab_file, stopwords_file }
    LateText {
        dim, output, layers, markers, reserve, query_limit, query_padding, skip_punctuation,
        skip_padding_id, normalize, normalize_queries
    }
    Markers { query, document }
    QueryPadding { token, length, attend }
    LateMultimodal { dim, output, text_prefix, text_augmentation, text_suffix, kind }
    Repeat { token, times }
    ColPaliConfig { text_start_ids, image_side, image_token_id, image_tokens, image_prompt_ids }
    ColModernVbertConfig { image_prefix, image_suffix, image_token, frame_token, global_token }
    Image { dim, output, pooling, normalize }
    Rerank { output, column, activation, tokens }
    TokenScore { template, true_token, false_token }
    TokenWeightsConfig { output, head, skip_tokens }
    TextHybrid { dim, heads, skip_tokens }
}

impl Literal for GraphOutput {
    fn literal(&self) -> String {
        match self {
            Self::Index(index) => format!("GraphOutput::Index({index})"),
            Self::Name(name) => format!("GraphOutput::Name({})", name.literal()),
        }
    }
}

impl Literal for HybridHeads {
    fn literal(&self) -> String {
        match self {
            Self::Layers { output, sparse, multi_vector } => format!(
                "HybridHeads::Layers {{ output: {}, sparse: {}, multi_vector: {} }}",
                output.literal(),
                sparse.literal(),
                multi_vector.literal()
            ),
            Self::Outputs { dense, sparse, multi_vector } => format!(
                "HybridHeads::Outputs {{ dense: {}, sparse: {}, multi_vector: {} }}",
                dense.literal(),
                sparse.literal(),
                multi_vector.literal()
            ),
            // The enum may grow; an unlisted variant cannot be rendered.
            other => unreachable!("no literal for {other:?}"),
        }
    }
}

impl Literal for Layer {
    fn literal(&self) -> String {
        match self {
            Self::Dense(dense) => format!("Layer::Dense({})", dense.literal()),
            Self::Normalize => "Layer::Normalize".to_owned(),
            // The enum may grow; an unlisted variant cannot be rendered.
            other => unreachable!("no literal for {other:?}"),
        }
    }
}

/// Enums whose variants have one value each.
macro_rules! enums {
    ($($type:ident { $($variant:ident),* })*) => {
        $(impl Literal for $type {
            fn literal(&self) -> String {
                match self {
                    $(Self::$variant(facts) => format!(
                        concat!(stringify!($type), "::", stringify!($variant), "({})"),
                        facts.literal()
                    ),)*
                    // The enum may grow; an unlisted variant cannot be rendered.
                    other => unreachable!("no literal for {other:?}"),
                }
            }
        })*
    };
}
enums! {
    Task { TextDense, Sparse, LateText, LateMultimodal, Image, Rerank, TextHybrid }
    SparseKind { Bm25, Splade, IfSplade, Bm42, MiniCoil, TokenWeights }
    LateMultimodalKind { ColPali, ColModernVbert }
}
