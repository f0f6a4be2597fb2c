//! Cross-encoders: a query and a document to a score.

use embedkit_types::{ModelSpec, Rerank, Task};

use crate::{
    DescribeError, Description, Head,
    checkpoint::{Config, graphs},
    document::Document,
    document::Reader,
    layers::activation,
    modules::{Kind, Module},
    prompts,
    settings::Settings,
};

/// Describes a chain of one transformer with a classifier.
pub(crate) fn of_modules(
    mut reader: Reader<'_>,
    first: &Module,
    rest: &[Module],
    config: Option<&Document>,
) -> Result<Description, DescribeError> {
    if first.kind != Kind::Transformer {
        return Err(first.out_of_place(&reader, "Transformer"));
    }
    if let Some(other) = rest.iter().find(|module| module.kind != Kind::Dropout) {
        return Err(other.out_of_place(&reader, "nothing behind the Transformer"));
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
