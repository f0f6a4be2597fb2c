//! Loading a graph, once or, where both workloads are worth it, twice.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, atomic::Ordering},
    time::Instant,
};

use embedkit_types::{Device, LoadOptions, OptionsError, Precision};
use ort::{
    environment::Environment,
    logging::LogLevel,
    session::builder::{GraphOptimizationLevel, SessionBuilder},
};

use super::{
    super::{
        device, external, graph, in_memory::InMemory, operators, placement::Placement, precision,
    },
    Loaded, Session,
    info::{GraphInfo, Port},
    lanes::{Lanes, Layout, Plan},
};
use crate::{error::Error, pipeline::Workload, runtime};

/// Each is a thread of the process; more than any machine has cores.
const MOST_THREADS: usize = 1024;
/// Each is a thread of the process, and a copy of the graph on anything but the CPU.
const MOST_REPLICAS: usize = 256;

/// The session's option for the folder of the files that a model in memory names.
const FOLDER_OF_WEIGHTS: &str = "session.model_external_initializers_file_folder_path";

impl Session {
    /// The graph for a workload, loaded if nothing is loaded yet, or if the workload is worth a graph
    /// of its own.
    pub(super) fn lanes_for(&self, workload: Workload) -> Result<Arc<Lanes>, Error> {
        let Some(info) = self.info.get() else {
            let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
            return match self.info.get() {
                None => self.load_first(workload),
                // Somebody was faster.
                Some(info) => match self.find(info, workload) {
                    Some(lanes) => Ok(lanes),
                    None => self.load_again(info, workload),
                },
            };
        };
        if let Some(lanes) = self.find(info, workload) {
            return Ok(lanes);
        }
        let _loading = match self.loading.try_lock() {
            Ok(loading) => loading,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                // Another thread loads; meanwhile the graph that there is goes on.
                let other = Layout::new(&info.devices, &self.options, workload).other();
                if let Some(lanes) = &self.loaded()[other as usize] {
                    return Ok(Arc::clone(lanes));
                }
                self.loading.lock().unwrap_or_else(PoisonError::into_inner)
            }
        };
        match self.find(info, workload) {
            Some(lanes) => Ok(lanes),
            None => self.load_again(info, workload),
        }
    }

    /// The graph that a workload runs on: its own, or the other one until its own pays.
    fn find(&self, info: &GraphInfo, workload: Workload) -> Option<Arc<Lanes>> {
        let wanted = Layout::new(&info.devices, &self.options, workload);
        let loaded = self.loaded();
        let other =
            || loaded[wanted.other() as usize].as_ref().filter(|_| !self.pays(info, workload));
        loaded[wanted as usize].as_ref().or_else(other).map(Arc::clone)
    }

    /// True for a workload that has run for as long as loading its graph takes: whatever comes then,
    /// the time is at most twice that of the better choice.
    fn pays(&self, info: &GraphInfo, workload: Workload) -> bool {
        let run = self.run_nanos[workload as usize].load(Ordering::Relaxed);
        u128::from(run) >= info.load_time.as_nanos()
    }

    pub(super) fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads the graph for a workload where the other one has been loaded.
    fn load_again(&self, info: &GraphInfo, workload: Workload) -> Result<Arc<Lanes>, Error> {
        let layout = Layout::new(&info.devices, &self.options, workload);
        let _span = self.span(layout).entered();
        // A second copy in memory only for two workloads that pay.
        let other = match workload {
            Workload::Single => Workload::Stream,
            Workload::Stream => Workload::Single,
        };
        if !self.pays(info, other) {
            self.loaded()[layout.other() as usize] = None;
        }
        let lanes = Lanes::open(
            &self.environment()?,
            self.model(&info.devices)?,
            &info.devices,
            &self.options,
            layout,
        );
        let lanes = Arc::new(lanes?);
        self.loaded()[layout as usize] = Some(Arc::clone(&lanes));
        Ok(lanes)
    }

    fn load_first(&self, workload: Workload) -> Result<Arc<Lanes>, Error> {
        let options = &self.options;
        at_most("threads", options.threads, MOST_THREADS)?;
        at_most("replicas", options.replicas, MOST_REPLICAS)?;
        let environment = self.environment()?;
        let outline = graph::outline(&self.path)?;
        external::check(&self.path, &outline.external)?;
        precision::check_graph(&self.path, options.precision, outline.precision)?;
        let mut alternatives = device::alternatives(&options.device);
        let on_cpu = match options.precision {
            Precision::F32 => false,
            Precision::AutoFast => outline.precision != Precision::F32,
            _ => true,
        };
        if on_cpu {
            alternatives.retain(|device| *device == Device::Cpu);
        }
        let mut alternatives = alternatives.into_iter().peekable();
        loop {
            let device = alternatives.next().ok_or(OptionsError::NoDevice)?;
            let devices = device::split(&device);
            let layout = Layout::new(&devices, options, workload);
            let _span = self.span(layout).entered();
            let start = Instant::now();
            let opened = self
                .model(&devices)
                .and_then(|model| Lanes::open(&environment, model, &devices, options, layout));
            match opened {
                Err(error) if alternatives.peek().is_some() => {
                    tracing::warn!(%error, "falling back to the next device");
                }
                Err(error) => return Err(error),
                Ok(lanes) => {
                    let lanes = Arc::new(lanes);
                    self.loaded()[layout as usize] = Some(Arc::clone(&lanes));
                    let graph = &lanes.graphs[0].1;
                    self.info.get_or_init(|| GraphInfo {
                        device: device.to_string(),
                        inputs: graph.inputs().iter().map(Port::new).collect(),
                        outputs: graph.outputs().iter().map(Port::new).collect(),
                        depends_on_batch: outline.depends_on_batch,
                        load_time: start.elapsed(),
                        devices,
                    });
                    return Ok(lanes);
                }
            }
        }
    }

    /// The model as sessions of these devices get it.
    fn model(&self, devices: &[Device]) -> Result<ModelSource<'_>, Error> {
        // Other devices copy weights into memory of their own, and some keep compiled graphs by the file's path.
        let in_memory = match devices {
            [Device::Cpu] => self.in_memory()?,
            _ => None,
        };
        Ok(ModelSource { path: &self.path, in_memory })
    }

    fn in_memory(&self) -> Result<Option<&InMemory>, Error> {
        if let Some(model) = self.in_memory.get() {
            return Ok(model.as_ref());
        }
        let model = InMemory::open(&self.path)?;
        Ok(self.in_memory.get_or_init(|| model).as_ref())
    }

    fn span(&self, layout: Layout) -> tracing::Span {
        tracing::info_span!("load", path = %self.path.display(), ?layout)
    }

    fn environment(&self) -> Result<Environment, Error> {
        let (library, cache_dir) = (&self.options.onnxruntime, &self.options.cache_dir);
        Ok(runtime::environment(library.as_deref(), cache_dir.as_deref())?.0)
    }
}

fn at_most(option: &'static str, asked: Option<usize>, limit: usize) -> Result<(), Error> {
    match asked {
        Some(found) if found > limit => Err(Error::TooMany { option, found, limit }),
        _ => Ok(()),
    }
}

/// A model file, and what sessions get instead of it.
#[derive(Clone, Copy)]
pub(super) struct ModelSource<'a> {
    pub(super) path: &'a Path,
    in_memory: Option<&'a InMemory>,
}

/// Loads one copy of a graph.
pub(super) fn build(
    environment: &Environment,
    ModelSource { path, in_memory }: ModelSource<'_>,
    device: &Device,
    plan: &Plan,
    options: &LoadOptions,
) -> Result<ort::session::Session, Error> {
    let refused = |reason: String| match device {
        Device::Cpu => Error::LoadGraph { path: path.to_owned(), reason },
        device => Error::Device { device: device.to_string(), reason },
    };
    let providers = device::providers(device, options)?;
    let placement = (*device != Device::Cpu).then(Arc::<Placement>::default);
    let linears = in_memory.map_or_else(Arc::default, |model| Arc::clone(&model.linears));
    let build = || -> ort::Result<ort::session::Session> {
        let mut builder = ort::session::Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(plan.threads)?
            // Lengths vary from batch to batch, and each would get a plan of its own.
            .with_memory_pattern(false)?
            .with_intra_op_spinning(plan.spinning)?
            .with_operators(operators::domain(plan.threads, linears)?)?
            // Errors come back as values; the runtime's own log on stderr would only repeat them.
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
        commit(&mut builder, path, in_memory)
    };
    let graph = build().map_err(|error| refused(one_line(&error.to_string())))?;
    if let Some((on_cpu @ 1.., operators)) = placement.map(|placement| placement.on_cpu()) {
        tracing::warn!(%device, on_cpu, operators, "some operators run on the CPU instead");
    }
    Ok(graph)
}

/// Creates a session of the model in memory, or of the file if there is none or the runtime refuses it: its reason
/// then names the file.
fn commit(
    builder: &mut SessionBuilder,
    path: &Path,
    in_memory: Option<&InMemory>,
) -> ort::Result<ort::session::Session> {
    let Some(InMemory { model, folder, .. }) = in_memory else {
        return one_at_first(|| builder.commit_from_file(path));
    };
    let mut with_folder = builder.clone().with_config_entry(FOLDER_OF_WEIGHTS, folder)?;
    one_at_first(|| with_folder.commit_from_memory(model)).or_else(|error| {
        let session = one_at_first(|| builder.commit_from_file(path))?;
        tracing::warn!(%error, "the model runs as its file has it, which is slower");
        Ok(session)
    })
}

/// Creates a session, one at a time until the first has succeeded.
///
/// The first one puts the domain of our operators into a table of the process, which ONNX Runtime does not
/// guard: of two at the same time, the second fails since the domain is there already.
fn one_at_first(
    create: impl FnOnce() -> ort::Result<ort::session::Session>,
) -> ort::Result<ort::session::Session> {
    static DOMAIN_IS_KNOWN: Mutex<bool> = Mutex::new(false);

    let mut known = DOMAIN_IS_KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if *known {
        drop(known);
        return create();
    }
    let session = create()?;
    *known = true;
    Ok(session)
}

/// The same text without line breaks, as errors have it.
pub(in crate::onnx) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
