//! Virtual environments of Python, made with pip on demand.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use embedkit_hub::pip::IsolatedDir;
use serde::Deserialize;

use crate::{repo, run};

/// The Python of a virtual environment with these packages and their dependencies; made if it is
/// missing or has other packages.
pub fn environment(folder: &Path, packages: &[&str]) -> Result<PathBuf> {
    environment_of(None, folder, packages)
}

/// The same, of an interpreter that is not the system's.
pub fn environment_of(
    interpreter: Option<&Path>,
    folder: &Path,
    packages: &[&str],
) -> Result<PathBuf> {
    let python = if cfg!(windows) {
        folder.join("Scripts").join("python.exe")
    } else {
        folder.join("bin").join("python")
    };
    let stamp = folder.join("packages");
    let other = interpreter.map(|path| path.display().to_string());
    let wanted = other.iter().map(String::as_str).chain(packages.iter().copied());
    let wanted = wanted.collect::<Vec<_>>().join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(python);
    }
    println!("making a virtual environment in {}", repo::short(folder));
    let dir = IsolatedDir::create()?;
    let folder = &std::path::absolute(folder)?;
    let mut venv = match interpreter {
        Some(path) => started(&dir, std::path::absolute(path)?.as_os_str())?,
        None => system(&dir)?,
    };
    run::status(venv.args(["-m", "venv", "--clear"]).arg(folder))
        .context("Python 3.10 or later with venv is needed")?;
    let mut pip = started(&dir, python.as_os_str())?;
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    // The newest of a package may have no wheel for an interpreter that an older one has.
    pip.arg("--prefer-binary");
    let named = packages.first().unwrap_or(&"nothing");
    run::status(pip.args(packages)).with_context(|| format!("could not install {named}"))?;
    fs::write(&stamp, wanted).with_context(|| format!("could not write {}", stamp.display()))?;
    Ok(python)
}

/// Folder of an unpacked source package with this name, version and SHA-256; fetched if it is missing.
/// pip compares the hash before it runs anything of the package.
pub fn source(
    python: &Path,
    package: &str,
    version: &str,
    sha256: &str,
    folder: &Path,
) -> Result<PathBuf> {
    const UNPACK: &str = "import sys, tarfile\n\
                          tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter='data')";
    let name = format!("{package}-{version}");
    let unpacked = folder.join(&name);
    if unpacked.is_dir() {
        return Ok(unpacked);
    }
    println!("fetching the source of {package} {version}");
    let folder = std::path::absolute(folder)?;
    let dir = IsolatedDir::create()?;
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, format!("{package}=={version} --hash=sha256:{sha256}\n"))
        .with_context(|| format!("could not write {}", requirements.display()))?;
    let mut pip = started(&dir, python.as_os_str())?;
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--require-hashes", "--no-binary", package, "--dest"]).arg(&folder);
    run::status(pip.arg("--requirement").arg(&requirements))
        .with_context(|| format!("could not fetch the source of {package} {version}"))?;
    let staging = folder.join("unpacked");
    let archive = folder.join(format!("{name}.tar.gz"));
    run::status(
        started(&dir, python.as_os_str())?.args(["-c", UNPACK]).arg(&archive).arg(&staging),
    )?;
    fs::rename(staging.join(&name), &unpacked)
        .with_context(|| format!("could not make {}", unpacked.display()))?;
    fs::remove_file(&archive).with_context(|| format!("could not remove {}", archive.display()))?;
    Ok(unpacked)
}

/// maturin, which [`wheel`] needs in its environment.
pub const MATURIN: &str = "maturin==1.16.0";

/// Builds the wheel of our Python package with the maturin of an environment; it is the only one in `out`.
pub fn wheel(
    python: &Path,
    out: &Path,
    options: &[&str],
    target_dir: Option<&Path>,
) -> Result<PathBuf> {
    let _ = fs::remove_dir_all(out);
    let mut command = Command::new(python);
    command.args(["-m", "maturin", "build", "--locked", "--out"]).arg(out);
    command.arg("--interpreter").arg(python).args(options);
    if let Some(folder) = target_dir {
        command.arg("--target-dir").arg(folder);
    }
    run::status(command.current_dir(repo::root().join("bindings").join("python")))?;
    let wheels = fs::read_dir(out).with_context(|| out.display().to_string())?;
    let wheels: Vec<_> = wheels.flatten().map(|entry| entry.path()).collect();
    match wheels.as_slice() {
        [wheel] => Ok(wheel.clone()),
        other => bail!("expected one wheel in {}, got {}", out.display(), other.len()),
    }
}

/// Installs a wheel into an environment, without its dependencies.
pub fn install(python: &Path, wheel: &Path) -> Result<()> {
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let mut command = Command::new(python);
    run::status(command.args(pip).args(["--no-deps", "--force-reinstall"]).arg(wheel))
}

/// Names of all packages that pip would install for these, without installing any.
pub fn would_install(packages: &[&str]) -> Result<Vec<String>> {
    let dir = IsolatedDir::create()?;
    let mut pip = system(&dir)?;
    pip.args(["-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]);
    pip.args(["--disable-pip-version-check", "--report", "-"]);
    let report = run::output(pip.args(packages))?;
    names(&report)
}

fn system(dir: &IsolatedDir) -> Result<Command> {
    started(dir, OsStr::new(if cfg!(windows) { "python" } else { "python3" }))
}

/// A command that runs in isolated mode, where no file can shadow a Python module.
fn started(dir: &IsolatedDir, program: &OsStr) -> Result<Command> {
    let command = dir.command(program);
    command.with_context(|| format!("there is no {} in PATH", program.display()))
}

fn names(report: &str) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Report {
        install: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
    }
    let report: Report = serde_json::from_str(report).context("pip wrote no report")?;
    Ok(report.install.into_iter().map(|package| package.metadata.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_report() {
        let report = r#"{"version":"1","install":[{"metadata":{"name":"torch","version":"2"}},
                         {"metadata":{"name":"numpy"}}]}"#;
        assert_eq!(names(report).expect("a report"), ["torch", "numpy"]);
        assert!(names("WARNING: no network").is_err());
    }
}
