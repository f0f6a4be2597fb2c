//! A loaded graph behind `&self`, run by as many callers at once as it has lanes.
//!
//! On the CPU all lanes share one copy of the graph and its weights: ONNX Runtime allows `Run` to be
//! called on one session from several threads there. On other devices each lane has a copy of its
//! own, since providers keep state that is not thread-safe.
//!
//! Unless the caller fixes threads or replicas, the CPU has two layouts: a stream of batches is fastest
//! in lanes of one thread each, a lone batch on all cores at once. Either workload runs on the graph
//! that is loaded; a graph of its own is loaded once it has run for as long as loading takes. The first
//! graph is then dropped, unless the other workload has run for as long, too. Both graphs are made of one
//! model in memory, share its packed matrices, and have other large weights in the file.

mod info;
mod lanes;
mod load;
mod run;
mod tensor;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, atomic::AtomicU64},
};

use embedkit_types::{GraphOutput, LoadOptions};

pub(super) use self::load::one_line;
pub use self::tensor::{Input, Values, View};
use self::{
    info::GraphInfo,
    lanes::{Lanes, Layout, Plan},
};
use super::{in_memory::InMemory, precision, watchdog::Watchdog};
use crate::{
    error::{Error, probe},
    pipeline::{Capacity, Workload},
};

/// A loaded graph. `Send + Sync`; every method takes `&self`.
#[derive(Debug)]
pub struct Session {
    path: PathBuf,
    options: LoadOptions,
    info: OnceLock<GraphInfo>,
    /// The model for the CPU, of which all graphs there are made.
    in_memory: OnceLock<Option<InMemory>>,
    /// Held while a graph is loaded, so that it is loaded once.
    loading: Mutex<()>,
    loaded: Mutex<Loaded>,
    /// Time in runs of each workload, in nanoseconds.
    run_nanos: [AtomicU64; 2],
    /// Stops runs at their time limit, if there is one.
    watchdog: Option<Watchdog>,
}

/// The graph in each [`Layout`].
type Loaded = [Option<Arc<Lanes>>; 2];

impl Session {
    /// Loads the graph at `path`, now or, with `options.lazy`, at its first use.
    ///
    /// # Errors
    /// A missing file, [`Error::LfsPointer`], a missing runtime or device, a precision that the processor or
    /// the graph does not have, and whatever the runtime says of the graph.
    pub fn open(path: &Path, options: &LoadOptions) -> Result<Self, Error> {
        // Reported here even when lazy: the runtime's message for a missing file is of no help.
        probe(path)?;
        precision::check(options.precision)?;
        let thread = |source: io::Error| {
            let source = Arc::new(source);
            Error::Thread { started: 0, wanted: 1, source }
        };
        let session = Self {
            watchdog: options.timeout.map(Watchdog::start).transpose().map_err(thread)?,
            path: path.to_owned(),
            options: options.clone(),
            info: OnceLock::new(),
            in_memory: OnceLock::new(),
            loading: Mutex::new(()),
            loaded: Mutex::default(),
            run_nanos: Default::default(),
        };
        if !options.lazy {
            session.info()?;
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
        Ok(&self.info()?.device)
    }

    /// Batches of a stream that suit the device.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn capacity(&self) -> Result<Capacity, Error> {
        let devices = &self.info_for(Workload::Stream)?.devices;
        let layout = Layout::new(devices, &self.options, Workload::Stream);
        Ok(Plan::new(devices, &self.options, layout).capacity)
    }

    /// Names of the inputs that the graph declares, in its order.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn inputs(&self) -> Result<impl Iterator<Item = &str>, Error> {
        Ok(self.info()?.inputs.iter().map(|port| port.name.as_str()))
    }

    /// The shape of an input, by position: each dimension where the graph fixes it. Empty where the
    /// graph declares none.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn input_shape(&self, index: usize) -> Result<&[Option<usize>], Error> {
        Ok(self.info()?.inputs.get(index).map_or(&[], |port| &port.shape))
    }

    /// True for a graph that quantises activations by the range of the whole batch, which makes a row's
    /// result depend on its neighbours.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn depends_on_batch(&self) -> Result<bool, Error> {
        Ok(self.info()?.depends_on_batch)
    }

    /// The position of an output.
    ///
    /// # Errors
    /// [`Error::MissingOutput`], and those of loading, where the session is lazy.
    pub fn output(&self, output: &GraphOutput) -> Result<usize, Error> {
        let outputs = &self.info()?.outputs;
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
        Ok(self.info()?.outputs.get(index).map_or("", |port| &port.name))
    }

    /// The last dimension of an output, where the graph fixes it.
    ///
    /// # Errors
    /// Those of loading, where the session is lazy.
    pub fn output_width(&self, index: usize) -> Result<Option<usize>, Error> {
        Ok(self.info()?.outputs.get(index).and_then(|port| *port.shape.last()?))
    }

    fn info(&self) -> Result<&GraphInfo, Error> {
        self.info_for(Workload::Single)
    }

    /// Facts on the graph; where it has to be loaded for them, for this workload.
    fn info_for(&self, workload: Workload) -> Result<&GraphInfo, Error> {
        if let Some(info) = self.info.get() {
            return Ok(info);
        }
        self.lanes_for(workload)?;
        // Loading sets them, or fails.
        self.info.get().ok_or_else(|| Error::Defect { reason: "no graph".to_owned() })
    }
}
