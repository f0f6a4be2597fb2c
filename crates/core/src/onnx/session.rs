//! A loaded graph behind `&self`, run by as many callers at once as it has lanes.
//!
//! On the CPU all lanes share one copy of the graph and its weights: ONNX Runtime allows `Run` to be
//! called on one session from several threads there. On other devices each lane has a copy of its
//! own, since providers keep state that is not thread-safe.

use std::{
    borrow::Cow,
    ffi::{CString, c_char},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    ptr::NonNull,
    sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::available_parallelism,
};

use embedkit_types::{LoadOptions, Output};
use ort::{
    AsPointer,
    environment::Environment,
    session::builder::GraphOptimizationLevel,
    value::{DynValue, TensorElementType, TensorRef},
};

use super::{
    device::{self, Place},
    graph,
};
use crate::{error::Error, runtime};

/// Each is a thread of the process; more than any machine has cores.
const MOST_THREADS: usize = 1024;
/// Each is a thread of the process, and a copy of the graph on anything but the CPU.
const MOST_REPLICAS: usize = 256;

/// One tensor that goes into a graph.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Name of the graph's input.
    pub name: &'a str,
    /// Shape; empty for a scalar. No dimension may be 0.
    pub shape: &'a [usize],
    /// Elements in row-major order.
    pub values: Values<'a>,
}

/// The elements of an input.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// 64-bit integers: token ids, masks.
    I64(&'a [i64]),
    /// 32-bit floats: pixels.
    F32(&'a [f32]),
}

/// One output of a run, read in place.
#[derive(Debug)]
pub struct View<'a> {
    /// Shape of the output.
    pub shape: &'a [usize],
    /// Elements in row-major order, widened to f32 where the graph has another type.
    pub values: &'a [f32],
    /// Whether the graph computes in half precision.
    pub half: bool,
}

/// A loaded graph. `Send + Sync`; every method takes `&self`.
#[derive(Debug)]
pub struct Session {
    path: PathBuf,
    options: LoadOptions,
    opening: Mutex<()>,
    opened: OnceLock<Opened>,
}

#[derive(Debug)]
struct Opened {
    graphs: Vec<ort::session::Session>,
    device: String,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    batch_dependent: bool,
    lanes: usize,
    free: Mutex<Vec<usize>>,
    freed: Condvar,
}

/// An input or output as the graph declares it.
#[derive(Debug)]
struct Port {
    name: String,
    c_name: CString,
    /// The last dimension, where the graph fixes it.
    width: Option<usize>,
}

impl Port {
    fn new(outlet: &ort::value::Outlet) -> Self {
        let name = outlet.name().to_owned();
        // A name comes out of a C string, so it cannot contain a NUL.
        let c_name = CString::new(outlet.name()).unwrap_or_default();
        let last = outlet.dtype().tensor_shape().and_then(|shape| shape.last().copied());
        let width = last.and_then(|dim| usize::try_from(dim).ok()).filter(|&dim| dim > 0);
        Self { name, c_name, width }
    }
}

impl Session {
    /// Loads the graph at `path`, now or, with `options.lazy`, at its first use.
    ///
    /// # Errors
    /// A missing file, a missing runtime or device, and whatever the runtime says of the graph.
    pub fn open(path: &Path, options: &LoadOptions) -> Result<Self, Error> {
        // Reported here even when lazy: the runtime's message for a missing file is of no help.
        if let Err(source) = std::fs::File::open(path) {
            return Err(Error::Read { path: path.to_owned(), source: source.into() });
        }
        let session = Self {
            path: path.to_owned(),
            options: options.clone(),
            opening: Mutex::new(()),
            opened: OnceLock::new(),
        };
        if !options.lazy {
            session.opened()?;
        }
        Ok(session)
    }

    /// The file of the graph.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The device that the graph runs on, such as `cpu` or `cuda:0`.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn device(&self) -> Result<&str, Error> {
        Ok(&self.opened()?.device)
    }

    /// How many callers can run the graph at once.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn lanes(&self) -> Result<usize, Error> {
        Ok(self.opened()?.lanes)
    }

    /// Names of the inputs that the graph declares, in its order.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn inputs(&self) -> Result<impl Iterator<Item = &str>, Error> {
        Ok(self.opened()?.inputs.iter().map(|port| port.name.as_str()))
    }

    /// Whether the graph quantises activations by the range of the whole batch, which makes a row's
    /// result depend on its neighbours.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn depends_on_batch(&self) -> Result<bool, Error> {
        Ok(self.opened()?.batch_dependent)
    }

    /// The position of an output.
    ///
    /// # Errors
    /// [`Error::MissingOutput`], and those of loading, where the session is lazy.
    pub fn output(&self, output: &Output) -> Result<usize, Error> {
        let outputs = &self.opened()?.outputs;
        let found = match output {
            Output::Index(index) => (*index < outputs.len()).then_some(*index),
            Output::Name(name) => outputs.iter().position(|port| port.name == *name),
        };
        found.ok_or_else(|| Error::MissingOutput {
            path: self.path.clone(),
            expected: match output {
                Output::Index(index) => format!("number {index}"),
                Output::Name(name) => format!("`{name}`"),
            },
            found: outputs.iter().map(|port| port.name.clone()).collect(),
        })
    }

    /// The name of an output, by position.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn output_name(&self, index: usize) -> Result<&str, Error> {
        Ok(self.opened()?.outputs.get(index).map_or("", |port| &port.name))
    }

    /// The last dimension of an output, where the graph fixes it.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn output_width(&self, index: usize) -> Result<Option<usize>, Error> {
        Ok(self.opened()?.outputs.get(index).and_then(|port| port.width))
    }

    /// Runs the graph and hands one output, in place, to `read`. Waits for a free lane.
    ///
    /// # Errors
    /// What the runtime says, and [`Error::OutputType`] for an output that is no tensor of numbers.
    pub fn run<R>(
        &self,
        inputs: &[Input<'_>],
        output: usize,
        read: impl FnOnce(View<'_>) -> R,
    ) -> Result<R, Error> {
        let opened = self.opened()?;
        let failed = |error: ort::Error| Error::Run {
            path: self.path.clone(),
            reason: one_line(&error.to_string()),
        };
        let lane = opened.lane();
        let value = lane.run(inputs, output).map_err(failed)?;
        let output = &opened.outputs[output].name;
        let not_a_number = |found: String| Error::OutputType {
            path: self.path.clone(),
            output: output.clone(),
            found,
        };
        let Some(&element) = value.dtype().tensor_type().as_ref() else {
            return Err(not_a_number(format!("{:?}", value.dtype())));
        };
        let (shape, values) = widen(&value, element)
            .map_err(failed)?
            .ok_or_else(|| not_a_number(element.to_string()))?;
        let half = matches!(element, TensorElementType::Float16);
        Ok(read(View { shape: &shape, values: &values, half }))
    }

    fn opened(&self) -> Result<&Opened, Error> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let _guard = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = Opened::open(&self.path, &self.options)?;
        Ok(self.opened.get_or_init(|| opened))
    }
}

impl Opened {
    fn open(path: &Path, options: &LoadOptions) -> Result<Self, Error> {
        let span = tracing::info_span!("load", path = %path.display());
        let _entered = span.enter();
        let (environment, _) =
            runtime::environment(options.onnxruntime.as_deref(), options.cache_dir.as_deref())?;
        let batch_dependent = graph::depends_on_batch(path)?;
        let mut alternatives = device::alternatives(&options.device).into_iter().peekable();
        loop {
            let Some(places) = alternatives.next() else {
                let reason = "no device was named".to_owned();
                return Err(Error::Device { device: "prefer".to_owned(), reason });
            };
            match Self::open_at(&environment, path, &places, options, batch_dependent) {
                Err(error) if alternatives.peek().is_some() => {
                    tracing::warn!(%error, "falling back to the next device");
                }
                done => return done,
            }
        }
    }

    fn open_at(
        environment: &Environment,
        path: &Path,
        places: &[Place],
        options: &LoadOptions,
        batch_dependent: bool,
    ) -> Result<Self, Error> {
        at_most("threads", options.threads, MOST_THREADS)?;
        at_most("replicas", options.replicas, MOST_REPLICAS)?;
        let on_cpu = places.iter().all(|place| *place == Place::Cpu);
        let cores = available_parallelism().map_or(1, usize::from);
        let replicas = options.replicas.map(usize::from);
        let replicas = replicas.unwrap_or(if on_cpu { cores } else { 1 });
        let threads = options.threads.map_or_else(|| (cores / replicas).max(1), usize::from);
        let graphs = places
            .iter()
            .flat_map(|place| std::iter::repeat_n(place, if on_cpu { 1 } else { replicas }))
            .map(|place| build(environment, path, *place, threads, options))
            .collect::<Result<Vec<_>, _>>()?;
        let lanes = if on_cpu { replicas } else { graphs.len() };
        let device: Vec<_> = places.iter().map(ToString::to_string).collect();
        Ok(Self {
            inputs: graphs[0].inputs().iter().map(Port::new).collect(),
            outputs: graphs[0].outputs().iter().map(Port::new).collect(),
            free: Mutex::new((0..lanes).map(|lane| lane % graphs.len()).collect()),
            freed: Condvar::new(),
            device: device.join(","),
            graphs,
            batch_dependent,
            lanes,
        })
    }

    fn lane(&self) -> Lane<'_> {
        let mut free = self.free();
        loop {
            if let Some(graph) = free.pop() {
                return Lane { opened: self, graph };
            }
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<usize>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn at_most(option: &'static str, asked: Option<NonZeroUsize>, limit: usize) -> Result<(), Error> {
    match asked.map(usize::from) {
        Some(found) if found > limit => Err(Error::TooMany { option, found, limit }),
        _ => Ok(()),
    }
}

fn build(
    environment: &Environment,
    path: &Path,
    place: Place,
    threads: usize,
    options: &LoadOptions,
) -> Result<ort::session::Session, Error> {
    let refused = |reason: String| match place {
        Place::Cpu => Error::LoadGraph { path: path.to_owned(), reason },
        place => Error::Device { device: place.to_string(), reason },
    };
    let providers = device::providers(place, options)?;
    let build = || -> ort::Result<ort::session::Session> {
        let mut builder = ort::session::Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads)?
            // Lengths vary from batch to batch, and each would get a plan of its own.
            .with_memory_pattern(false)?
            // Threads that spin while they wait take the core from whoever else wants it.
            .with_intra_op_spinning(false)?
            // What goes wrong comes back as an error; its own log on stderr would only repeat it.
            .with_log_level(ort::logging::LogLevel::Fatal)?
            .with_no_environment_execution_providers()?
            .with_execution_providers(providers)?;
        let session_options = options.provider_options.iter();
        for (key, value) in session_options.filter(|(key, _)| device::is_session_option(key)) {
            builder = builder.with_config_entry(key, value)?;
        }
        builder.commit_from_file(path)
    };
    build().map_err(|error| refused(one_line(&error.to_string())))
}

/// A turn at the graph; gives it back when dropped.
struct Lane<'a> {
    opened: &'a Opened,
    graph: usize,
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.opened.free().push(self.graph);
        self.opened.freed.notify_one();
    }
}

impl Lane<'_> {
    #[expect(
        unsafe_code,
        reason = "ort's `run` wants `&mut`, which would cost one copy of the weights per lane"
    )]
    fn run(&self, inputs: &[Input<'_>], output: usize) -> ort::Result<DynValue> {
        let graph = &self.opened.graphs[self.graph];
        let mut names: Vec<*const c_char> = Vec::with_capacity(inputs.len());
        let mut tensors: Vec<TensorOf<'_>> = Vec::with_capacity(inputs.len());
        for input in inputs {
            let declared = self.opened.inputs.iter().find(|port| port.name == input.name);
            let Some(port) = declared else {
                return Err(ort::Error::new(format!("the graph has no input `{}`", input.name)));
            };
            names.push(port.c_name.as_ptr());
            tensors.push(TensorOf::new(input)?);
        }
        let values: Vec<_> = tensors.iter().map(TensorOf::ptr).collect();
        let output = self.opened.outputs[output].c_name.as_ptr();
        let mut result: *mut ort::sys::OrtValue = std::ptr::null_mut();
        // SAFETY: names and values are as many as `inputs`, alive until after the call, and of
        // tensors that borrow the caller's slices. The session is alive as `self.opened` owns it.
        // `Run` does not change the session; it may be called from several threads on the CPU
        // provider (documented at `OrtApi::Run`), and on other providers `Lane` gives each graph to
        // one caller at a time.
        let status = unsafe {
            (ort::api().Run)(
                graph.ptr().cast_mut(),
                std::ptr::null(),
                names.as_ptr(),
                values.as_ptr(),
                names.len(),
                &raw const output,
                1,
                &raw mut result,
            )
        };
        // SAFETY: the status comes from the call above and is not used again.
        unsafe { ort::Error::result_from_status(status) }?;
        let result = NonNull::new(result)
            .ok_or_else(|| ort::Error::new("the output is an optional value that is absent"))?;
        // SAFETY: `Run` made the value, nobody else owns it, and it was made by the allocator of
        // this session.
        Ok(unsafe { DynValue::from_ptr(result, Some(graph.allocator())) })
    }
}

enum TensorOf<'a> {
    I64(TensorRef<'a, i64>),
    F32(TensorRef<'a, f32>),
}

impl<'a> TensorOf<'a> {
    fn new(input: &Input<'a>) -> ort::Result<Self> {
        let shape = input.shape.to_vec();
        Ok(match input.values {
            Values::I64(values) => Self::I64(TensorRef::from_array_view((shape, values))?),
            Values::F32(values) => Self::F32(TensorRef::from_array_view((shape, values))?),
        })
    }

    fn ptr(&self) -> *const ort::sys::OrtValue {
        match self {
            Self::I64(tensor) => tensor.ptr(),
            Self::F32(tensor) => tensor.ptr(),
        }
    }
}

type ShapeAndValues<'a> = (Vec<usize>, Cow<'a, [f32]>);

/// The elements as f32; `None` for types that are no numbers.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "f32 is our type")]
fn widen(value: &DynValue, element: TensorElementType) -> ort::Result<Option<ShapeAndValues<'_>>> {
    macro_rules! converted {
        ($type:ty, $convert:expr) => {{
            let (shape, values) = value.try_extract_tensor::<$type>()?;
            (shape, Cow::Owned(values.iter().map($convert).collect()))
        }};
    }
    let (shape, values) = match element {
        TensorElementType::Float32 => {
            let (shape, values) = value.try_extract_tensor::<f32>()?;
            (shape, Cow::Borrowed(values))
        }
        TensorElementType::Float16 => converted!(half::f16, |x| x.to_f32()),
        TensorElementType::Bfloat16 => converted!(half::bf16, |x| x.to_f32()),
        TensorElementType::Float64 => converted!(f64, |&x| x as f32),
        TensorElementType::Int64 => converted!(i64, |&x| x as f32),
        TensorElementType::Int32 => converted!(i32, |&x| x as f32),
        TensorElementType::Int8 => converted!(i8, |&x| f32::from(x)),
        TensorElementType::Uint8 => converted!(u8, |&x| f32::from(x)),
        _ => return Ok(None),
    };
    // Output shapes are never negative: the runtime has resolved them.
    let shape = shape.iter().map(|&dim| usize::try_from(dim).unwrap_or(0)).collect();
    Ok(Some((shape, values)))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
