//! Errors as exceptions of the Python package, which says what each kind is in Python.

use embedkit::{Error, Hint};
use pyo3::{prelude::*, types::PyAnyMethods};

/// Module of the package that has the exceptions.
const MODULE: &str = "embedkit.errors";

/// The exception for an error: its kind chooses the class, its hint is in words for Python.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let hint = error.hint().and_then(in_words);
    raised(py, error.kind().name(), &message(error), hint.as_deref())
}

/// The exception of a kind that is none of the library.
pub(crate) fn raised(py: Python<'_>, kind: &str, message: &str, hint: Option<&str>) -> PyErr {
    let made =
        py.import(MODULE).and_then(|module| module.call_method1("make", (kind, message, hint)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// A result whose error is an exception.
pub(crate) trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T, E: Into<Error>> OrRaise<T> for Result<T, E> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| exception(py, &error.into()))
    }
}

/// The message with those of its causes, each once.
fn message(error: &Error) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let next = error.to_string();
        if !message.contains(&next) {
            message = format!("{message}: {next}");
        }
        cause = error.source();
    }
    message
}

/// Advice in terms of this package; `None` where there is nothing to add for a caller in Python.
fn in_words(hint: &Hint) -> Option<String> {
    Some(match hint {
        Hint::InstallRuntime | Hint::InstallPip => {
            "pip install onnxruntime, or name a library in ORT_DYLIB_PATH".to_owned()
        }
        Hint::ReinstallRuntime { .. } => {
            "pip install --force-reinstall onnxruntime, or name a library in ORT_DYLIB_PATH"
                .to_owned()
        }
        Hint::NameRuntime(instead) => {
            format!(
                "{instead}; to use this very file, name it in ORT_DYLIB_PATH or as onnxruntime=…"
            )
        }
        Hint::PullModel(id) => format!("with network access, open {id} once to fetch its files"),
        Hint::OpenFromFolder => "open the model with specific_model_path=…".to_owned(),
        Hint::OpenAs { id, tasks } => {
            let classes: Vec<_> = tasks.iter().map(|task| class(task)).collect();
            format!("open {id} as {}", classes.join(" or "))
        }
        Hint::ChooseCacheDir => {
            "choose a writable folder with enough space: cache_dir=… or EMBEDKIT_CACHE".to_owned()
        }
        Hint::NameCacheDir => "name a cache folder: cache_dir=… or EMBEDKIT_CACHE".to_owned(),
        Hint::FallBackToCpu => {
            "leave out cuda=… and providers=… to fall back to the CPU, or install \
                                onnxruntime-gpu in place of onnxruntime"
                .to_owned()
        }
        Hint::OpenAgain => {
            "open the model again; where it fails again, look into the device's driver \
                            or use cuda=False"
                .to_owned()
        }
        Hint::SmallerBatches => "lower batch_rows=… or replicas=…".to_owned(),
        Hint::LimitTokens(None) => "lower max_tokens=…".to_owned(),
        Hint::LimitTokens(Some(limit)) => format!("lower max_tokens=… to {limit}"),
        Hint::RaiseTimeout => "raise timeout=… or lower batch_rows=…".to_owned(),
        Hint::FewerThreads => "lower threads=… or replicas=…".to_owned(),
        Hint::NameModelFile(file) => format!("if {file} is the graph, pass it as model_file=…"),
        Hint::ChooseVariant(names) => format!("choose a variant=…: {}", names.join(", ")),
        other => other.to_string(),
    })
}

/// The class of a task.
fn class(task: &str) -> &str {
    match task {
        "text-dense" => "TextEmbedding",
        "sparse" => "SparseTextEmbedding",
        "late-text" => "LateInteractionTextEmbedding",
        "late-multimodal" => "LateInteractionMultimodalEmbedding",
        "image" => "ImageEmbedding",
        "rerank" => "TextCrossEncoder",
        other => other,
    }
}
