//! What goes to standard error: failures, warnings, progress, and what `-v` tells.

use std::{
    fmt::{self, Write as _},
    io::{self, Write},
};

use anyhow::Error;
use embedkit::Hint;
use tracing::{Event, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    filter::Targets,
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter, format::FmtSpan, format::Writer, time,
    },
    layer::{Layer as _, SubscriberExt as _},
    registry::LookupSpan,
};

use crate::progress::{Bars, Busy, Bytes, Items};

/// An error that the command line itself found, with what to do about it.
#[derive(Debug)]
pub(crate) struct CliError {
    message: String,
    hint: Option<String>,
    usage: bool,
}

/// A command line that makes no sense: status 2.
pub(crate) fn usage(message: impl Into<String>) -> CliError {
    CliError { message: message.into(), hint: None, usage: true }
}

/// A failure: status 1.
pub(crate) fn failure(message: impl Into<String>) -> CliError {
    CliError { message: message.into(), hint: None, usage: false }
}

impl CliError {
    /// Adds what to do.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

/// The failure of a run whose output has begun.
#[derive(Debug)]
pub(crate) struct Unfinished {
    failure: Error,
    /// Where that is.
    kept: String,
}

impl Unfinished {
    /// A failure, and what is left of the output.
    pub(crate) fn new(failure: Error, kept: String) -> Self {
        Self { failure, kept }
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(out)
    }
}

impl std::error::Error for Unfinished {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.failure.as_ref())
    }
}

/// Nobody reads standard output any more: the program ends quietly.
#[derive(Debug)]
pub(crate) struct StdoutClosed;

impl StdoutClosed {
    pub(crate) fn error() -> io::Error {
        io::Error::new(io::ErrorKind::BrokenPipe, Self)
    }

    /// The error, as one of this kind where it is.
    pub(crate) fn recognise(error: io::Error) -> io::Error {
        // Windows says that a pipe is being closed (232) before it says that it is broken (109).
        let closing = cfg!(windows) && error.raw_os_error() == Some(232);
        if error.kind() == io::ErrorKind::BrokenPipe || closing { Self::error() } else { error }
    }

    /// True if this is the cause of a failure.
    pub(crate) fn is(cause: &(dyn std::error::Error + 'static)) -> bool {
        cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<Self>())
            .is_some()
    }
}

impl fmt::Display for StdoutClosed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("standard output is closed")
    }
}

impl std::error::Error for StdoutClosed {}

/// How a command ended.
pub(crate) struct ExitReport {
    pub(crate) status: u8,
    /// What is said on standard error.
    pub(crate) text: String,
}

/// The status and the words for a failure: one line `error: …`, the causes joined by `: `, and at
/// most one line `hint: …`.
pub(crate) fn exit_report(error: &Error) -> ExitReport {
    if error.chain().any(StdoutClosed::is) {
        return ExitReport { status: 0, text: String::new() };
    }
    let found = cli_error(error);
    let hint = advice(error);
    let kept = error.chain().find_map(|cause| cause.downcast_ref::<Unfinished>());
    let hint = match (hint, kept.map(|unfinished| &unfinished.kept)) {
        (Some(hint), Some(kept)) => Some(format!("{hint}; {kept}")),
        (hint, kept) => hint.or_else(|| kept.cloned()),
    };
    let text = exit_text(&causes(error), hint.as_deref());
    ExitReport { status: if found.is_some_and(|found| found.usage) { 2 } else { 1 }, text }
}

fn cli_error(error: &Error) -> Option<&CliError> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// The advice about a failure, in one line.
pub(crate) fn advice(error: &Error) -> Option<String> {
    cli_error(error).and_then(|found| found.hint.clone()).or_else(|| library_hint(error))
}

/// The message at the end of a run that failed.
pub(crate) fn exit_text(error: &str, hint: Option<&str>) -> String {
    let mut text = format!("error: {}\n", one_line(error));
    if let Some(hint) = hint {
        let _ = writeln!(text, "hint: {}", one_line(hint));
    }
    text
}

/// An error and its causes in one line. A cause that the message before it already ends with, as some
/// libraries have it, is not said again.
pub(crate) fn causes(error: &Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// Control characters escaped, so that nothing from a file can break the line or steer a terminal.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() {
            line.extend(char.escape_default());
        } else {
            line.push(char);
        }
    }
    line
}

/// Advice of the libraries in the words of the command line.
fn library_hint(error: &Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<embedkit::Error>() {
            error.hint().map(words)
        } else {
            cause.downcast_ref::<embedkit::hub::Error>()?.hint().as_ref().map(words)
        }
    })
}

/// Advice of the libraries with the commands and options of this program.
fn words(hint: &Hint) -> String {
    const NAME: &str = "name it with `--onnxruntime FILE` or ORT_DYLIB_PATH";
    match hint {
        Hint::InstallRuntime => "run `embedkit runtime install`, or name the library with \
                                 `--onnxruntime FILE` or ORT_DYLIB_PATH"
            .to_owned(),
        Hint::ReinstallRuntime { first, installed } => {
            let again = if *installed {
                "run `embedkit runtime install` again"
            } else {
                "install that library again"
            };
            let first = first.as_ref().map(|first| format!("{first} and ")).unwrap_or_default();
            format!("{first}{again}; to trust it as it is, {NAME}")
        }
        Hint::NameRuntime(instead) => format!("{instead}; to use this very file, {NAME}"),
        Hint::PullModel(id) => format!("with network access, run: embedkit models pull {id}"),
        Hint::SimilarModels(ids) if ids.is_empty() => {
            "`embedkit models list` shows all models".to_owned()
        }
        Hint::OpenFromFolder => "open it from a folder with --model-dir".to_owned(),
        Hint::IncompleteFolder => {
            "the model's folder is incomplete; fetch it again with `embedkit models pull ID`"
                .to_owned()
        }
        Hint::ChooseCacheDir => {
            "choose a writable cache folder with EMBEDKIT_CACHE or --cache-dir".to_owned()
        }
        Hint::NameCacheDir => "set EMBEDKIT_CACHE or pass --cache-dir".to_owned(),
        Hint::InstallPip => "install pip, or give a library, wheel or folder with: embedkit \
                             runtime install --from PATH"
            .to_owned(),
        Hint::FallBackToCpu => "use `--device auto` to fall back to the CPU, or a build and a \
                                runtime with that provider"
            .to_owned(),
        Hint::OpenAgain => "open the model again; where it fails again, look into the device's \
                            driver or use `--device cpu`"
            .to_owned(),
        Hint::SmallerBatches => {
            "make batches smaller with `--batch-size` and `--batch-tokens`, or \
                                 run fewer at once with `--replicas`"
                .to_owned()
        }
        Hint::LimitTokens(_) => {
            "lower the token limit: `model_max_length` in tokenizer_config.json".to_owned()
        }
        Hint::RaiseTimeout => {
            "allow a run more time with `--timeout`, or make batches smaller with \
                               `--batch-size`; a graph that never ends is not to be trusted"
                .to_owned()
        }
        Hint::FewerThreads => {
            "ask for fewer with `--threads` and `--replicas`, or raise the limit on \
                               processes and memory (`ulimit -u`, `ulimit -v`, the container's)"
                .to_owned()
        }
        Hint::NameModelFile(file) => format!(
            "if {file} is the model, say `file = \"{file}\"` in its description (--model-spec)"
        ),
        Hint::ChooseVariant(names) => format!("choose one with --variant: {}", names.join(", ")),
        Hint::ConvertEncoder { missing } => {
            format!("the checkpoint has no {missing}; --head hidden needs only the encoder")
        }
        Hint::ConvertCheckpoint => {
            "give a graph with f32 weights in the same file, below 2 GiB, such \
                                    as `embedkit convert` writes"
                .to_owned()
        }
        hint => hint.to_string(),
    }
}

/// Progress and warnings of one run.
#[derive(Clone)]
pub(crate) struct Report {
    bars: Bars,
    quiet: bool,
    log: Log,
}

/// Form of the events that the libraries trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// Warnings, among what a command says.
    Warnings,
    /// A line for each event, with its time.
    #[cfg(feature = "serve")]
    Text,
    /// A JSON object for each event.
    #[cfg(feature = "serve")]
    Json,
}

impl Report {
    /// Prepares standard error: `quiet` silences warnings and progress, `verbose` shows what the
    /// libraries trace.
    pub(crate) fn new(quiet: bool, verbose: u8, log: Log) -> Self {
        let report = Self { bars: Bars::new(quiet), quiet, log };
        let level = match (verbose, log) {
            (0, Log::Warnings) if quiet => LevelFilter::OFF,
            (0, Log::Warnings) => LevelFilter::WARN,
            #[cfg(feature = "serve")]
            (0, _) if quiet => LevelFilter::WARN,
            #[cfg(feature = "serve")]
            (0, _) => LevelFilter::INFO,
            (1, _) => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        };
        let others = if verbose > 1 { LevelFilter::DEBUG } else { level.min(LevelFilter::WARN) };
        let filter = Targets::new().with_target("embedkit", level).with_default(others);
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(report.clone());
        let layer = match log {
            #[cfg(feature = "serve")]
            Log::Json => layer
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_filter(filter)
                .boxed(),
            #[cfg(feature = "serve")]
            Log::Text => layer.compact().with_filter(filter).boxed(),
            Log::Warnings if verbose == 0 => {
                layer.event_format(Warning).with_filter(filter).boxed()
            }
            Log::Warnings => layer
                .compact()
                .with_target(false)
                .with_timer(time::uptime())
                .with_span_events(FmtSpan::CLOSE)
                .with_filter(filter)
                .boxed(),
        };
        // Setting it fails only where one is set already, and this is the only place.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer));
        report
    }

    /// The form of what the libraries trace.
    pub(crate) fn log(&self) -> Log {
        self.log
    }

    /// Says something that is not the result and not an error.
    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            self.say(&format!("warning: {}\n", one_line(text)));
        }
    }

    /// Says what was done.
    pub(crate) fn inform(&self, text: &str) {
        if !self.quiet {
            self.say(&format!("{}\n", one_line(text)));
        }
    }

    /// Writes to standard error, past any progress bar. Standard error that is closed is no reason to
    /// stop.
    pub(crate) fn say(&self, text: &str) {
        self.bars.suspend(|| {
            let _ = io::stderr().write_all(text.as_bytes());
        });
    }

    /// Does something that writes to the terminal on which a progress bar stands.
    pub(crate) fn beside_progress<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    /// Progress of a download or of a file that is written; shown only when standard error is a terminal.
    pub(crate) fn bytes(&self, what: &str, size: Option<u64>) -> Bytes {
        self.bars.bytes(one_line(what), size)
    }

    /// Progress over inputs, with the end of their positions where it is known; shown only when standard error
    /// is a terminal.
    pub(crate) fn progress(&self, total: Option<u64>, what: &'static str) -> Items {
        self.bars.items(total, what)
    }

    /// A sign that something goes on that may take long; shown only when standard error is a terminal.
    pub(crate) fn busy(&self, what: &str) -> Busy {
        self.bars.busy(one_line(what))
    }
}

/// Trace events as plain warnings, without time and place.
struct Warning;

impl<S, N> FormatEvent<S, N> for Warning
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        context.field_format().format_fields(Writer::new(&mut text), event)?;
        writeln!(writer, "warning: {}", one_line(&text))
    }
}

impl<'a> MakeWriter<'a> for Report {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Report {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.say(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use embedkit::ErrorKind;

    use super::*;

    #[test]
    fn a_failure_is_one_line_with_its_causes() {
        let error =
            anyhow!("no\nsuch\tplace\u{1b}[31m").context("cannot read x").context("input 3");
        let ending = exit_report(&error);
        assert_eq!(ending.status, 1);
        assert_eq!(ending.text, "error: input 3: cannot read x: no\\nsuch\\tplace\\u{1b}[31m\n");
    }

    #[test]
    fn a_cause_is_not_repeated() {
        let error = anyhow!("gone").context("cannot read x: gone").context("outer");
        assert_eq!(causes(&error), "outer: cannot read x: gone");
    }

    #[test]
    fn a_hint_follows_and_usage_has_its_own_status() {
        let error = Error::from(failure("odd").hint("even\nit")).context("first");
        let failed = exit_report(&error);
        assert_eq!((failed.status, &*failed.text), (1, "error: first: odd\nhint: even\\nit\n"));
        assert_eq!(exit_report(&usage("what").into()).status, 2);
    }

    #[test]
    fn advice_of_the_libraries_names_options_and_commands() {
        let advice = |hint: Hint| {
            let error = embedkit::Error::new(ErrorKind::Runtime, "odd").with_hint(hint);
            exit_report(&Error::new(error).context("input 3")).text
        };
        let again = Hint::ReinstallRuntime { first: Some("run `x`".into()), installed: true };
        for (hint, part) in [
            (Hint::InstallRuntime, "run `embedkit runtime install`"),
            (again, "run `x` and run `embedkit runtime install` again; to trust it as it is"),
            (Hint::NameRuntime("go away".into()), "go away; to use this very file, name it with"),
            (Hint::PullModel("a/b".into()), "embedkit models pull a/b"),
            (Hint::SimilarModels(vec![]), "`embedkit models list`"),
            (Hint::SimilarModels(vec!["a/b".into()]), "did you mean a/b?"),
            (Hint::OpenFromFolder, "--model-dir"),
            (Hint::IncompleteFolder, "fetch it again with `embedkit models pull ID`"),
            (Hint::ChooseCacheDir, "--cache-dir"),
            (Hint::FallBackToCpu, "`--device auto`"),
            (Hint::OpenAgain, "`--device cpu`"),
            (Hint::SmallerBatches, "`--batch-size` and `--batch-tokens`"),
            (Hint::LimitTokens(Some(8)), "lower the token limit"),
            (Hint::RaiseTimeout, "`--timeout`"),
            (Hint::FewerThreads, "`--threads` and `--replicas`"),
            (Hint::NameModelFile("x.onnx".into()), "`file = \"x.onnx\"`"),
            (Hint::ChooseVariant(vec!["int8".into(), "q4".into()]), "with --variant: int8, q4"),
            (Hint::ConvertEncoder { missing: "head" }, "has no head; --head hidden needs"),
            (Hint::ConvertCheckpoint, "such as `embedkit convert` writes"),
            (Hint::Advice("try again".into()), "hint: try again"),
        ] {
            let text = advice(hint);
            assert!(text.starts_with("error: input 3: odd\nhint: "), "{text}");
            assert!(text.contains(part) && text.lines().count() == 2, "{text}");
        }
    }

    #[test]
    fn what_is_left_of_the_output_is_part_of_the_hint() {
        let unfinished =
            |error| exit_report(&Unfinished::new(error, "it stays in x".into()).into());
        let failed = unfinished(anyhow!("gone").context("cannot read x"));
        assert_eq!(failed.text, "error: cannot read x: gone\nhint: it stays in x\n");
        let failed = unfinished(usage("odd").hint("even").into());
        assert_eq!(failed.text, "error: odd\nhint: even; it stays in x\n");
        assert_eq!(failed.status, 2);
    }

    #[test]
    fn a_closed_standard_output_is_no_failure() {
        let error = Error::from(StdoutClosed::error()).context("cannot write");
        let quiet = exit_report(&error);
        assert_eq!((quiet.status, &*quiet.text), (0, ""));
        let pipe = Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(exit_report(&pipe).status, 1);
    }
}
