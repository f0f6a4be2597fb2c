//! Help on one screen: the commands by when they are needed.

use std::fmt::Write as _;

use clap::Command;

/// Commands in the order of their need.
const GROUPS: &[(&str, &[&str])] = &[
    ("First", &["demo", "test"]),
    (
        "While you work",
        &[
            "tidy", "codegen", "golden", "book", "pictures", "bench", "sql", "python", "serve",
            "deploy",
        ],
    ),
    ("For maintainers", &["assets", "matrix", "registry", "release"]),
];

/// The command with a help that lists its subcommands in groups.
pub(crate) fn grouped(command: Command) -> Command {
    let help = text(&command);
    command.override_help(help)
}

fn text(command: &Command) -> String {
    let mut text = String::from("Usage: cargo xtask COMMAND\n");
    for (title, names) in GROUPS {
        let _ = write!(text, "\n{title}:\n");
        for name in *names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {name:<9} {about}");
        }
    }
    text.push_str("`cargo xtask COMMAND --help` lists its options; `.ci/run` runs every check.");
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::Arguments;

    #[test]
    fn every_command_is_in_one_group() {
        let command = Arguments::command();
        let mut all: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
        let mut listed: Vec<_> = GROUPS.iter().flat_map(|group| group.1).copied().collect();
        all.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, all);
    }

    #[test]
    fn the_help_fits_a_small_terminal() {
        let text = text(&Arguments::command());
        assert!(text.lines().count() <= 24, "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(text.contains("  tidy      Check the repository's rules"), "{text}");
    }

    #[test]
    fn help_is_asked_for_in_three_ways() {
        for arguments in [&["xtask"][..], &["xtask", "help"], &["xtask", "--help"]] {
            let parsed = grouped(Arguments::command()).try_get_matches_from(arguments);
            let said = parsed.expect_err("help").to_string();
            assert!(said.contains("While you work:"), "{arguments:?}: {said}");
        }
    }
}
