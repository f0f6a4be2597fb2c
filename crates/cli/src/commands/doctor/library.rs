//! The ONNX Runtime library, and the devices that it and this build have in common.

use std::time::Duration;

use embedkit::{Device, hub::pip::Pip, runtime};

use super::check::{Check, Level, within};
use crate::args::RunArgs;

/// The longest that Python may take to say that it has pip.
const PIP: Duration = Duration::from_secs(10);
/// Accelerators that models use where nothing else is asked for.
const ACCELERATORS: [Accelerator; 3] = [CUDA, MIGRAPHX, DIRECTML];

const CUDA: Accelerator = Accelerator::new("CUDA", "cuda", cfg!(feature = "cuda"));
const MIGRAPHX: Accelerator = Accelerator::new("MIGraphX", "migraphx", cfg!(feature = "migraphx"));
const DIRECTML: Accelerator = Accelerator::new("Dml", "directml", cfg!(feature = "directml"));
const TENSORRT: Accelerator = Accelerator::new("Tensorrt", "tensorrt", cfg!(feature = "tensorrt"));
const COREML: Accelerator = Accelerator::new("CoreML", "coreml", cfg!(feature = "coreml"));
const OPENVINO: Accelerator = Accelerator::new("OpenVINO", "openvino", cfg!(feature = "openvino"));

/// An execution provider of ONNX Runtime other than the CPU.
#[derive(Debug, Clone, Copy)]
struct Accelerator {
    /// Name within ONNX Runtime, without its ending.
    provider: &'static str,
    feature: &'static str,
    compiled: bool,
}

impl Accelerator {
    const fn new(provider: &'static str, feature: &'static str, compiled: bool) -> Self {
        Self { provider, feature, compiled }
    }

    /// The one of a device that is asked for by name.
    fn of(device: &Device) -> Option<Self> {
        match device {
            Device::Cuda(_) => Some(CUDA),
            Device::TensorRt => Some(TENSORRT),
            Device::CoreMl => Some(COREML),
            Device::DirectMl => Some(DIRECTML),
            Device::OpenVino => Some(OPENVINO),
            Device::MiGraphX => Some(MIGRAPHX),
            Device::Auto | Device::Cpu | Device::Prefer(_) => None,
        }
    }

    /// Ways to a library that has it.
    fn advice(self) -> String {
        let gpu =
            if self.feature == "cuda" { "run `embedkit runtime install --gpu`, or " } else { "" };
        format!("{gpu}name a library built with it by `--onnxruntime FILE`")
    }
}

/// The library that is used.
pub(super) fn library(run: &RunArgs) -> Check {
    match runtime::find(run.onnxruntime.as_deref(), run.cache_dir.as_deref()) {
        Ok(found) => {
            let path = found.path.map(|path| format!(" {},", path.display())).unwrap_or_default();
            Check::ok("runtime", format!("ONNX Runtime {},{path} {}", found.version, found.origin))
        }
        Err(error) => {
            let check = Check::failed("runtime", Level::Problem, &error.into());
            match within(PIP, Pip::find) {
                Some(Ok(_)) => check,
                _ => check.advice(
                    "pip is missing as well: get a library, a wheel or a folder from another machine, then run \
                     `embedkit runtime install --from PATH`",
                ),
            }
        }
    }
}

/// The devices that the library was built for.
pub(super) fn devices(run: &RunArgs) -> Check {
    match runtime::providers(run.onnxruntime.as_deref(), run.cache_dir.as_deref()) {
        Ok(providers) => compared(&providers, Accelerator::of(&run.device), &ACCELERATORS),
        Err(error) => Check::failed("devices", Level::Problem, &error.into()),
    }
}

fn compared(providers: &[String], asked: Option<Accelerator>, usual: &[Accelerator]) -> Check {
    let name = |provider: &String| provider.trim_end_matches("ExecutionProvider").to_owned();
    let names: Vec<_> = providers.iter().map(name).collect();
    let found = format!("the library offers {}", names.join(", "));
    let offered = |one: &Accelerator| names.iter().any(|name| name == one.provider);
    let check = |level, what: String| Check::new("devices", level, format!("{found}{what}"));
    if let Some(asked) = asked.filter(|asked| !asked.compiled) {
        let what = format!("; this build does not have {}, which is asked for", asked.provider);
        return check(Level::Problem, what).advice(build(asked));
    }
    if let Some(asked) = asked.filter(|asked| !offered(asked)) {
        let what = format!(", and no {}, which is asked for", asked.provider);
        return check(Level::Problem, what).advice(asked.advice());
    }
    if let Some(missing) = usual.iter().find(|usual| usual.compiled && !offered(usual)) {
        let what = format!(", and no {}; the CPU is used", missing.provider);
        return check(Level::Warning, what).advice(missing.advice());
    }
    if let Some(idle) = usual.iter().find(|usual| !usual.compiled && offered(usual)) {
        let what = format!("; this build does not use {}", idle.provider);
        return check(Level::Warning, what).advice(build(*idle));
    }
    check(Level::Ok, String::new())
}

fn build(accelerator: Accelerator) -> String {
    format!("build embedkit with `--features {}`", accelerator.feature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_and_build_have_to_agree() {
        let cuda = |compiled| Accelerator { compiled, ..CUDA };
        let compare = |providers: &[&str], asked: Option<bool>, usual| {
            let providers: Vec<_> =
                providers.iter().map(|name| format!("{name}ExecutionProvider")).collect();
            compared(&providers, asked.map(cuda), &[cuda(usual)])
        };
        let check = |providers: &[&str], compiled| compare(providers, None, compiled);
        assert_eq!(check(&["CPU"], false).level, Level::Ok);
        assert_eq!(check(&["CUDA", "CPU"], true).found, "the library offers CUDA, CPU");
        assert_eq!(check(&["CUDA", "CPU"], true).level, Level::Ok);
        let idle = check(&["CUDA", "CPU"], false);
        assert_eq!(idle.level, Level::Warning);
        assert!(idle.advice.unwrap().contains("--features cuda"));
        let missing = check(&["CPU"], true);
        assert_eq!(missing.level, Level::Warning);
        assert!(missing.advice.unwrap().contains("runtime install --gpu"));
        let asked = compare(&["CUDA", "CPU"], Some(false), false);
        assert_eq!(asked.level, Level::Problem);
        assert!(asked.advice.unwrap().contains("--features cuda"));
        let asked = compare(&["CPU"], Some(true), true);
        assert_eq!(asked.level, Level::Problem);
        assert!(asked.advice.unwrap().contains("runtime install --gpu"));
        assert_eq!(compare(&["CUDA", "CPU"], Some(true), true).level, Level::Ok);
    }
}
