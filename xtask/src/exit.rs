//! Ends of the programs: an error with its causes on one line, and its hint on the next.

use std::process::ExitCode;

use anyhow::Result;

/// Prints the error, if there is one, and returns the exit status.
pub fn code(done: Result<()>) -> ExitCode {
    let Err(error) = done else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    if let Some(hint) = error.chain().find_map(hint) {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}

/// Hint of an error of our libraries.
fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<embedkit_hub::Error>() {
        return error.hint().map(|hint| hint.to_string());
    }
    error.downcast_ref::<embedkit_convert::Error>()?.hint().map(|hint| hint.to_string())
}
