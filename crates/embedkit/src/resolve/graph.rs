//! The graph of a model that brings several files: the ONNX file of the variant that is wanted, else the
//! checkpoint that has to be converted.

use embedkit_describe::{Checkpoint, Files};
use embedkit_types::{ModelSpec, SpecError, Str, Variant};

use super::ResolveError;
use crate::{
    Error,
    checkpoint::{self, LARGEST_INDEX},
};

/// Endings of files with weights that are programs, or of other frameworks.
const PICKLED: [&str; 5] = [".bin", ".pt", ".pth", ".ckpt", ".h5"];

/// Puts the graph into the description, or gives the checkpoint that it has to be made from.
pub(super) fn choose(
    spec: &mut ModelSpec,
    graphs: &[String],
    checkpoint: Option<Checkpoint>,
    paths: &[String],
    variant: Option<&Variant>,
) -> Result<Option<Checkpoint>, Error> {
    let model = spec.id.to_string();
    if graphs.is_empty() && checkpoint.is_none() {
        // A table of vectors or lists of words: there is one file, and the description names it.
        return match variant {
            Some(_) => Err(SpecError::UnusedOption { id: model, option: "variant" }.into()),
            None => Ok(None),
        };
    }
    let wanted = variant.cloned().unwrap_or_default();
    if let Some(graph) = wanted.pick(graphs) {
        spec.file = graph.to_owned().into();
        let data = paths.iter().filter(|path| is_data_of(graph, path));
        add_files(spec, data.cloned());
        return Ok(None);
    }
    let convertible = checkpoint.filter(|checkpoint| !checkpoint.weights.is_empty());
    let exact = Variant::default();
    match convertible {
        Some(checkpoint) if wanted == exact => {
            spec.file = checkpoint.weights[0].clone().into();
            let config = [format!("{}config.json", prefix(&checkpoint.folder))];
            add_files(spec, checkpoint.weights[1..].iter().cloned().chain(config));
            Ok(Some(checkpoint))
        }
        convertible => {
            let mut known: Vec<_> =
                graphs.iter().map(|graph| Variant::name_of(graph).to_owned()).collect();
            known.extend(convertible.map(|_| exact.to_string()));
            known.sort();
            known.dedup();
            Err(if known.is_empty() {
                without_weights(model, paths)
            } else {
                ResolveError::NoVariant { model, variant: wanted.to_string(), known }
            }
            .into())
        }
    }
}

/// The folder as the beginning of a path.
fn prefix(folder: &str) -> String {
    if folder.is_empty() { String::new() } else { format!("{folder}/") }
}

fn add_files(spec: &mut ModelSpec, files: impl Iterator<Item = String>) {
    let all = spec.additional_files.to_mut();
    for file in files.map(Str::from) {
        if !all.contains(&file) {
            all.push(file);
        }
    }
}

/// True for the files with weights of a graph, as exporters name them: `model.onnx_data`,
/// `model.onnx_data_1` and `model.onnx.data`.
fn is_data_of(graph: &str, path: &str) -> bool {
    path.strip_prefix(graph).is_some_and(|rest| {
        let number = rest.strip_prefix("_data").map(|rest| rest.strip_prefix('_').unwrap_or(rest));
        rest == ".data" || number.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
    })
}

fn without_weights(model: String, paths: &[String]) -> ResolveError {
    let pickled = |path: &&String| PICKLED.iter().any(|ending| path.ends_with(ending));
    let files: Vec<_> = paths.iter().filter(pickled).cloned().collect();
    if files.is_empty() {
        ResolveError::NoWeights { model }
    } else {
        ResolveError::Pickled { model, files }
    }
}

/// Checks that the files of an index of shards are there, before any of them is fetched.
pub(super) fn check_shards(
    model: &str,
    checkpoint: &Checkpoint,
    files: &dyn Files,
    paths: &[String],
) -> Result<(), Error> {
    let Some(index) = checkpoint::index(checkpoint) else { return Ok(()) };
    let wrong = |reason: String| ResolveError::File {
        model: model.to_owned(),
        file: index.clone(),
        reason,
    };
    let text = files.read(index, LARGEST_INDEX + 1).map_err(|error| wrong(error.to_string()))?;
    let shards = checkpoint::shards(index, &text.unwrap_or_default()).map_err(wrong)?;
    for path in shards {
        if !paths.contains(&path) {
            let (model, index) = (model.to_owned(), index.clone());
            return Err(ResolveError::NoShard { model, file: path, index }.into());
        }
    }
    Ok(())
}
