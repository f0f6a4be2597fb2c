//! Late interaction: a vector for each token, of sentence-transformers, PyLate or Stanford's ColBERT.

use embedkit_types::{
    Activation, DenseLayer, LateText, Layer, Markers, ModelPrompts, ModelSpec, QueryPadding, Task,
};

use crate::{
    DescribeError, Description, Head,
    checkpoint::{Config, graphs},
    document::{DIMS, Document, Origin, Reader, TOKENS},
    layers::{self, Layers, tensor_shape},
    modules::{self, Kind, Module},
    prompts,
    settings::{Settings, limit_of},
    vocabulary::{self, Vocabulary},
};

/// The settings of Stanford's ColBERT.
pub(crate) const METADATA: &str = "artifact.metadata";
/// The characters that Python calls punctuation, which these models skip.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
/// Length of queries where the files do not say it: that of the format.
const QUERY_LENGTH: usize = 32;

/// Padding of queries.
struct Expansion {
    /// Length with the marker.
    length: usize,
    attend: bool,
    /// `true` if longer queries are cut at this length.
    cut: bool,
    token: Option<String>,
}

/// Facts of a model, from whichever files.
#[derive(Default)]
struct Facts {
    query_prefix: Option<String>,
    document_prefix: Option<String>,
    query_length: Option<usize>,
    document_length: Option<usize>,
    expansion: Option<Expansion>,
    skip_punctuation: bool,
    normalize: bool,
    /// File that the facts are from.
    file: String,
}

/// Describes a chain of modules from text to a vector for each token.
pub(crate) fn of_modules(
    mut reader: Reader<'_>,
    first: &Module,
    rest: &[Module],
    config: Option<&Document>,
) -> Result<Description, DescribeError> {
    if first.kind != Kind::Transformer {
        return Err(first.out_of_place(&reader, "Transformer"));
    }
    first.in_root(&reader)?;
    let encoder = Config::read(&reader, &first.path, modules::FILE)?;
    let hidden = encoder.hidden()?;
    let settings = Settings::read(&mut reader, first, Head::Hidden)?;
    let pylate = config.is_some_and(is_pylate);
    let mut facts = match config.filter(|_| pylate) {
        Some(config) => of_pylate(config)?,
        None => of_settings(settings.document.as_ref(), config)?,
    };
    let mut chain = Layers::new(hidden, layers::TOKENS);
    for module in rest {
        match module.kind {
            Kind::Dense => chain.dense(&mut reader, module)?,
            Kind::Normalize => chain.normalize(&reader, module)?,
            Kind::MultiVectorMask => {
                let document = reader.required(&module.file("config.json"), modules::FILE)?;
                facts.skip_punctuation = skips(&document)?;
            }
            Kind::Dropout => {}
            _ => {
                let supported = "Dense, Normalize, MultiVectorMask, Dropout";
                return Err(module.out_of_place(&reader, supported));
            }
        }
    }
    // PyLate scales to unit length without a module.
    facts.normalize = chain.take_normalize() || pylate;
    let prompts = if pylate { None } else { prompts::read(&mut reader, config)? };
    finish(reader, &encoder, &facts, chain, prompts, &settings)
}

/// Describes a checkpoint of Stanford's ColBERT: settings in `artifact.metadata`, and the projection among
/// the weights of the encoder.
pub(crate) fn of_stanford(
    reader: Reader<'_>,
    encoder: &Config,
) -> Result<Description, DescribeError> {
    let metadata = reader.required(METADATA, &encoder.document.file)?;
    let prefix = |field| -> Result<Option<String>, DescribeError> {
        Ok(Some(metadata.text(field)?.ok_or_else(|| metadata.missing(field))?.to_owned()))
    };
    let length = metadata.size("query_maxlen", TOKENS)?.unwrap_or(QUERY_LENGTH);
    let attend = metadata.flag("attend_to_mask_tokens")?.unwrap_or(false);
    let facts = Facts {
        query_prefix: prefix("query_token_id")?,
        document_prefix: prefix("doc_token_id")?,
        query_length: None,
        document_length: metadata.size("doc_maxlen", TOKENS)?,
        expansion: Some(Expansion { length, attend, cut: true, token: None }),
        skip_punctuation: metadata.flag("mask_punctuation")?.unwrap_or(true),
        normalize: true,
        file: METADATA.to_owned(),
    };
    let hidden = encoder.hidden()?;
    let file = "model.safetensors";
    if !reader.has(file) {
        return Err(reader.missing_file(file, METADATA));
    }
    let shape = tensor_shape(&reader, file, &["linear.weight"])?;
    let dim = match shape.as_deref() {
        Some(&[dim, width]) if width == hidden.value && DIMS.contains(&dim) => dim,
        Some(other) => {
            let expected = format!("shape [dim, {}]", hidden.value);
            let got = serde_json::Value::from(format!("{other:?}"));
            return Err(reader.wrong(file, "linear.weight", &expected, &got));
        }
        None => {
            let (model, field) = (reader.model.to_owned(), "linear.weight".to_owned());
            return Err(DescribeError::Missing { model, file: file.to_owned(), field });
        }
    };
    if let Some(stated) = metadata.dim(&["dim"])?
        && stated.value != dim
    {
        let field = "linear.weight".to_owned();
        let there = Origin { file: file.to_owned(), field, value: dim };
        return Err(metadata.contradiction("dim", &stated.value, &there));
    }
    let field = "linear.weight".to_owned();
    let mut chain =
        Layers::new(Origin { file: file.to_owned(), field, value: dim }, layers::TOKENS);
    chain.list.push(Layer::Dense(DenseLayer {
        file: file.into(),
        dim,
        bias: false,
        activation: Activation::Identity,
    }));
    chain.files.push(file.to_owned());
    let mut found = finish(reader, encoder, &facts, chain, None, &Settings::default())?;
    // A graph of such a repository may have the projection inside; one made of the weights has not.
    found.graphs.clear();
    found.spec.file = ModelSpec::DEFAULT.file;
    Ok(found)
}

/// True for a configuration that PyLate wrote.
pub(crate) fn is_pylate(config: &Document) -> bool {
    ["query_prefix", "document_prefix"].iter().any(|field| config.get(field).is_some())
}

/// Facts of PyLate, beside the prompts.
fn of_pylate(config: &Document) -> Result<Facts, DescribeError> {
    let length = config.size("query_length", TOKENS)?;
    let expands = config.flag("do_query_expansion")?.unwrap_or(true);
    let attend = config.flag("attend_to_expansion_tokens")?.unwrap_or(false);
    let expansion = expands.then(|| Expansion {
        length: length.unwrap_or(QUERY_LENGTH),
        attend,
        cut: true,
        token: None,
    });
    let prefix = |field| -> Result<Option<String>, DescribeError> {
        Ok(config.text(field)?.filter(|text| !text.is_empty()).map(str::to_owned))
    };
    Ok(Facts {
        query_prefix: prefix("query_prefix")?,
        document_prefix: prefix("document_prefix")?,
        query_length: length.filter(|_| !expands),
        document_length: config.size("document_length", TOKENS)?,
        expansion,
        skip_punctuation: match config.get("skiplist_words") {
            None => true, // the format's own default
            Some(_) => skips(config)?,
        },
        normalize: true,
        file: config.file.clone(),
    })
}

/// Facts of sentence-transformers: lengths in the settings of the transformer, prefixes in the prompts.
fn of_settings(
    settings: Option<&Document>,
    config: Option<&Document>,
) -> Result<Facts, DescribeError> {
    let mut facts = Facts { file: prompts::FILE.to_owned(), ..Facts::default() };
    if let Some(texts) = config.map(|config| config.inner("prompts")).transpose()?.flatten() {
        let prefix = |name| -> Result<Option<String>, DescribeError> {
            Ok(texts.text(name)?.filter(|text| !text.is_empty()).map(str::to_owned))
        };
        facts.query_prefix = prefix("query")?;
        facts.document_prefix = prefix("document")?;
    }
    let Some(settings) = settings else { return Ok(facts) };
    facts.query_length = settings.size("query_length", TOKENS)?;
    facts.document_length = settings.size("document_length", TOKENS)?;
    if let Some(expansion) = settings.inner("query_expansion")? {
        let cut = match expansion.text("strategy")? {
            Some("fixed") => true,
            Some("min") => false,
            Some(other) => return Err(expansion.unsupported("strategy", &other, "fixed, min")),
            None => return Err(expansion.missing("strategy")),
        };
        let length =
            expansion.size("length", TOKENS)?.ok_or_else(|| expansion.missing("length"))?;
        let attend = expansion.flag("attend")?.unwrap_or(false);
        let token = expansion.text("token")?.map(str::to_owned);
        facts.expansion = Some(Expansion { length, attend, cut, token });
    }
    Ok(facts)
}

/// Returns `true` if a list of skipped words is that of all punctuation; another one than that or none is not
/// supported.
fn skips(document: &Document) -> Result<bool, DescribeError> {
    if let Some(tasks) = document.texts("skiplist_tasks")?
        && tasks != ["document"]
    {
        return Err(document.unsupported("skiplist_tasks", &tasks.join(", "), "document"));
    }
    document.refuse("keep_only_token_ids")?;
    let words = document.texts("skiplist_words")?.unwrap_or_default();
    let is_all = |character: char| words.contains(&&*character.to_string());
    match words.len() {
        0 => Ok(false),
        length if length == PUNCTUATION.len() && PUNCTUATION.chars().all(is_all) => Ok(true),
        length => {
            let got = format!("a list of {length} words");
            Err(document.unsupported("skiplist_words", &got, "none, or the 32 of punctuation"))
        }
    }
}

fn finish(
    mut reader: Reader<'_>,
    encoder: &Config,
    facts: &Facts,
    chain: Layers,
    prompts: Option<ModelPrompts>,
    settings: &Settings,
) -> Result<Description, DescribeError> {
    let markers = markers(&mut reader, facts)?;
    // A marker is a token of its own, and not the text of a prompt.
    let prompts = if markers.is_some() { None } else { prompts };
    let reserve = usize::from(markers.is_some());
    let query_padding = match &facts.expansion {
        None => None,
        Some(expansion) => {
            let token = match &expansion.token {
                Some(token) => token.clone(),
                None => vocabulary::mask_token(&mut reader)?,
            };
            reader.note("query_padding.length", &expansion.length, &facts.file);
            Some(QueryPadding {
                token: token.into(),
                length: Some(expansion.length.saturating_sub(reserve).max(1)),
                attend: expansion.attend,
            })
        }
    };
    let cut = facts.expansion.as_ref().filter(|expansion| expansion.cut);
    let query_limit = cut.map(|expansion| expansion.length).or(facts.query_length);
    let token_limit = match facts.document_length {
        None => settings.token_limit,
        Some(length) => {
            reader.note("max_tokens", &length, &facts.file);
            limit_of(length)
        }
    };
    reader.note("dim", &chain.dim.value, &chain.dim.file);
    reader.note("normalize", &facts.normalize, &facts.file);
    reader.note("skip_punctuation", &facts.skip_punctuation, &facts.file);
    let graphs = graphs(&reader, encoder.folder());
    let task = LateText {
        dim: chain.dim.value,
        layers: chain.list.into(),
        markers,
        reserve,
        query_limit,
        query_padding,
        skip_punctuation: facts.skip_punctuation,
        normalize: facts.normalize,
        normalize_queries: facts.normalize,
        ..LateText::DEFAULT
    };
    let spec = ModelSpec {
        id: reader.model.to_owned().into(),
        file: graphs.first().cloned().map_or(ModelSpec::DEFAULT.file, Into::into),
        additional_files: chain.files.into_iter().map(Into::into).collect(),
        token_limit,
        lower_case: settings.lower_case,
        prompts,
        task: Task::LateText(task),
        ..ModelSpec::DEFAULT
    };
    let checkpoint = Some(encoder.checkpoint(&reader, Head::Hidden));
    Ok(Description { spec, facts: reader.facts, graphs, checkpoint })
}

/// The ids of the prefixes, where both are tokens; `None` where neither is, so that they are text.
fn markers(reader: &mut Reader<'_>, facts: &Facts) -> Result<Option<Markers>, DescribeError> {
    let (Some(query), Some(document)) = (&facts.query_prefix, &facts.document_prefix) else {
        return Ok(None);
    };
    let vocabulary = Vocabulary::read(reader, &facts.file)?;
    let token = |prefix: &str| -> Result<Option<u32>, DescribeError> {
        // PyLate saves a token with the blank behind it.
        match vocabulary.id(prefix)? {
            Some(id) => Ok(Some(id)),
            None => vocabulary.id(prefix.trim()),
        }
    };
    match (token(query)?, token(document)?) {
        (Some(query), Some(document)) => {
            reader.note("markers.query", &query, &facts.file);
            reader.note("markers.document", &document, &facts.file);
            Ok(Some(Markers { query, document }))
        }
        (None, None) if facts.file == prompts::FILE => Ok(None),
        (found, _) => {
            let (field, prefix) = if found.is_none() {
                ("query prefix", query)
            } else {
                ("document prefix", document)
            };
            let expected = "a token of tokenizer.json";
            Err(reader.wrong(&facts.file, field, expected, &prefix.as_str().into()))
        }
    }
}
