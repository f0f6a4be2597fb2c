//! A chain of modules from text to one vector.

use embedkit_types::{ModelSpec, Pooling, Task, TextDense};

use crate::{
    DescribeError, Description, Head,
    checkpoint::{Config, graphs},
    document::{Document, Origin, Reader},
    layers::{Layers, SENTENCE},
    modules::{self, Kind, Module},
    prompts,
    settings::Settings,
    table,
};

/// Describes a chain that begins with a transformer or a table.
pub(crate) fn describe(
    mut reader: Reader<'_>,
    first: &Module,
    rest: &[Module],
    config: Option<&Document>,
) -> Result<Description, DescribeError> {
    match first.kind {
        Kind::Transformer => transformer(reader, first, rest, config),
        Kind::StaticEmbedding if table::is_model2vec(&reader, rest)? => {
            let document = reader.required("config.json", modules::FILE)?;
            table::of_model2vec(reader, &document)
        }
        Kind::StaticEmbedding => {
            let dim = table::dim(&reader, first)?;
            let layers = follow(&mut reader, Layers::new(dim, SENTENCE), rest)?;
            let prompts = prompts::read(&mut reader, config)?;
            refuse_truncation(config)?;
            Ok(table::of_module(reader, first, layers, prompts))
        }
        _ => Err(first.out_of_place(&reader, "Transformer, StaticEmbedding")),
    }
}

fn transformer(
    mut reader: Reader<'_>,
    first: &Module,
    rest: &[Module],
    config: Option<&Document>,
) -> Result<Description, DescribeError> {
    let encoder = Config::read(&reader, &first.path, modules::FILE)?;
    let hidden = encoder.hidden()?;
    let settings = Settings::read(&mut reader, first, Head::Hidden)?;
    let (pooling, rest) = match rest {
        [pooling, rest @ ..] if pooling.kind == Kind::Pooling => (pooling, rest),
        [other, ..] => return Err(other.out_of_place(&reader, "Pooling")),
        [] => {
            let (model, file) = (reader.model.to_owned(), modules::FILE.to_owned());
            return Err(DescribeError::Missing { model, file, field: "Pooling".to_owned() });
        }
    };
    let Pooled { poolings, pool_prompt, dim } = pool(&mut reader, pooling, &hidden)?;
    let mut layers = follow(&mut reader, Layers::new(dim, SENTENCE), rest)?;
    let normalize = layers.take_normalize();
    reader.note("dim", &layers.dim.value, &layers.dim.file);
    reader.note("normalize", &normalize, modules::FILE);
    let prompts = prompts::read(&mut reader, config)?;
    refuse_truncation(config)?;
    let graphs = graphs(&reader, &first.path);
    let (pooling, concat) = poolings
        .split_first()
        .map_or_else(|| (Pooling::Mean, Vec::new()), |(&first, rest)| (first, rest.to_vec()));
    let task = TextDense {
        dim: layers.dim.value,
        pooling,
        concat: concat.into(),
        pool_prompt,
        layers: layers.list.into(),
        normalize,
        ..TextDense::DEFAULT
    };
    let spec = ModelSpec {
        id: reader.model.to_owned().into(),
        file: graphs.first().cloned().map_or(ModelSpec::DEFAULT.file, Into::into),
        additional_files: layers.files.into_iter().map(Into::into).collect(),
        folder: first.path.clone().into(),
        token_limit: settings.token_limit,
        lower_case: settings.lower_case,
        prompts,
        task: Task::TextDense(task),
        ..ModelSpec::DEFAULT
    };
    let checkpoint = Some(encoder.checkpoint(&reader, Head::Hidden));
    Ok(Description { spec, facts: reader.facts, graphs, checkpoint })
}

/// The layers of the modules behind the pooling.
fn follow(
    reader: &mut Reader<'_>,
    mut layers: Layers,
    modules: &[Module],
) -> Result<Layers, DescribeError> {
    for module in modules {
        match module.kind {
            Kind::Dense => layers.dense(reader, module)?,
            Kind::Normalize => layers.normalize(reader, module)?,
            Kind::Dropout => {}
            _ => return Err(module.out_of_place(reader, "Dense, Normalize, Dropout")),
        }
    }
    Ok(layers)
}

/// A dimension to which vectors are cut is one of the options, where they are scaled to unit length.
fn refuse_truncation(config: Option<&Document>) -> Result<(), DescribeError> {
    config.map_or(Ok(()), |config| config.refuse("truncate_dim"))
}

/// A pooling as its configuration has it.
struct Pooled {
    poolings: Vec<Pooling>,
    pool_prompt: bool,
    dim: Origin,
}

fn pool(
    reader: &mut Reader<'_>,
    module: &Module,
    hidden: &Origin,
) -> Result<Pooled, DescribeError> {
    let document = reader.required(&module.file("config.json"), modules::FILE)?;
    let fields = ["embedding_dimension", "word_embedding_dimension"];
    let width = document.dim(&fields)?.ok_or_else(|| document.missing(fields[1]))?;
    if width.value != hidden.value {
        return Err(document.contradiction(&width.field, &width.value, hidden));
    }
    let poolings = poolings(&document)?;
    let names: Vec<_> = poolings.iter().map(|pooling| pooling.name()).collect();
    reader.note("pooling", &names.join("+"), &document.file);
    let pool_prompt = document.flag("include_prompt")?.unwrap_or(true);
    if !pool_prompt {
        reader.note("pool_prompt", &false, &document.file);
    }
    let value = width.value.saturating_mul(poolings.len());
    Ok(Pooled { poolings, pool_prompt, dim: Origin { value, ..width } })
}

/// Flags of the older form, in the order in which their vectors stand.
const FLAGS: [(&str, &str); 6] = [
    ("pooling_mode_cls_token", "cls"),
    ("pooling_mode_max_tokens", "max"),
    ("pooling_mode_mean_tokens", "mean"),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
    ("pooling_mode_weightedmean_tokens", "weightedmean"),
    ("pooling_mode_lasttoken", "lasttoken"),
];

const MODES: [(&str, Pooling); 6] = [
    ("cls", Pooling::Cls),
    ("max", Pooling::Max),
    ("mean", Pooling::Mean),
    ("mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
    ("weightedmean", Pooling::WeightedMean),
    ("lasttoken", Pooling::LastToken),
];
/// Most poolings of a concatenation.
const MOST_POOLINGS: usize = 8;

/// The poolings of a configuration in the order of their vectors, at least one.
fn poolings(document: &Document) -> Result<Vec<Pooling>, DescribeError> {
    let mut modes = Vec::new();
    match document.get("pooling_mode") {
        Some(serde_json::Value::Array(_)) => {
            let names = document.texts("pooling_mode")?.unwrap_or_default();
            modes.extend(names.into_iter().map(|mode| ("pooling_mode", mode)));
        }
        Some(_) => modes.extend(document.text("pooling_mode")?.map(|mode| ("pooling_mode", mode))),
        None => {
            for (field, mode) in FLAGS {
                if document.flag(field)? == Some(true) {
                    modes.push((field, mode));
                }
            }
        }
    }
    if modes.is_empty() {
        return Err(document.missing("pooling_mode"));
    }
    if modes.len() > MOST_POOLINGS {
        let supported = format!("at most {MOST_POOLINGS} poolings");
        return Err(document.unsupported("pooling_mode", &modes.len(), &supported));
    }
    let known = |(field, mode): (&str, &str)| {
        MODES.iter().find(|(name, _)| *name == mode).map(|&(_, pooling)| pooling).ok_or_else(|| {
            document.unsupported(field, &mode, &MODES.map(|(name, _)| name).join(", "))
        })
    };
    modes.into_iter().map(known).collect()
}
