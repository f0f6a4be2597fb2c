//! What the figures were measured on.

use std::{env, fs, thread::available_parallelism};

use serde_json::{Value, json};

use crate::assets::NEWEST;

/// How many threads a process can keep busy: the cores that the system gives it, limits included.
pub(super) fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// The machine, for the JSON file.
pub(super) fn describe() -> Value {
    json!({
        "cores": cores(),
        "cpu": cpu().unwrap_or_else(|| "unknown".to_owned()),
        "os": env::consts::OS,
        "arch": env::consts::ARCH,
        "onnxruntime": NEWEST,
        "load_at_start": load(),
    })
}

/// The machine in a line, for people.
pub(super) fn line(machine: &Value) -> String {
    let text = |key: &str| machine[key].as_str().unwrap_or("unknown").to_owned();
    format!(
        "{} cores of {} ({} {}), ONNX Runtime {}",
        machine["cores"],
        text("cpu"),
        text("os"),
        text("arch"),
        text("onnxruntime")
    )
}

/// What else runs, as the average number of busy threads of the last minute.
pub(super) fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

fn cpu() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.split(':').next().map(str::trim) == Some(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let family = field("cpu family").zip(field("model"));
    let family =
        family.map_or(String::new(), |(family, model)| format!(" family {family} model {model}"));
    Some(format!("{}{family}", field("model name")?))
}
