//! Sparse encoders: SPLADE, and SPLADE with a table of weights for queries.

use embedkit_types::{IfSpladeConfig, ModelSpec, Sparse, SparseKind, SpladeConfig, Task};

use crate::{
    DescribeError, Description, Head,
    checkpoint::{Config, graphs},
    document::{Document, Reader},
    modules::{Kind, Module},
    prompts,
    settings::Settings,
};

/// Sizes of vocabularies that are taken for real.
const VOCABULARIES: std::ops::RangeInclusive<usize> = 1..=1 << 24;

/// Describes a chain from a text to weighted terms.
pub(crate) fn describe(
    mut reader: Reader<'_>,
    first: &Module,
    rest: &[Module],
    config: Option<&Document>,
) -> Result<Description, DescribeError> {
    prompts::refuse(config)?;
    match (first.kind, rest) {
        (Kind::Transformer, [pooling]) if pooling.kind == Kind::SpladePooling => {
            let kind = SparseKind::Splade(splade(&mut reader, pooling)?);
            finish(reader, first, kind, Vec::new())
        }
        (Kind::Transformer, [other, ..]) => Err(other.out_of_place(&reader, "SpladePooling")),
        (Kind::Router, []) => router(reader, first),
        (Kind::Router, [other, ..]) => Err(other.out_of_place(&reader, "nothing behind a Router")),
        _ => Err(first.out_of_place(&reader, "MLMTransformer with SpladePooling, Router")),
    }
}

fn splade(reader: &mut Reader<'_>, module: &Module) -> Result<SpladeConfig, DescribeError> {
    let document = reader.required(&module.file("config.json"), crate::modules::FILE)?;
    let sum = match document.text("pooling_strategy")?.unwrap_or("max") {
        "max" => false,
        "sum" => true,
        other => return Err(document.unsupported("pooling_strategy", &other, "max, sum")),
    };
    let log_twice = match document.text("activation_function")?.unwrap_or("relu") {
        "relu" => false,
        "log1p_relu" => true,
        other => {
            return Err(document.unsupported("activation_function", &other, "relu, log1p_relu"));
        }
    };
    reader.note("sum", &sum, &document.file);
    reader.note("log_twice", &log_twice, &document.file);
    Ok(SpladeConfig { sum, log_twice, ..SpladeConfig::DEFAULT })
}

/// Reads a router with a table for queries and SPLADE for documents.
fn router(mut reader: Reader<'_>, module: &Module) -> Result<Description, DescribeError> {
    let mut found = reader.document(&module.file("router_config.json"))?;
    if found.is_none() {
        found = reader.document(&module.file("config.json"))?;
    }
    let file = module.file("router_config.json");
    let config = found.ok_or_else(|| reader.missing_file(&file, crate::modules::FILE))?;
    let types = config.inner("types")?.ok_or_else(|| config.missing("types"))?;
    let structure = config.inner("structure")?.ok_or_else(|| config.missing("structure"))?;
    if let Some(parameters) = config.inner("parameters")? {
        parameters.refuse("route_mappings")?;
    }
    let route = |name: &str| -> Result<Vec<Module>, DescribeError> {
        let paths = structure.texts(name)?.ok_or_else(|| structure.missing(name))?;
        paths.into_iter().map(|path| Module::of_route(&types, module, path)).collect()
    };
    let (queries, documents) = (route("query")?, route("document")?);
    let table = match queries.as_slice() {
        [table] if table.kind == Kind::SparseStaticEmbedding => table,
        [other, ..] => return Err(other.out_of_place(&reader, "SparseStaticEmbedding")),
        [] => return Err(structure.missing("query")),
    };
    let (transformer, pooling) = match documents.as_slice() {
        [first, pooling]
            if first.kind == Kind::Transformer && pooling.kind == Kind::SpladePooling =>
        {
            (first, pooling)
        }
        [.., other] => return Err(other.out_of_place(&reader, "MLMTransformer, SpladePooling")),
        [] => return Err(structure.missing("document")),
    };
    let documents = splade(&mut reader, pooling)?;
    let idf_file = idf_file(&mut reader, table)?;
    let facts =
        IfSpladeConfig { documents, idf_file: idf_file.clone().into(), special_tokens: true };
    finish(reader, transformer, SparseKind::IfSplade(facts), vec![idf_file])
}

/// The file with the weights of queries.
fn idf_file(reader: &mut Reader<'_>, table: &Module) -> Result<String, DescribeError> {
    let config_path = table.file("config.json");
    let config = reader.document(&config_path)?;
    let path = config.as_ref().map(|config| config.text("path")).transpose()?.flatten();
    let file = match path {
        // A path of the machine that saved the model; the file lies beside by its own name.
        Some(path) if path.ends_with(".json") => {
            table.file(path.rsplit(['/', '\\']).next().unwrap_or(path))
        }
        Some(_) | None => table.file("model.safetensors"),
    };
    if !reader.has(&file) {
        return Err(reader.missing_file(&file, &config_path));
    }
    reader.note("idf_file", &file, &config_path);
    Ok(file)
}

fn finish(
    mut reader: Reader<'_>,
    transformer: &Module,
    kind: SparseKind,
    files: Vec<String>,
) -> Result<Description, DescribeError> {
    let encoder = Config::read(&reader, &transformer.path, crate::modules::FILE)?;
    let settings = Settings::read(&mut reader, transformer, Head::MaskedLm)?;
    let vocab_size = encoder.document.size("vocab_size", VOCABULARIES)?;
    if let Some(size) = vocab_size {
        reader.note("vocab_size", &size, &encoder.document.file);
    }
    reader.note("requires_idf", &false, crate::modules::FILE);
    let graphs = graphs(&reader, &transformer.path);
    let spec = ModelSpec {
        id: reader.model.to_owned().into(),
        file: graphs.first().cloned().map_or(ModelSpec::DEFAULT.file, Into::into),
        additional_files: files.into_iter().map(Into::into).collect(),
        folder: transformer.path.clone().into(),
        token_limit: settings.token_limit,
        lower_case: settings.lower_case,
        task: Task::Sparse(Sparse { requires_idf: false, vocab_size, kind }),
        ..ModelSpec::DEFAULT
    };
    let checkpoint = Some(encoder.checkpoint(&reader, Head::MaskedLm));
    Ok(Description { spec, facts: reader.facts, graphs, checkpoint })
}
