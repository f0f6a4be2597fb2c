//! Writing the results: a record for each input, in input order, in one of several forms.

mod jsonl;
mod npy;
#[cfg(feature = "parquet")]
mod parquet;

use std::{
    error::Error as StdError,
    fmt,
    fs::{File, OpenOptions},
    io::{self, BufWriter, IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    args::{Format, OnError},
    report::usage,
    stream::Done,
    value::{Shape, Value},
};

/// What became of one input.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    /// Its number, from 0.
    pub(crate) index: u64,
    /// What the model gave, or why there is nothing.
    pub(crate) value: Result<&'a Value, &'a str>,
    /// Whether the end of the input was cut off.
    pub(crate) truncated: bool,
}

impl<'a> Record<'a> {
    pub(crate) fn of(done: &'a Done) -> Self {
        let (value, truncated) = match &done.result {
            Ok((_, embedded)) => (Ok(&embedded.value), embedded.truncated),
            Err(why) => (Err(&**why), false),
        };
        Self { index: done.index, value, truncated }
    }
}

/// Checks a format against what else was asked for, before anything is opened.
///
/// # Errors
/// Usage errors: a format that is not compiled in, or one that has no place for the results or for
/// skipped inputs.
pub(crate) fn check(format: Format, shape: Shape, on_error: OnError) -> Result<()> {
    if format == Format::Parquet && cfg!(not(feature = "parquet")) {
        return Err(usage("this build of embedkit does not write parquet")
            .hint("build it with `--features parquet`, or use --format jsonl or npy")
            .into());
    }
    let array = matches!(shape, Shape::Vector | Shape::Score);
    if format != Format::Jsonl && !array {
        let name = if format == Format::Npy { "npy" } else { "parquet" };
        let what = format!("{name} has no place for {}, which this model gives", shape.name());
        return Err(usage(what).hint("use --format jsonl").into());
    }
    if format == Format::Npy && on_error == OnError::Skip {
        return Err(usage("npy has no place for the errors of --on-error skip")
            .hint("use --format jsonl")
            .into());
    }
    Ok(())
}

/// A writer of records.
pub(crate) enum Records {
    Jsonl(jsonl::Jsonl),
    Npy(npy::Npy),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::Parquet>),
}

impl Records {
    /// Begins to write: a file is emptied now.
    pub(crate) fn start(format: Format, target: Target) -> Result<Self> {
        target.empty()?;
        Ok(match format {
            Format::Jsonl => Self::Jsonl(jsonl::Jsonl::new(target)),
            Format::Npy => Self::Npy(npy::Npy::new(target)),
            #[cfg(feature = "parquet")]
            Format::Parquet => Self::Parquet(Box::new(parquet::Parquet::new(target)?)),
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => unreachable!("refused by `check`"),
        })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// It cannot be written; what was written before stays.
    pub(crate) fn write(&mut self, record: &Record<'_>) -> Result<()> {
        match self {
            Self::Jsonl(jsonl) => jsonl.write(record),
            Self::Npy(npy) => npy.write(record),
            #[cfg(feature = "parquet")]
            Self::Parquet(parquet) => parquet.write(record),
        }
    }

    /// Completes the output with the records there are. To be called after a failure too.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn finish(self) -> Result<()> {
        match self {
            Self::Jsonl(jsonl) => jsonl.finish(),
            Self::Npy(npy) => npy.finish(),
            #[cfg(feature = "parquet")]
            Self::Parquet(parquet) => parquet.finish(),
        }
    }
}

/// Where results go.
#[derive(Debug)]
pub(crate) enum Target {
    Stdout,
    File { file: File, path: PathBuf },
}

impl Target {
    /// Opens a file, or takes standard output for none and `-`. What the file holds is kept until
    /// [`Records::start`], so that a model that cannot be opened costs nobody an earlier result.
    ///
    /// # Errors
    /// The file cannot be written, or is the one that inputs are read from.
    pub(crate) fn open(output: Option<&Path>, input: Option<&Path>) -> Result<Self> {
        let Some(path) = output.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::Stdout);
        };
        let regular = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
        if let (Some(input), Some(output)) = (input.and_then(regular), regular(path))
            && input == output
        {
            return Err(usage(format!("{} is both input and output", path.display())).into());
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self::File { file, path: path.to_owned() })
    }

    /// Whether a person is looking at it.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self, Self::Stdout) && io::stdout().is_terminal()
    }

    /// Empties a regular file.
    pub(crate) fn empty(&self) -> Result<()> {
        match self {
            Self::File { file, .. } if self.is_regular() => {
                file.set_len(0).with_context(|| self.failure())
            }
            _ => Ok(()),
        }
    }

    /// Whether it is a file that can be gone back in.
    fn is_regular(&self) -> bool {
        matches!(self, Self::File { file, .. } if file.metadata().is_ok_and(|data| data.is_file()))
    }

    fn failure(&self) -> String {
        match self {
            Self::Stdout => "cannot write standard output".to_owned(),
            Self::File { path, .. } => format!("cannot write {}", path.display()),
        }
    }

    pub(crate) fn buffered(self) -> Buffered {
        let failure = self.failure();
        let at_once = self.is_terminal();
        Buffered { inner: BufWriter::with_capacity(1 << 16, self), failure, at_once }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout => io::stdout().write(bytes).map_err(StdoutClosed::recognise),
            Self::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().flush().map_err(StdoutClosed::recognise),
            Self::File { file, .. } => file.flush(),
        }
    }
}

/// A target behind a buffer, whose errors say what cannot be written.
pub(crate) struct Buffered {
    inner: BufWriter<Target>,
    failure: String,
    at_once: bool,
}

impl Buffered {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.inner.write_all(bytes).with_context(|| self.failure.clone())
    }

    /// A record ends here: a terminal shows it at once.
    pub(crate) fn end_record(&mut self) -> Result<()> {
        if self.at_once { self.flush() } else { Ok(()) }
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        self.inner.flush().with_context(|| self.failure.clone())
    }

    /// The file behind it, everything written before out of the buffer.
    pub(crate) fn file(&mut self) -> Result<&mut File> {
        self.flush()?;
        match self.inner.get_mut() {
            Target::File { file, .. } => Ok(file),
            Target::Stdout => Err(io::Error::from(io::ErrorKind::NotSeekable).into()),
        }
    }
}

/// Writes a few lines of text to standard output.
///
/// # Errors
/// It cannot be written, or is closed.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = Target::Stdout.buffered();
    out.write(text.as_bytes())?;
    out.flush()
}

/// Nobody reads standard output any more: the program ends quietly.
#[derive(Debug)]
pub(crate) struct StdoutClosed;

impl StdoutClosed {
    pub(crate) fn error() -> io::Error {
        io::Error::new(io::ErrorKind::BrokenPipe, Self)
    }

    fn recognise(error: io::Error) -> io::Error {
        // Windows says that a pipe is being closed (232) before it says that it is broken (109).
        let closing = cfg!(windows) && error.raw_os_error() == Some(232);
        if error.kind() == io::ErrorKind::BrokenPipe || closing { Self::error() } else { error }
    }

    /// Whether this is the cause of a failure.
    pub(crate) fn is(cause: &(dyn StdError + 'static)) -> bool {
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

impl StdError for StdoutClosed {}
