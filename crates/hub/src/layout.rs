//! The hub's cache layout: a repository at a revision, and its folder in a cache.
//!
//! ```text
//! CACHE/models--ORG--NAME/
//!   blobs/DIGEST                content, named by SHA-256 (large files) or git blob (small ones)
//!   refs/main                   the commit that a revision stood for
//!   snapshots/COMMIT/PATH       link to the blob, or the file itself
//!   embedkit/COMMIT.json        record of the download: sizes and SHA-256
//!   embedkit/COMMIT.files.json  the list of all files of the commit
//!   embedkit/converted/NAME/    graphs that were converted from the files
//!   embedkit/damaged/NAME       files with other content than the record, moved aside
//!   onnx_snapshots/COMMIT/PATH  model and data side by side, where links lead to different folders
//! ```
//! Blobs may be links themselves, into a store that several repositories share.
//!
//! The names of folders come from the types of `hf_hub`. They check nothing, so every name passes
//! [`names`] first. Its reading and writing of `refs` is not used: it takes any content as a commit and
//! writes in place.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use embedkit_types::ModelSpec;
use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use crate::{Error, names, staging};

/// Beginning of the folder names of repositories with models.
const PREFIX: &str = "models--";

/// A repository of models at a revision. Both names are checked.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    /// `name` or `organisation/name`; `hf_hub` does not give it back.
    id: String,
    repo: Repo,
}

impl Repository {
    /// The repository of a model, at the model's revision.
    ///
    /// # Errors
    /// [`Error::NoSource`] where the model has none, [`Error::Name`].
    pub(crate) fn of(spec: &ModelSpec) -> Result<Self, Error> {
        let no_source = || Error::NoSource { model: spec.id.to_string() };
        let id = spec.source.repo.as_deref().ok_or_else(no_source)?;
        Self::named(id, spec.source.revision.as_deref())
    }

    /// A repository by its name, at a revision or at its main branch.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub(crate) fn named(id: &str, revision: Option<&str>) -> Result<Self, Error> {
        let id = names::repo(id)?.to_owned();
        let repo = match revision.map(names::revision).transpose()? {
            Some(name) => Repo::with_revision(id.clone(), RepoType::Model, name.to_owned()),
            None => Repo::model(id.clone()),
        };
        Ok(Self { id, repo })
    }

    /// The same repository at its main branch.
    pub(crate) fn at_main(&self) -> Self {
        Self { id: self.id.clone(), repo: Repo::model(self.id.clone()) }
    }

    /// `name` or `organisation/name`.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The same repository at a commit.
    pub(crate) fn at_commit(&self, commit: &str) -> Self {
        let repo = Repo::with_revision(self.id.clone(), RepoType::Model, commit.into());
        Self { id: self.id.clone(), repo }
    }

    /// Branch, tag or commit.
    pub(crate) fn revision(&self) -> &str {
        self.repo.revision()
    }

    /// True if the revision is a commit, which cannot move.
    pub(crate) fn is_at_commit(&self) -> bool {
        names::is_commit(self.revision())
    }

    /// Name of the repository's folder in a cache.
    pub(crate) fn folder_name(&self) -> String {
        self.repo.folder_name()
    }

    /// The folder that downloads are written to.
    pub(crate) fn dir(&self, cache: &Path) -> RepoDir {
        RepoDir::new(cache, self.repo.clone())
    }

    /// Folders that may have the repository: the one of its name, then those of names that differ in
    /// case only. Repositories have been renamed so, and older caches have the old name.
    pub(crate) fn dirs(&self, cache: &Path) -> Vec<RepoDir> {
        let name = self.folder_name();
        let mut found = vec![self.dir(cache)];
        let Ok(entries) = fs::read_dir(cache) else { return found };
        let mut others: Vec<_> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|other| *other != name && other.eq_ignore_ascii_case(&name))
            .collect();
        others.sort();
        let others = others.iter().filter_map(|other| other.strip_prefix(PREFIX));
        found.extend(others.map(|other| RepoDir::new(cache, Repo::model(other.into()))));
        found
    }
}

/// One repository's folder within a cache.
#[derive(Debug)]
pub(crate) struct RepoDir {
    path: PathBuf,
    layout: CacheRepo,
}

impl RepoDir {
    fn new(cache: &Path, repo: Repo) -> Self {
        let path = cache.join(repo.folder_name());
        Self { path, layout: Cache::new(cache.into()).repo(repo) }
    }

    /// True if something of the repository was put there, complete or not.
    pub(crate) fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// True if it lies in this cache.
    pub(crate) fn is_in(&self, cache: &Path) -> bool {
        self.path.starts_with(cache)
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.layout.pointer_path(commit)
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }

    pub(crate) fn reference(&self, revision: &str) -> PathBuf {
        revision.split('/').fold(self.path.join("refs"), |path, part| path.join(part))
    }

    /// The record of a commit's download.
    pub(crate) fn record(&self, commit: &str) -> PathBuf {
        self.path.join("embedkit").join(format!("{commit}.json"))
    }

    /// The list of all files of a commit.
    pub(crate) fn file_list(&self, commit: &str) -> PathBuf {
        self.path.join("embedkit").join(format!("{commit}.files.json"))
    }

    /// The folder for graphs that were converted from the repository's files.
    pub(crate) fn converted(&self) -> PathBuf {
        self.path.join("embedkit").join("converted")
    }

    /// The folder for the model file and its data, side by side.
    pub(crate) fn side_by_side(&self, commit: &str) -> PathBuf {
        self.path.join("onnx_snapshots").join(commit)
    }

    /// The commit that a revision stands for here.
    pub(crate) fn commit(&self, revision: &str) -> Option<String> {
        if names::is_commit(revision) {
            return Some(revision.into());
        }
        let mut text = String::new();
        // A commit and perhaps a line feed; the cap is for any other file that may lie there.
        File::open(self.reference(revision)).ok()?.take(256).read_to_string(&mut text).ok()?;
        let commit = text.trim();
        // Our own are 40 hexadecimal digits, but a folder of that name is all that is needed.
        (!commit.contains('/') && names::file_path(commit).is_ok()).then(|| commit.to_owned())
    }

    /// Removes unfinished files that killed processes left while they fetched the files `names` of a
    /// commit.
    pub(crate) fn sweep<'a>(&self, commit: &str, names: impl Iterator<Item = &'a Path>) {
        let snapshot = self.snapshot(commit);
        let mut folders = vec![self.blobs(), self.path.join("refs"), self.path.join("embedkit")];
        for name in names {
            let folder = snapshot.join(name.parent().unwrap_or(Path::new("")));
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        for folder in folders {
            staging::sweep(&folder);
        }
    }

    /// Moves a damaged file to `embedkit/damaged`, where its user can look at it: only the last one of
    /// a name is kept. A file outside of this folder, in a store that several repositories share, stays
    /// in its place; the link to it will be replaced.
    pub(crate) fn quarantine(&self, file: &Path) {
        // A second name of the file may be in there; it is made again where it is needed.
        let _ = fs::remove_dir_all(self.path.join("onnx_snapshots"));
        let (Ok(real), Ok(dir)) = (fs::canonicalize(file), fs::canonicalize(&self.path)) else {
            return;
        };
        let Some(name) = real.file_name().filter(|_| real.starts_with(dir)) else { return };
        let damaged = self.path.join("embedkit").join("damaged");
        let target = damaged.join(name);
        // Where this fails, the file is replaced by the right one, or that fails with its reason.
        let moved = fs::create_dir_all(&damaged).and_then(|()| fs::rename(&real, &target));
        match moved {
            Ok(()) => tracing::warn!(
                file = %file.display(), to = %target.display(), "a damaged file was moved aside"
            ),
            Err(error) => tracing::warn!(
                file = %file.display(), %error, "a damaged file cannot be moved aside"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use embedkit_types::Source;

    use super::*;

    fn repository(repo: &str, revision: Option<&str>) -> Result<Repository, Error> {
        let owned = |text: &str| text.to_owned().into();
        let source = Source { repo: Some(owned(repo)), revision: revision.map(owned), url: None };
        Repository::of(&ModelSpec { source, ..ModelSpec::DEFAULT })
    }

    #[test]
    fn folders_are_those_of_the_hubs_tools() {
        let repository = repository("Org/Name", Some("refs/pr/1")).unwrap();
        assert_eq!((repository.id(), repository.revision()), ("Org/Name", "refs/pr/1"));
        assert_eq!(repository.at_main().revision(), "main");
        let dir = repository.dir(Path::new("cache"));
        let path = |parts: &[&str]| parts.iter().collect::<PathBuf>();
        let folder = "models--Org--Name";
        assert_eq!(dir.snapshot("c"), path(&["cache", folder, "snapshots", "c"]));
        assert_eq!(dir.blobs(), path(&["cache", folder, "blobs"]));
        let reference = dir.reference(repository.revision());
        assert_eq!(reference, path(&["cache", folder, "refs", "refs", "pr", "1"]));
    }

    #[test]
    fn names_are_checked_before_they_become_paths() {
        for (repo, revision) in
            [("../evil", None), ("/evil", None), ("a/b/c", None), ("a/b", Some("../../x"))]
        {
            let refused = repository(repo, revision);
            assert!(matches!(refused, Err(Error::Name { .. })), "{repo} {revision:?}");
        }
        assert!(matches!(Repository::of(&ModelSpec::DEFAULT), Err(Error::NoSource { .. })));
    }

    #[test]
    fn a_commit_is_one_part_of_a_path() {
        let cache = tempfile::tempdir().unwrap();
        let dir = repository("a/b", None).unwrap().dir(cache.path());
        let reference = dir.reference("main");
        fs::create_dir_all(reference.parent().unwrap()).unwrap();
        for (text, commit) in [("abc\n", Some("abc")), ("../../x", None), ("", None), ("a/b", None)]
        {
            fs::write(&reference, text).unwrap();
            assert_eq!(dir.commit("main").as_deref(), commit, "{text:?}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")] // names that differ in case only are two
    fn other_spellings_are_found() {
        let cache = tempfile::tempdir().unwrap();
        for name in ["models--org--name", "models--ORG--NAME", "models--org--names"] {
            fs::create_dir(cache.path().join(name)).unwrap();
        }
        let dirs = repository("Org/Name", None).unwrap().dirs(cache.path());
        let names: Vec<_> = dirs.iter().map(|dir| dir.path.file_name().unwrap()).collect();
        assert_eq!(names, ["models--Org--Name", "models--ORG--NAME", "models--org--name"]);
    }
}
