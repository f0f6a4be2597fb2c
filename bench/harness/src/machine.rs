//! Description of the machine.

use std::{
    env, fs,
    thread::{available_parallelism, sleep},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use xtask::assets::NEWEST;

/// Threads that a process can keep busy: the available cores, with limits applied.
pub(super) fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Number of other busy threads that make a machine a busy one.
const BUSY: f64 = 0.2;

/// The machine for the JSON file. Measures for a second, in which no benchmark runs.
pub(super) fn describe() -> Value {
    let load = load();
    json!({
        "cores": cores(),
        "cpu": cpu().unwrap_or_else(|| "unknown".to_owned()),
        "os": env::consts::OS,
        "arch": env::consts::ARCH,
        "memory_gb": memory().map(|bytes| (bytes / 1e8).round() / 10.0),
        "onnxruntime": NEWEST,
        "load_at_start": load,
        "busy": load.is_some_and(|load| load > BUSY),
    })
}

/// The machine in one line.
pub(super) fn line(machine: &Value) -> String {
    let text = |key: &str| machine[key].as_str().unwrap_or("unknown").to_owned();
    let memory = machine["memory_gb"].as_f64();
    format!(
        "{} cores of {}{} ({} {}), ONNX Runtime {}",
        machine["cores"],
        text("cpu"),
        memory.map_or(String::new(), |memory| format!(", {memory} GB")),
        text("os"),
        text("arch"),
        text("onnxruntime")
    )
}

/// Average number of other busy threads over a second.
fn load() -> Option<f64> {
    let before = idle_ticks()?;
    let start = Instant::now();
    sleep(Duration::from_secs(1));
    // Linux counts a hundred ticks a second on every machine that it runs on.
    let idle = (idle_ticks()? - before) / 100.0 / start.elapsed().as_secs_f64();
    Some(((cores() as f64 - idle).max(0.0) * 100.0).round() / 100.0)
}

/// Bytes of memory.
fn memory() -> Option<f64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

/// Ticks in which all cores together were idle or waited for a disk.
fn idle_ticks() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let mut fields = text.lines().next()?.split_whitespace().skip(4);
    let (idle, waiting) = (fields.next()?, fields.next()?);
    Some(idle.parse::<f64>().ok()? + waiting.parse::<f64>().ok()?)
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
