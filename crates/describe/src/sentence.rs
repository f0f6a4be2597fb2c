//! A chain of modules from text to one vector.

use embedkit_types::{ModelSpec, Pooling, Task, TextDense};
use serde_json::Value;

use crate::{
    DescribeError, Description, Head,
    checkpoint::{Config, graphs},
    document::{Document, Origin, Reader},
    modules::{self, Kind, Module},
    prompts,
    settings::Settings,
};

/// Describes a chain that begins with a transformer.
pub(crate) fn describe(
    mut reader: Reader<'_>,
    modules: &[Module],
) -> Result<Description, DescribeError> {
    let Some((first, rest)) = modules.split_first() else {
        return Err(reader.wrong(modules::FILE, "", "modules", &Value::Array(Vec::new())));
    };
    if first.kind != Kind::Transformer {
        return Err(out_of_place(&reader, 0, first, "Transformer"));
    }
    let config = Config::read(&reader, &first.path, modules::FILE)?;
    let hidden = config.hidden()?;
    let settings = Settings::read(&mut reader, first)?;
    let mut chain = Chain { dim: hidden, pooling: None, normalize: None };
    for (index, module) in rest.iter().enumerate() {
        chain.follow(&mut reader, index + 1, module)?;
    }
    let Some(pooling) = chain.pooling else {
        return Err(DescribeError::Missing {
            model: reader.model.to_owned(),
            file: modules::FILE.to_owned(),
            field: "type = …Pooling".to_owned(),
        });
    };
    reader.note("dim", &chain.dim.value, &chain.dim.file);
    let normalize = chain.normalize.is_some();
    reader.note("normalize", &normalize, modules::FILE);
    let prompts = prompts::read(&mut reader)?;
    let graphs = graphs(&reader, &first.path);
    let task = TextDense { dim: chain.dim.value, pooling, normalize, ..TextDense::DEFAULT };
    let spec = ModelSpec {
        id: reader.model.to_owned().into(),
        file: graphs.first().cloned().map_or(ModelSpec::DEFAULT.file, Into::into),
        token_limit: settings.token_limit,
        prompts,
        task: Task::TextDense(task),
        ..ModelSpec::DEFAULT
    };
    let checkpoint = Some(config.checkpoint(&reader, Head::Hidden));
    Ok(Description { spec, facts: reader.facts, graphs, checkpoint })
}

/// The chain behind the transformer, as far as it is read.
struct Chain {
    /// Dimension of the vectors.
    dim: Origin,
    pooling: Option<Pooling>,
    /// The module that scales to unit length, if it is the last one.
    normalize: Option<usize>,
}

impl Chain {
    fn follow(
        &mut self,
        reader: &mut Reader<'_>,
        index: usize,
        module: &Module,
    ) -> Result<(), DescribeError> {
        match module.kind {
            Kind::Pooling if self.pooling.is_none() => self.pool(reader, module),
            Kind::Normalize if self.pooling.is_some() => {
                self.normalize = Some(index);
                Ok(())
            }
            Kind::Dropout => Ok(()),
            Kind::Transformer | Kind::Pooling | Kind::Normalize | Kind::Dense => {
                Err(out_of_place(reader, index, module, "Pooling, Normalize"))
            }
        }
    }

    fn pool(&mut self, reader: &mut Reader<'_>, module: &Module) -> Result<(), DescribeError> {
        let document = reader.required(&module.file("config.json"), modules::FILE)?;
        let fields = ["embedding_dimension", "word_embedding_dimension"];
        let dim = document.dim(&fields)?.ok_or_else(|| document.missing(fields[1]))?;
        if dim.value != self.dim.value {
            return Err(document.contradiction(&dim.field, &dim.value, &self.dim));
        }
        let pooling = pooling(&document)?;
        reader.note("pooling", &pooling.name(), &document.file);
        self.pooling = Some(pooling);
        Ok(())
    }
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

fn pooling(document: &Document) -> Result<Pooling, DescribeError> {
    let mut modes = Vec::new();
    if let Some(mode) = document.text("pooling_mode")? {
        modes.push(("pooling_mode", mode));
    } else {
        for (field, mode) in FLAGS {
            if document.flag(field)? == Some(true) {
                modes.push((field, mode));
            }
        }
    }
    match modes.as_slice() {
        [] => Err(document.missing("pooling_mode")),
        [(_, "cls")] => Ok(Pooling::Cls),
        [(_, "mean")] => Ok(Pooling::Mean),
        [(_, "lasttoken")] => Ok(Pooling::LastToken),
        [(field, mode), ..] => Err(document.unsupported(field, mode, "cls, mean, lasttoken")),
    }
}

fn out_of_place(
    reader: &Reader<'_>,
    index: usize,
    module: &Module,
    supported: &str,
) -> DescribeError {
    let (field, supported) = (format!("[{index}].type"), format!("at this place {supported}"));
    reader.unsupported(modules::FILE, &field, &module.type_name, &supported)
}
