//! A model that is open.

use std::{mem::ManuallyDrop, path::PathBuf, process};

use embedkit::{
    Embedded, Error, Input, InputKind, ModelBuilder, ModelSpec, Role, StreamOptions, registry,
    resolve,
};
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyDict, PyIterator, PyList},
};

use crate::{
    errors::{OrRaise, raised},
    inputs::{Kind, Reader},
    options,
    pending::Pending,
    registry as rows,
    stream::{Outcomes, Stream},
    values::{self, Value},
};

/// The process that something was made in. Threads and locks do not outlive a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin(u32);

impl Origin {
    pub(crate) fn here() -> Self {
        Self(process::id())
    }

    pub(crate) fn is_here(self) -> bool {
        self == Self::here()
    }

    /// An error after a fork.
    pub(crate) fn check(self, py: Python<'_>) -> PyResult<()> {
        if self.is_here() {
            return Ok(());
        }
        let message =
            "the model was opened before this process was forked, and its threads are not here";
        Err(raised(py, "forked", message, Some("open it in this process")))
    }
}

/// A model of any family.
#[pyclass(frozen, module = "embedkit._embedkit")]
pub(crate) struct Model {
    model: ManuallyDrop<embedkit::Model>,
    origin: Origin,
}

impl Model {
    fn new(model: embedkit::Model) -> Self {
        Self { model: ManuallyDrop::new(model), origin: Origin::here() }
    }

    fn get(&self, py: Python<'_>) -> PyResult<&embedkit::Model> {
        self.origin.check(py)?;
        Ok(&self.model)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // In a forked process the threads that dropping waits for are not there: it stays.
        if self.origin.is_here() {
            #[expect(unsafe_code, reason = "a value that must not be dropped everywhere")]
            // SAFETY: it is taken out once, here, and not used again.
            let model = unsafe { ManuallyDrop::take(&mut self.model) };
            // Its threads finish their batches first, which is no reason to hold the interpreter's lock.
            Python::try_attach(|py| py.detach(move || drop(model)));
        }
    }
}

/// The role of a name.
fn role(name: &str) -> PyResult<Role> {
    Ok(match name {
        "raw" => Role::Raw,
        "document" => Role::Document,
        "query" => Role::Query,
        other => {
            let message = format!("there is no role {other:?}, only raw, document and query");
            return Err(PyValueError::new_err(message));
        }
    })
}

fn builder(
    name: &str,
    task: Option<&str>,
    row: Option<&str>,
    load: &embedkit::LoadOptions,
) -> PyResult<Result<ModelBuilder, Error>> {
    if let Some(row) = row {
        return Ok(embedkit::Model::builder_for([rows::parse(row)?]));
    }
    let task = task.map(rows::task).transpose()?;
    if registry::find(name).is_ok() {
        return Ok(match task {
            Some(task) => registry::find_task(name, task)
                .and_then(|spec| embedkit::Model::builder_for([spec.clone()])),
            None => embedkit::Model::builder(name),
        });
    }
    Ok(resolve(name, load).and_then(|found| {
        let of_task = |spec: &&ModelSpec| task.is_none_or(|task| spec.task.kind() == task);
        let specs: Vec<_> = found.specs.iter().filter(of_task).cloned().collect();
        match (specs.is_empty(), task) {
            (true, Some(task)) => {
                Err(embedkit::SpecError::wrong_task(&found.specs[0], task).into())
            }
            _ => Ok(found.with_specs(specs).into()),
        }
    }))
}

/// Results of a stream: of terms in the order of the text, or of any kind.
fn outcomes(
    model: &embedkit::Model,
    options: StreamOptions,
    terms: bool,
    inputs: impl Iterator<Item = Input> + Send + 'static,
) -> Outcomes {
    if terms {
        Box::new(model.embed_terms(options, inputs).map(|result| Ok(with(result?, Value::Terms))))
    } else {
        Box::new(model.embed(options, inputs).map(|result| Ok(with(result?, Value::Output))))
    }
}

/// The same with another form of the result.
pub(crate) fn with<T>(result: Embedded<T>, value: impl FnOnce(T) -> Value) -> Embedded<Value> {
    let Embedded { value: inner, tokens, truncated } = result;
    Embedded { value: value(inner), tokens, truncated }
}

#[pymethods]
impl Model {
    /// Opens a model by id, repository or folder, or by a row of its own description.
    #[staticmethod]
    #[pyo3(signature = (name, task=None, row=None, dir=None, load="", family="", on_event=None))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword in Python")]
    fn open(
        py: Python<'_>,
        name: &str,
        task: Option<&str>,
        row: Option<&str>,
        dir: Option<PathBuf>,
        load: &str,
        family: &str,
        on_event: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let options = options::read(load, family)?;
        let open = || {
            let builder = builder(name, task, row, &options.load)?;
            let open = |builder: ModelBuilder| {
                let builder = match dir {
                    Some(dir) => builder.dir(dir),
                    None => builder,
                };
                let builder = match on_event {
                    Some(on_event) => builder.on_event(rows::listener(on_event)),
                    None => builder,
                };
                builder.options(options).open()
            };
            Ok(builder.and_then(open))
        };
        let opened: PyResult<Result<embedkit::Model, Error>> = py.detach(open);
        opened?.or_raise(py).map(Self::new)
    }

    /// True in a process that was forked after the model was opened.
    fn is_forked(&self) -> bool {
        !self.origin.is_here()
    }

    #[getter]
    fn id(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.get(py)?.id().to_owned())
    }

    /// Facts of the model.
    fn capabilities<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let capabilities = self.get(py)?.capabilities();
        let facts = PyDict::new(py);
        let tasks: Vec<_> = capabilities.tasks.iter().map(|task| task.name()).collect();
        let inputs: Vec<_> = capabilities.inputs.iter().map(|kind| kind.name()).collect();
        let outputs: Vec<_> = capabilities.outputs.iter().map(|kind| kind.name()).collect();
        facts.set_item("id", &capabilities.id)?;
        facts.set_item("tasks", tasks)?;
        facts.set_item("inputs", inputs)?;
        facts.set_item("outputs", outputs)?;
        facts.set_item("dim", capabilities.dim)?;
        facts.set_item("max_tokens", capabilities.max_tokens)?;
        facts.set_item("prompts", rows::prompts(py, capabilities.prompts.as_ref())?)?;
        facts.set_item("requires_idf", capabilities.requires_idf)?;
        facts.set_item("uses_roles", capabilities.uses_roles)?;
        Ok(facts)
    }

    /// Dimension of the vectors.
    fn dim(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        Ok(self.get(py)?.dim())
    }

    /// Loads the graph for inputs of a kind and says where it runs.
    fn device(&self, py: Python<'_>, kind: &str) -> PyResult<String> {
        let kind = match Kind::named(kind)? {
            Kind::Image => InputKind::Image,
            Kind::Pair => InputKind::Pair,
            Kind::Text | Kind::Any => InputKind::Text,
        };
        let model = self.get(py)?;
        py.detach(|| model.device(kind).map(str::to_owned)).or_raise(py)
    }

    /// The same model with another task for raw text.
    fn with_task(&self, py: Python<'_>, task: &str) -> PyResult<Self> {
        let model = self.get(py)?;
        py.detach(|| model.with_task(task)).or_raise(py).map(Self::new)
    }

    /// Results for the objects of an iterable, lazily.
    #[pyo3(signature = (role, kind, inputs, read_ahead=None, detailed=false, terms=false))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword in Python")]
    fn embed(
        &self,
        py: Python<'_>,
        role: &str,
        kind: &str,
        inputs: &Bound<'_, PyAny>,
        read_ahead: Option<usize>,
        detailed: bool,
        terms: bool,
    ) -> PyResult<Stream> {
        let read_ahead = read_ahead.map(|inputs| inputs.max(1));
        let options = StreamOptions { role: self::role(role)?, read_ahead };
        let (model, inputs) = (self.get(py)?.clone(), PyIterator::from_object(inputs)?);
        let run = move |inputs| outcomes(&model, options, terms, inputs);
        Stream::start(inputs, Kind::named(kind)?, read_ahead, detailed, run)
    }

    /// Results for a few inputs, on the caller's thread, which looks for no signals meanwhile.
    #[pyo3(signature = (role, kind, inputs, detailed=false, terms=false))]
    fn embed_now<'py>(
        &self,
        py: Python<'py>,
        role: &str,
        kind: &str,
        inputs: &Bound<'py, PyAny>,
        detailed: bool,
        terms: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut reader = Reader::new(Kind::named(kind)?);
        let options = StreamOptions::from(self::role(role)?);
        let inputs: Vec<_> =
            inputs.try_iter()?.map(|object| reader.input(&object?)).collect::<PyResult<_>>()?;
        let model = self.get(py)?;
        let results: Vec<_> =
            py.detach(|| outcomes(model, options, terms, inputs.into_iter()).collect());
        let objects = results
            .into_iter()
            .map(|result| values::object(py, result.or_raise(py)?, detailed))
            .collect::<PyResult<Vec<_>>>()?;
        PyList::new(py, objects)
    }

    /// Puts inputs into the queue that all callers share.
    #[pyo3(signature = (role, kind, inputs, detailed=false))]
    fn submit(
        &self,
        py: Python<'_>,
        role: &str,
        kind: &str,
        inputs: &Bound<'_, PyAny>,
        detailed: bool,
    ) -> PyResult<Pending> {
        let mut reader = Reader::new(Kind::named(kind)?);
        let role = self::role(role)?;
        let inputs: Vec<_> =
            inputs.try_iter()?.map(|object| reader.input(&object?)).collect::<PyResult<_>>()?;
        let model = self.get(py)?;
        let pending = py
            .detach(|| model.submit(role, inputs, embedkit::QueueOptions::INTERACTIVE))
            .or_raise(py)?;
        Ok(Pending::new(pending, detailed))
    }

    /// The sum of the inputs' tokens.
    #[pyo3(signature = (role, kind, inputs, extension=false))]
    fn token_count(
        &self,
        py: Python<'_>,
        role: &str,
        kind: &str,
        inputs: &Bound<'_, PyAny>,
        extension: bool,
    ) -> PyResult<usize> {
        let mut reader = Reader::new(Kind::named(kind)?);
        let role = self::role(role)?;
        let model = self.get(py)?;
        let mut count = 0;
        let mut objects = inputs.try_iter()?;
        loop {
            let chunk: Vec<_> = objects
                .by_ref()
                .take(1024)
                .map(|object| reader.input(&object?))
                .collect::<PyResult<_>>()?;
            if chunk.is_empty() {
                return Ok(count);
            }
            let counted = py.detach(|| {
                if extension {
                    model.extended_token_count(role, chunk)
                } else {
                    model.token_count(role, chunk)
                }
            });
            count += counted.or_raise(py)?;
            py.check_signals()?;
        }
    }
}
