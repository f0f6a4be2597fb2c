//! The ONNX Runtime library, and the devices that it and this build have in common.

use std::time::Duration;

use embedkit::{hub::pip::Pip, runtime};

use super::check::{Check, Level, within};
use crate::args::RunArgs;

/// The longest that Python may take to say that it has pip.
const PIP: Duration = Duration::from_secs(10);
/// Accelerators that models use where nothing else is asked for: name of the provider, feature, and whether it
/// is compiled in.
const ACCELERATORS: [(&str, &str, bool); 3] = [
    ("CUDA", "cuda", cfg!(feature = "cuda")),
    ("MIGraphX", "migraphx", cfg!(feature = "migraphx")),
    ("Dml", "directml", cfg!(feature = "directml")),
];

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
        Ok(providers) => compared(&providers, &ACCELERATORS),
        Err(error) => Check::failed("devices", Level::Problem, &error.into()),
    }
}

fn compared(providers: &[String], accelerators: &[(&str, &str, bool)]) -> Check {
    let name = |provider: &String| provider.trim_end_matches("ExecutionProvider").to_owned();
    let names: Vec<_> = providers.iter().map(name).collect();
    let found = format!("the library offers {}", names.join(", "));
    let offered = |provider: &str| names.iter().any(|name| name == provider);
    for &(provider, feature, compiled) in accelerators {
        if compiled && !offered(provider) {
            let gpu =
                if feature == "cuda" { "run `embedkit runtime install --gpu`, or " } else { "" };
            return Check::new(
                "devices",
                Level::Warning,
                format!("{found}, and no {provider}; the CPU is used"),
            )
            .advice(format!("{gpu}name a library built with it by `--onnxruntime FILE`"));
        }
    }
    let idle = accelerators.iter().find(|(provider, _, compiled)| !compiled && offered(provider));
    if let Some((provider, feature, _)) = idle {
        let what = format!("{found}; this build does not use {provider}");
        return Check::new("devices", Level::Warning, what)
            .advice(format!("for a GPU, build embedkit with `--features {feature}`"));
    }
    Check::ok("devices", found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_and_build_have_to_agree() {
        let check = |providers: &[&str], compiled| {
            let providers: Vec<_> =
                providers.iter().map(|name| format!("{name}ExecutionProvider")).collect();
            compared(&providers, &[("CUDA", "cuda", compiled)])
        };
        assert_eq!(check(&["CPU"], false).level, Level::Ok);
        assert_eq!(check(&["CUDA", "CPU"], true).found, "the library offers CUDA, CPU");
        assert_eq!(check(&["CUDA", "CPU"], true).level, Level::Ok);
        let idle = check(&["CUDA", "CPU"], false);
        assert_eq!(idle.level, Level::Warning);
        assert!(idle.advice.unwrap().contains("--features cuda"));
        let missing = check(&["CPU"], true);
        assert!(missing.advice.unwrap().contains("runtime install --gpu"));
    }
}
