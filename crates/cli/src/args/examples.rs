//! The examples in help texts, parsed like what a user types.

use clap::{Command, CommandFactory as _, Parser as _};

use super::{Cli, reference::words};

/// Every call of the program in the indented lines of a text: `Err` for one that does not parse.
pub(crate) fn examples(text: &str) -> Vec<Result<Vec<String>, String>> {
    let lines = text.lines().filter(|line| line.starts_with("  "));
    lines
        .flat_map(calls)
        .map(|call| match Cli::try_parse_from(&call) {
            Err(error) if error.use_stderr() => Err(format!("{call:?}: {error}")),
            _ => Ok(call), // a call for help counts, too
        })
        .collect()
}

/// The calls of the program in a line of a shell: first, behind a pipe, or in a substitution.
fn calls(line: &str) -> Vec<Vec<String>> {
    let line = line.trim_start();
    let begins =
        |before: &str| before.is_empty() || before.ends_with("| ") || before.ends_with("$(");
    let starts = line.match_indices("embedkit ").map(|(at, _)| at);
    starts.filter(|&at| begins(&line[..at])).map(|at| words(&line[at..])).collect()
}

/// All commands, with those that have commands themselves.
fn all(command: &Command, found: &mut Vec<Command>) {
    found.push(command.clone());
    command.get_subcommands().for_each(|command| all(command, found));
}

#[test]
fn lines_are_split_as_shells_do() {
    let call = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        calls("  cat x | embedkit embed \"a b\" ''  # it's"),
        [call(&["embedkit", "embed", "a b", ""])]
    );
    assert_eq!(calls("X=$(embedkit runtime path) ./x"), [call(&["embedkit", "runtime", "path"])]);
    assert_eq!(calls("embedkit man > x"), [call(&["embedkit", "man"])]);
    assert!(calls("cp embedkit there; ls ./embedkit x").is_empty());
}

#[test]
fn every_command_has_examples_of_itself_that_can_be_typed() {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut commands = Vec::new();
    all(&program, &mut commands);
    assert!(commands.len() > 10);
    for command in commands {
        let help = command.get_after_help().unwrap_or_default().to_string();
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        let parsed = examples(&help).into_iter().collect::<Result<Vec<_>, _>>();
        let calls = parsed.unwrap_or_else(|error| panic!("{name}: {error}"));
        let itself: Vec<_> = name.split('-').collect();
        let own = calls.iter().filter(|call| itself.iter().eq(call.iter().take(itself.len())));
        assert!(own.count() >= 2, "{name} needs two examples, not {calls:?}");
    }
}
