//! `cargo xtask pictures`: the pictures of the README.
//!
//! [`chart`] draws figures that `docs/performance.md` publishes. [`session`] runs the program in a
//! terminal, and [`screen`] draws what the terminal shows.

mod chart;
mod screen;
#[cfg(unix)]
mod session;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::repo;
#[cfg(unix)]
use crate::run;

/// Folder of the pictures, from the root of the repository.
const FOLDER: &str = "docs/pictures";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Pictures to draw
    #[arg(value_enum, default_values = ["chart", "terminal"])]
    what: Vec<What>,
    /// Program for the session [default: built from this repository]
    #[arg(long, value_name = "FILE")]
    embedkit: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Speed and memory beside other libraries, from docs/pictures/chart.toml
    Chart,
    /// A session with the real program and model
    Terminal,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = repo::root().join(FOLDER);
    for what in &arguments.what {
        match what {
            What::Chart => write(&folder.join("chart.svg"), &chart::draw(&chart::read()?))?,
            What::Terminal => write(&folder.join("terminal.svg"), &terminal(arguments)?)?,
        }
    }
    Ok(())
}

#[cfg(unix)]
fn terminal(arguments: &Arguments) -> Result<String> {
    let embedkit = match &arguments.embedkit {
        Some(file) => fs::canonicalize(file).with_context(|| repo::short(file))?,
        None => run::build_embedkit(false)?,
    };
    session::record(&embedkit)
}

#[cfg(not(unix))]
fn terminal(_: &Arguments) -> Result<String> {
    anyhow::bail!("the session needs the terminals of a Unix system")
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    println!("wrote {}", repo::short(path));
    Ok(())
}

/// Escapes text for XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
