//! Cross-encoders: a query and a document to a score.

use embedkit_types::{Activation, ModelSpec, Rerank, Task, TokenScore};

use crate::{
    DescribeError, Description, Head,
    chat::{Chat, Format},
    checkpoint::{Config, graphs},
    document::Document,
    document::Reader,
    layers::activation,
    modules::{Kind, Module},
    prompts,
    settings::Settings,
};

/// Ids of tokens that are taken for real.
const TOKENS: std::ops::RangeInclusive<usize> = 0..=1 << 24;
/// Features that a transformer hands to `LogitScore`.
const LOGITS: &str = "causal_logits";

/// Describes a chain of one transformer with a classifier, or with the logits of a causal language model.
pub(crate) fn of_modules(
    mut reader: Reader<'_>,
    first: &Module,
    rest: &[Module],
    config: Option<&Document>,
) -> Result<Description, DescribeError> {
    if first.kind != Kind::Transformer {
        return Err(first.out_of_place(&reader, "Transformer"));
    }
    if let [score] = rest
        && score.kind == Kind::LogitScore
    {
        return of_logits(reader, first, score, config);
    }
    if let Some(other) = rest.iter().find(|module| module.kind != Kind::Dropout) {
        return Err(
            other.out_of_place(&reader, "nothing behind the Transformer but one LogitScore")
        );
    }
    let settings = Settings::read(&mut reader, first, Head::Classifier)?;
    let encoder = Config::read(&reader, &first.path, crate::modules::FILE)?;
    let mut found = of_checkpoint(reader, &encoder, config)?;
    found.spec.folder = first.path.clone().into();
    found.spec.token_limit = settings.token_limit;
    found.spec.lower_case = settings.lower_case;
    Ok(found)
}

/// Describes a checkpoint with a classifier; `config` is that of sentence-transformers.
pub(crate) fn of_checkpoint(
    mut reader: Reader<'_>,
    encoder: &Config,
    config: Option<&Document>,
) -> Result<Description, DescribeError> {
    prompts::refuse(config)?;
    let document = &encoder.document;
    let (field, labels) = labels(document)?;
    if labels != 1 {
        let supported = "one label; for others describe the model in a file with its `column`";
        return Err(document.unsupported(field, &format!("of {labels} labels"), supported));
    }
    reader.note("column", &0, &document.file);
    let stated = stated_activation(&mut reader, document, config)?;
    let graphs = graphs(&reader, encoder.folder());
    let spec = ModelSpec {
        id: reader.model.to_owned().into(),
        file: graphs.first().cloned().map_or(ModelSpec::DEFAULT.file, Into::into),
        task: Task::Rerank(Rerank { activation: stated, ..Rerank::DEFAULT }),
        ..ModelSpec::DEFAULT
    };
    let checkpoint = Some(encoder.checkpoint(&reader, Head::Classifier));
    Ok(Description { spec, facts: reader.facts, graphs, checkpoint })
}

/// Number of labels, and the field that says it. Transformers leaves out two labels without names.
fn labels(document: &Document) -> Result<(&'static str, usize), DescribeError> {
    if let Some(names) = document.inner("id2label")? {
        return Ok(("id2label", names.fields.len()));
    }
    let count = document.size("num_labels", 0..=1 << 20)?;
    Ok(("num_labels", count.unwrap_or(2)))
}

/// The function that the authors apply to the score, where they state one.
fn stated_activation(
    reader: &mut Reader<'_>,
    document: &Document,
    config: Option<&Document>,
) -> Result<Option<Activation>, DescribeError> {
    let own = document.inner("sentence_transformers")?;
    let places = [
        (config, "activation_fn"),
        (own.as_ref(), "activation_fn"),
        (Some(document), "sbert_ce_default_activation_function"),
    ];
    let mut stated = None;
    for (document, field) in places {
        let Some(document) = document.filter(|_| stated.is_none()) else { continue };
        stated = activation(document, field)?;
        if let Some(activation) = stated {
            reader.note("activation", &activation.name(), &document.file);
        }
    }
    Ok(stated)
}

/// Describes a causal language model that scores by the logits of one or two tokens.
fn of_logits(
    mut reader: Reader<'_>,
    transformer: &Module,
    score: &Module,
    config: Option<&Document>,
) -> Result<Description, DescribeError> {
    transformer.in_root(&reader)?;
    let document = reader.required(&score.file("config.json"), crate::modules::FILE)?;
    if let Some(input) = document.text("module_input_name")?
        && input != LOGITS
    {
        return Err(document.unsupported("module_input_name", &input, LOGITS));
    }
    let mut token = |field: &'static str| -> Result<Option<u32>, DescribeError> {
        let id = document.size(&format!("{field}_id"), TOKENS)?;
        let id = id.and_then(|id| u32::try_from(id).ok());
        if let Some(id) = id {
            reader.note(field, &id, &document.file);
        }
        Ok(id)
    };
    let (true_token, false_token) = (token("true_token")?, token("false_token")?);
    let true_token = true_token.ok_or_else(|| document.missing("true_token_id"))?;
    let head = Head::NextToken { true_token, false_token };
    let settings = Settings::read(&mut reader, transformer, head)?;
    let chat = Chat::read(&reader)?;
    let prompt = config.map(prompts::default).transpose()?.flatten();
    let settings_file = || reader.missing_file("sentence_bert_config.json", crate::modules::FILE);
    let format = format(settings.document.as_ref().ok_or_else(settings_file)?)?;
    let text = chat.text(&reader, prompt.as_deref(), format)?;
    reader.note("template", &format!("{text:?}"), chat.file);
    let encoder = Config::read(&reader, &transformer.path, crate::modules::FILE)?;
    let activation = stated_activation(&mut reader, &encoder.document, config)?;
    let graphs = graphs(&reader, encoder.folder());
    let tokens = TokenScore { template: vec![text.into()].into(), true_token, false_token };
    let spec = ModelSpec {
        id: reader.model.to_owned().into(),
        file: graphs.first().cloned().map_or(ModelSpec::DEFAULT.file, Into::into),
        token_limit: settings.token_limit,
        lower_case: settings.lower_case,
        task: Task::Rerank(Rerank { activation, tokens: Some(tokens), ..Rerank::DEFAULT }),
        ..ModelSpec::DEFAULT
    };
    let checkpoint = Some(encoder.checkpoint(&reader, head));
    Ok(Description { spec, facts: reader.facts, graphs, checkpoint })
}

/// The form of messages that the template is for.
fn format(settings: &Document) -> Result<Format, DescribeError> {
    const FIELD: &str = "modality_config";
    let modalities = settings.inner(FIELD)?.ok_or_else(|| settings.missing(FIELD))?;
    let message = modalities.inner("message")?.ok_or_else(|| modalities.missing("message"))?;
    match message.text("format")? {
        Some("flat") => Ok(Format::Flat),
        Some("structured") => Ok(Format::Structured),
        Some(other) => Err(message.unsupported("format", &other, "flat, structured")),
        None => Err(message.missing("format")),
    }
}
