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

use embedkit_types::ModelSpec;

use crate::{
    Error, Event, Hub, archive,
    digest::{Digest, Hashed, hash_file},
    error::DiskResult,
    http::{Client, shown},
    inspect::inspect,
    layout::{RepoDir, Repository},
    listing::{self, ListedFile},
    lock::RepoLock,
    names,
    needed::needed_files,
    pulled::{FetchedFile, Pulled},
    record::{self, RecordedFile},
    retry::{from_endpoints, retrying},
    search::{self, Found},
    staging::{self, Staged},
    transfer::Transfer,
};

/// Files that are transferred side by side. Most models are one large file and a few small ones.
const PARALLEL: usize = 4;

/// The freshness that a caller asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// A model that is complete in the cache, whatever the hub has now.
    Cached,
    /// The commit that the hub has now.
    Current,
}

/// Source of a model's files.
enum Origin<'a> {
    /// A repository, and an archive for the case that no server has it.
    Repository {
        repository: Repository,
        archive: Option<&'a str>,
    },
    Archive(&'a str),
}

/// Downloads the files of `spec`, checks them and makes them visible.
pub(crate) fn pull(hub: &Hub, spec: &ModelSpec, freshness: Freshness) -> Result<Pulled, Error> {
    let origin = match (Repository::of(spec), spec.source.url.as_deref()) {
        (Err(Error::NoSource { .. }), Some(url)) => Origin::Archive(url),
        (repository, archive) => Origin::Repository { repository: repository?, archive },
    };
    for name in needed_files(spec).required {
        names::file_path(&name)?;
    }
    let from_cache =
        |found: Found| Pulled { files: found.files, commit: found.commit, fetched: Vec::new() };
    if hub.offline {
        return search::find(hub, spec).map(from_cache).map_err(|missing| Error::Offline {
            model: spec.id.to_string(),
            cache: hub.cache_dir.clone(),
            missing,
        });
    }
    staging::own_folder(&hub.cache_dir)?;
    let cached = || match freshness {
        Freshness::Cached => search::find(hub, spec).ok(),
        Freshness::Current => None,
    };
    let folder = match &origin {
        Origin::Repository { repository, .. } => repository.folder_name(),
        Origin::Archive(url) => archive::folder_name(spec, url),
    };
    let _lock = RepoLock::acquire(hub, &folder, &spec.id, || cached().is_some());
    if let Some(found) = cached() {
        return Ok(from_cache(found));
    }
    let (repository, archive) = match origin {
        Origin::Archive(url) => return archive::pull(hub, spec, url),
        Origin::Repository { repository, archive } => (repository, archive),
    };
    let pulled = from_endpoints(hub, &spec.id, |client, endpoint| {
        pull_from(hub, client, endpoint, &repository, spec)
    });
    match (pulled, archive) {
        (Err(error), Some(url)) if error.of_server() => {
            tracing::warn!(model = %spec.id, %error, "trying the archive");
            archive::pull(hub, spec, url)
        }
        (pulled, _) => pulled,
    }
}

fn pull_from(
    hub: &Hub,
    client: &Client,
    endpoint: &str,
    repository: &Repository,
    spec: &ModelSpec,
) -> Result<Pulled, Error> {
    let (repo, revision) = (repository.id(), repository.revision());
    let dir = repository.dir(&hub.cache_dir);
    // A commit has the files that it always had.
    let known = repository.is_at_commit().then(|| listing::recorded(&dir, revision)).flatten();
    let listing = match known {
        Some(listing) => listing,
        None => retrying(hub, repo, || listing::fetch(client, endpoint, repository))?,
    };
    let commit = &listing.commit;
    listing.check_commit(repository)?;
    let pinned = |file: &ListedFile| file.pinned(spec.pinned(&file.path), endpoint);
    let wanted = listing.files_of(spec, repository)?;
    let wanted: Vec<_> = wanted.into_iter().map(pinned).collect::<Result<_, _>>()?;

    let snapshot = dir.snapshot(commit);
    let damaged = inspect(spec, &snapshot, record::read(&dir, commit).as_ref())?.damaged;
    let fetch = Fetch { hub, client, endpoint, repo, commit, dir: &dir };
    let fetched = fetch.to_snapshot(&wanted, &damaged)?;
    // The revision is moved last: until then, readers see the commit that was there before.
    if !repository.is_at_commit() {
        staging::write(&dir.reference(revision), commit.as_bytes())?;
    }
    let found = search::find(hub, spec).map_err(|missing| Error::Missing {
        model: spec.id.to_string(),
        dir: snapshot,
        missing,
        found: Vec::new(),
    })?;
    Ok(Pulled { files: found.files, commit: found.commit, fetched })
}

/// The transfers of one commit's files into the cache.
pub(crate) struct Fetch<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) client: &'a Client,
    pub(crate) endpoint: &'a str,
    pub(crate) repo: &'a str,
    pub(crate) commit: &'a str,
    pub(crate) dir: &'a RepoDir,
}

impl Fetch<'_> {
    /// Fetches files into the snapshot of the commit and records them; the `damaged` ones among them are
    /// moved aside.
    pub(crate) fn to_snapshot(
        &self,
        files: &[ListedFile],
        damaged: &[String],
    ) -> Result<Vec<FetchedFile>, Error> {
        let Self { dir, commit, .. } = self;
        let snapshot = dir.snapshot(commit);
        dir.sweep(commit, files.iter().map(|file| Path::new(&file.path)));
        for name in damaged {
            dir.quarantine(&snapshot.join(names::file_path(name)?));
        }
        let (mut fetched, mut recorded) = (Vec::new(), Vec::new());
        for (done, blob) in self.all(files)? {
            link(&snapshot.join(names::file_path(&done.file.path)?), &blob)?;
            let modified = fs::metadata(&blob).ok().as_ref().and_then(record::modified);
            recorded.push(RecordedFile { file: done.file.clone(), modified });
            fetched.push(done);
        }
        record::add(dir, self.repo, commit, &recorded)?;
        Ok(fetched)
    }

    /// Fetches all files, several at a time; the first error that cannot be cured stops them all.
    fn all(&self, files: &[ListedFile]) -> Result<Vec<(FetchedFile, PathBuf)>, Error> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let results = Mutex::new(Vec::new());
        let work = || {
            while !stop.load(Ordering::Relaxed)
                && let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed))
            {
                let result = self.one(file, &stop);
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
    fn one(
        &self,
        file: &ListedFile,
        stop: &AtomicBool,
    ) -> Result<Option<(FetchedFile, PathBuf)>, Error> {
        let fetched = |hashed: Hashed, reused| FetchedFile { file: hashed.of(&file.path), reused };
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
                        self.dir.quarantine(&blob);
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
