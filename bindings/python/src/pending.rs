//! Results that a task waits for.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{self, Sender},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use embedkit::{Embedded, Error, Output};
use pyo3::{prelude::*, types::PyList};

use crate::{
    errors::OrRaise,
    model::{Origin, with},
    values::{self, Value},
};

/// Results of inputs that are in a model's queue.
#[pyclass(frozen, module = "embedkit._embedkit")]
pub(crate) struct Pending {
    state: Mutex<State>,
    detailed: bool,
    origin: Origin,
}

struct State {
    pending: embedkit::Pending<Embedded<Output>>,
    /// An error whose turn comes after results that were handed out with it.
    failed: Option<Error>,
}

impl Pending {
    pub(crate) fn new(pending: embedkit::Pending<Embedded<Output>>, detailed: bool) -> Self {
        let state = Mutex::new(State { pending, failed: None });
        Self { state, detailed, origin: Origin::here() }
    }
}

#[pymethods]
impl Pending {
    /// Results that are there, and whether they are the last. Unless they are, `callback` is called once
    /// when there are more, from a thread of its own.
    fn poll<'py>(
        &self,
        py: Python<'py>,
        callback: Py<PyAny>,
    ) -> PyResult<(Bound<'py, PyList>, bool)> {
        self.origin.check(py)?;
        let waker = Waker::from(Arc::new(Callback(Mutex::new(Some(callback)))));
        // Engines deliver with the lock of their own; this one is held by callers only.
        let polled = py.detach(|| {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.poll(&mut Context::from_waker(&waker))
        });
        let (results, done) = polled.or_raise(py)?;
        let results = results
            .into_iter()
            .map(|result| values::object(py, with(result, Value::Output), self.detailed));
        Ok((PyList::new(py, results.collect::<PyResult<Vec<_>>>()?)?, done))
    }
}

impl State {
    fn poll(&mut self, context: &mut Context<'_>) -> Result<(Vec<Embedded<Output>>, bool), Error> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut results = Vec::new();
        loop {
            match self.pending.poll_next(context) {
                Poll::Ready(Some(Ok(result))) => results.push(result),
                Poll::Ready(Some(Err(error))) if results.is_empty() => return Err(error),
                Poll::Ready(Some(Err(error))) => {
                    self.failed = Some(error);
                    context.waker().wake_by_ref();
                    return Ok((results, false));
                }
                Poll::Ready(None) => return Ok((results, true)),
                Poll::Pending => return Ok((results, false)),
            }
        }
    }
}

/// A function of Python that is called once.
struct Callback(Mutex<Option<Py<PyAny>>>);

impl Wake for Callback {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let callback = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(callback) = callback {
            call(callback);
        }
    }
}

/// Calls a function from a thread that may wait for the interpreter's lock: those of an engine may not.
fn call(callback: Py<PyAny>) {
    static CALLS: OnceLock<Mutex<(u32, Sender<Py<PyAny>>)>> = OnceLock::new();
    let calls = CALLS.get_or_init(|| Mutex::new(caller()));
    let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    if calls.0 != std::process::id() {
        *calls = caller(); // the thread stayed behind in the process that was forked
    }
    let _ = calls.1.send(callback);
}

/// The thread, with the process that it is in.
fn caller() -> (u32, Sender<Py<PyAny>>) {
    let (sender, receiver) = mpsc::channel::<Py<PyAny>>();
    let thread = thread::Builder::new().name("embedkit-callbacks".to_owned());
    let started = thread.spawn(move || {
        for callback in receiver {
            // `None` while the interpreter ends.
            Python::try_attach(|py| {
                if let Err(error) = callback.call0(py) {
                    // An event loop that was closed meanwhile.
                    error.write_unraisable(py, None);
                }
            });
        }
    });
    drop(started);
    (std::process::id(), sender)
}
