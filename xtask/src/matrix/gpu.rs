//! `cargo xtask matrix gpu`: the golden tests on NVIDIA GPUs, within a tolerance of the CPU's values.
//!
//! Without a GPU, or a library for it, every step is skipped with the reason.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use embedkit_hub::runtime::{InstallOptions, install, installed};
use embedkit_types::cache::cache_dir;

use crate::{
    assets::{self, Set},
    repo, run,
    steps::{Outcome, Steps},
    test::runner::{Runner, tests},
};

/// Tolerance between GPU and CPU in single precision, since sums are in another order. Half precision
/// graphs have wider tolerances.
const TOLERANCE: &str = "2e-4";

/// Runs the golden tests of the families on each device.
pub(super) fn run(library: Option<&Path>) -> Result<()> {
    let mut steps = Steps::default();
    let gpus = gpus();
    let library = match &gpus {
        Ok(_) => find(library),
        Err(error) => Err(anyhow::anyhow!("{error:#}")),
    };
    let (gpus, library) = match (gpus, library) {
        (Ok(gpus), Ok(library)) => (gpus, library),
        (_, Err(error)) | (Err(error), _) => {
            for name in ["CUDA", "several GPUs", "TensorRT"] {
                steps.note(name, Outcome::Skipped(format!("{error:#}")));
            }
            return steps.finish();
        }
    };
    assets::ensure(Set::Test)?;
    let runner = Runner::find();
    let mut on = |name: &str, device: &str, feature: &str| {
        steps.run(&format!("{name} ({device})"), || {
            let mut command = runner.golden(&[&format!("embedkit/{feature}")]);
            command.env("EMBEDKIT_TEST_DEVICE", device).env("EMBEDKIT_TEST_TOLERANCE", TOLERANCE);
            // The original computes in full single precision, for which TensorRT has no separate
            // option. Devices are in the order of nvidia-smi.
            command.env("NVIDIA_TF32_OVERRIDE", "0").env("CUDA_DEVICE_ORDER", "PCI_BUS_ID");
            tests(command, &library)
        });
    };
    for (number, name) in gpus.iter().enumerate() {
        on(name, &format!("cuda:{number}"), "cuda");
    }
    let all: Vec<_> = (0..gpus.len()).map(|number| number.to_string()).collect();
    let several = all.len() > 1;
    if several {
        on("several GPUs", &format!("cuda:{}", all.join(",")), "cuda");
    }
    let tensorrt = tensorrt(&library);
    if tensorrt.is_ok() {
        on("TensorRT", "tensorrt", "tensorrt");
    }
    if !several {
        steps.note("several GPUs", Outcome::Skipped("there is one".to_owned()));
    }
    if let Err(error) = tensorrt {
        steps.note("TensorRT", Outcome::Skipped(format!("{error:#}")));
    }
    steps.finish()
}

/// Names of this machine's NVIDIA GPUs.
fn gpus() -> Result<Vec<String>> {
    let list = run::output(Command::new("nvidia-smi").arg("-L")).context("no NVIDIA GPU")?;
    let gpus = names(&list);
    if gpus.is_empty() {
        bail!("nvidia-smi lists no GPU");
    }
    let Ok(chosen) = env::var("CUDA_VISIBLE_DEVICES") else { return Ok(gpus) };
    let gpus = visible(&gpus, &chosen);
    if gpus.is_empty() {
        bail!("CUDA_VISIBLE_DEVICES hides all GPUs");
    }
    Ok(gpus)
}

/// Devices in `CUDA_VISIBLE_DEVICES`, which nvidia-smi ignores: numbers, or names of GPUs or parts of
/// them.
fn visible(gpus: &[String], chosen: &str) -> Vec<String> {
    let chosen = chosen.split(',').map(str::trim).take_while(|name| !matches!(*name, "" | "-1"));
    let name = |chosen: &str| chosen.parse::<usize>().ok().and_then(|number| gpus.get(number));
    chosen.map(|chosen| name(chosen).map_or_else(|| chosen.to_owned(), Clone::clone)).collect()
}

/// Parses `GPU 0: NVIDIA H100 80GB HBM3 (UUID: …)`, one for each line. Parts of a GPU (MIG) have
/// indented lines and are not CUDA devices unless they are made visible.
fn names(list: &str) -> Vec<String> {
    let name = |line: &str| {
        let (_, rest) = line.strip_prefix("GPU ")?.split_once(": ")?;
        Some(rest.split(" (UUID").next().unwrap_or(rest).to_owned())
    };
    list.lines().filter_map(name).collect()
}

/// The library with CUDA: the named one, an installed one, or one fetched now.
fn find(named: Option<&Path>) -> Result<PathBuf> {
    let library =
        match named.map(Path::to_owned).or_else(|| env::var_os("ORT_DYLIB_PATH").map(Into::into)) {
            Some(library) => library,
            None => {
                // The user's library is used if it works, and never replaced.
                let ours = repo::root().join(".cache").join("gpu");
                let caches = [cache_dir(|name| env::var_os(name)), Some(ours.clone())];
                let found = caches.iter().flatten().filter_map(|cache| installed(cache));
                match found.map(|found| found.library).find(|library| cuda(library).is_ok()) {
                    Some(library) => library,
                    None => {
                        let options = InstallOptions { gpu: true, ..InstallOptions::default() };
                        install(&options, &ours).context("no ONNX Runtime for GPUs")?.library
                    }
                }
            }
        };
    cuda(&library)?;
    Ok(library)
}

/// Checks that the CUDA provider is beside a library.
fn cuda(library: &Path) -> Result<()> {
    beside(library, "onnxruntime_providers_cuda")
}

/// Checks that the TensorRT provider is beside a library and that TensorRT itself loads.
fn tensorrt(library: &Path) -> Result<()> {
    beside(library, "onnxruntime_providers_tensorrt")?;
    let known = run::output(Command::new("ldconfig").arg("-p")).unwrap_or_default();
    let in_path = env::var_os("LD_LIBRARY_PATH").is_some_and(|paths| {
        let mut files = env::split_paths(&paths).filter_map(|dir| dir.read_dir().ok()).flatten();
        files.any(|file| {
            file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libnvinfer.so"))
        })
    });
    if !in_path && !known.contains("libnvinfer.so") {
        bail!("TensorRT is not installed: the loader knows no libnvinfer.so");
    }
    Ok(())
}

fn beside(library: &Path, name: &str) -> Result<()> {
    let file = format!("{}{name}{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    if !library.with_file_name(&file).is_file() {
        bail!("{} has no {file} beside it", library.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_told_from_their_parts() {
        let list = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)\n  MIG 1g.10gb Device 0: (UUID: MIG-2)\n\
                    GPU 1: NVIDIA T4 (UUID: GPU-3)\n";
        assert_eq!(names(list), ["NVIDIA H100 80GB HBM3", "NVIDIA T4"]);
        assert!(names("No devices were found\n").is_empty());
    }

    #[test]
    fn what_cuda_hides_is_no_device() {
        let gpus = ["a".to_owned(), "b".to_owned()];
        assert_eq!(visible(&gpus, "1"), ["b"]);
        assert_eq!(visible(&gpus, "1,0"), ["b", "a"]);
        assert_eq!(visible(&gpus, "MIG-2"), ["MIG-2"]);
        assert_eq!(visible(&gpus, "0,-1,1"), ["a"]);
        assert!(visible(&gpus, "").is_empty());
    }

    #[test]
    fn a_library_without_its_provider_is_named() {
        let error = cuda(Path::new("/nowhere/libonnxruntime.so")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/libonnxruntime.so has no "), "{error}");
    }
}
