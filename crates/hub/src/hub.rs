//! The operations of a [`Hub`]: find, fetch, verify, look up and convert the files of a model.

use std::path::{Path, PathBuf};

use embedkit_types::{ModelFiles, ModelSpec};

use crate::{
    Error,
    config::Hub,
    converted::{self, Conversion},
    download::{self, Freshness},
    look_up::{self, LookedUp},
    probe::{self, Probe},
    pulled::Pulled,
    search,
    snapshot::{self, Snapshot},
    state::{self, CacheState},
    verify::{self, VerifiedFile},
};

impl Hub {
    /// The files of a model: from the cache, without any network, where they are complete there, else
    /// downloaded. A file that differs from its record counts as missing: it is moved to
    /// `embedkit/damaged` in the repository's folder, and fetched again.
    ///
    /// # Errors
    /// [`Error::Offline`] names the files that are missing; [`Error::Pin`] the file whose content on the
    /// server differs from the model's pin; otherwise the reason why the download failed.
    pub fn files(&self, spec: &ModelSpec) -> Result<ModelFiles, Error> {
        if let Some(files) = self.cached(spec) {
            return Ok(files);
        }
        download::pull(self, spec, Freshness::Cached).map(|pulled| pulled.files)
    }

    /// The files of a model where they are complete in a cache. Never opens a socket. A file is hashed
    /// where its size or time of change differ from the record, and its new time is recorded if the
    /// content is the same.
    #[must_use]
    pub fn cached(&self, spec: &ModelSpec) -> Option<ModelFiles> {
        search::find(self, spec).ok().map(|found| found.files)
    }

    /// State of a model's files in the caches. Never opens a socket; as [`Hub::cached`] otherwise.
    #[must_use]
    pub fn state(&self, spec: &ModelSpec) -> CacheState {
        state::of(self, spec)
    }

    /// Asks every endpoint for the list of a model's files, once each and within the
    /// [`timeouts`](Hub::timeouts). Nothing is kept.
    ///
    /// # Errors
    /// [`Error::Offline`] where the network may not be used; a repository's name or a list of certificates
    /// that cannot be used. An endpoint that does not answer is in the result.
    pub fn probe(&self, spec: &ModelSpec) -> Result<Vec<Probe>, Error> {
        probe::probe(self, spec)
    }

    /// Brings the cache up to date: asks for the current commit of the model's revision, checks the
    /// cached files and fetches those that differ.
    ///
    /// # Errors
    /// As [`Hub::files`].
    pub fn pull(&self, spec: &ModelSpec) -> Result<Pulled, Error> {
        download::pull(self, spec, Freshness::Current)
    }

    /// Hashes the files of a cached model again and compares them with its pins and with the record of
    /// the download. Never opens a socket; [`Hub::pull`] repairs files that differ.
    ///
    /// # Errors
    /// [`Error::Missing`] where files that the model needs are not in the cache, [`Error::Disk`].
    pub fn verify(&self, spec: &ModelSpec) -> Result<Vec<VerifiedFile>, Error> {
        verify::verify(self, spec)
    }

    /// Commit, sizes and hashes that a description of the model could pin, as its repository has them
    /// now. Asks the model's revision, or the newest commit where that is a commit; its pins count for
    /// nothing.
    ///
    /// # Errors
    /// As [`Hub::files`]; always [`Error::Offline`] where the network may not be used.
    pub fn look_up(&self, spec: &ModelSpec) -> Result<LookedUp, Error> {
        look_up::look_up(self, spec)
    }

    /// Any repository at one commit, with the list of its files: the commit that a cache has for the
    /// revision, else the current one. The list is asked for once and recorded.
    ///
    /// Offline, a commit that another tool put into a cache has the files that are in its folder.
    ///
    /// # Errors
    /// [`Error::NotCached`] where nothing of the repository is in a cache and the network may not be used;
    /// [`Error::NotFound`] and [`Error::Denied`] where the hub has no such repository, or not for
    /// everybody; otherwise the reason why the list cannot be had.
    pub fn snapshot(&self, repo: &str, revision: Option<&str>) -> Result<Snapshot, Error> {
        snapshot::open(self, repo, revision, Freshness::Cached)
    }

    /// Any repository at the commit that the hub has now for the revision.
    ///
    /// # Errors
    /// As [`Hub::snapshot`].
    pub fn pull_snapshot(&self, repo: &str, revision: Option<&str>) -> Result<Snapshot, Error> {
        snapshot::open(self, repo, revision, Freshness::Current)
    }

    /// Brings files of a repository to the disk, each of at most `limit` bytes. Files that are there are
    /// not fetched again.
    ///
    /// # Errors
    /// [`Error::NoFile`] for a file that the repository lacks, [`Error::TooLarge`], and those of
    /// [`Hub::files`].
    pub fn fetch(&self, snapshot: &Snapshot, paths: &[String], limit: u64) -> Result<(), Error> {
        snapshot::fetch(self, snapshot, paths, limit)
    }

    /// The path of a graph that is made from files of a model: as it was made before, else `make` writes
    /// it to the path that it is given, and further files beside it, and tells of the bytes that are
    /// written so far and of all. One process makes it while others wait, and it appears when it is whole.
    ///
    /// # Errors
    /// The error of `make`, [`Error::Disk`] and [`Error::Name`].
    pub fn converted<E: From<Error>>(
        &self,
        conversion: &Conversion<'_>,
        make: impl FnOnce(&Path, &mut dyn FnMut(u64, u64)) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        converted::converted(self, conversion, make)
    }
}
