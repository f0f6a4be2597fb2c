//! Results of many inputs, one after the other.
//!
//! A thread of its own runs the library's stream, so that the caller's thread can look for signals while it
//! waits. Inputs are read on the caller's thread all the same, when the stream asks for some: what a
//! generator does may be bound to its thread, and its exceptions belong there.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, TryLockError},
    thread,
    time::Duration,
    vec,
};

use embedkit::{Embedded, Error, Input, MultiVector, try_inputs};
use numpy::{PyReadwriteArray2, PyUntypedArrayMethods};
use pyo3::{
    exceptions::{PyException, PyRuntimeError, PyValueError},
    prelude::*,
    types::PyIterator,
};

use crate::{
    errors,
    exchange::{Caller, Found, Thread, exchange},
    inputs::{Kind, Reader},
    model::Origin,
    values::{self, Value},
};

/// Longest wait between two looks for signals.
const TICK: Duration = Duration::from_millis(100);
/// Inputs that are read with one change of threads at most.
const CHUNK: usize = 256;

/// The result of one input.
pub(crate) type Outcome = Result<Embedded<Value>, Failure>;

/// Results of a stream, as the thread gets them.
pub(crate) type Outcomes = Box<dyn Iterator<Item = Result<Embedded<Value>, Error>> + Send>;

/// An error of an input.
pub(crate) enum Failure {
    Library(Error),
    /// Of the caller's iterator, or of an object that is no input.
    Python(PyErr),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl Failure {
    pub(crate) fn exception(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Library(error) => errors::exception(py, &error),
            Self::Python(error) => error,
        }
    }
}

/// Inputs that were read; empty at the end.
type Answer = Vec<Result<Input, PyErr>>;

/// The inputs as the library's stream reads them.
struct Inputs {
    thread: Arc<Thread<Answer, Outcome>>,
    chunk: vec::IntoIter<Result<Input, PyErr>>,
    /// Inputs of one stretch: no more are asked for than the stream takes before it gives their results.
    stretch: usize,
    /// Inputs of this stretch that were asked for.
    asked: usize,
}

impl Iterator for Inputs {
    type Item = Result<Input, PyErr>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(input) = self.chunk.next() {
            return Some(input);
        }
        if self.asked == self.stretch {
            self.asked = 0;
        }
        let wanted = CHUNK.min(self.stretch - self.asked);
        self.asked += wanted;
        self.chunk = self.thread.ask(wanted)?.into_iter();
        self.chunk.next()
    }
}

/// Results of a model for the objects of an iterator.
#[pyclass(frozen, module = "embedkit._embedkit")]
pub(crate) struct Stream {
    state: Mutex<State>,
    detailed: bool,
    origin: Origin,
}

struct State {
    inputs: Py<PyIterator>,
    reader: Reader,
    exhausted: bool,
    /// Inputs are read only when no result waits, as a stream with a bound asks.
    bounded: bool,
    /// `None` once the stream has ended or was closed.
    caller: Option<Caller<Answer, Outcome>>,
    ready: VecDeque<Outcome>,
}

impl Stream {
    /// Starts a stream that `run` makes of inputs.
    pub(crate) fn start(
        inputs: Bound<'_, PyIterator>,
        kind: Kind,
        read_ahead: Option<usize>,
        detailed: bool,
        run: impl FnOnce(Box<dyn Iterator<Item = Input> + Send>) -> Outcomes + Send + 'static,
    ) -> PyResult<Self> {
        let (thread, caller) = exchange();
        let thread = Arc::new(thread);
        let inputs_of_run = Inputs {
            thread: Arc::clone(&thread),
            chunk: Vec::new().into_iter(),
            stretch: read_ahead.unwrap_or(usize::MAX),
            asked: 0,
        };
        let work = move || {
            let outcomes =
                try_inputs(inputs_of_run.map(|input| input.map_err(Failure::Python)), |inputs| {
                    run(Box::new(inputs))
                });
            for outcome in outcomes {
                if !thread.give(outcome) {
                    return; // nobody waits any more
                }
            }
            thread.complete();
        };
        let named = thread::Builder::new().name("embedkit-stream".to_owned());
        named
            .spawn(work)
            .map_err(|error| PyRuntimeError::new_err(format!("no thread: {error}")))?;
        let state = State {
            inputs: inputs.unbind(),
            reader: Reader::new(kind),
            exhausted: false,
            bounded: read_ahead.is_some(),
            caller: Some(caller),
            ready: VecDeque::new(),
        };
        Ok(Self { state: Mutex::new(state), detailed, origin: Origin::here() })
    }

    /// The next result; `None` at the end.
    fn pull(&self, py: Python<'_>) -> PyResult<Option<Embedded<Value>>> {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(PyValueError::new_err("the stream is being read by another thread"));
            }
        };
        loop {
            if let Some(outcome) = state.ready.pop_front() {
                return outcome.map(Some).map_err(|failure| failure.exception(py));
            }
            // Results that are here need no thread; asking the system each time would take as long as they do.
            self.origin.check(py)?;
            if !state.advance(py)? {
                return Ok(None);
            }
        }
    }
}

impl State {
    /// Waits for results or for a request of inputs; `false` at the end.
    fn advance(&mut self, py: Python<'_>) -> PyResult<bool> {
        // Taken out, so that an exception closes the stream: its thread ends then.
        let Some(caller) = self.caller.take() else { return Ok(false) };
        py.check_signals()?;
        if !caller.has_news() {
            py.detach(|| caller.wait(TICK));
        }
        match caller.take(&mut self.ready) {
            Found::Results(Some(wanted)) if self.ready.is_empty() || !self.bounded => {
                let answer = self.read(py, wanted)?;
                caller.answer(answer);
            }
            Found::Results(_) => {}
            Found::End => return Ok(false),
            Found::Broken => {
                return Err(PyRuntimeError::new_err("the thread of the stream ended early"));
            }
        }
        self.caller = Some(caller);
        Ok(true)
    }

    /// Reads inputs. An exception comes after the results of the inputs before it; what is none, such as
    /// an interrupt, at once.
    fn read(&mut self, py: Python<'_>, wanted: usize) -> PyResult<Answer> {
        let mut answer = Vec::with_capacity(wanted.min(CHUNK));
        let mut inputs = self.inputs.bind(py).clone();
        while answer.len() < wanted && !self.exhausted {
            let Some(object) = inputs.next() else {
                self.exhausted = true;
                break;
            };
            let input = object.and_then(|object| self.reader.input(&object));
            if let Err(error) = &input {
                self.exhausted = true;
                if !error.is_instance_of::<PyException>(py) {
                    return Err(error.clone_ref(py));
                }
            }
            answer.push(input);
        }
        Ok(answer)
    }
}

#[pymethods]
impl Stream {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let result = self.pull(py)?;
        result.map(|result| values::object(py, result, self.detailed)).transpose()
    }

    /// Ends the work on inputs whose results were not taken.
    fn close(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            state.caller = None;
            state.ready.clear();
            state.exhausted = true;
        }
    }

    /// All further results of a dense model as one float32 array of shape `(inputs, dim)`; `dim` is that of
    /// an array without rows.
    fn matrix<'py>(&self, py: Python<'py>, dim: usize) -> PyResult<Bound<'py, PyAny>> {
        let (mut values, mut width) = (Vec::new(), None);
        while let Some(result) = self.pull(py)? {
            let row = result.value.vector().ok_or_else(no_matrix)?;
            if *width.get_or_insert(row.len()) != row.len() {
                return Err(PyValueError::new_err("the vectors have different dimensions"));
            }
            values.extend_from_slice(row);
        }
        let dim = width.unwrap_or(dim);
        let array = MultiVector::new(values, dim)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(values::matrix(py, array).into_any())
    }

    /// Writes all further results of a dense model into the rows of an array; the number of rows.
    fn fill(&self, py: Python<'_>, mut out: PyReadwriteArray2<'_, f32>) -> PyResult<usize> {
        let shape = (out.shape()[0], out.shape()[1]);
        let mut rows = 0;
        while let Some(result) = self.pull(py)? {
            let row = result.value.vector().ok_or_else(no_matrix)?;
            if rows == shape.0 || row.len() != shape.1 {
                let found =
                    format!("a vector of {} for row {rows} of an array of {shape:?}", row.len());
                return Err(PyValueError::new_err(found));
            }
            let mut place = out.as_array_mut();
            place.row_mut(rows).iter_mut().zip(row).for_each(|(place, &value)| *place = value);
            rows += 1;
        }
        Ok(rows)
    }
}

fn no_matrix() -> PyErr {
    PyValueError::new_err("only dense vectors make a matrix")
}
