//! `embedkit doctor`: one page on what works on this machine, what does not, and what to do about it.

mod check;
mod library;
mod machine;
mod network;
mod storage;
mod trial;

use std::io::{self, IsTerminal as _};

use anyhow::Result;
use console::{Term, style};
use embedkit::hub::Hub;
use serde::Serialize;

use self::{
    check::{Check, Level},
    storage::Stored,
};
use crate::{
    args::RunArgs,
    output::print,
    report::{Report, failure, one_line},
};

/// Width of the page where no terminal says, and of the widest page.
const COLUMNS: [usize; 2] = [80, 100];

pub(crate) fn run(json: bool, run: &RunArgs, report: &Report) -> Result<()> {
    let busy = report.busy("checking");
    let checks = checks(run);
    drop(busy);
    if json {
        let page = JsonPage {
            version: env!("CARGO_PKG_VERSION"),
            system: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
            checks: &checks,
        };
        print(&format!("{}\n", serde_json::to_string_pretty(&page)?))?;
    } else {
        let terminal = io::stdout().is_terminal();
        let columns = if terminal { usize::from(Term::stdout().size().1) } else { COLUMNS[0] };
        print(&render(&checks, columns.clamp(40, COLUMNS[1])))?;
    }
    let problems: Vec<_> = checks
        .iter()
        .filter(|check| check.level == Level::Problem)
        .map(|check| check.name)
        .collect();
    match problems.len() {
        0 => Ok(()),
        1 => Err(failure(format!("a problem was found: {}", problems[0])).into()),
        all => Err(failure(format!("{all} problems were found: {}", problems.join(", "))).into()),
    }
}

/// All checks, in the order of the page.
fn checks(run: &RunArgs) -> Vec<Check> {
    let options = run.load_options();
    let library = library::library(run);
    let runtime = library.level == Level::Ok;
    let mut checks = vec![machine::build(), machine::processor()];
    checks.extend(machine::memory());
    checks.push(library);
    checks.push(if runtime {
        library::devices(run)
    } else {
        Check::skipped("devices", "the runtime tells which there are")
    });
    let mut model = None;
    match Hub::from_env(run.cache_dir.clone(), run.offline) {
        Ok(hub) => {
            let stored = Stored::find(&hub);
            model = stored.to_try();
            let folder = storage::folder(&hub);
            // What is here can be used even so.
            let level = if folder.level == Level::Problem && model.is_some() {
                Level::Warning
            } else {
                folder.level
            };
            checks.push(Check { level, ..folder });
            checks.push(stored.check(&hub));
            checks.push(network::hub(&hub, model.is_some()));
        }
        Err(error) => checks.push(Check::failed("cache", Level::Problem, &error.into())),
    }
    checks.push(trial::built_in(&options));
    checks.push(trial::stored(model, runtime, &options));
    checks
}

/// The page as programs read it, and as it goes into a report of a bug.
#[derive(Serialize)]
struct JsonPage<'a> {
    version: &'static str,
    system: &'static str,
    architecture: &'static str,
    checks: &'a [Check],
}

fn render(checks: &[Check], columns: usize) -> String {
    const INDENT: usize = 20;
    let room = columns - INDENT;
    let mut page = String::new();
    for check in checks {
        let level = format!("{:8}", check.level.name());
        let level = match check.level {
            Level::Ok => style(level).green(),
            Level::Skipped => style(level).dim(),
            Level::Warning => style(level).yellow(),
            Level::Problem => style(level).red().bold(),
        };
        let mut start = format!("{level} {:10} ", check.name);
        for line in wrapped(&one_line(&check.found), room) {
            page.push_str(&format!("{start}{line}\n"));
            start = " ".repeat(INDENT);
        }
        let mut start = format!("{:INDENT$}-> ", "");
        for line in check.advice.iter().flat_map(|advice| wrapped(&one_line(advice), room - 3)) {
            page.push_str(&format!("{start}{line}\n"));
            start = " ".repeat(INDENT + 3);
        }
    }
    let count = |level| checks.iter().filter(|check| check.level == level).count();
    let noted =
        |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let last = match (count(Level::Problem), count(Level::Warning)) {
        (0, 0) => "Everything that was checked works.".to_owned(),
        (0, warnings) => format!("embedkit works here; {}.", noted(warnings, "warning")),
        (problems, warnings) => {
            format!("{}, {}.", noted(problems, "problem"), noted(warnings, "warning"))
        }
    };
    page.push_str(&format!("\n{last}\n"));
    page
}

/// Lines of at most `room` columns, broken at spaces; a longer word, such as a path, stays whole.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one from the start");
        let width = console::measure_text_width(line) + 1 + console::measure_text_width(word);
        if line.is_empty() {
            line.push_str(word);
        } else if width <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_fits_and_tells_what_to_do() {
        let checks = [
            Check::ok("embedkit", "1.0"),
            Check::new("runtime", Level::Problem, "not found: ".to_owned() + &"a b c ".repeat(30))
                .advice("run this\nand that"),
            Check::skipped("vectors", "no model"),
        ];
        let page = render(&checks, 60);
        let lines: Vec<_> = page.lines().collect();
        assert_eq!(lines[0], "ok       embedkit   1.0");
        assert!(lines[1].starts_with("problem  runtime    not found: a b c"), "{page}");
        assert!(
            lines[2].starts_with("                    a")
                || lines[2].starts_with("                    b")
                || lines[2].starts_with("                    c")
        );
        assert!(page.contains("                    -> run this\\nand that\n"), "{page}");
        assert!(page.ends_with("\n\n1 problem, 0 warnings.\n"));
        assert!(lines.iter().all(|line| line.len() <= 60), "{page}");
        let path = "/a/very/long/path/that/stays/in/one/piece/to/be/copied";
        assert_eq!(wrapped(&format!("see {path}"), 20), ["see", path]);
        assert!(render(&checks[..1], 60).ends_with("Everything that was checked works.\n"));
    }
}
