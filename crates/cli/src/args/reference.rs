//! The page of all commands and options, and the command lines in the documentation, against the
//! definition of the command line.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use clap::{Arg, Command, CommandFactory as _, Parser as _};

use super::Cli;

/// Set to 1, the page is written instead of compared.
const WRITE: &str = "EMBEDKIT_WRITE_REFERENCE";
const BEGIN: &str = "<!-- commands: begin, made by a test of crates/cli -->\n";
const END: &str = "<!-- commands: end -->\n";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Sections of all commands, then tables of the options that several have.
fn reference(program: &Command) -> String {
    let mut page = String::new();
    let mut shared: Vec<(String, Vec<&Arg>)> = Vec::new();
    let own = program.get_arguments();
    let arguments = own.chain(leaves(program).into_iter().flat_map(|(_, it)| it.get_arguments()));
    for arg in arguments {
        let Some(heading) = arg.get_help_heading() else { continue };
        let at = shared.iter().position(|(name, _)| name == heading).unwrap_or_else(|| {
            shared.push((heading.to_owned(), Vec::new()));
            shared.len() - 1
        });
        if shared[at].1.iter().all(|other| other.get_id() != arg.get_id()) {
            shared[at].1.push(arg);
        }
    }
    // Options of the program itself are those of all commands, and come last.
    if program.get_arguments().any(|arg| arg.get_help_heading().is_some()) {
        shared.rotate_left(1);
    }
    for (path, command) in leaves(program) {
        page += &section(&path, command);
    }
    for (heading, arguments) in shared {
        page += &format!("## {heading} options\n\n{}", table(arguments.into_iter()));
    }
    page
}

/// Commands without commands of their own, with their names.
fn leaves(command: &Command) -> Vec<(String, &Command)> {
    let mut found = Vec::new();
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = sub.get_name();
        if sub.has_subcommands() {
            found.extend(leaves(sub).into_iter().map(|(path, it)| (format!("{name} {path}"), it)));
        } else {
            found.push((name.to_owned(), sub));
        }
    }
    found
}

/// A command with its examples, its own options, and links to those that others have, too.
fn section(path: &str, command: &Command) -> String {
    let mut text = format!("## {path}\n\n");
    if let Some(about) = command.get_about() {
        text += &format!("{about}.\n\n");
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for paragraph in after.split("\n\n") {
        match paragraph.split_once('\n') {
            Some((title, lines)) if title.starts_with("Example") => {
                let lines: Vec<_> = lines.lines().map(str::trim_start).collect();
                text += &format!("```sh\n{}\n```\n\n", lines.join("\n"));
            }
            _ if paragraph.is_empty() => {}
            _ => text += &format!("{}\n\n", paragraph.trim()),
        }
    }
    let own = command.get_arguments().filter(|arg| arg.get_help_heading().is_none());
    text += &table(own);
    let mut headings: Vec<_> = command.get_arguments().filter_map(Arg::get_help_heading).collect();
    headings.dedup();
    let links: Vec<_> = headings
        .iter()
        .map(|heading| {
            let anchor = heading.to_lowercase().replace(' ', "-");
            format!("[{heading}](#{anchor}-options)")
        })
        .collect();
    if !links.is_empty() {
        text += &format!("More options: {}.\n\n", links.join(", "));
    }
    text
}

/// A row for each argument; nothing without any.
fn table<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let rows: String = arguments.filter(|arg| !arg.is_hide_set()).map(row).collect();
    if rows.is_empty() {
        return rows;
    }
    format!("| argument | meaning | default |\n|---|---|---|\n{rows}\n")
}

fn row(arg: &Arg) -> String {
    let values = arg.get_value_names().unwrap_or_default().join(" ");
    let takes = arg.get_action().takes_values();
    let name = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("`-{short}`, `--{long}`"),
        (_, Some(long)) if takes => format!("`--{long} {values}`"),
        (_, Some(long)) => format!("`--{long}`"),
        _ => format!("`{values}`"),
    };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    // A default that depends on something is a part of the help.
    let stated = help.strip_suffix(']').and_then(|help| help.rsplit_once(" [default: "));
    let (mut help, mut default) = stated
        .map_or((help.clone(), String::new()), |(help, value)| (help.to_owned(), value.to_owned()));
    if takes {
        let possible = arg.get_possible_values();
        let names: Vec<_> =
            possible.iter().map(|value| format!("`{}`", value.get_name())).collect();
        if !names.is_empty() {
            help += &format!(" ({})", names.join(", "));
        }
        let given = arg.get_default_values().iter().map(|value| value.to_string_lossy());
        default += &given.map(|value| format!("`{value}`")).collect::<String>();
    }
    let cells = [name, help, default].map(|cell| cell.replace('|', "\\|"));
    format!("| {} |\n", cells.join(" | "))
}

/// Arguments of the commands `embedkit` in blocks of shell code, with the numbers of their lines.
fn examples(page: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut shell = false;
    for (number, line) in (1..).zip(page.lines()) {
        let line = line.trim();
        if let Some(language) = line.strip_prefix("```") {
            shell = language == "sh";
        } else if shell && line.starts_with("embedkit ") {
            found.push((number, words(line)));
        }
    }
    found
}

/// Words of a shell's command, up to a pipe, a redirection, the end of a substitution, or a comment.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quote = None;
    for char in line.chars() {
        match (quote, char) {
            (Some(open), _) if open == char => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(char),
            (None, '"' | '\'') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, '|' | '>' | ';' | '&' | ')') => break,
            (None, '#') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    words
}

/// Pages of Markdown below a folder.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_reference_has_every_command_and_option() {
    if !cfg!(all(feature = "completions", feature = "man")) {
        return; // the page has the commands of the default features
    }
    let path = repository().join("docs/reference/command-line.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    let expected = format!("\n{}", reference(&Cli::command()));
    if env::var_os(WRITE).is_some() {
        fs::write(path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
    } else {
        assert_eq!(found, expected, "run: {WRITE}=1 cargo test -p embedkit-cli --lib reference");
    }
}

#[test]
fn command_lines_in_the_documentation_are_valid() {
    let mut seen = 0;
    for path in
        pages(&repository().join("docs")).into_iter().chain([repository().join("README.md")])
    {
        let page = fs::read_to_string(&path).unwrap();
        for (line, words) in examples(&page) {
            let parsed = Cli::try_parse_from(&words);
            let error = parsed.err().filter(clap::Error::use_stderr);
            assert!(error.is_none(), "{}:{line}: {}", path.display(), error.unwrap());
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen} command lines were found");
}

#[test]
fn words_are_those_of_a_shell() {
    let line = "embedkit search \"a 'b' #c\" --x='' a#b | jq -r '.[]' # comment";
    assert_eq!(words(line), ["embedkit", "search", "a 'b' #c", "--x=", "a#b"]);
    assert_eq!(words("embedkit models list # all of them"), ["embedkit", "models", "list"]);
}
