//! The fields of a row that belong to its task. Each function takes out those that it knows; what
//! is left is an error.

use crate::{
    Bm25Config, Bm42Config, ColModernVbertConfig, ColPaliConfig, DenseLayer, Encoder, HybridHeads,
    IfSpladeConfig, Image, ImagePooling, LateMultimodal, LateMultimodalKind, LateText, Layer, List,
    MiniCoilConfig, Pooling, Rerank, Sparse, SparseKind, SpladeConfig, Str, Task, TemplatePart,
    TextDense, TextHybrid, TokenScore, TokenWeightsConfig,
};

use super::{
    Row, RowError,
    checks::{COUNTS, Checks, DIMS},
};

/// Most poolings of a concatenation.
const MOST_POOLINGS: usize = 8;
/// Most layers behind the pooling.
const MOST_LAYERS: usize = 16;

/// Takes the facts of the task out of a row.
pub(super) fn read(row: &mut Row, checks: &Checks) -> Result<Task, RowError> {
    Ok(match row.task.as_str() {
        "text-dense" => Task::TextDense(text_dense(row, checks)?),
        "sparse" => Task::Sparse(sparse(row, checks)?),
        "late-text" => Task::LateText(late_text(row, checks)?),
        "late-multimodal" => Task::LateMultimodal(late_multimodal(row, checks)?),
        "image" => Task::Image(image(row, checks)?),
        "rerank" => Task::Rerank(rerank(row, checks)?),
        "text-hybrid" => Task::TextHybrid(text_hybrid(row, checks)?),
        _ => {
            return Err(RowError::UnknownTask { id: row.id.to_string(), task: row.task.clone() });
        }
    })
}

fn text_dense(row: &mut Row, checks: &Checks) -> Result<TextDense, RowError> {
    let dim = checks.dim(row)?;
    let layers = row.layers.take().unwrap_or_default();
    check_layers(&layers, dim, checks)?;
    if row.encoder.take() == Some(Encoder::Static) {
        let normalize = row.normalize.take().unwrap_or(true);
        let pool_unknown = row.pool_unknown.take().unwrap_or(false);
        let encoder = Encoder::Static;
        let task =
            TextDense { dim, encoder, pool_unknown, layers, normalize, ..TextDense::DEFAULT };
        return Ok(task);
    }
    let (pooling, concat) = poolings(row, checks)?;
    let accept_pooled = row.accept_pooled.take().unwrap_or(false);
    let takes_first = pooling == Pooling::Cls && concat.is_empty();
    checks.require(!accept_pooled || takes_first, "accept_pooled", &true, "with pooling `cls`")?;
    let tasks = row.tasks.take();
    if let Some(tasks) = &tasks {
        checks.text("tasks.input", &tasks.input)?;
        let count = tasks.names.len();
        let named = count > 0 && tasks.names.iter().all(|name| !name.is_empty());
        checks.require(named, "tasks.names", &format!("{:?}", tasks.names), "a list of names")?;
        for (field, id) in [
            ("tasks.default", tasks.default),
            ("tasks.query", tasks.query),
            ("tasks.passage", tasks.passage),
        ] {
            checks.require(id < count, field, &id, "the position of a name, from 0")?;
        }
    }
    Ok(TextDense {
        dim,
        encoder: Encoder::Transformer,
        output: checks.output(row)?,
        pooling,
        concat,
        pool_prompt: row.pool_prompt.take().unwrap_or(true),
        pool_unknown: false,
        accept_pooled,
        layers,
        normalize: checks.present("normalize", row.normalize.take())?,
        pad_to_limit: row.pad_to_limit.take().unwrap_or(false),
        tasks,
    })
}

/// One pooling, or several with `+` between them.
fn poolings(row: &mut Row, checks: &Checks) -> Result<(Pooling, List<Pooling>), RowError> {
    let text = checks.present("pooling", row.pooling.take())?;
    let wrong = || {
        let names = Pooling::ALL.map(Pooling::name).join(", ");
        checks.invalid("pooling", &text, &format!("one of {names}, or several such as cls+mean"))
    };
    let all: Option<Vec<_>> = text.split('+').map(Pooling::from_name).collect();
    let mut all = all.filter(|all| all.len() <= MOST_POOLINGS).ok_or_else(wrong)?;
    if all.len() > 1 && all.contains(&Pooling::None) {
        return Err(wrong());
    }
    let rest = all.split_off(1);
    Ok((all[0], rest.into()))
}

fn check_layers(layers: &[Layer], dim: usize, checks: &Checks) -> Result<(), RowError> {
    let rule = format!("at most {MOST_LAYERS} layers");
    checks.require(layers.len() <= MOST_LAYERS, "layers", &layers.len(), &rule)?;
    for layer in layers {
        if let Layer::Dense(dense) = layer {
            check_dense("layers.dense.file", "layers.dense.dim", dense, checks)?;
        }
    }
    let last = layers.iter().rev().find_map(Layer::dim);
    let found = last.unwrap_or(dim);
    checks.require(found == dim, "layers.dense.dim", &found, &format!("{dim} at last, the `dim`"))
}

fn check_dense(
    file: &'static str,
    dim: &'static str,
    layer: &DenseLayer,
    checks: &Checks,
) -> Result<(), RowError> {
    checks.path(file, &layer.file)?;
    checks.range(dim, layer.dim, DIMS).map(drop)
}

/// A layer from the vector of a token to its weight.
fn weight_head(
    field: &'static str,
    head: Option<DenseLayer>,
    checks: &Checks,
) -> Result<Option<DenseLayer>, RowError> {
    if let Some(head) = &head {
        checks.path(field, &head.file)?;
        checks.require(head.dim == 1, field, &head.dim, "of `dim` 1")?;
    }
    Ok(head)
}

fn skip_tokens(row: &mut Row, checks: &Checks) -> Result<List<Str>, RowError> {
    let tokens = row.skip_tokens.take().unwrap_or_default();
    for token in tokens.iter() {
        checks.text("skip_tokens", token)?;
    }
    Ok(tokens)
}

fn text_hybrid(row: &mut Row, checks: &Checks) -> Result<TextHybrid, RowError> {
    let dim = checks.dim(row)?;
    let output = checks.output(row)?;
    let outputs = [row.sparse_output.take(), row.multi_vector_output.take()];
    let skip_tokens = skip_tokens(row, checks)?;
    if outputs.iter().any(Option::is_some) {
        let [sparse, multi_vector] = outputs;
        for (field, output) in [("sparse_output", &sparse), ("multi_vector_output", &multi_vector)]
        {
            if let Some(output) = output {
                checks.graph_output(field, output)?;
            }
        }
        let heads = HybridHeads::Outputs { dense: output, sparse, multi_vector };
        return Ok(TextHybrid { dim, heads, skip_tokens });
    }
    let sparse = weight_head("sparse_head", row.sparse_head.take(), checks)?;
    let multi_vector = row.multi_vector_head.take();
    if let Some(head) = &multi_vector {
        check_dense("multi_vector_head", "multi_vector_head", head, checks)?;
    } else if sparse.is_none() {
        checks.present("sparse_head", None::<DenseLayer>)?;
    }
    let heads = HybridHeads::Layers { output, sparse, multi_vector };
    Ok(TextHybrid { dim, heads, skip_tokens })
}

fn splade(row: &mut Row, checks: &Checks, log_twice: bool) -> Result<SpladeConfig, RowError> {
    Ok(SpladeConfig {
        output: checks.output(row)?,
        sum: row.sum.take().unwrap_or(false),
        log_twice: row.log_twice.take().unwrap_or(log_twice),
    })
}

fn sparse(row: &mut Row, checks: &Checks) -> Result<Sparse, RowError> {
    let kind = match checks.present("kind", row.kind.take())?.as_str() {
        "bm25" => SparseKind::Bm25(Bm25Config {
            k: checks.number("k", row.k.take())?,
            b: checks.number("b", row.b.take())?,
            avg_len: checks.average("avg_len", row.avg_len.take())?,
            language: checks.present_text("language", row.language.take())?,
            token_max_length: checks.count("token_max_length", row.token_max_length.take())?,
        }),
        "splade" => SparseKind::Splade(splade(row, checks, false)?),
        "if-splade" => SparseKind::IfSplade(IfSpladeConfig {
            documents: splade(row, checks, true)?,
            idf_file: checks.present_path("idf_file", row.idf_file.take())?,
            special_tokens: row.special_tokens.take().unwrap_or(false),
        }),
        "bm42" => SparseKind::Bm42(Bm42Config {
            output: checks.output(row)?,
            alpha: checks.number("alpha", row.alpha.take())?,
            language: checks.present_text("language", row.language.take())?,
            stopwords_file: checks.present_path("stopwords_file", row.stopwords_file.take())?,
        }),
        "minicoil" => SparseKind::MiniCoil(MiniCoilConfig {
            output: checks.output(row)?,
            k: checks.number("k", row.k.take())?,
            b: checks.number("b", row.b.take())?,
            avg_len: checks.average("avg_len", row.avg_len.take())?,
            language: checks.present_text("language", row.language.take())?,
            weights_file: checks.present_path("weights_file", row.weights_file.take())?,
            vocab_file: checks.present_path("vocab_file", row.vocab_file.take())?,
            stopwords_file: checks.present_path("stopwords_file", row.stopwords_file.take())?,
        }),
        "token-weights" => SparseKind::TokenWeights(TokenWeightsConfig {
            output: checks.output(row)?,
            head: weight_head("head", row.head.take(), checks)?,
            skip_tokens: skip_tokens(row, checks)?,
        }),
        other => {
            let expected = "bm25, splade, if-splade, bm42, minicoil or token-weights";
            return Err(checks.invalid("kind", &other, expected));
        }
    };
    let vocab_size = match row.vocab_size.take() {
        None => None,
        size => Some(checks.count("vocab_size", size)?),
    };
    let requires_idf = checks.present("requires_idf", row.requires_idf.take())?;
    Ok(Sparse { requires_idf, vocab_size, kind })
}

fn late_text(row: &mut Row, checks: &Checks) -> Result<LateText, RowError> {
    let query_padding = row.query_padding.take();
    if let Some(padding) = &query_padding {
        checks.text("query_padding.token", &padding.token)?;
        match padding.length {
            Some(length) => {
                checks.range("query_padding.length", length, COUNTS)?;
            }
            None => {
                let rule = "used with `length`";
                checks.require(!padding.attend, "query_padding.attend", &true, rule)?;
            }
        }
    }
    let dim = checks.dim(row)?;
    let layers = row.layers.take().unwrap_or_default();
    check_layers(&layers, dim, checks)?;
    let query_limit = match row.query_limit.take() {
        None => None,
        limit => Some(checks.count("query_limit", limit)?),
    };
    Ok(LateText {
        dim,
        output: checks.output(row)?,
        layers,
        query_limit,
        markers: row.markers.take(),
        reserve: checks.range("reserve", row.reserve.take().unwrap_or(0), 0..=16)?,
        query_padding,
        skip_punctuation: row.skip_punctuation.take().unwrap_or(false),
        skip_padding_id: row.skip_padding_id.take().unwrap_or(false),
        normalize: checks.present("normalize", row.normalize.take())?,
        normalize_queries: checks.present("normalize_queries", row.normalize_queries.take())?,
    })
}

fn late_multimodal(row: &mut Row, checks: &Checks) -> Result<LateMultimodal, RowError> {
    let text_augmentation = checks.present("text_augmentation", row.text_augmentation.take())?;
    checks.text("text_augmentation.token", &text_augmentation.token)?;
    checks.range("text_augmentation.times", text_augmentation.times, 0..=1024)?;
    let kind = match checks.present("kind", row.kind.take())?.as_str() {
        "colpali" => LateMultimodalKind::ColPali(ColPaliConfig {
            text_start_ids: row.text_start_ids.take().unwrap_or_default(),
            image_side: checks.count("image_side", row.image_side.take())?,
            image_token_id: checks.present("image_token_id", row.image_token_id.take())?,
            image_tokens: checks.count("image_tokens", row.image_tokens.take())?,
            image_prompt_ids: checks.present("image_prompt_ids", row.image_prompt_ids.take())?,
        }),
        "colmodernvbert" => LateMultimodalKind::ColModernVbert(ColModernVbertConfig {
            image_prefix: checks.present("image_prefix", row.image_prefix.take())?,
            image_suffix: checks.present("image_suffix", row.image_suffix.take())?,
            image_token: checks.present_text("image_token", row.image_token.take())?,
            frame_token: checks.present_text("frame_token", row.frame_token.take())?,
            global_token: checks.present_text("global_token", row.global_token.take())?,
        }),
        other => return Err(checks.invalid("kind", &other, "colpali or colmodernvbert")),
    };
    Ok(LateMultimodal {
        dim: checks.dim(row)?,
        output: checks.output(row)?,
        text_prefix: row.text_prefix.take().unwrap_or_default(),
        text_augmentation,
        text_suffix: row.text_suffix.take().unwrap_or_default(),
        kind,
    })
}

fn image(row: &mut Row, checks: &Checks) -> Result<Image, RowError> {
    let pooling = match checks.present("pooling", row.pooling.take())?.as_str() {
        "flatten" => ImagePooling::Flatten,
        "cls" => ImagePooling::Cls,
        other => return Err(checks.invalid("pooling", &other, "flatten or cls")),
    };
    Ok(Image {
        dim: checks.dim(row)?,
        output: checks.output(row)?,
        pooling,
        normalize: checks.present("normalize", row.normalize.take())?,
    })
}

fn rerank(row: &mut Row, checks: &Checks) -> Result<Rerank, RowError> {
    let output = checks.output(row)?;
    let activation = row.activation.take();
    if row.template.is_some() {
        // Whatever the graph gives, these tokens are the score, and a column has no meaning.
        let tokens = Some(token_score(row, checks)?);
        return Ok(Rerank { output, activation, tokens, ..Rerank::DEFAULT });
    }
    let column = row.column.take().unwrap_or(Rerank::DEFAULT.column);
    let column = checks.range("column", column, 0..=1023)?;
    Ok(Rerank { output, column, activation, tokens: None })
}

fn token_score(row: &mut Row, checks: &Checks) -> Result<TokenScore, RowError> {
    let template = checks.present("template", row.template.take())?;
    if let Err(error) = TemplatePart::parse(&template) {
        return Err(checks.invalid("template", &template.join("\n"), &error.to_string()));
    }
    let true_token = checks.present("true_token", row.true_token.take())?;
    let false_token = row.false_token.take();
    let other = false_token != Some(true_token);
    checks.require(other, "false_token", &true_token, "another token than `true_token`")?;
    Ok(TokenScore { template, true_token, false_token })
}
