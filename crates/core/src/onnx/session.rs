//! A loaded graph behind `&self`, run by as many callers at once as it has lanes.
//!
//! On the CPU all lanes share one copy of the graph and its weights: ONNX Runtime allows `Run` to be
//! called on one session from several threads there. On other devices each lane has a copy of its
//! own, since providers keep state that is not thread-safe.
//!
//! Unless the caller fixes threads or replicas, the CPU gets the shape that the [`Workload`] wants:
//! a stream of batches is fastest in lanes of one thread each, a lone batch on all cores at once.
//! The second shape is loaded when it is first wanted, and takes the place of one that never ran.

use std::{
    borrow::Cow,
    ffi::{CString, c_char},
    fmt, io,
    path::{Path, PathBuf},
    ptr::NonNull,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::available_parallelism,
};

use embedkit_types::{Device, GraphOutput, LoadOptions, OptionsError};
use ort::{
    AsPointer,
    environment::Environment,
    logging::LogLevel,
    session::{RunOptions, builder::GraphOptimizationLevel},
    value::{DynValue, Tensor, TensorElementType, TensorRef},
};

use super::{
    device, external,
    failure::run_error,
    graph, operators,
    placement::Placement,
    turns::{Turn, Turnstile},
    watchdog::Watchdog,
};
use crate::{
    error::{Error, probe},
    pipeline::Workload,
    runtime, threads,
};

/// Each is a thread of the process; more than any machine has cores.
const MOST_THREADS: usize = 1024;
/// Each is a thread of the process, and a copy of the graph on anything but the CPU.
const MOST_REPLICAS: usize = 256;

/// One tensor that goes into a graph.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Name of the graph's input.
    pub name: &'a str,
    /// Shape; empty for a scalar. A dimension of 0 makes a tensor without elements.
    pub shape: &'a [usize],
    /// Elements in row-major order.
    pub values: Values<'a>,
}

/// The elements of an input.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// Integers: token ids, masks. They become what the graph declares: integers of 32 bits, floats,
    /// or booleans (everything but 0 is true).
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
    facts: OnceLock<Facts>,
    /// Held while a graph is loaded, so that it is loaded once.
    single: Mutex<Option<Arc<Lanes>>>,
    stream: OnceLock<Arc<Lanes>>,
    /// Where runs have a time limit.
    watchdog: Option<Watchdog>,
}

/// What the first loading of the graph has shown.
#[derive(Debug)]
struct Facts {
    device: String,
    /// Device of each copy of the graph, were there one replica.
    devices: Vec<Device>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    batch_dependent: bool,
    /// Whether the two workloads have graphs of their own.
    dual: bool,
}

/// A graph, loaded once or several times, and turns at it.
struct Lanes {
    graphs: Vec<ort::session::Session>,
    count: usize,
    turns: Turnstile,
    used: AtomicBool,
    /// Without a log, which the graphs themselves may keep.
    run_options: RunOptions,
}

/// An input or output as the graph declares it.
#[derive(Debug)]
struct Port {
    name: String,
    c_name: CString,
    /// Dimensions, where the graph fixes them. Without any the shape may also be undeclared.
    shape: Vec<Option<usize>>,
    /// The type of the elements, of a tensor.
    element: Option<TensorElementType>,
}

impl Port {
    fn new(outlet: &ort::value::Outlet) -> Self {
        let name = outlet.name().to_owned();
        // A name comes out of a C string, so it cannot contain a NUL.
        let c_name = CString::new(outlet.name()).unwrap_or_default();
        let fixed = |&dim: &i64| usize::try_from(dim).ok().filter(|&dim| dim > 0);
        let shape = outlet.dtype().tensor_shape();
        let shape = shape.map_or_else(Vec::new, |shape| shape.iter().map(fixed).collect());
        Self { name, c_name, shape, element: outlet.dtype().tensor_type() }
    }

    /// Whether the runtime takes a tensor of this shape here.
    fn takes(&self, shape: &[usize]) -> bool {
        let fits =
            |(declared, given): (&Option<usize>, &usize)| declared.is_none_or(|d| d == *given);
        self.shape.is_empty()
            || self.shape.len() == shape.len() && self.shape.iter().zip(shape).all(fits)
    }
}

impl Session {
    /// Loads the graph at `path`, now or, with `options.lazy`, at its first use.
    ///
    /// # Errors
    /// A missing file, [`Error::LfsPointer`], a missing runtime or device, and whatever the runtime
    /// says of the graph.
    pub fn open(path: &Path, options: &LoadOptions) -> Result<Self, Error> {
        // Reported here even when lazy: the runtime's message for a missing file is of no help.
        probe(path)?;
        let thread = |source: io::Error| {
            let source = Arc::new(source);
            Error::Thread { started: 0, wanted: 1, source }
        };
        let session = Self {
            watchdog: options.timeout.map(Watchdog::start).transpose().map_err(thread)?,
            path: path.to_owned(),
            options: options.clone(),
            facts: OnceLock::new(),
            single: Mutex::new(None),
            stream: OnceLock::new(),
        };
        if !options.lazy {
            session.facts()?;
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
        Ok(&self.facts()?.device)
    }

    /// How many batches of a stream can run at once.
    ///
    /// # Errors
    /// Those of loading.
    pub fn lanes(&self) -> Result<usize, Error> {
        Ok(self.lanes_of(Workload::Stream)?.count)
    }

    /// Names of the inputs that the graph declares, in its order.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn inputs(&self) -> Result<impl Iterator<Item = &str>, Error> {
        Ok(self.facts()?.inputs.iter().map(|port| port.name.as_str()))
    }

    /// The shape of an input, by position: each dimension where the graph fixes it. Empty where the
    /// graph declares none.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn input_shape(&self, index: usize) -> Result<&[Option<usize>], Error> {
        Ok(self.facts()?.inputs.get(index).map_or(&[], |port| &port.shape))
    }

    /// Whether the graph quantises activations by the range of the whole batch, which makes a row's
    /// result depend on its neighbours.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn depends_on_batch(&self) -> Result<bool, Error> {
        Ok(self.facts()?.batch_dependent)
    }

    /// The position of an output.
    ///
    /// # Errors
    /// [`Error::MissingOutput`], and those of loading, where the session is lazy.
    pub fn output(&self, output: &GraphOutput) -> Result<usize, Error> {
        let outputs = &self.facts()?.outputs;
        let found = match output {
            GraphOutput::Index(index) => (*index < outputs.len()).then_some(*index),
            GraphOutput::Name(name) => outputs.iter().position(|port| port.name == *name),
        };
        found.ok_or_else(|| Error::MissingOutput {
            path: self.path.clone(),
            expected: match output {
                GraphOutput::Index(index) => format!("number {index}"),
                GraphOutput::Name(name) => format!("`{name}`"),
            },
            found: outputs.iter().map(|port| port.name.clone()).collect(),
        })
    }

    /// The name of an output, by position.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn output_name(&self, index: usize) -> Result<&str, Error> {
        Ok(self.facts()?.outputs.get(index).map_or("", |port| &port.name))
    }

    /// The last dimension of an output, where the graph fixes it.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn output_width(&self, index: usize) -> Result<Option<usize>, Error> {
        Ok(self.facts()?.outputs.get(index).and_then(|port| *port.shape.last()?))
    }

    /// Runs the graph and hands one output, in place, to `read`. Waits for a free lane.
    ///
    /// # Errors
    /// Those of the runtime, [`Error::InputShape`] for a tensor that the graph does not take,
    /// [`Error::TimedOut`] where the run, without the wait, takes longer than `timeout` of the
    /// options, and [`Error::OutputType`] for an output that is no tensor of numbers.
    pub fn run<R>(
        &self,
        workload: Workload,
        inputs: &[Input<'_>],
        output: usize,
        read: impl FnOnce(View<'_>) -> R,
    ) -> Result<R, Error> {
        let lanes = self.lanes_of(workload)?;
        let facts = self.facts()?;
        self.check_shapes(facts, inputs)?;
        let lane = lanes.lane();
        let failed = |error: ort::Error| run_error(&self.path, error.code(), error.message());
        let value = match &self.watchdog {
            None => lane.run(&lanes.run_options, facts, inputs, output).map_err(failed)?,
            Some(watchdog) => self.run_watched(watchdog, &lane, facts, inputs, output)?,
        };
        let output = &facts.outputs[output].name;
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

    /// A run with a time limit. Options of its own tell it from others that run at the same time.
    fn run_watched(
        &self,
        watchdog: &Watchdog,
        lane: &Lane<'_>,
        facts: &Facts,
        inputs: &[Input<'_>],
        output: usize,
    ) -> Result<DynValue, Error> {
        let failed = |error: ort::Error| run_error(&self.path, error.code(), error.message());
        let options = Arc::new(run_options().map_err(failed)?);
        let stop = Arc::clone(&options);
        let watched = watchdog.watch(move || {
            if let Err(error) = stop.terminate() {
                tracing::warn!(%error, "a run cannot be stopped at its limit");
            }
        });
        lane.run(&options, facts, inputs, output).map_err(|error| {
            if watched.expired() {
                let rows = inputs.iter().find_map(|input| input.shape.first());
                let (path, limit) = (self.path.clone(), watchdog.limit());
                Error::TimedOut { path, limit, rows: rows.copied().unwrap_or(1) }
            } else {
                failed(error)
            }
        })
    }

    fn check_shapes(&self, facts: &Facts, inputs: &[Input<'_>]) -> Result<(), Error> {
        for input in inputs {
            let port = facts.inputs.iter().find(|port| port.name == input.name);
            if let Some(port) = port.filter(|port| !port.takes(input.shape)) {
                return Err(Error::InputShape {
                    path: self.path.clone(),
                    input: port.name.clone(),
                    found: input.shape.to_vec(),
                    expected: port.shape.clone(),
                });
            }
        }
        Ok(())
    }

    fn facts(&self) -> Result<&Facts, Error> {
        if let Some(facts) = self.facts.get() {
            return Ok(facts);
        }
        self.lanes_of(Workload::Single)?;
        // Loading sets them, or fails.
        self.facts.get().ok_or_else(|| Error::Defect { reason: "no graph".to_owned() })
    }

    /// The graph for a workload, loaded if this is the first time.
    fn lanes_of(&self, workload: Workload) -> Result<Arc<Lanes>, Error> {
        if let (Some(stream), Some(facts)) = (self.stream.get(), self.facts.get())
            && (workload == Workload::Stream || !facts.dual)
        {
            return Ok(Arc::clone(stream));
        }
        let mut single = self.single.lock().unwrap_or_else(PoisonError::into_inner);
        match (workload, &*single) {
            (Workload::Single, Some(lanes)) => return Ok(Arc::clone(lanes)),
            // It was only loaded to look at the graph.
            (Workload::Stream, Some(lanes)) if !lanes.used.load(Ordering::Relaxed) => {
                *single = None;
            }
            _ => {}
        }
        if let Some(stream) = self.stream.get()
            && (workload == Workload::Stream || self.facts.get().is_some_and(|facts| !facts.dual))
        {
            return Ok(Arc::clone(stream));
        }
        let lanes = Arc::new(self.load(workload)?);
        let dual = self.facts.get().is_some_and(|facts| facts.dual);
        if workload == Workload::Single && dual {
            *single = Some(Arc::clone(&lanes));
        } else {
            // The lock is held, so nobody else has set it.
            let _ = self.stream.set(Arc::clone(&lanes));
        }
        Ok(lanes)
    }

    fn load(&self, workload: Workload) -> Result<Lanes, Error> {
        let options = &self.options;
        let span = tracing::info_span!("load", path = %self.path.display(), ?workload);
        let _entered = span.enter();
        at_most("threads", options.threads, MOST_THREADS)?;
        at_most("replicas", options.replicas, MOST_REPLICAS)?;
        let (environment, _) =
            runtime::environment(options.onnxruntime.as_deref(), options.cache_dir.as_deref())?;
        if let Some(facts) = self.facts.get() {
            return Lanes::open(&environment, &self.path, &facts.devices, options, workload);
        }
        let outline = graph::outline(&self.path)?;
        external::check(&self.path, &outline.external)?;
        let mut alternatives = device::alternatives(&options.device).into_iter().peekable();
        loop {
            let device = alternatives.next().ok_or(OptionsError::NoDevice)?;
            let devices = device::split(&device);
            match Lanes::open(&environment, &self.path, &devices, options, workload) {
                Err(error) if alternatives.peek().is_some() => {
                    tracing::warn!(%error, "falling back to the next device");
                }
                Err(error) => return Err(error),
                Ok(lanes) => {
                    self.facts.get_or_init(|| Facts {
                        device: device.to_string(),
                        inputs: lanes.graphs[0].inputs().iter().map(Port::new).collect(),
                        outputs: lanes.graphs[0].outputs().iter().map(Port::new).collect(),
                        batch_dependent: outline.depends_on_batch,
                        dual: dual(&devices, options),
                        devices,
                    });
                    return Ok(lanes);
                }
            }
        }
    }
}

/// The cores that the process may use, within its affinity and its cgroup's share. Two threads of one
/// core share its arithmetic units, which one alone keeps busy with products.
fn cores() -> usize {
    available_parallelism().map_or(1, usize::from).min(num_cpus::get_physical().max(1))
}

fn on_cpu(devices: &[Device]) -> bool {
    devices.iter().all(|device| *device == Device::Cpu)
}

/// Whether the two workloads want different shapes.
fn dual(devices: &[Device], options: &LoadOptions) -> bool {
    on_cpu(devices) && options.threads.is_none() && options.replicas.is_none() && cores() > 1
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("graphs", &self.graphs).finish_non_exhaustive()
    }
}

impl Lanes {
    fn open(
        environment: &Environment,
        path: &Path,
        devices: &[Device],
        options: &LoadOptions,
        workload: Workload,
    ) -> Result<Self, Error> {
        let on_cpu = on_cpu(devices);
        let whole = workload == Workload::Single && dual(devices, options);
        let replicas = match options.replicas {
            Some(replicas) => replicas,
            None if on_cpu && !whole => cores(),
            None => 1,
        };
        let threads = options.threads.unwrap_or_else(|| (cores() / replicas).max(1));
        // The caller's thread is one of them.
        threads::check(devices.len() * if on_cpu { 1 } else { replicas } * (threads - 1))?;
        let graphs = devices
            .iter()
            .flat_map(|device| std::iter::repeat_n(device, if on_cpu { 1 } else { replicas }))
            .map(|device| build(environment, path, device, threads, whole, options))
            .collect::<Result<Vec<_>, _>>()?;
        let count = if on_cpu { replicas } else { graphs.len() };
        let refused = |error: ort::Error| Error::LoadGraph {
            path: path.to_owned(),
            reason: one_line(&error.to_string()),
        };
        Ok(Self {
            run_options: run_options().map_err(refused)?,
            turns: Turnstile::new((0..count).map(|lane| lane % graphs.len())),
            used: AtomicBool::new(false),
            graphs,
            count,
        })
    }

    fn lane(&self) -> Lane<'_> {
        self.used.store(true, Ordering::Relaxed);
        Lane { lanes: self, turn: self.turns.enter() }
    }
}

/// Options for runs without a log, which only would repeat the error.
fn run_options() -> ort::Result<RunOptions> {
    let mut options = RunOptions::new()?;
    options.set_log_level(LogLevel::Fatal)?;
    Ok(options)
}

fn at_most(option: &'static str, asked: Option<usize>, limit: usize) -> Result<(), Error> {
    match asked {
        Some(found) if found > limit => Err(Error::TooMany { option, found, limit }),
        _ => Ok(()),
    }
}

fn build(
    environment: &Environment,
    path: &Path,
    device: &Device,
    threads: usize,
    spinning: bool,
    options: &LoadOptions,
) -> Result<ort::session::Session, Error> {
    let refused = |reason: String| match device {
        Device::Cpu => Error::LoadGraph { path: path.to_owned(), reason },
        device => Error::Device { device: device.to_string(), reason },
    };
    let providers = device::providers(device, options)?;
    let placement = (*device != Device::Cpu).then(Arc::<Placement>::default);
    let build = || -> ort::Result<ort::session::Session> {
        let mut builder = ort::session::Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads)?
            // Lengths vary from batch to batch, and each would get a plan of its own.
            .with_memory_pattern(false)?
            // Threads that spin while they wait take the core from whoever else wants it. Where one
            // batch has all cores to itself, waking them for each operator would cost more.
            .with_intra_op_spinning(spinning)?
            .with_operators(operators::domain(threads)?)?
            // What goes wrong comes back as an error; its own log on stderr would only repeat it.
            .with_log_level(LogLevel::Fatal)?
            .with_no_environment_execution_providers()?
            .with_execution_providers(providers)?;
        let session_options = options.provider_options.iter();
        for (key, value) in session_options.filter(|(key, _)| device::is_session_option(key)) {
            builder = builder.with_config_entry(key, value)?;
        }
        if let Some(placement) = &placement {
            builder = builder.with_logger(placement.logger())?.with_log_level(LogLevel::Verbose)?;
        }
        builder.commit_from_file(path)
    };
    let graph = build().map_err(|error| refused(one_line(&error.to_string())))?;
    if let Some((on_cpu @ 1.., operators)) = placement.map(|placement| placement.on_cpu()) {
        tracing::warn!(%device, on_cpu, operators, "some operators run on the CPU instead");
    }
    Ok(graph)
}

/// A turn at a graph.
struct Lane<'a> {
    lanes: &'a Lanes,
    turn: Turn<'a>,
}

impl Lane<'_> {
    #[expect(
        unsafe_code,
        reason = "ort's `run` wants `&mut`, which would cost one copy of the weights per lane"
    )]
    fn run(
        &self,
        run_options: &RunOptions,
        facts: &Facts,
        inputs: &[Input<'_>],
        output: usize,
    ) -> ort::Result<DynValue> {
        let graph = &self.lanes.graphs[self.turn.place];
        let mut names: Vec<*const c_char> = Vec::with_capacity(inputs.len());
        let mut tensors: Vec<TensorOf<'_>> = Vec::with_capacity(inputs.len());
        for input in inputs {
            let declared = facts.inputs.iter().find(|port| port.name == input.name);
            let Some(port) = declared else {
                return Err(ort::Error::new(format!("the graph has no input `{}`", input.name)));
            };
            names.push(port.c_name.as_ptr());
            tensors.push(TensorOf::new(input, port.element)?);
        }
        let values: Vec<_> = tensors.iter().map(TensorOf::ptr).collect();
        let output = facts.outputs[output].c_name.as_ptr();
        let mut result: *mut ort::sys::OrtValue = std::ptr::null_mut();
        // SAFETY: names and values are as many as `inputs`, alive until after the call, and of
        // tensors that borrow the caller's slices. The session is alive as `self.lanes` owns it.
        // `Run` does not change the session; it may be called from several threads on the CPU
        // provider (documented at `OrtApi::Run`), and on other providers `Lane` gives each graph to
        // one caller at a time.
        let status = unsafe {
            (ort::api().Run)(
                graph.ptr().cast_mut(),
                run_options.ptr(),
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
    /// Elements that were converted.
    Owned(DynValue),
}

impl<'a> TensorOf<'a> {
    /// The tensor for an input that the graph declares with elements of this type.
    #[expect(clippy::cast_precision_loss, reason = "masks and flags")]
    fn new(input: &Input<'a>, declared: Option<TensorElementType>) -> ort::Result<Self> {
        let shape = input.shape.to_vec();
        macro_rules! converted {
            ($values:expr, $convert:expr) => {{
                let values: Vec<_> = $values.iter().map($convert).collect();
                Self::Owned(Tensor::from_array((shape, values))?.into_dyn())
            }};
        }
        Ok(match (input.values, declared) {
            (Values::I64(values), Some(TensorElementType::Int32)) => {
                let narrow = |&value: &i64| {
                    i32::try_from(value).map_err(|_| {
                        let name = input.name;
                        ort::Error::new(format!("`{name}` takes 32 bits, {value} has more"))
                    })
                };
                let values = values.iter().map(narrow).collect::<ort::Result<Vec<i32>>>()?;
                Self::Owned(Tensor::from_array((shape, values))?.into_dyn())
            }
            (Values::I64(values), Some(TensorElementType::Bool)) => converted!(values, |&x| x != 0),
            (Values::I64(values), Some(TensorElementType::Float32)) => {
                converted!(values, |&x| x as f32)
            }
            (Values::I64(values), Some(TensorElementType::Float16)) => {
                converted!(values, |&x| half::f16::from_f32(x as f32))
            }
            // Nothing is nothing in either precision. Pixels in half are no input of FastEmbed's.
            (Values::F32([]), Some(TensorElementType::Float16)) => {
                Self::Owned(Tensor::from_array((shape, Vec::<half::f16>::new()))?.into_dyn())
            }
            (Values::I64(values), _) => Self::I64(TensorRef::from_array_view((shape, values))?),
            (Values::F32(values), _) => Self::F32(TensorRef::from_array_view((shape, values))?),
        })
    }

    fn ptr(&self) -> *const ort::sys::OrtValue {
        match self {
            Self::I64(tensor) => tensor.ptr(),
            Self::F32(tensor) => tensor.ptr(),
            Self::Owned(tensor) => tensor.ptr(),
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

/// The same text without line breaks, as errors have it.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_no_more_than_the_process_may_use() {
        let most = available_parallelism().unwrap().get();
        assert!((1..=most).contains(&cores()), "{} of {most}", cores());
    }
}
