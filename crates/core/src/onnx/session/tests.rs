//! Runs on tiny graphs: one output or several, bound memory, and when a second graph is loaded.

use std::sync::atomic::Ordering;

use embedkit_testkit::{dense_case, load_options, runtime_library};
use embedkit_types::{Device, LoadOptions};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};

use super::{lanes::Layout, tensor::HostOutput, *};

const IDS: [i64; 6] = [2, 5, 7, 3, 4, 1];
const INPUTS: [Input<'_>; 3] = {
    const fn input(name: &'static str, values: &'static [i64]) -> Input<'static> {
        Input { name, shape: &[2, 3], values: Values::I64(values) }
    }
    [input("input_ids", &IDS), input("attention_mask", &[1; 6]), input("token_type_ids", &[0; 6])]
};
/// The outputs that the graph declares.
const OUTPUTS: [&str; 3] = ["token_embeddings", "sentence_embedding", "projected"];

fn open(device: Device) -> Option<Result<Session, Error>> {
    open_with(LoadOptions { device, threads: None, replicas: None, ..load_options() })
}

fn open_with(options: LoadOptions) -> Option<Result<Session, Error>> {
    let options = LoadOptions { onnxruntime: Some(runtime_library()?), ..options };
    Some(Session::open(&dense_case("builtin").files().model, &options))
}

/// Shape and values of the outputs at these positions.
fn outputs(session: &Session, outputs: &[usize]) -> Vec<(Vec<usize>, Vec<f32>)> {
    let read = |views: &[View<'_>]| {
        views.iter().map(|view| (view.shape.to_vec(), view.values.to_vec())).collect()
    };
    session.run(Workload::Stream, &INPUTS, outputs, read).unwrap()
}

#[test]
fn a_run_gives_the_outputs_that_are_wanted_in_their_order() {
    let Some(session) = open(Device::Cpu) else { return };
    let session = session.unwrap();
    let all = outputs(&session, &[0, 1, 2]);
    let axes: Vec<_> = all.iter().map(|(shape, _)| shape.len()).collect();
    assert_eq!(axes, [3, 2, 3]);
    for wanted in [&[0][..], &[1], &[2], &[2, 0], &[1, 2, 0]] {
        let expected: Vec<_> = wanted.iter().map(|&output| all[output].clone()).collect();
        assert_eq!(outputs(&session, wanted), expected, "{wanted:?}");
    }
    for (position, name) in (0..).zip(OUTPUTS) {
        assert_eq!(session.output_name(position).unwrap(), name);
    }
}

#[test]
fn a_model_in_memory_that_the_runtime_refuses_runs_from_its_file() {
    let lazy = || open_with(LoadOptions { lazy: true, ..load_options() });
    let (Some(refused), Some(from_file)) = (lazy(), lazy()) else { return };
    let (refused, from_file) = (refused.unwrap(), from_file.unwrap());
    let folder = refused.path().parent().unwrap().to_str().unwrap().to_owned();
    let model = InMemory { model: b"no model".to_vec(), folder, linears: Arc::default() };
    refused.in_memory.set(Some(model)).unwrap();
    from_file.in_memory.set(None).unwrap();
    assert_eq!(outputs(&refused, &[0, 1]), outputs(&from_file, &[0, 1]));
}

/// The path of devices with memory of their own, in the memory of the host.
#[test]
fn bound_outputs_are_those_of_a_plain_run() {
    let Some(session) = open(Device::Cpu) else { return };
    let session = session.unwrap();
    let (lanes, info) = (session.lanes_for(Workload::Single).unwrap(), session.info().unwrap());
    let host =
        MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default);
    let host = host.unwrap();
    for wanted in [&[0, 1, 2][..], &[2, 0], &[1]] {
        let tensors = session.tensors(info, &INPUTS).unwrap();
        let lane = lanes.acquire();
        let bound = lane.run_on_device(&lanes.run_options, &host, info, &tensors, wanted).unwrap();
        let bound: Vec<_> = bound
            .iter()
            .map(|value| {
                let output = HostOutput::new(value).unwrap().unwrap();
                (output.view().shape.to_vec(), output.view().values.to_vec())
            })
            .collect();
        drop(lane);
        assert_eq!(bound, outputs(&session, wanted), "{wanted:?}");
    }
    // An input that the graph does not take is an error, too.
    let mut tensors = session.tensors(info, &INPUTS).unwrap();
    tensors.truncate(1);
    let lane = lanes.acquire();
    lane.run_on_device(&lanes.run_options, &host, info, &tensors, &[0]).unwrap_err();
}

#[test]
fn a_gpu_gives_what_the_cpu_gives() {
    let Some(cpu) = open(Device::Cpu) else { return };
    let gpu = match open(Device::Cuda(vec![0])).unwrap() {
        Ok(gpu) => gpu,
        Err(error @ Error::Device { .. }) => {
            println!("skipped: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let (cpu, gpu) = (outputs(&cpu.unwrap(), &[0, 1, 2]), outputs(&gpu, &[0, 1, 2]));
    for ((shape, expected), (found, values)) in cpu.iter().zip(gpu) {
        assert_eq!(*shape, found);
        embedkit_testkit::assert_close(&values, expected, 1e-5);
    }
}

#[test]
fn a_second_graph_is_loaded_when_it_pays_and_the_first_kept_if_it_does() {
    let Some(session) = open(Device::Cpu) else { return };
    let session = session.unwrap();
    if Layout::new(&session.info().unwrap().devices, &session.options, Workload::Single)
        == Layout::Lanes
    {
        println!("skipped: with one core there is one layout");
        return;
    }
    let run = |workload| session.run(workload, &INPUTS, &[0], |_| ()).unwrap();
    let loaded = || session.loaded().each_ref().map(Option::is_some);
    let has_run_for = |workload: Workload, nanos| {
        session.run_nanos[workload as usize].store(nanos, Ordering::Relaxed);
    };
    const { assert!(Layout::AllCores as usize == 0 && Layout::Lanes as usize == 1) }
    for workload in [Workload::Single, Workload::Stream] {
        run(workload);
        has_run_for(workload, 0);
    }
    // A few short runs are not worth a graph of their own.
    assert_eq!(loaded(), [true, false]);
    has_run_for(Workload::Stream, u64::MAX / 2);
    run(Workload::Stream);
    assert_eq!(loaded(), [false, true]);
    run(Workload::Single);
    assert_eq!(loaded(), [false, true]);
    has_run_for(Workload::Single, u64::MAX / 2);
    run(Workload::Single);
    assert_eq!(loaded(), [true, true]);
    run(Workload::Stream);
    assert_eq!(loaded(), [true, true]);
}
