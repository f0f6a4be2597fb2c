//! `embedkit completions`: the completion script of a shell, made from the definition of the command line.

use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::{args::Cli, output::print};

pub(crate) fn run(shell: Shell) -> Result<()> {
    print(&script(shell))
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "embedkit", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_knows_commands_options_and_values() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for part in ["embedkit", "rerank", "doctor", "input-format", "jsonl"] {
                assert!(script.contains(part), "{shell}: {part}");
            }
        }
    }
}
