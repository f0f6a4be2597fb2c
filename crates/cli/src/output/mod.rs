//! Writing the results: a record for each input, in input order, in one of several forms.

mod jsonl;
mod npy;
#[cfg(feature = "parquet")]
mod parquet;
mod target;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use anyhow::{Result, anyhow};
use embedkit::OutputKind;
use serde::Serialize;

pub(crate) use npy::RowShape;
pub(crate) use target::{Target, print, write_whole};

use crate::{
    args::{Format, OnError},
    record::Record,
    report::{Unfinished, usage},
};

/// Checks a format against what else was asked for, before anything is opened.
///
/// # Errors
/// Usage errors: a format that is not compiled in, or one that has no place for the results or for
/// skipped inputs.
pub(crate) fn check(format: Format, kind: OutputKind, on_error: OnError) -> Result<()> {
    if format == Format::Parquet && cfg!(not(feature = "parquet")) {
        return Err(usage("this build of embedkit does not write parquet")
            .hint("build it with `--features parquet`, or use --format jsonl or npy")
            .into());
    }
    let array = matches!(kind, OutputKind::Dense | OutputKind::Score);
    if format != Format::Jsonl && !array {
        let name = if format == Format::Npy { "npy" } else { "parquet" };
        let what = format!("{name} has no place for {kind}, which this model gives");
        let hint = match kind {
            OutputKind::Hybrid => "use --format jsonl, or one kind of embedding: --outputs dense",
            _ => "use --format jsonl",
        };
        return Err(usage(what).hint(hint).into());
    }
    if format == Format::Npy && on_error == OnError::Skip {
        return Err(usage("npy has no place for the errors of --on-error skip")
            .hint("use --format jsonl")
            .into());
    }
    Ok(())
}

/// A writer of records. The thread that waits for signals can end it, between two of them.
pub(crate) struct Records(Arc<Mutex<Option<Writer>>>);

/// The writer of this run, once there is one.
static OPEN: Mutex<Weak<Mutex<Option<Writer>>>> = Mutex::new(Weak::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // After a panic the run ends, and what is whole can be kept all the same.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves the output at the end of a record for good, and tells `end` where it is kept if it is not
/// complete. Until `end` returns nobody writes.
#[cfg(unix)]
pub(crate) fn at_the_end_of_a_record<T>(end: impl FnOnce(Option<String>) -> T) -> T {
    target::undisturbed(|| {
        let open = lock(&OPEN).upgrade();
        let mut writer = open.as_deref().map(lock);
        let kept = writer.as_mut().and_then(|writer| writer.take()).and_then(Writer::interrupt);
        end(kept)
    })
}

impl Records {
    /// Begins to write. `row` is the shape of a row of an array without any.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn start(format: Format, target: Target, row: Option<RowShape>) -> Result<Self> {
        let writer = Arc::new(Mutex::new(None));
        let mut inner = lock(&writer);
        // Before there is a file, so that no signal finds one without a writer.
        *lock(&OPEN) = Arc::downgrade(&writer);
        let sink = target.begin()?;
        *inner = Some(match format {
            Format::Jsonl => Writer::Jsonl(jsonl::Jsonl::new(sink)),
            Format::Npy => Writer::Npy(npy::Npy::new(sink, row)),
            #[cfg(feature = "parquet")]
            Format::Parquet => Writer::Parquet(Box::new(parquet::Parquet::new(sink)?)),
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => unreachable!("refused by `check`"),
        });
        drop(inner);
        Ok(Self(writer))
    }

    /// Adds a record.
    ///
    /// # Errors
    /// It cannot be written; what was written before stays.
    pub(crate) fn write(&self, record: &Record) -> Result<()> {
        match lock(&self.0).as_mut() {
            Some(Writer::Jsonl(jsonl)) => jsonl.write(record),
            Some(Writer::Npy(npy)) => npy.write(record),
            #[cfg(feature = "parquet")]
            Some(Writer::Parquet(parquet)) => parquet.write(record),
            None => Err(anyhow!("the output is closed")),
        }
    }

    /// Adds a line to an output of lines.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    pub(crate) fn write_line(&self, line: &impl Serialize) -> Result<()> {
        match lock(&self.0).as_mut() {
            Some(Writer::Jsonl(jsonl)) => jsonl.write_line(line),
            _ => Err(anyhow!("the output is not one of lines")),
        }
    }

    /// Completes the output of a run that went well. After a failure a file stays unfinished, beside
    /// its place, and the failure tells where; other outputs hold what was written before it.
    ///
    /// # Errors
    /// The run's own failure, or a failed write.
    pub(crate) fn close<T>(self, run: Result<T>) -> Result<T> {
        let mut open = lock(&self.0);
        let Some(mut writer) = open.take() else { return run };
        let error = match run {
            Ok(done) => match writer.complete() {
                Ok(()) => return Ok(done),
                Err(error) => error,
            },
            Err(error) => {
                if !writer.is_part() {
                    // Of two failures the first one counts.
                    let _ = writer.complete();
                }
                error
            }
        };
        Err(match writer.leave() {
            Some(kept) => Unfinished::new(error, kept).into(),
            None => error,
        })
    }
}

/// An output that is being written.
enum Writer {
    Jsonl(jsonl::Jsonl),
    Npy(npy::Npy),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::Parquet>),
}

impl Writer {
    fn is_part(&self) -> bool {
        match self {
            Self::Jsonl(jsonl) => jsonl.is_part(),
            Self::Npy(npy) => npy.is_part(),
            #[cfg(feature = "parquet")]
            Self::Parquet(parquet) => parquet.is_part(),
        }
    }

    fn complete(&mut self) -> Result<()> {
        match self {
            Self::Jsonl(jsonl) => jsonl.complete(),
            Self::Npy(npy) => npy.complete(),
            #[cfg(feature = "parquet")]
            Self::Parquet(parquet) => parquet.complete(),
        }
    }

    /// Writes the whole lines that there are, if they go to no file.
    #[cfg(unix)]
    fn interrupt(self) -> Option<String> {
        match self {
            Self::Jsonl(mut jsonl) if !jsonl.is_part() => {
                let _ = jsonl.complete();
                None
            }
            writer => writer.leave(),
        }
    }

    /// Leaves an unfinished file where it is, and says where and what it is; no file where it would
    /// hold no record.
    fn leave(self) -> Option<String> {
        if !self.is_part() {
            return None;
        }
        let stay = |path: &Path| format!("the records already written stay in {}", path.display());
        match self {
            Self::Jsonl(jsonl) => jsonl.leave().map(|path| stay(&path)),
            Self::Npy(npy) => {
                let path = npy.leave()?;
                Some(format!("{}, which does not load as it is not complete", stay(&path)))
            }
            #[cfg(feature = "parquet")]
            Self::Parquet(parquet) => {
                let path = parquet.leave()?;
                Some(format!("{}, which lacks its footer", stay(&path)))
            }
        }
    }
}
