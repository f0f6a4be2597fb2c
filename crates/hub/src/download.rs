//! From a repository to a snapshot in the cache.

use std::{
    fs,
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use embedkit_types::{ModelFiles, ModelSpec};
use ureq::http::{StatusCode, header};

use crate::{
    Error, Event, Hub,
    digest::{Digest, Hashed, Hashing, hash_file},
    error::DiskResult,
    http::{Answer, Client, Range, shown},
    layout::{self, Found, RepoDir},
    listing::{self, ListedFile},
    lock::RepoLock,
    names,
    needed::needed_files,
    record::{self, RecordedFile},
    retry::{Budget, retrying},
    staging::{self, Staged},
};

/// Files that are transferred side by side. Most models are one large file and a few small ones.
const PARALLEL: usize = 4;
/// The largest file that is taken from a server that does not say its size beforehand.
const LARGEST_UNKNOWN: u64 = 64 << 30;
/// Bytes a second below which a transfer counts as stalled.
const SLOWEST: u64 = 1024;

/// What a download brought.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pulled {
    /// The files, ready to be opened.
    pub files: ModelFiles,
    /// The commit that they belong to.
    pub commit: String,
    /// Each file that the model needs, in no particular order; empty where the network was not
    /// needed.
    pub fetched: Vec<FetchedFile>,
}

/// One file of a download.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchedFile {
    /// Its name in the repository.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its content, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Whether it was in the cache already, with the right content.
    pub reused: bool,
}

/// Whether files that look complete in the cache are good enough.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Cached,
    Nothing,
}

/// Downloads the files of `spec`, checks them and makes them visible.
pub(crate) fn pull(hub: &Hub, spec: &ModelSpec, known: Known) -> Result<Pulled, Error> {
    let repo = spec.source.repo.as_deref();
    let repo = repo.ok_or_else(|| Error::NoSource { model: spec.id.to_string() })?;
    names::repo(repo)?;
    names::revision(layout::revision(spec))?;
    for name in needed_files(spec).required {
        names::file_path(&name)?;
    }
    let from_cache =
        |found: Found| Pulled { files: found.files, commit: found.commit, fetched: Vec::new() };
    if hub.offline {
        return layout::find(hub, spec).map(from_cache).map_err(|missing| Error::Offline {
            model: spec.id.to_string(),
            cache: hub.cache_dir.clone(),
            missing,
        });
    }
    fs::create_dir_all(&hub.cache_dir).or_disk("create", &hub.cache_dir)?;
    let done = || known == Known::Cached && layout::find(hub, spec).is_ok();
    let _lock = RepoLock::acquire(hub, repo, done);
    if known == Known::Cached
        && let Ok(found) = layout::find(hub, spec)
    {
        return Ok(from_cache(found));
    }
    let client = Client::new(hub)?;
    let mut endpoints = hub.endpoints.iter().peekable();
    while let Some(endpoint) = endpoints.next() {
        match pull_from(hub, &client, endpoint, repo, spec) {
            Err(error) if error.of_server() && endpoints.peek().is_some() => {
                tracing::warn!(endpoint = %shown(endpoint), %error, "trying the next endpoint");
            }
            result => return result,
        }
    }
    Err(Error::NoSource { model: spec.id.to_string() })
}

fn pull_from(
    hub: &Hub,
    client: &Client,
    endpoint: &str,
    repo: &str,
    spec: &ModelSpec,
) -> Result<Pulled, Error> {
    let revision = layout::revision(spec);
    let listing = retrying(hub, repo, || listing::fetch(client, endpoint, repo, revision))?;
    let commit = listing.commit;
    if names::is_commit(revision) && !revision.eq_ignore_ascii_case(&commit) {
        return Err(Error::Corrupt {
            file: format!("{repo} at {revision}"),
            expected: format!("commit {revision}"),
            found: format!("commit {commit}"),
        });
    }
    let needed = needed_files(spec);
    let mut wanted: Vec<&ListedFile> = Vec::new();
    for name in &needed.required {
        let file = listing.files.iter().find(|file| file.path == *name);
        wanted.push(file.ok_or_else(|| Error::NoFile {
            repo: repo.into(),
            revision: revision.into(),
            file: name.clone(),
        })?);
    }
    wanted.extend(listing.files.iter().filter(|file| needed.optional.contains(&file.path)));

    let dir = RepoDir::canonical(&hub.cache_dir, repo);
    staging::sweep(&dir.blobs());
    let repository = Repository { hub, client, endpoint, repo, commit: &commit, dir: &dir };
    let fetched = repository.fetch_all(&wanted)?;
    for (file, blob) in &fetched {
        link(&dir.snapshot(&commit).join(names::file_path(&file.path)?), blob)?;
    }
    let files: Vec<_> = fetched.into_iter().map(|(file, _)| file).collect();
    let recorded: Vec<_> = files
        .iter()
        .map(|file| RecordedFile {
            path: file.path.clone(),
            size: file.size,
            sha256: file.sha256.clone(),
        })
        .collect();
    record::add(&dir, repo, &commit, &recorded)?;
    // The revision is moved last: until then, readers see the commit that was there before.
    if !names::is_commit(revision) {
        staging::write(&dir.reference(revision), commit.as_bytes())?;
    }
    let found = layout::find(hub, spec).map_err(|missing| Error::Missing {
        model: spec.id.to_string(),
        dir: dir.snapshot(&commit),
        missing,
    })?;
    Ok(Pulled { files: found.files, commit: found.commit, fetched: files })
}

/// One repository at one commit, while it is downloaded.
struct Repository<'a> {
    hub: &'a Hub,
    client: &'a Client,
    endpoint: &'a str,
    repo: &'a str,
    commit: &'a str,
    dir: &'a RepoDir,
}

impl Repository<'_> {
    /// Fetches all files, several at a time; the first error that cannot be cured stops them all.
    fn fetch_all(&self, files: &[&ListedFile]) -> Result<Vec<(FetchedFile, PathBuf)>, Error> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let results = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..PARALLEL.min(files.len()) {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed)
                        && let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let result = self.fetch(file, &stop);
                        if result.is_err() {
                            stop.store(true, Ordering::Relaxed);
                        }
                        let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                        results.push(result);
                    }
                });
            }
        });
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        // The error that came first; the others stopped because of it.
        results.into_iter().collect::<Result<Option<Vec<_>>, _>>()?.ok_or_else(|| {
            // Without an error nothing was stopped.
            Error::Answer { url: shown(self.endpoint), reason: "the download was stopped".into() }
        })
    }

    /// Makes sure that the content of one file is in the cache. `None` when told to stop.
    fn fetch(
        &self,
        file: &ListedFile,
        stop: &AtomicBool,
    ) -> Result<Option<(FetchedFile, PathBuf)>, Error> {
        let fetched = |hashed: Hashed, reused| FetchedFile {
            path: file.path.clone(),
            size: hashed.size,
            sha256: hashed.sha256,
            reused,
        };
        if let Some(digest) = &file.digest {
            let blob = self.dir.blobs().join(digest.hex());
            if blob.is_file() {
                let hashed = hash_file(&blob, Some(digest))?;
                match hashed.check(&file.path, file.size, Some(digest)) {
                    Ok(()) => return Ok(Some((fetched(hashed, true), blob))),
                    Err(error) => tracing::warn!(%error, "a cached file is fetched again"),
                }
            }
        }
        let url = format!(
            "{}/{}/resolve/{}/{}",
            self.endpoint,
            names::escape(self.repo, true),
            self.commit,
            names::escape(&file.path, true),
        );
        let staged = Staged::beside(&self.dir.blobs().join(self.commit))?;
        let mut transfer = Transfer {
            hub: self.hub,
            client: self.client,
            file,
            url: &url,
            stop,
            staged,
            digest: file.digest.clone(),
            size: file.size,
            hashing: None,
            validator: None,
        };
        let Some(hashed) = transfer.run()? else { return Ok(None) };
        // Content that nothing vouches for is named by what it is.
        let name = transfer.digest.as_ref().map_or(hashed.sha256.as_str(), Digest::hex);
        let blob = self.dir.blobs().join(name);
        transfer.staged.publish(&blob)?;
        self.hub.emit(Event::Finished { file: &file.path, size: hashed.size });
        Ok(Some((fetched(hashed, false), blob)))
    }
}

/// The transfer of one file, over as many requests as it takes.
struct Transfer<'a> {
    hub: &'a Hub,
    client: &'a Client,
    file: &'a ListedFile,
    url: &'a str,
    stop: &'a AtomicBool,
    staged: Staged,
    digest: Option<Digest>,
    size: Option<u64>,
    /// The hash of what is here; `None` before the first byte.
    hashing: Option<Hashing>,
    /// The strong entity tag of what is here.
    validator: Option<String>,
}

impl Transfer<'_> {
    /// Returns what came, checked; `None` when told to stop.
    fn run(&mut self) -> Result<Option<Hashed>, Error> {
        self.hub.emit(Event::Started { file: &self.file.path, size: self.size });
        let mut budget = Budget::new(self.hub);
        let mut second_try = false;
        loop {
            let error = match self.attempt() {
                Ok(true) => match self.finish() {
                    Ok(hashed) => return Ok(Some(hashed)),
                    Err(error) => error,
                },
                Ok(false) => return Ok(None),
                Err(error) => error,
            };
            let damaged = matches!(error, Error::Corrupt { .. });
            if damaged {
                // Wrong content is fetched once more, from the start: twice is no accident.
                if second_try {
                    return Err(error);
                }
                second_try = true;
                self.hashing = None;
                self.validator = None;
            }
            let here = self.hashing.as_ref().map_or(0, Hashing::size);
            if !budget.wait(self.hub, &self.file.path, &error, here, damaged) {
                return Err(error);
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
        }
    }

    /// One request. `false` when told to stop.
    fn attempt(&mut self) -> Result<bool, Error> {
        let here = self.hashing.as_ref().map_or(0, Hashing::size);
        let range = match &self.validator {
            Some(validator) if here > 0 => Some(Range { start: here, validator }),
            _ => None,
        };
        let answer = self.client.get(self.url, range.as_ref())?;
        let asked = range.is_some();
        if !(asked && self.continues(&answer, here)) {
            if answer.status != StatusCode::OK {
                // A part that does not fit what is here: the next request asks for all of it.
                self.hashing = None;
                self.validator = None;
                return Err(Error::Transport {
                    url: shown(self.url),
                    source: "the transfer cannot be continued".into(),
                });
            }
            self.start_over(&answer)?;
        }
        self.receive(answer)
    }

    /// Whether the answer is the rest of what is here.
    fn continues(&self, answer: &Answer, here: u64) -> bool {
        let total = |size: &str| self.size.is_none_or(|known| size.parse() == Ok(known));
        answer.status == StatusCode::PARTIAL_CONTENT
            && strong_tag(answer) == self.validator
            && answer.header(header::CONTENT_RANGE).is_some_and(|range| {
                let parts = range.trim().strip_prefix("bytes ").and_then(|r| r.split_once('/'));
                parts.is_some_and(|(span, size)| {
                    let start = span.split_once('-').and_then(|(start, _)| start.parse().ok());
                    start == Some(here) && (size == "*" || total(size))
                })
            })
    }

    fn start_over(&mut self, answer: &Answer) -> Result<(), Error> {
        let length = answer.header(header::CONTENT_LENGTH).and_then(|l| l.trim().parse().ok());
        let text = |name: &str| answer.first.get(name).and_then(|value| value.to_str().ok());
        if self.file.digest.is_none() {
            // The listing was silent, so the hub's own headers are asked. An entity tag of some
            // other server may look like a hash and be something else.
            let tag = text("x-linked-etag")
                .or_else(|| text("x-repo-commit").and_then(|_| text("etag")))
                .map(|tag| tag.trim_start_matches("W/").trim_matches('"'));
            self.digest = tag.and_then(Digest::parse);
        }
        if self.file.size.is_none() {
            self.size = text("x-linked-size").and_then(|size| size.trim().parse().ok()).or(length);
        }
        if let (Some(size), Some(length)) = (self.size, length)
            && size != length
        {
            return Err(self.wrong_length(size, format!("{length} bytes announced")));
        }
        let file = self.staged.file();
        file.set_len(0).and_then(|()| file.rewind()).or_disk("write", self.staged.path())?;
        self.hashing = Some(Hashing::new(self.digest.as_ref(), self.size));
        self.validator = strong_tag(answer);
        Ok(())
    }

    fn receive(&mut self, answer: Answer) -> Result<bool, Error> {
        let mut body = answer.body.into_reader();
        let mut buffer = vec![0; 128 * 1024];
        let window = 2 * self.hub.timeouts.stall;
        let (mut since, mut in_window) = (Instant::now(), 0);
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let n = match body.read(&mut buffer) {
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.client.broken(self.url, error)),
            };
            let hashing = self.hashing.as_mut().expect("set by start_over or an earlier attempt");
            if n == 0 {
                let here = hashing.size();
                return match self.size {
                    Some(size) if here < size => Err(Error::Transport {
                        url: shown(self.url),
                        source: format!("it ended after {here} of {size} bytes").into(),
                    }),
                    _ => Ok(true),
                };
            }
            let limit = self.size.unwrap_or(LARGEST_UNKNOWN);
            if hashing.size() + n as u64 > limit {
                return Err(self.wrong_length(limit, "more".into()));
            }
            let file = self.staged.file();
            file.write_all(&buffer[..n]).or_disk("write", self.staged.path())?;
            hashing.update(&buffer[..n]);
            self.hub.emit(Event::Received { file: &self.file.path, bytes: hashing.size() });
            in_window += n as u64;
            let elapsed = since.elapsed();
            if elapsed >= window {
                if in_window < SLOWEST * elapsed.as_secs() {
                    return Err(Error::Timeout {
                        url: shown(self.url),
                        phase: "content",
                        limit: window,
                    });
                }
                (since, in_window) = (Instant::now(), 0);
            }
        }
    }

    fn finish(&mut self) -> Result<Hashed, Error> {
        let hashing = self.hashing.take().expect("set by start_over");
        let mut hashed = hashing.finish();
        if matches!(self.digest, Some(Digest::GitBlob(_))) && self.size.is_none() {
            // Git's hash begins with the size, which was not known before.
            self.staged.file().flush().or_disk("write", self.staged.path())?;
            hashed = hash_file(self.staged.path(), self.digest.as_ref())?;
        }
        hashed.check(&self.file.path, self.size, self.digest.as_ref())?;
        Ok(hashed)
    }

    fn wrong_length(&self, size: u64, found: String) -> Error {
        Error::Corrupt { file: self.file.path.clone(), expected: format!("{size} bytes"), found }
    }
}

/// The entity tag of an answer, unless it is weak: then two different contents may share it.
fn strong_tag(answer: &Answer) -> Option<String> {
    let tag = answer.header(header::ETAG)?.trim();
    (!tag.starts_with("W/") && !tag.is_empty()).then(|| tag.to_owned())
}

/// Makes `path` lead to `blob`: by a relative link, so that the cache can be moved; where there are
/// no links, by a second name for the same file; else by a copy.
fn link(path: &Path, blob: &Path) -> Result<(), Error> {
    if let (Ok(there), Ok(blob)) = (fs::canonicalize(path), fs::canonicalize(blob))
        && there == blob
    {
        return Ok(());
    }
    staging::replace(path, |name| {
        symlink(path, blob, name)
            .or_else(|_| fs::hard_link(blob, name))
            .or_else(|_| fs::copy(blob, name).map(drop))
    })
    .or_disk("link", path)
}

/// A link at `name`, to be renamed to `path`, that leads from there to `blob`.
fn symlink(path: &Path, blob: &Path, name: &Path) -> io::Result<()> {
    // CACHE/models--X/snapshots/COMMIT/PATH and CACHE/models--X/blobs/NAME
    let repo_dir = blob.parent().and_then(Path::parent).ok_or(io::ErrorKind::InvalidInput)?;
    let below = path.strip_prefix(repo_dir).map_err(io::Error::other)?;
    let mut target: PathBuf = below.components().skip(1).map(|_| "..").collect();
    target.push(blob.strip_prefix(repo_dir).map_err(io::Error::other)?);
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, name);
    #[cfg(windows)]
    return std::os::windows::fs::symlink_file(target, name);
    #[cfg(not(any(unix, windows)))]
    return Err(io::Error::from(io::ErrorKind::Unsupported)).map(|()| drop((target, name)));
}
