//! Processor and memory, with the limits of a container.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    thread::available_parallelism,
};

use embedkit::runtime;

use super::check::{Check, Level};

/// Memory with which small models run, in bytes.
const LITTLE: u64 = 1 << 29;
/// The longest file of the system that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Version, platform and what was compiled in.
pub(super) fn build() -> Check {
    let optional = [
        ("parquet", cfg!(feature = "parquet")),
        ("png", cfg!(feature = "png")),
        ("cuda", cfg!(feature = "cuda")),
        ("tensorrt", cfg!(feature = "tensorrt")),
        ("coreml", cfg!(feature = "coreml")),
        ("directml", cfg!(feature = "directml")),
        ("openvino", cfg!(feature = "openvino")),
        ("migraphx", cfg!(feature = "migraphx")),
    ];
    let (with, without): (Vec<_>, Vec<_>) = optional.into_iter().partition(|(_, there)| *there);
    let names = |list: Vec<(&str, bool)>| match list.len() {
        0 => "none".to_owned(),
        _ => list.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" "),
    };
    Check::ok(
        "embedkit",
        format!(
            "{} for {} on {}; optional features: {}; left out: {}",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS,
            std::env::consts::ARCH,
            names(with),
            names(without),
        ),
    )
}

/// Cores, vector instructions, and the kernels for eight-bit integers and bf16.
pub(super) fn processor() -> Check {
    let cores = num_cpus::get_physical();
    let threads = available_parallelism().map_or(1, usize::from);
    let mut found = format!("{cores} cores, {threads} threads for this process");
    if let Some(quota) = cgroup("cpu.max", "cpu/cpu.cfs_quota_us").and_then(|text| quota(&text)) {
        found.push_str(&format!(", within a quota of {quota:.1}"));
    }
    let instructions = instructions();
    let listed = if instructions.is_empty() { "none known" } else { &instructions.join(" ") };
    found.push_str(&format!(
        "; vector instructions: {listed}; int8 kernel {}, bf16 kernel {}",
        runtime::int8_kernel(),
        runtime::bf16_kernel().unwrap_or("none")
    ));
    let slow = cfg!(target_arch = "x86_64") && !instructions.contains(&"avx2");
    if slow {
        let advice = "models run, but several times slower than on a processor with AVX2";
        return Check::new("processor", Level::Warning, found).advice(advice);
    }
    Check::ok("processor", found)
}

/// The cores of a quota: `200000 100000` is two.
fn quota(text: &str) -> Option<f64> {
    let mut numbers = text.split_whitespace().map(|number| number.parse::<f64>().ok());
    let (quota, period) = (numbers.next()??, numbers.next()??);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(target_arch = "x86_64")]
fn instructions() -> Vec<&'static str> {
    let mut found = Vec::new();
    macro_rules! detect {
        ($($name:tt),*) => { $(if is_x86_feature_detected!($name) { found.push($name); })* };
    }
    detect!("avx2", "fma", "f16c", "avxvnni", "avx512f", "avx512bw", "avx512vnni", "avx512bf16");
    // The compiler's library cannot be asked for these yet.
    let flags = read(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let flags = flags.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |name: &&str| flags.split_whitespace().any(|flag| flag == *name);
    found.extend(["amx_int8", "amx_bf16"].into_iter().filter(has));
    found
}

#[cfg(target_arch = "aarch64")]
fn instructions() -> Vec<&'static str> {
    let mut found = Vec::new();
    macro_rules! detect {
        ($($name:tt),*) => {
            $(if std::arch::is_aarch64_feature_detected!($name) { found.push($name); })*
        };
    }
    detect!("neon", "dotprod", "i8mm", "bf16", "sve", "sve2");
    found
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn instructions() -> Vec<&'static str> {
    Vec::new()
}

/// Memory that is free, and the limit of a container; `None` where the system does not say.
pub(super) fn memory() -> Option<Check> {
    let info = read(Path::new("/proc/meminfo"))?;
    let (total, free) = (kibibytes(&info, "MemTotal:")?, kibibytes(&info, "MemAvailable:")?);
    let limit = cgroup("memory.max", "memory/memory.limit_in_bytes");
    // Without a limit, version 1 has a number above all memory there is.
    let limit =
        limit.and_then(|text| text.trim().parse::<u64>().ok()).filter(|limit| *limit < total);
    Some(memory_check(total, free, limit))
}

fn memory_check(total: u64, free: u64, limit: Option<u64>) -> Check {
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let mut found = format!("{:.1} of {:.1} GB free", gigabytes(free), gigabytes(total));
    if let Some(limit) = limit {
        found.push_str(&format!("; this container may use {:.1} GB", gigabytes(limit)));
    }
    if limit.unwrap_or(free).min(free) < LITTLE {
        return Check::new("memory", Level::Warning, found)
            .advice("small models fit; --replicas 1 and a smaller --batch-tokens need the least");
    }
    Check::ok("memory", found)
}

/// A line of `/proc/meminfo`, in bytes.
fn kibibytes(info: &str, name: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// The nearest limit of the control groups that this process is in: the file of version 2, or of version 1.
fn cgroup(v2: &str, v1: &str) -> Option<String> {
    let root = Path::new("/sys/fs/cgroup");
    let own = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let relative: PathBuf = PathBuf::from(path);
    let limits = relative.ancestors().map(|group| root.join(group).join(v2));
    let set = |text: &String| !text.trim_start().starts_with("max");
    limits.filter_map(|file| read(&file)).find(set).or_else(|| {
        let quota = read(&root.join(v1))?;
        let period =
            v1.strip_suffix("quota_us").map(|start| root.join(format!("{start}period_us")));
        Some(match period.and_then(|file| read(&file)) {
            Some(period) => format!("{} {}", quota.trim(), period.trim()),
            None => quota,
        })
    })
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        assert_eq!(quota("150000 100000\n"), Some(1.5));
        for none in ["max 100000", "-1 100000", "", "1"] {
            assert_eq!(quota(none), None, "{none}");
        }
        let info = "MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    8192 kB\n";
        assert_eq!(kibibytes(info, "MemAvailable:"), Some(8 << 20));
        assert_eq!(kibibytes(info, "SwapTotal:"), None);
    }

    #[test]
    fn little_memory_is_a_warning() {
        let gibibyte = 1 << 30;
        assert_eq!(memory_check(8 * gibibyte, 4 * gibibyte, None).level, Level::Ok);
        assert_eq!(memory_check(8 * gibibyte, 4 * gibibyte, Some(1 << 28)).level, Level::Warning);
        let check = memory_check(8 * gibibyte, 1 << 28, Some(2 * gibibyte));
        assert_eq!(check.level, Level::Warning);
        assert_eq!(check.found, "0.3 of 8.6 GB free; this container may use 2.1 GB");
    }
}
