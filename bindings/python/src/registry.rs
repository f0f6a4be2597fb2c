//! Descriptions of models, and their files.

use std::path::PathBuf;

use embedkit::{
    LoadOptions, ModelSpec, Task, TaskKind,
    hub::{Event, Hub},
    types::{ModelPrompts, SparseKind},
};
use pyo3::{exceptions::PyValueError, prelude::*, types::PyDict};

use crate::{errors::OrRaise, options};

/// The task of a name.
pub(crate) fn task(name: &str) -> PyResult<TaskKind> {
    const KINDS: [TaskKind; 6] = [
        TaskKind::TextDense,
        TaskKind::Sparse,
        TaskKind::LateText,
        TaskKind::LateMultimodal,
        TaskKind::Image,
        TaskKind::Rerank,
    ];
    let found = KINDS.into_iter().find(|kind| kind.name() == name);
    let unknown = || {
        let known = Task::NAMES.join(", ");
        PyValueError::new_err(format!("there is no task {name:?}, only {known}"))
    };
    found.ok_or_else(unknown)
}

/// A description from a row, in the form of `models.toml` as JSON.
pub(crate) fn parse(row: &str) -> PyResult<ModelSpec> {
    serde_json::from_str(row).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// All built-in models.
#[pyfunction]
pub(crate) fn models(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    embedkit::registry::models().iter().map(|spec| facts(py, spec)).collect()
}

/// The built-in model of a name for a task; `None` where there is none.
#[pyfunction]
pub(crate) fn find<'py>(
    py: Python<'py>,
    name: &str,
    task: &str,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let found = embedkit::registry::find_task(name, self::task(task)?).ok();
    found.map(|spec| facts(py, spec)).transpose()
}

/// Facts of a description; an error for one that is none.
#[pyfunction]
pub(crate) fn describe<'py>(py: Python<'py>, row: &str) -> PyResult<Bound<'py, PyDict>> {
    facts(py, &parse(row)?)
}

/// Facts of a model that is not built in: a folder, or a repository of the hub.
#[pyfunction]
#[pyo3(signature = (name, load=""))]
pub(crate) fn resolve<'py>(
    py: Python<'py>,
    name: &str,
    load: &str,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let load: LoadOptions = options::parse("options", load)?;
    let found = py.detach(|| embedkit::resolve(name, &load)).or_raise(py)?;
    found.specs.iter().map(|spec| facts(py, spec)).collect()
}

/// The folder with the files of a model: in the cache, or fetched into it.
#[pyfunction]
#[pyo3(signature = (name, task, row=None, cache_dir=None, offline=false, on_event=None))]
pub(crate) fn fetch(
    py: Python<'_>,
    name: &str,
    task: &str,
    row: Option<&str>,
    cache_dir: Option<PathBuf>,
    offline: bool,
    on_event: Option<Py<PyAny>>,
) -> PyResult<PathBuf> {
    let spec = match row {
        Some(row) => parse(row)?,
        None => embedkit::registry::find_task(name, self::task(task)?).or_raise(py)?.clone(),
    };
    let hub = Hub::from_env(cache_dir, offline).or_raise(py)?;
    let hub = match on_event {
        Some(on_event) => hub.with_progress(std::sync::Arc::new(listener(on_event))),
        None => hub,
    };
    Ok(py.detach(|| hub.files(&spec)).or_raise(py)?.root)
}

/// Execution providers of the ONNX Runtime library, by its own names.
#[pyfunction]
#[pyo3(signature = (onnxruntime=None, cache_dir=None))]
pub(crate) fn providers(
    py: Python<'_>,
    onnxruntime: Option<PathBuf>,
    cache_dir: Option<PathBuf>,
) -> PyResult<Vec<String>> {
    let (onnxruntime, cache_dir) = (onnxruntime.as_deref(), cache_dir.as_deref());
    py.detach(|| embedkit::runtime::providers(onnxruntime, cache_dir)).or_raise(py)
}

/// Tells a function of Python about downloads and conversions: the kind of event, the file or model, and
/// a number of bytes.
pub(crate) fn listener(function: Py<PyAny>) -> impl Fn(Event<'_>) + Send + Sync {
    move |event| {
        let (kind, name, bytes) = match event {
            Event::Waiting { model } => ("waiting", model, None),
            Event::Started { file, size } => ("started", file, size),
            Event::Received { file, bytes } => ("received", file, Some(bytes)),
            Event::Retrying { file, .. } => ("retrying", file, None),
            Event::Finished { file, size } => ("finished", file, Some(size)),
            Event::Converting { model } => ("converting", model, None),
            Event::Converted { model } => ("converted", model, None),
            _ => return,
        };
        Python::try_attach(|py| {
            if let Err(error) = function.call1(py, (kind, name, bytes)) {
                error.write_unraisable(py, None);
            }
        });
    }
}

/// Prompts as a dictionary from role to text.
pub(crate) fn prompts<'py>(
    py: Python<'py>,
    prompts: Option<&ModelPrompts>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let Some(prompts) = prompts else { return Ok(None) };
    let facts = PyDict::new(py);
    facts.set_item("query", prompts.query.as_deref())?;
    facts.set_item("document", prompts.passage.as_deref())?;
    facts.set_item("unknown", prompts.unknown)?;
    Ok(Some(facts))
}

fn facts<'py>(py: Python<'py>, spec: &ModelSpec) -> PyResult<Bound<'py, PyDict>> {
    let facts = PyDict::new(py);
    let additional: Vec<&str> = spec.additional_files.iter().map(AsRef::as_ref).collect();
    let languages: Vec<&str> = spec.languages.iter().map(AsRef::as_ref).collect();
    facts.set_item("id", &*spec.id)?;
    facts.set_item("task", spec.task.name())?;
    facts.set_item("repo", spec.source.repo.as_deref())?;
    facts.set_item("url", spec.source.url.as_deref())?;
    facts.set_item("file", &*spec.file)?;
    facts.set_item("additional_files", additional)?;
    facts.set_item("license", spec.license.as_deref())?;
    facts.set_item("size_gb", spec.size_gb.map(decimal))?;
    facts.set_item("max_tokens", spec.max_tokens)?;
    facts.set_item("languages", languages)?;
    facts.set_item("year", spec.year)?;
    facts.set_item("alias_of", spec.alias_of.as_deref())?;
    facts.set_item("notice", spec.notice.as_deref())?;
    facts.set_item("prompts", prompts(py, spec.prompts.as_ref())?)?;
    facts.set_item("dim", spec.task.dim())?;
    facts.set_item("pooling", spec.task.pooling().as_deref())?;
    facts.set_item("requires_idf", spec.task.requires_idf())?;
    match &spec.task {
        Task::Sparse(sparse) => {
            facts.set_item("kind", sparse.kind.name())?;
            facts.set_item("vocab_size", sparse.vocab_size)?;
            if let SparseKind::Bm25(config) = &sparse.kind {
                facts.set_item("language", &*config.language)?;
            }
        }
        Task::TextDense(dense) => {
            let names = dense
                .tasks
                .as_ref()
                .map(|tasks| tasks.names.iter().map(ToString::to_string).collect::<Vec<_>>());
            facts.set_item("tasks", names)?;
            let is_static = matches!(dense.encoder, embedkit::types::Encoder::Static);
            facts.set_item("encoder", if is_static { "static" } else { "transformer" })?;
        }
        _ => {}
    }
    Ok(facts)
}

/// The number that was written: `0.09`, and not the nearest number in single precision.
fn decimal(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| f64::from(number))
}
