//! Any repository at one commit: the list of its files, and those of them that are here.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    Error, Hub,
    download::{Fetch, Freshness},
    error::DiskResult,
    http::Client,
    inspect::inspect_files,
    layout::{RepoDir, Repository},
    listing::{self, ListedFile, Listing},
    lock::RepoLock,
    names, record,
    retry::{from_endpoints, retrying},
    staging,
};

/// Entries of a folder that are looked at where no list of files is there.
const MOST_ENTRIES: usize = 10_000;
/// Folders within folders that are looked at.
const DEEPEST: usize = 4;

/// A repository at one commit: all of its files by path, and on disk those that were asked for.
///
/// Made by [`Hub::snapshot`]; [`Hub::fetch`] brings files of it to the disk.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// At the commit.
    repository: Repository,
    files: Vec<ListedFile>,
    /// Folders that may have files of the commit, our own first.
    roots: Vec<PathBuf>,
}

impl Snapshot {
    fn new(hub: &Hub, repository: &Repository, Listing { commit, files }: Listing) -> Self {
        let proper = |file: &ListedFile| names::file_path(&file.path).is_ok();
        let files = files.into_iter().filter(proper).collect();
        let own = repository.dir(&hub.cache_dir).snapshot(&commit);
        let others = dirs(hub, repository).map(|dir| dir.snapshot(&commit));
        let others = others.filter(|root| *root != own && root.is_dir()).collect::<Vec<_>>();
        let roots = std::iter::once(own.clone()).chain(others).collect();
        Self { repository: repository.at_commit(&commit), files, roots }
    }

    /// The repository, `name` or `organisation/name`.
    #[must_use]
    pub fn repo(&self) -> &str {
        self.repository.id()
    }

    /// The commit.
    #[must_use]
    pub fn commit(&self) -> &str {
        self.repository.revision()
    }

    /// The paths of all files of the repository, such as `onnx/model.onnx`, on disk or not.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.path.as_str())
    }

    /// True if the repository has this file, on disk or not.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.listed(path).is_some()
    }

    /// Size of a file in bytes, where the server states it.
    #[must_use]
    pub fn size(&self, path: &str) -> Option<u64> {
        self.listed(path)?.size
    }

    /// The first `most` bytes of a file that is on disk, or all of a shorter one; `None` for one that is
    /// not, or that the repository lacks.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn read(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(path) = self.on_disk(path) else { return Ok(None) };
        let mut content = Vec::new();
        let file = File::open(&path).or_disk("read", &path)?;
        file.take(most).read_to_end(&mut content).or_disk("read", &path)?;
        Ok(Some(content))
    }

    fn listed(&self, path: &str) -> Option<&ListedFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The place of a file of the repository, where it is on disk.
    #[must_use]
    pub fn on_disk(&self, path: &str) -> Option<PathBuf> {
        let name = names::file_path(&self.listed(path)?.path).ok()?;
        self.roots.iter().map(|root| root.join(&name)).find(|path| path.is_file())
    }
}

/// The folders that may have a repository, those of our own cache first.
fn dirs<'a>(hub: &'a Hub, repository: &'a Repository) -> impl Iterator<Item = RepoDir> + 'a {
    let caches = std::iter::once(&hub.cache_dir).chain(&hub.other_caches);
    caches.flat_map(|cache| repository.dirs(cache))
}

/// The repository at the commit that a cache knows for its revision, else, or for the current one, at
/// the commit that the hub names.
pub(crate) fn open(
    hub: &Hub,
    id: &str,
    revision: Option<&str>,
    freshness: Freshness,
) -> Result<Snapshot, Error> {
    let repository = Repository::named(id, revision)?;
    let known = dirs(hub, &repository).find_map(|dir| dir.commit(repository.revision()));
    if let Some(commit) = known.as_deref().filter(|_| freshness == Freshness::Cached || hub.offline)
        && let Some(listing) = listing::recorded(&repository.dir(&hub.cache_dir), commit)
    {
        return Ok(Snapshot::new(hub, &repository, listing));
    }
    if hub.offline {
        return without_list(hub, &repository, known.as_deref());
    }
    staging::own_folder(&hub.cache_dir)?;
    let listing = match known.filter(|commit| names::is_commit(commit)) {
        // So that all files in the cache stay those of one commit.
        Some(commit) if freshness == Freshness::Cached => {
            match ask(hub, &repository.at_commit(&commit)) {
                Err(Error::NotFound { .. }) if !repository.is_at_commit() => ask(hub, &repository),
                answer => answer,
            }
        }
        _ => ask(hub, &repository),
    }?;
    let dir = repository.dir(&hub.cache_dir);
    staging::write(&dir.file_list(&listing.commit), &listing.to_json())?;
    if !repository.is_at_commit() {
        staging::write(&dir.reference(repository.revision()), listing.commit.as_bytes())?;
    }
    Ok(Snapshot::new(hub, &repository, listing))
}

fn ask(hub: &Hub, repository: &Repository) -> Result<Listing, Error> {
    let id = repository.id();
    let listing = from_endpoints(hub, id, |client, endpoint| {
        retrying(hub, id, || listing::fetch(client, endpoint, repository))
    })?;
    listing.check_commit(repository)?;
    Ok(listing)
}

/// A repository that some tool of the hub has put into a cache: its files are those in the folder.
fn without_list(
    hub: &Hub,
    repository: &Repository,
    commit: Option<&str>,
) -> Result<Snapshot, Error> {
    let roots = commit.map(|commit| dirs(hub, repository).map(|dir| dir.snapshot(commit)));
    let root = roots.and_then(|mut roots| roots.find(|root| root.is_dir()));
    let Some((commit, root)) = commit.zip(root) else {
        return Err(Error::NotCached {
            repo: repository.id().into(),
            cache: hub.cache_dir.clone(),
        });
    };
    tracing::warn!(
        repository = repository.id(), folder = %root.display(),
        "offline, and no list of the repository's files is there: files that are not in the folder count \
         as files that the repository lacks",
    );
    let mut files = Vec::new();
    walk(&root, "", DEEPEST, &mut files);
    let unknown = |path| ListedFile { path, size: None, digest: None, pinned: None };
    let files = files.into_iter().map(unknown).collect();
    Ok(Snapshot::new(hub, repository, Listing { commit: commit.to_owned(), files }))
}

/// The files below a folder, links followed where they lead to files.
fn walk(dir: &Path, prefix: &str, depth: usize, files: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if files.len() >= MOST_ENTRIES {
            return;
        }
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{prefix}{name}");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => {
                walk(&entry.path(), &format!("{path}/"), depth - 1, files);
            }
            Ok(kind) if !kind.is_dir() && entry.path().is_file() => files.push(path),
            _ => {}
        }
    }
}

/// Brings files of a snapshot to the disk, each of at most `limit` bytes.
pub(crate) fn fetch(
    hub: &Hub,
    snapshot: &Snapshot,
    paths: &[String],
    limit: u64,
) -> Result<(), Error> {
    for path in paths {
        let file = snapshot.listed(path).ok_or_else(|| Error::NoFile {
            repo: snapshot.repo().into(),
            revision: snapshot.commit().into(),
            file: path.clone(),
        })?;
        if let Some(size) = file.size.filter(|size| *size > limit) {
            return Err(Error::TooLarge { file: path.clone(), size, limit });
        }
    }
    if lacking(hub, snapshot, paths)?.0.is_empty() {
        return Ok(());
    }
    let repository = &snapshot.repository;
    if hub.offline {
        return Err(Error::Offline {
            model: snapshot.repo().into(),
            cache: hub.cache_dir.clone(),
            missing: lacking(hub, snapshot, paths)?.0,
        });
    }
    let there = || lacking(hub, snapshot, paths).is_ok_and(|(missing, _)| missing.is_empty());
    let _lock = RepoLock::acquire(hub, &repository.folder_name(), snapshot.repo(), there);
    let (missing, damaged) = lacking(hub, snapshot, paths)?;
    let wanted: Vec<_> = missing.iter().filter_map(|path| snapshot.listed(path)).cloned().collect();
    if wanted.is_empty() {
        return Ok(());
    }
    from_endpoints(hub, snapshot.repo(), |client: &Client, endpoint| {
        let (repo, commit) = (snapshot.repo(), snapshot.commit());
        let dir = &repository.dir(&hub.cache_dir);
        let fetch = Fetch { hub, client, endpoint, repo, commit, dir };
        fetch.to_snapshot(&wanted, &damaged).map(drop)
    })
}

/// The files that are not on disk as they should be, and those among them that are damaged.
fn lacking(
    hub: &Hub,
    snapshot: &Snapshot,
    paths: &[String],
) -> Result<(Vec<String>, Vec<String>), Error> {
    let (repository, commit) = (&snapshot.repository, snapshot.commit());
    let dir = repository.dir(&hub.cache_dir);
    let record = record::read(&dir, commit);
    let names = paths.iter().map(|path| (path.as_str(), true));
    let own = inspect_files(names, |_| None, &dir.snapshot(commit), record.as_ref())?;
    if !own.touched.is_empty() {
        // So that they need not be read the next time; a read-only cache stays as it is.
        let _ = record::add(&dir, repository.id(), commit, &own.touched);
    }
    let elsewhere = |path: &str| {
        snapshot.roots[1..]
            .iter()
            .any(|root| names::file_path(path).is_ok_and(|name| root.join(name).is_file()))
    };
    let damaged = own.damaged;
    let missing = own.missing.into_iter();
    let missing = missing.filter(|path| damaged.contains(path) || !elsewhere(path)).collect();
    Ok((missing, damaged))
}
