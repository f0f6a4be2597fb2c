//! From a repository to a snapshot in the cache.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use embedkit_types::{ModelFiles, ModelSpec};

use crate::{
    Error, Event, Hub, archive,
    digest::{Digest, Hashed, hash_file},
    error::DiskResult,
    http::{Client, shown},
    layout::{self, Found, RepoDir},
    listing::{self, ListedFile},
    lock::RepoLock,
    names,
    needed::needed_files,
    record::{self, Condition, RecordedFile},
    retry::retrying,
    staging::{self, Staged},
    transfer::Transfer,
};

/// Files that are transferred side by side. Most models are one large file and a few small ones.
const PARALLEL: usize = 4;
/// What a download brought.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pulled {
    /// The files, ready to be opened.
    pub files: ModelFiles,
    /// The commit that they belong to; the SHA-256 of an archive that was just unpacked, empty for
    /// one that was there.
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
    let (repo, url) = (spec.source.repo.as_deref(), spec.source.url.as_deref());
    let lock = match (repo, url) {
        (Some(repo), _) => layout::folder_name(names::repo(repo)?),
        (None, Some(url)) => archive::folder_name(spec, url),
        (None, None) => return Err(Error::NoSource { model: spec.id.to_string() }),
    };
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
    staging::own_folder(&hub.cache_dir)?;
    let done = || known == Known::Cached && layout::find(hub, spec).is_ok();
    let _lock = RepoLock::acquire(hub, &lock, &spec.id, done);
    if known == Known::Cached
        && let Ok(found) = layout::find(hub, spec)
    {
        return Ok(from_cache(found));
    }
    let from = |repo| {
        from_endpoints(hub, spec, |client, endpoint| pull_from(hub, client, endpoint, repo, spec))
    };
    match (repo.map(from), url) {
        (Some(Err(error)), Some(url)) if error.of_server() => {
            tracing::warn!(model = %spec.id, %error, "trying the archive");
            archive::pull(hub, spec, url)
        }
        (Some(result), _) => result,
        (None, Some(url)) => archive::pull(hub, spec, url),
        (None, None) => Err(Error::NoSource { model: spec.id.to_string() }),
    }
}

/// Asks one endpoint after the other, as long as what goes wrong is the endpoint's doing.
pub(crate) fn from_endpoints<T>(
    hub: &Hub,
    spec: &ModelSpec,
    ask: impl Fn(&Client, &str) -> Result<T, Error>,
) -> Result<T, Error> {
    let client = Client::new(hub)?;
    let mut endpoints = hub.endpoints.iter().peekable();
    while let Some(endpoint) = endpoints.next() {
        match ask(&client, endpoint) {
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
    let commit = &listing.commit;
    if names::is_commit(revision) && !revision.eq_ignore_ascii_case(commit) {
        return Err(Error::Corrupt {
            file: format!("{repo} at {revision}"),
            expected: format!("commit {revision}"),
            found: format!("commit {commit}"),
        });
    }
    let pinned = |file: &ListedFile| file.pinned(spec.pinned(&file.path), endpoint);
    let wanted = listing.files_of(spec, repo, revision)?;
    let wanted: Vec<_> = wanted.into_iter().map(pinned).collect::<Result<_, _>>()?;

    let dir = RepoDir::canonical(&hub.cache_dir, repo);
    dir.sweep(commit, wanted.iter().map(|file| Path::new(&file.path)));
    set_damaged_aside(&dir, commit, &wanted);
    let repository = Repository { hub, client, endpoint, repo, commit, dir: &dir };
    let fetched = repository.fetch_all(&wanted)?;
    for (file, blob) in &fetched {
        link(&dir.snapshot(commit).join(names::file_path(&file.path)?), blob)?;
    }
    let recorded: Vec<_> = fetched
        .iter()
        .map(|(file, blob)| RecordedFile {
            path: file.path.clone(),
            size: file.size,
            sha256: file.sha256.clone(),
            modified: fs::metadata(blob).ok().as_ref().and_then(record::modified),
        })
        .collect();
    let files: Vec<_> = fetched.into_iter().map(|(file, _)| file).collect();
    record::add(&dir, repo, commit, &recorded)?;
    // The revision is moved last: until then, readers see the commit that was there before.
    if !names::is_commit(revision) {
        staging::write(&dir.reference(revision), commit.as_bytes())?;
    }
    let found = layout::find(hub, spec).map_err(|missing| Error::Missing {
        model: spec.id.to_string(),
        dir: dir.snapshot(commit),
        missing,
        found: Vec::new(),
    })?;
    Ok(Pulled { files: found.files, commit: found.commit, fetched: files })
}

/// Moves files of a snapshot aside that are not what was recorded of them.
fn set_damaged_aside(dir: &RepoDir, commit: &str, files: &[ListedFile]) {
    let record = record::read(dir, commit);
    for file in files {
        let Ok(name) = names::file_path(&file.path) else { continue };
        let path = dir.snapshot(commit).join(name);
        let recorded = record.as_ref().and_then(|record| record.file(&file.path));
        let condition = Condition::of(&file.path, &path, recorded, file.pinned.as_ref());
        if condition == Condition::Damaged {
            dir.set_aside(&path);
        }
    }
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
    fn fetch_all(&self, files: &[ListedFile]) -> Result<Vec<(FetchedFile, PathBuf)>, Error> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let results = Mutex::new(Vec::new());
        let work = || {
            while !stop.load(Ordering::Relaxed)
                && let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed))
            {
                let result = self.fetch(file, &stop);
                if result.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
                results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
            }
        };
        thread::scope(|scope| {
            for _ in 1..PARALLEL.min(files.len()) {
                // The threads that there are, this one among them, fetch all files.
                if let Err(error) = thread::Builder::new().spawn_scoped(scope, work) {
                    tracing::debug!(%error, "fewer files are fetched at a time");
                    break;
                }
            }
            work();
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
                    Ok(()) => {
                        let content = Digest::Sha256(hashed.sha256.clone());
                        file.agrees(Some(&content), self.endpoint)?;
                        return Ok(Some((fetched(hashed, true), blob)));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a cached file is fetched again");
                        self.dir.set_aside(&blob);
                    }
                }
            }
        }
        let url = listing::file_url(self.endpoint, self.repo, self.commit, &file.path);
        let staged = Staged::beside(&self.dir.blobs().join(self.commit))?;
        let transfer = Transfer::new(self.hub, self.client, file, &url, stop, staged);
        let Some((staged, hashed, digest)) = transfer.run()? else { return Ok(None) };
        // Content that nothing vouches for is named by what it is.
        let name = digest.as_ref().map_or(hashed.sha256.as_str(), Digest::hex);
        let blob = self.dir.blobs().join(name);
        staged.publish(&blob)?;
        self.hub.emit(Event::Finished { file: &file.path, size: hashed.size });
        Ok(Some((fetched(hashed, false), blob)))
    }
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
