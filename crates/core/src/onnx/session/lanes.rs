//! Threads and copies of a graph, and permits to run it.

use std::{fmt, iter, sync::LazyLock, thread::available_parallelism};

use embedkit_types::{Device, LoadOptions, Profile};
use ort::{environment::Environment, logging::LogLevel, session::RunOptions};

use super::{
    super::semaphore::{Permit, Semaphore},
    load::{ModelSource, build, one_line},
};
use crate::{
    error::Error,
    pipeline::{Capacity, Workload},
    threads,
};

/// Batches beside those that run on a device: one is packed, or its outputs are read, meanwhile.
const HOST_LANES: usize = 1;

/// Padded tokens of a batch that suit the caches of a CPU.
const CPU_TOKENS: usize = 256;
/// Padded tokens of a batch on a GPU. Not measured: a value that is usual for encoders.
const GPU_TOKENS: usize = 16_384;

/// Use of the CPU's cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// One lane, whose operators run on all cores.
    AllCores,
    /// A lane for each core, or the threads and replicas that the caller has fixed.
    Lanes,
}

impl Layout {
    pub(super) fn new(devices: &[Device], options: &LoadOptions, workload: Workload) -> Self {
        let free = options.threads.is_none() && options.replicas.is_none();
        if !free || !on_cpu(devices) || cores() == 1 {
            return Self::Lanes;
        }
        match (options.profile, workload) {
            (Profile::Latency, _) | (Profile::Auto, Workload::Single) => Self::AllCores,
            (Profile::Throughput, _) | (Profile::Auto, Workload::Stream) => Self::Lanes,
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::AllCores => Self::Lanes,
            Self::Lanes => Self::AllCores,
        }
    }
}

/// Threads and copies for one [`Layout`].
pub(super) struct Plan {
    /// Copies of the graph on each device.
    copies: usize,
    /// Runs at once.
    permits: usize,
    /// Batches for the layout.
    pub(super) capacity: Capacity,
    /// Threads of each run.
    pub(super) threads: usize,
    /// Threads spin while they wait, which takes the core from others. Where one batch has all cores
    /// to itself, waking them for each operator would cost more.
    pub(super) spinning: bool,
}

impl Plan {
    pub(super) fn new(devices: &[Device], options: &LoadOptions, layout: Layout) -> Self {
        let on_cpu = on_cpu(devices);
        let spinning = layout == Layout::AllCores;
        let replicas = match options.replicas {
            Some(replicas) => replicas,
            // Threads of all runs together are no more than the cores.
            None if on_cpu && !spinning => (cores() / options.threads.unwrap_or(1)).max(1),
            None => 1,
        };
        let threads = options.threads.unwrap_or_else(|| (cores() / replicas).max(1));
        let (copies, permits) =
            if on_cpu { (1, replicas) } else { (replicas, replicas * devices.len()) };
        let lanes = if on_cpu { permits } else { permits + HOST_LANES };
        let is_gpu = |device: &Device| match device {
            Device::Cuda(_) | Device::TensorRt | Device::DirectMl | Device::MiGraphX => true,
            Device::Cpu | Device::CoreMl | Device::OpenVino => false,
            Device::Auto | Device::Prefer(_) => false, // wishes, and no devices
        };
        let tokens = if devices.iter().any(is_gpu) { GPU_TOKENS } else { CPU_TOKENS };
        let capacity = Capacity { lanes, tokens };
        Self { copies, permits, capacity, threads, spinning }
    }
}

/// The cores that the process may use, within its affinity and its cgroup's share. Two threads of one
/// core share its arithmetic units, which one alone keeps busy with products.
fn cores() -> usize {
    // Found out once: the system's files are read for it, and each run asks.
    static CORES: LazyLock<usize> = LazyLock::new(|| {
        available_parallelism().map_or(1, usize::from).min(num_cpus::get_physical().max(1))
    });
    *CORES
}

fn on_cpu(devices: &[Device]) -> bool {
    devices.iter().all(|device| *device == Device::Cpu)
}

/// A graph, loaded once or several times, and permits to run it.
pub(super) struct Lanes {
    pub(super) graphs: Vec<(Device, ort::session::Session)>,
    permits: Semaphore,
    /// Without a log, which the graphs themselves may keep.
    pub(super) run_options: RunOptions,
}

/// A permit to run one of the graphs.
pub(super) struct Lane<'a> {
    lanes: &'a Lanes,
    permit: Permit<'a>,
}

impl Lanes {
    pub(super) fn open(
        environment: &Environment,
        model: ModelSource<'_>,
        devices: &[Device],
        options: &LoadOptions,
        layout: Layout,
    ) -> Result<Self, Error> {
        let plan = Plan::new(devices, options, layout);
        // The caller's thread is one of them.
        threads::check(devices.len() * plan.copies * (plan.threads - 1))?;
        let graphs = devices
            .iter()
            .flat_map(|device| iter::repeat_n(device, plan.copies))
            .map(|device| Ok((device.clone(), build(environment, model, device, &plan, options)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        let refused = |error: ort::Error| Error::LoadGraph {
            path: model.path.to_owned(),
            reason: one_line(&error.to_string()),
        };
        Ok(Self {
            run_options: run_options().map_err(refused)?,
            permits: Semaphore::new((0..plan.permits).map(|lane| lane % graphs.len())),
            graphs,
        })
    }

    /// Waits for a permit.
    pub(super) fn acquire(&self) -> Lane<'_> {
        Lane { lanes: self, permit: self.permits.acquire() }
    }
}

impl Lane<'_> {
    /// The device that the graph runs on.
    pub(super) fn device(&self) -> &Device {
        &self.lanes.graphs[self.permit.slot].0
    }

    pub(super) fn graph(&self) -> &ort::session::Session {
        &self.lanes.graphs[self.permit.slot].1
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("graphs", &self.graphs).finish_non_exhaustive()
    }
}

/// Options for runs without a log, which only would repeat the error.
pub(super) fn run_options() -> ort::Result<RunOptions> {
    let mut options = RunOptions::new()?;
    options.set_log_level(LogLevel::Fatal)?;
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_no_more_than_the_process_may_use() {
        let most = available_parallelism().unwrap().get();
        assert!((1..=most).contains(&cores()), "{} of {most}", cores());
    }

    #[test]
    fn a_device_has_a_lane_for_the_host() {
        let options = LoadOptions::default();
        let plan =
            Plan::new(&[0, 1].map(|number| Device::Cuda(vec![number])), &options, Layout::Lanes);
        assert_eq!((plan.copies, plan.permits), (1, 2));
        assert_eq!(plan.capacity, Capacity { lanes: 3, tokens: GPU_TOKENS });
        let plan = Plan::new(&[Device::Cpu], &options, Layout::Lanes);
        assert_eq!((plan.copies, plan.permits), (1, cores()));
        assert_eq!(plan.capacity, Capacity { lanes: cores(), tokens: CPU_TOKENS });
    }

    #[test]
    fn lanes_share_the_cores() {
        let plan = |threads, replicas| {
            let options = LoadOptions { threads, replicas, ..LoadOptions::default() };
            let plan = Plan::new(&[Device::Cpu], &options, Layout::Lanes);
            (plan.permits, plan.threads)
        };
        let cores = cores();
        assert_eq!(plan(None, None), (cores, 1));
        assert_eq!(plan(None, Some(1)), (1, cores));
        assert_eq!(plan(Some(1), None), (cores, 1));
        assert_eq!(plan(Some(cores), None), (1, cores));
        assert_eq!(plan(Some(cores + 1), None), (1, cores + 1));
        assert_eq!(plan(Some(2), Some(3)), (3, 2));
    }

    #[test]
    fn a_profile_has_one_layout_or_one_for_each_workload() {
        let layouts = |options: &LoadOptions, device| {
            [Workload::Single, Workload::Stream]
                .map(|workload| Layout::new(std::slice::from_ref(&device), options, workload))
        };
        let all_cores = if cores() > 1 { Layout::AllCores } else { Layout::Lanes };
        for (options, expected) in [
            (LoadOptions::auto(), [all_cores, Layout::Lanes]),
            (LoadOptions::latency(), [all_cores; 2]),
            (LoadOptions::throughput(), [Layout::Lanes; 2]),
        ] {
            assert_eq!(layouts(&options, Device::Cpu), expected);
            assert_eq!(layouts(&options, Device::CoreMl), [Layout::Lanes; 2]);
            let fixed = LoadOptions { threads: Some(3), ..options };
            assert_eq!(layouts(&fixed, Device::Cpu), [Layout::Lanes; 2]);
        }
    }
}
