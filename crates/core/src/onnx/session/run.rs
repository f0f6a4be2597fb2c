//! Runs of a loaded graph.

use std::{
    ffi::{CStr, c_char},
    ptr::{self, NonNull},
    slice,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use embedkit_types::Device;
use ort::{
    AsPointer,
    memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType},
    session::RunOptions,
    value::{DynTensor, DynValue},
};

use super::{
    super::{failure::run_error, watchdog::Watchdog},
    Input, Session, View,
    info::GraphInfo,
    lanes::{Lane, run_options},
    tensor::{HostOutput, InputTensor},
};
use crate::{error::Error, pipeline::Workload};

impl Session {
    /// Runs the graph and hands the wanted outputs, by position, to `read`, in place and in the order
    /// asked for. Waits for a free lane.
    ///
    /// # Errors
    /// Those of the runtime, [`Error::InputShape`] for a tensor that the graph does not take,
    /// [`Error::TimedOut`] where the run, without the wait, takes longer than `timeout` of the
    /// options, and [`Error::OutputType`] for an output that is no tensor of numbers.
    pub fn run<R>(
        &self,
        workload: Workload,
        inputs: &[Input<'_>],
        outputs: &[usize],
        read: impl FnOnce(&[View<'_>]) -> R,
    ) -> Result<R, Error> {
        let lanes = self.lanes_for(workload)?;
        let info = self.info()?;
        self.check_shapes(info, inputs)?;
        let failed = |error: ort::Error| run_error(&self.path, error.code(), error.message());
        let tensors = self.tensors(info, inputs)?;
        let lane = lanes.acquire();
        let start = Instant::now();
        let values = match &self.watchdog {
            None => lane.run(&lanes.run_options, info, &tensors, outputs).map_err(failed),
            Some(watchdog) => {
                self.limited(watchdog, inputs, |options| lane.run(options, info, &tensors, outputs))
            }
        };
        // For a graph of this workload's own, once it has run long enough.
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.run_nanos[workload as usize].fetch_add(nanos, Ordering::Relaxed);
        // Outputs are read while the next batch runs.
        drop(lane);
        let values = values?.into_iter().map(to_host).collect::<ort::Result<Vec<_>>>();
        let values = values.map_err(failed)?;
        let on_host = |(value, &output): (_, &usize)| {
            HostOutput::new(value).map_err(failed)?.ok_or_else(|| Error::OutputType {
                path: self.path.clone(),
                output: info.outputs[output].name.clone(),
                found: match value.dtype().tensor_type() {
                    Some(element) => element.to_string(),
                    None => format!("{:?}", value.dtype()),
                },
            })
        };
        let outputs = values.iter().zip(outputs).map(on_host).collect::<Result<Vec<_>, _>>()?;
        Ok(read(&outputs.iter().map(HostOutput::view).collect::<Vec<_>>()))
    }

    /// The inputs as the runtime takes them, with their names.
    pub(super) fn tensors<'a>(
        &self,
        info: &'a GraphInfo,
        inputs: &[Input<'a>],
    ) -> Result<Vec<(&'a CStr, InputTensor<'a>)>, Error> {
        let failed = |error: ort::Error| run_error(&self.path, error.code(), error.message());
        let tensor = |input: &Input<'a>| {
            let port = info.input(input.name).ok_or_else(|| {
                ort::Error::new(format!("the graph has no input `{}`", input.name))
            })?;
            Ok((port.c_name.as_c_str(), InputTensor::new(input, port.element)?))
        };
        inputs.iter().map(|input| tensor(input).map_err(failed)).collect()
    }

    /// A run with a time limit. Options of its own tell it from others that run at the same time.
    fn limited<R>(
        &self,
        watchdog: &Watchdog,
        inputs: &[Input<'_>],
        run: impl FnOnce(&RunOptions) -> ort::Result<R>,
    ) -> Result<R, Error> {
        let failed = |error: ort::Error| run_error(&self.path, error.code(), error.message());
        let options = Arc::new(run_options().map_err(failed)?);
        let stop = Arc::clone(&options);
        let watched = watchdog.watch(move || {
            if let Err(error) = stop.terminate() {
                tracing::warn!(%error, "a run cannot be stopped at its limit");
            }
        });
        run(&options).map_err(|error| {
            if watched.expired() {
                let rows = inputs.iter().find_map(|input| input.shape.first());
                let (path, limit) = (self.path.clone(), watchdog.limit());
                Error::TimedOut { path, limit, rows: rows.copied().unwrap_or(1) }
            } else {
                failed(error)
            }
        })
    }

    fn check_shapes(&self, info: &GraphInfo, inputs: &[Input<'_>]) -> Result<(), Error> {
        for input in inputs {
            if let Some(port) = info.input(input.name).filter(|port| !port.takes(input.shape)) {
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
}

/// Tensors with the names of their inputs.
type Tensors<'a> = [(&'a CStr, InputTensor<'a>)];

impl Lane<'_> {
    fn run(
        &self,
        options: &RunOptions,
        info: &GraphInfo,
        inputs: &Tensors<'_>,
        outputs: &[usize],
    ) -> ort::Result<Vec<DynValue>> {
        match device_memory(self.device())? {
            None => self.run_on_host(options, info, inputs, outputs),
            Some(memory) => self.run_on_device(options, &memory, info, inputs, outputs),
        }
    }

    /// A run from memory of the host to memory of the host.
    #[expect(
        unsafe_code,
        reason = "ort's `run` wants `&mut`, which would cost one copy of the weights per lane"
    )]
    fn run_on_host(
        &self,
        options: &RunOptions,
        info: &GraphInfo,
        inputs: &Tensors<'_>,
        outputs: &[usize],
    ) -> ort::Result<Vec<DynValue>> {
        let graph = self.graph();
        let names: Vec<*const c_char> = inputs.iter().map(|(name, _)| name.as_ptr()).collect();
        let values: Vec<_> = inputs.iter().map(|(_, tensor)| tensor.ptr()).collect();
        let output_names: Vec<_> =
            outputs.iter().map(|&output| info.outputs[output].c_name.as_ptr()).collect();
        let mut results: Vec<*mut ort::sys::OrtValue> = vec![ptr::null_mut(); outputs.len()];
        // SAFETY: names and values are as many as `inputs`, and names and places for results as many
        // as `outputs`; all are alive until after the call. The session is alive as the lane borrows
        // it. `Run` does not change the session; it may be called from several threads on the CPU
        // provider (documented at `OrtApi::Run`), and on other providers a permit gives each graph to
        // one caller at a time.
        let status = unsafe {
            (ort::api().Run)(
                graph.ptr().cast_mut(),
                options.ptr(),
                names.as_ptr(),
                values.as_ptr(),
                names.len(),
                output_names.as_ptr(),
                output_names.len(),
                results.as_mut_ptr(),
            )
        };
        // SAFETY: the status comes from the call above and is not used again. After an error there are
        // no results.
        unsafe { ort::Error::result_from_status(status) }?;
        // SAFETY: `Run` made the values with the allocator of this session, and nobody else owns them.
        unsafe { owned(graph, &results) }
    }

    /// A run whose inputs are copied to the device and whose outputs stay there.
    #[expect(unsafe_code, reason = "ort's `run_binding` wants `&mut`, as `run` does")]
    pub(super) fn run_on_device(
        &self,
        options: &RunOptions,
        memory: &MemoryInfo<'_>,
        info: &GraphInfo,
        inputs: &Tensors<'_>,
        outputs: &[usize],
    ) -> ort::Result<Vec<DynValue>> {
        let graph = self.graph();
        let mut binding = graph.create_binding()?;
        let bound = binding.ptr().cast_mut();
        for (name, tensor) in inputs {
            // SAFETY: the binding, the name and the tensor are alive; the tensor is until after the
            // run, in case that the provider reads it in place.
            let status = unsafe { (ort::api().BindInput)(bound, name.as_ptr(), tensor.ptr()) };
            // SAFETY: the status comes from the call above and is not used again.
            unsafe { ort::Error::result_from_status(status) }?;
        }
        for &output in outputs {
            binding.bind_output_to_device(info.outputs[output].name.as_str(), memory)?;
        }
        binding.synchronize_inputs()?;
        // SAFETY: as in `run_on_host`; the binding is this session's.
        let status =
            unsafe { (ort::api().RunWithBinding)(graph.ptr().cast_mut(), options.ptr(), bound) };
        // SAFETY: the status comes from the call above and is not used again.
        unsafe { ort::Error::result_from_status(status) }?;
        binding.synchronize_outputs()?;
        let (mut results, mut count) = (ptr::null_mut(), 0);
        let allocator = graph.allocator();
        // SAFETY: the binding and the allocator are alive, and both pointers are valid to write to.
        let status = unsafe {
            (ort::api().GetBoundOutputValues)(
                bound,
                allocator.ptr().cast_mut(),
                &raw mut results,
                &raw mut count,
            )
        };
        // SAFETY: the status comes from the call above and is not used again.
        unsafe { ort::Error::result_from_status(status) }?;
        if results.is_null() {
            return Ok(Vec::new());
        }
        // SAFETY: the runtime has made a list of `count` values, in the order in which outputs were
        // bound, which the caller owns.
        let values = unsafe { owned(graph, slice::from_raw_parts(results, count)) };
        // SAFETY: the list was made by this allocator and is not used again.
        unsafe { allocator.free(results) };
        values
    }
}

/// Values for the results of a run.
///
/// # Safety
/// The results are null, or values of the session's allocator that nobody else owns.
#[expect(unsafe_code, reason = "the runtime hands out pointers")]
unsafe fn owned(
    graph: &ort::session::Session,
    results: &[*mut ort::sys::OrtValue],
) -> ort::Result<Vec<DynValue>> {
    // All of them first: one that is missing must not leak the others.
    let values: Vec<_> = results
        .iter()
        .map(|&result| {
            // SAFETY: by the contract of this function.
            NonNull::new(result)
                .map(|result| unsafe { DynValue::from_ptr(result, Some(graph.allocator())) })
        })
        .collect();
    let absent = || ort::Error::new("the output is an optional value that is absent");
    values.into_iter().map(|value| value.ok_or_else(absent)).collect()
}

/// The memory in which a device keeps outputs; `None` for one whose outputs are in the host's memory,
/// or that gives no other way to read them.
fn device_memory(device: &Device) -> ort::Result<Option<MemoryInfo<'static>>> {
    let Device::Cuda(numbers) = device else { return Ok(None) };
    let number = numbers.first().map_or(Ok(0), |&number| i32::try_from(number));
    let (device, number) = (AllocationDevice::CUDA, number.unwrap_or(i32::MAX));
    MemoryInfo::new(device, number, AllocatorType::Device, MemoryType::Default).map(Some)
}

/// An output in the memory of the host, copied only where it is on a device.
fn to_host(value: DynValue) -> ort::Result<DynValue> {
    if !value.is_tensor() {
        return Ok(value);
    }
    let tensor: DynTensor = value.downcast()?;
    if tensor.memory_info().is_cpu_accessible() {
        return Ok(tensor.into_dyn());
    }
    Ok(tensor.to(AllocationDevice::CPU, 0)?.into_dyn())
}
