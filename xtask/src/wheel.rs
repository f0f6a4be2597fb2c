//! `cargo xtask python`: builds the wheel of the Python package, installs it into an environment of its own
//! and tests it there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    assets, python, repo, run,
    steps::{Outcome, Steps},
};

/// Packages that the build and every test need.
const TOOLS: [&str; 6] = [
    python::MATURIN,
    "numpy>=2,<3",
    "onnxruntime==1.32.0",
    "pillow>=10,<13",
    "pytest>=9,<10",
    "tqdm>=4.60,<5",
];
/// Checkers of the sources, which do not depend on the interpreter: not all have a wheel for each.
const CHECKERS: [&str; 2] = ["mypy==2.4.1", "ruff==0.17.6"];
/// Cluster frameworks, for the recipes in `distributed/recipes`.
const FRAMEWORKS: [&str; 8] = [
    "ray[data]==2.60.0",
    "pyspark==4.3.0",
    "daft==0.7.26",
    "dask==2026.8.0",
    "distributed==2026.8.0",
    "pyarrow",
    "pytest>=9,<10",
    "onnxruntime==1.32.0",
];
/// The original, for the tests beside it.
const ORIGINAL: &str = "fastembed==0.9.1";
/// Packages that call FastEmbed.
const CALLERS: [&str; 8] = [
    "qdrant-client==1.20.0",
    "langchain-community==0.4.2",
    "llama-index-embeddings-fastembed==0.7.0",
    "llama-index-sparse-embeddings-fastembed==0.5.0",
    "fastembed-haystack==3.0.0",
    "chromadb==1.5.9",
    "mem0ai==2.2.1",
    "nbclient",
];

/// Options of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build as for a release, with all execution providers; takes some minutes more
    #[arg(long)]
    release: bool,
    /// Test with another interpreter, such as one without the interpreter's lock
    #[arg(long, value_name = "PYTHON")]
    interpreter: Option<PathBuf>,
    /// Test the recipes for Ray, Spark, Daft and Dask, too, which are installed: a gigabyte
    #[arg(long)]
    recipes: bool,
    /// Install FastEmbed and the packages that call it, and test with them: some gigabytes
    #[arg(long)]
    packages: bool,
    /// Run FastEmbed's own tests, from a checkout beside the project
    #[arg(long, value_name = "FOLDER")]
    upstream: Option<PathBuf>,
    /// Passed on to pytest
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Builds, installs and tests; ends with a table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut steps = Steps::default();
    let mut packages = TOOLS.to_vec();
    let mut name = "python";
    if arguments.packages {
        packages.push(ORIGINAL);
        packages.extend(CALLERS);
        name = "python-packages";
    }
    if arguments.interpreter.is_some() {
        name = "python-other";
    } else {
        packages.extend(CHECKERS);
    }
    let cache = repo::root().join(".cache");
    let folder = cache.join(name);
    let base = arguments.interpreter.as_deref();
    let interpreter = match python::environment_of(base, &folder, &packages) {
        Ok(interpreter) => interpreter,
        Err(error) => {
            steps.note("Python package", not_installed(&error));
            return steps.finish();
        }
    };
    // A build for tests is without the execution providers of the manifest, so that crates are those of the
    // other tests.
    let options: &[&str] = match arguments.release {
        true => &["--release"],
        false => &["--profile", "dev", "--features", "pyo3/abi3-py310"],
    };
    let wheel = python::wheel(&interpreter, &folder.join("wheels"), options, None)?;
    python::install(&interpreter, &wheel)?;
    let package = Package { folder: repo::root().join("bindings").join("python"), interpreter };
    if arguments.interpreter.is_none() {
        steps.run("lints", || package.lint());
        steps.run("types", || package.types());
    }
    steps.run("tests", || package.test("bindings/python/tests", &arguments.arguments));
    steps.run("bare environment", || package.bare(base, &cache.join("python-bare"), &wheel));
    if arguments.recipes {
        let folder = cache.join("python-recipes");
        steps.run("recipes", || package.recipes(base, &folder, &wheel));
    }
    if let Some(upstream) = &arguments.upstream {
        steps.run("FastEmbed's tests", || package.upstream(upstream));
    }
    steps.finish()
}

/// The package, and the interpreter of its environment.
#[derive(Clone)]
struct Package {
    folder: PathBuf,
    interpreter: PathBuf,
}

impl Package {
    fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.args(arguments).current_dir(&self.folder);
        command.env("EMBEDKIT_PROJECT", repo::root());
        command
    }

    fn lint(&self) -> Result<Outcome> {
        run::status(&mut self.command(["-m", "ruff", "check", "--no-cache"]))?;
        run::status(&mut self.command(["-m", "ruff", "format", "--no-cache", "--check"]))?;
        Ok(Outcome::Passed(String::new()))
    }

    fn types(&self) -> Result<Outcome> {
        let cache = repo::root().join(".cache").join("mypy");
        run::status(self.command(["-m", "mypy", "--cache-dir"]).arg(cache))?;
        Ok(Outcome::Passed(String::new()))
    }

    /// Runs the tests in a folder of the project, from one out of which the sources cannot be imported.
    fn test(&self, folder: &str, arguments: &[String]) -> Result<Outcome> {
        let mut command = self.command(["-m", "pytest", "-p", "no:cacheprovider"]);
        command.arg("--rootdir").arg(&self.folder).arg(repo::root().join(folder));
        command.args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
        let (success, said) = run::watched(&mut command)?;
        let summary = summary(&said).unwrap_or_else(|| "no test was run".to_owned());
        Ok(if success { Outcome::Passed(summary) } else { Outcome::Failed(summary) })
    }

    /// Installs the wheel with its dependencies into an environment that has nothing else, and embeds there.
    fn bare(&self, base: Option<&Path>, folder: &Path, wheel: &Path) -> Result<Outcome> {
        let _ = fs::remove_dir_all(folder);
        let wheel = wheel.display().to_string();
        let interpreter = python::environment_of(base, folder, &[&wheel])?;
        let bare = Self { interpreter, ..self.clone() };
        let packages = run::output(&mut bare.command(["tests/run_bare.py"]))?;
        Ok(Outcome::Passed(packages.trim().to_owned()))
    }

    /// Tests the recipes in an environment that has the frameworks.
    fn recipes(&self, base: Option<&Path>, folder: &Path, wheel: &Path) -> Result<Outcome> {
        let interpreter = match python::environment_of(base, folder, &FRAMEWORKS) {
            Ok(interpreter) => interpreter,
            Err(error) => return Ok(not_installed(&error)),
        };
        python::install(&interpreter, wheel)?;
        Self { interpreter, ..self.clone() }.test("distributed/recipes", &[])
    }

    fn upstream(&self, folder: &Path) -> Result<Outcome> {
        if !assets::minilm().is_dir() {
            return Ok(Outcome::Skipped(
                "the model that stands in is missing: cargo xtask assets".into(),
            ));
        }
        run::status(self.command(["tests/run_upstream.py"]).arg(folder))?;
        Ok(Outcome::Passed("each test that FastEmbed passes".into()))
    }
}

/// Outcome of tests whose packages are not to be had, which is no fault of ours.
fn not_installed(error: &anyhow::Error) -> Outcome {
    Outcome::Skipped(format!("pip cannot install what the tests need: {error:#}"))
}

/// pytest's last line, without its frame and its time.
pub(crate) fn summary(said: &str) -> Option<String> {
    let is_summary = |line: &&str| line.starts_with("==") && line.contains(" in ");
    let line = said.lines().rev().find(is_summary)?;
    let text = line.trim_matches(|c| c == '=' || c == ' ');
    Some(text.split(" in ").next().unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_pytest_is_its_last_line() {
        let said = "tests/a.py ..\n===== short test summary info =====\nSKIPPED [1] x in y\n\
                    ======= 12 passed, 1 skipped in 3.21s =======\n";
        assert_eq!(summary(said).as_deref(), Some("12 passed, 1 skipped"));
        assert_eq!(summary("no tests ran"), None);
    }
}
