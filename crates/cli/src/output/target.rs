//! Targets of results. A file appears under its name when it is complete: until then it is written
//! beside its place, so that nothing that ends a run leaves half a file for a whole one.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, BufWriter, IsTerminal as _, Read as _, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
    process,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use same_file::Handle;

use crate::{
    input::Origin,
    report::{StdoutClosed, usage},
};

/// Ending of an unfinished file's name.
const ENDING: &str = ".part";
/// The longest part of a file's name that is repeated in that of its unfinished one, in bytes: most
/// file systems allow 255.
const LONGEST_NAME: usize = 200;
/// Links that are followed, one after the other; what Linux follows.
const MOST_LINKS: usize = 40;

/// Does something in the midst of which no signal ends the program: a signal waits for it, and it for
/// the end.
pub(super) fn undisturbed<T>(act: impl FnOnce() -> T) -> T {
    static HELD: Mutex<()> = Mutex::new(());
    // A panic in the midst of it leaves nothing half done that others would see.
    let _held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    act()
}

/// Target of results that are still to come.
#[derive(Debug)]
pub(crate) enum Target {
    Stdout,
    /// A pipe, a device, or a file that is known by a descriptor only.
    Direct(File, PathBuf),
    File(Place),
}

/// A file that is to be.
#[derive(Debug)]
pub(crate) struct Place {
    /// As it was given.
    given: PathBuf,
    /// Links followed.
    path: PathBuf,
    /// Of the file that it takes the place of.
    before: Option<Box<Metadata>>,
}

impl Target {
    /// Looks whether a file can be written; standard output stands for none and `-`. What the file
    /// holds is kept until the new one is complete.
    ///
    /// # Errors
    /// The file cannot be written, or is one that inputs are read from.
    pub(crate) fn open(output: Option<&Path>, origin: &Origin) -> Result<Self> {
        let output = output.filter(|path| *path != Path::new("-"));
        refuse_inputs(output, origin)?;
        let Some(given) = output else { return Ok(Self::Stdout) };
        let cannot = || format!("cannot write {}", given.display());
        let path = resolved(given).with_context(cannot)?;
        if is_descriptor(&path) {
            return Ok(match given.to_str() {
                Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => Self::Stdout,
                _ => Self::Direct(
                    OpenOptions::new().write(true).open(given).with_context(cannot)?,
                    given.to_owned(),
                ),
            });
        }
        // Neither created nor emptied: only whether it may be written.
        let before = match OpenOptions::new().write(true).open(&path) {
            Ok(file) => {
                let data = file.metadata().with_context(cannot)?;
                if !data.is_file() {
                    return Ok(Self::Direct(file, given.to_owned()));
                }
                Some(Box::new(data))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(cannot),
        };
        let place = Place { given: given.to_owned(), path, before };
        // A folder that takes no file is found before a model is opened.
        let probe = || -> Result<()> {
            let (file, part) = place.create()?;
            drop(file);
            Ok(fs::remove_file(part)?)
        };
        undisturbed(probe).with_context(|| place.failure())?;
        Ok(Self::File(place))
    }

    /// True if a person is looking at it.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self, Self::Stdout) && io::stdout().is_terminal()
    }

    /// Begins to write.
    ///
    /// # Errors
    /// There can be no file beside the place.
    pub(crate) fn begin(self) -> Result<Sink> {
        Ok(match self {
            Self::Stdout => Sink::Stdout,
            Self::Direct(file, path) => {
                if file.metadata().is_ok_and(|data| data.is_file()) {
                    file.set_len(0).with_context(|| format!("cannot write {}", path.display()))?;
                }
                Sink::Direct(file, path)
            }
            Self::File(place) => {
                let (file, part) = place.create().with_context(|| place.failure())?;
                Sink::Part(Part { file, part, place })
            }
        })
    }
}

impl Place {
    fn failure(&self) -> String {
        format!("cannot write {}", self.given.display())
    }

    /// A new file in the same folder, under a name that no other process has.
    fn create(&self) -> Result<(File, PathBuf)> {
        let name = self.path.file_name().unwrap_or_default();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        for attempt in 0u32.. {
            let part = self.path.with_file_name(part_name(&name.to_string_lossy(), attempt));
            match options.open(&part) {
                Ok(file) => {
                    self.take_over(&file);
                    return Ok((file, part));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let what = format!("cannot create {} beside it", part.display());
                    return Err(anyhow::Error::new(error).context(what));
                }
            }
        }
        unreachable!("so many files are in no folder")
    }

    /// Owner and permissions of the file before, as far as that is allowed.
    fn take_over(&self, file: &File) {
        let Some(before) = &self.before else { return };
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt as _, fchown};
            let changed = file
                .metadata()
                .is_ok_and(|now| (now.uid(), now.gid()) != (before.uid(), before.gid()));
            if changed && fchown(file, Some(before.uid()), Some(before.gid())).is_err() {
                let _ = fchown(file, None, Some(before.gid()));
            }
        }
        let _ = file.set_permissions(before.permissions());
    }
}

/// The name of the file that is beside `name` until it is complete.
fn part_name(name: &str, attempt: u32) -> OsString {
    let name = &name[..name.floor_char_boundary(LONGEST_NAME)];
    let again = if attempt == 0 { String::new() } else { format!("-{attempt}") };
    format!("{name}.{}{again}{ENDING}", process::id()).into()
}

/// The file that a path leads to, also where that does not exist yet: a link stays one.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let mut at = path.to_owned();
    for _ in 0..MOST_LINKS {
        if is_descriptor(&at) {
            return Ok(at);
        }
        match fs::read_link(&at) {
            Ok(next) => at = at.parent().unwrap_or(Path::new("")).join(next),
            Err(_) if at.as_os_str().as_encoded_bytes().ends_with(b"/") => {
                return Err(io::Error::from(io::ErrorKind::IsADirectory));
            }
            Err(_) => return Ok(at),
        }
    }
    Err(io::Error::other("too many links"))
}

/// True if a path names a file that a process has open. The link behind it is none to a place.
fn is_descriptor(path: &Path) -> bool {
    cfg!(unix)
        && (path.starts_with("/proc")
            || path.starts_with("/dev/fd")
            || ["/dev/stdin", "/dev/stdout", "/dev/stderr"]
                .iter()
                .any(|name| path == Path::new(name)))
}

/// Refuses a file that is both read and written, under whatever names.
fn refuse_inputs(output: Option<&Path>, origin: &Origin) -> Result<()> {
    let out = match output {
        Some(path) => regular_at(path),
        None => regular(Handle::stdout()),
    };
    let Some(out) = out else { return Ok(()) };
    let read = match origin {
        Origin::Arguments => false,
        Origin::Stdin => regular(Handle::stdin()).is_some_and(|read| read == out),
        Origin::Files(paths) => {
            paths.iter().any(|path| regular_at(path).is_some_and(|read| read == out))
        }
    };
    if !read {
        return Ok(());
    }
    let what = output.map_or_else(
        || "the file behind standard output".to_owned(),
        |path| path.display().to_string(),
    );
    Err(usage(format!("{what} is both input and output")).hint("write to another file").into())
}

/// A file that is one, not a pipe or device. Looked at first: a pipe is not to be opened.
fn regular_at(path: &Path) -> Option<Handle> {
    path.is_file().then(|| regular(Handle::from_path(path))).flatten()
}

fn regular(handle: io::Result<Handle>) -> Option<Handle> {
    handle.ok().filter(|handle| handle.as_file().metadata().is_ok_and(|data| data.is_file()))
}

/// Target of results that is being written to.
#[derive(Debug)]
pub(crate) enum Sink {
    Stdout,
    Direct(File, PathBuf),
    Part(Part),
}

/// A file that is not complete.
#[derive(Debug)]
pub(crate) struct Part {
    file: File,
    part: PathBuf,
    place: Place,
}

impl Sink {
    pub(super) fn failure(&self) -> String {
        match self {
            Self::Stdout => "cannot write standard output".to_owned(),
            Self::Direct(_, path) => format!("cannot write {}", path.display()),
            Self::Part(part) => part.place.failure(),
        }
    }

    /// True for a file that can seek.
    pub(super) fn is_regular(&self) -> bool {
        match self {
            Self::Stdout => false,
            Self::Direct(file, _) => file.metadata().is_ok_and(|data| data.is_file()),
            Self::Part(_) => true,
        }
    }

    /// True for a file that can be left unfinished.
    pub(super) fn is_part(&self) -> bool {
        matches!(self, Self::Part(_))
    }

    fn file(&mut self) -> io::Result<&mut File> {
        match self {
            Self::Stdout => Err(io::ErrorKind::NotSeekable.into()),
            Self::Direct(file, _) | Self::Part(Part { file, .. }) => Ok(file),
        }
    }

    /// Gives a file its name, once it is on the disk.
    pub(super) fn complete(&mut self) -> io::Result<()> {
        let Self::Part(Part { file, part, place }) = self else { return Ok(()) };
        file.sync_all()?;
        fs::rename(&*part, &place.path)?;
        #[cfg(unix)]
        {
            // The name too; some file systems cannot do that.
            let folder = place.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let _ =
                File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }

    /// Leaves what was written under the name it has, and returns that; nothing is left where there
    /// are not more than `empty` bytes.
    pub(super) fn leave(&mut self, empty: u64) -> Option<PathBuf> {
        let Self::Part(Part { file, part, .. }) = self else { return None };
        if file.metadata().is_ok_and(|data| data.len() > empty) {
            return Some(part.clone());
        }
        let _ = fs::remove_file(part);
        None
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout => io::stdout().write(bytes).map_err(StdoutClosed::recognise),
            Self::Direct(file, _) | Self::Part(Part { file, .. }) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().flush().map_err(StdoutClosed::recognise),
            Self::Direct(file, _) | Self::Part(Part { file, .. }) => file.flush(),
        }
    }
}

/// A sink behind a buffer, whose errors say what cannot be written.
pub(crate) struct Buffered {
    inner: BufWriter<Sink>,
    failure: String,
    at_once: bool,
}

impl Buffered {
    pub(super) fn new(sink: Sink) -> Self {
        let failure = sink.failure();
        let at_once = matches!(sink, Sink::Stdout) && io::stdout().is_terminal();
        Self { inner: BufWriter::with_capacity(1 << 16, sink), failure, at_once }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.inner.write_all(bytes).with_context(|| self.failure.clone())
    }

    /// A record ends here: a terminal shows it at once.
    pub(super) fn end_record(&mut self) -> Result<()> {
        if self.at_once { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.inner.flush().with_context(|| self.failure.clone())
    }

    /// Writes over the beginning of a regular file.
    pub(super) fn write_first(&mut self, bytes: &[u8]) -> Result<()> {
        self.flush()?;
        let file = self.inner.get_mut().file();
        file.and_then(|file| file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(bytes)))
            .with_context(|| self.failure.clone())
    }

    /// Nothing more comes: the file gets its name.
    pub(super) fn complete(&mut self) -> Result<()> {
        self.flush()?;
        self.inner.get_mut().complete().with_context(|| self.failure.clone())
    }

    pub(super) fn is_part(&self) -> bool {
        self.inner.get_ref().is_part()
    }

    /// The sink with as much as could be written, and its file. What could not be written is dropped.
    fn unbuffered(mut self) -> (Sink, Option<File>) {
        let _ = self.inner.flush();
        let (mut sink, _) = self.inner.into_parts();
        let file = sink.file().ok().and_then(|file| file.try_clone().ok());
        (sink, file)
    }

    /// Leaves an unfinished file, cut to whole lines.
    pub(super) fn leave_lines(self) -> Option<PathBuf> {
        let (mut sink, file) = self.unbuffered();
        if let Some(mut file) = file
            && let Ok(length) = end_of_lines(&mut file)
        {
            let _ = file.set_len(length);
        }
        sink.leave(0)
    }

    /// Leaves an unfinished file of a header and rows: cut to whole rows, and the header that
    /// `header` makes for their number before them.
    pub(super) fn leave_rows<const N: usize>(
        self,
        row: u64,
        header: impl FnOnce(u64) -> [u8; N],
    ) -> Option<PathBuf> {
        let (mut sink, file) = self.unbuffered();
        if let Some(mut file) = file
            && let Ok(data) = file.metadata()
        {
            let rows = data.len().saturating_sub(N as u64).checked_div(row).unwrap_or(0);
            let _ = file.set_len(if rows > 0 { N as u64 + rows * row } else { 0 });
            if rows > 0 {
                let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&header(rows)));
            }
        }
        sink.leave(0)
    }
}

/// Up to where a file is of whole lines.
fn end_of_lines(file: &mut File) -> io::Result<u64> {
    let mut block = vec![0; 1 << 16];
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let block = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(block)?;
        if let Some(at) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Writes a whole file.
///
/// # Errors
/// It cannot be written; nothing is left of it then.
pub(crate) fn write_whole(target: Target, bytes: &[u8]) -> Result<()> {
    let write = |target: Target| {
        let mut out = Buffered::new(target.begin()?);
        let written = out.write(bytes).and_then(|()| out.complete());
        if written.is_err() {
            let (mut sink, _) = out.unbuffered();
            sink.leave(u64::MAX);
        }
        written
    };
    match target {
        // A signal does not leave an unfinished file behind, but may end the wait for a reader.
        Target::File(_) => undisturbed(|| write(target)),
        Target::Stdout | Target::Direct(..) => write(target),
    }
}

/// Writes a few lines of text to standard output.
///
/// # Errors
/// It cannot be written, or is closed.
pub(crate) fn print(text: &str) -> Result<()> {
    write_whole(Target::Stdout, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_unfinished_files_are_not_too_long() {
        let name = part_name("a.npy", 0).into_string().unwrap();
        assert_eq!(name, format!("a.npy.{}.part", process::id()));
        let name = part_name(&"é".repeat(127), 3).into_string().unwrap();
        assert!(name.len() < 255 && name.ends_with("-3.part"), "{name}");
    }

    #[test]
    fn lines_end_at_the_last_line_feed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let long = "b".repeat(200_000);
        for (content, end) in
            [("", 0), ("a", 0), ("a\n", 2), ("a\nb", 2), (&*format!("a\n{long}"), 2), (&long, 0)]
        {
            fs::write(&path, content).unwrap();
            assert_eq!(end_of_lines(&mut File::open(&path).unwrap()).unwrap(), end);
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_to_files_that_are_not_there_yet() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        symlink("b", at("a")).unwrap();
        symlink(at("c"), at("b")).unwrap();
        symlink("loop", at("loop")).unwrap();
        assert_eq!(resolved(&at("a")).unwrap(), at("c"));
        assert_eq!(resolved(&at("d")).unwrap(), at("d"));
        assert!(resolved(&at("loop")).is_err());
        assert!(resolved(&at("d/")).is_err());
        assert_eq!(resolved(Path::new("/proc/self/fd/1")).unwrap(), Path::new("/proc/self/fd/1"));
    }
}
