//! The graph of a model that brings several files: the ONNX file of the variant that is wanted, else the
//! checkpoint that has to be converted.

use embedkit_describe::{Checkpoint, Files};
use embedkit_types::{ModelSpec, SpecError, Str, Variant};

use crate::{
    Error,
    checkpoint::{self, LARGEST_INDEX},
    conversion::Conversion,
    error::ResolveError,
};

/// Endings of files with weights that are programs, or of other frameworks.
const PICKLED: [&str; 5] = [".bin", ".pt", ".pth", ".ckpt", ".h5"];
/// Files with such endings that a training leaves, without weights of the model.
const OF_TRAINING: [&str; 4] =
    ["training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"];
/// Endings of files with weights that are read.
const READ: [&str; 2] = [".onnx", ".safetensors"];

/// Puts the graph into the description, or gives the conversion that makes it.
pub(super) fn choose(
    spec: &mut ModelSpec,
    graphs: &[String],
    checkpoint: Option<Checkpoint>,
    paths: &[String],
    variant: Option<&Variant>,
) -> Result<Option<Conversion>, Error> {
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
    let checkpoint = checkpoint.filter(|checkpoint| !checkpoint.weights.is_empty());
    let conversion = checkpoint.as_ref().and_then(|found| Conversion::new(found, Some(&wanted)));
    match conversion {
        Some(conversion) => {
            spec.file = conversion.weights[0].clone().into();
            let config = [format!("{}config.json", prefix(&conversion.folder))];
            add_files(spec, conversion.weights[1..].iter().cloned().chain(config));
            Ok(Some(conversion))
        }
        None => {
            let mut known: Vec<_> =
                graphs.iter().map(|graph| Variant::name_of(graph).to_owned()).collect();
            known.extend(checkpoint.into_iter().flat_map(|_| Conversion::variants()));
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
    match pickled(paths) {
        files if files.is_empty() => ResolveError::NoWeights { model },
        files => ResolveError::Pickled { model, files },
    }
}

/// The error of a model that cannot be opened whatever its description says: all its weights are in files
/// that are not read.
pub(super) fn only_pickled(model: &str, paths: &[String]) -> Option<ResolveError> {
    if paths.iter().any(|path| ends_with_one(path, &READ)) {
        return None;
    }
    let files = Some(pickled(paths)).filter(|files| !files.is_empty())?;
    Some(ResolveError::Pickled { model: model.to_owned(), files })
}

fn pickled(paths: &[String]) -> Vec<String> {
    let of_training = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        OF_TRAINING.contains(&name)
    };
    let is_pickled = |path: &&String| ends_with_one(path, &PICKLED) && !of_training(path);
    paths.iter().filter(is_pickled).cloned().collect()
}

fn ends_with_one(path: &str, endings: &[&str]) -> bool {
    endings.iter().any(|ending| path.ends_with(ending))
}

/// Checks that the files of an index of shards are there, before any of them is fetched.
pub(super) fn check_shards(
    model: &str,
    conversion: &Conversion,
    files: &dyn Files,
    paths: &[String],
) -> Result<(), Error> {
    let Some(index) = checkpoint::index(&conversion.weights) else { return Ok(()) };
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
