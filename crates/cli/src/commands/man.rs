//! `embedkit man`: manual pages, made from the definition of the command line.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::{args::Cli, output::print, report::Report};

pub(crate) fn run(dir: Option<&Path>, report: &Report) -> Result<()> {
    let program = program();
    let Some(dir) = dir else { return print(&page(&program)?.1) };
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let mut pages = Vec::new();
    collect(&program, &mut pages)?;
    for (name, text) in &pages {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    report.inform(&format!("wrote {} pages to {}", pages.len(), dir.display()));
    Ok(())
}

/// The program with all that its commands inherit. The pages replace the command `help`.
fn program() -> Command {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    program
}

/// File name and text of the pages of a command and of those below it.
fn collect(command: &Command, pages: &mut Vec<(String, String)>) -> Result<()> {
    pages.push(page(command)?);
    command.get_subcommands().try_for_each(|command| collect(command, pages))
}

fn page(command: &Command) -> Result<(String, String)> {
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render(&mut text).context("cannot make the manual page")?;
    Ok((man.get_filename(), String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_examples() {
        let mut pages = Vec::new();
        collect(&program(), &mut pages).unwrap();
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["embedkit.1", "embedkit-embed.1", "embedkit-models-list.1", "embedkit-man.1"] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        for (name, text) in &pages {
            assert!(text.starts_with(".ie") && text.contains(".TH embedkit"), "{name}");
            assert!(text.contains("Examples:"), "{name}");
        }
    }
}
