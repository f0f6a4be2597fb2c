//! Commit, sizes and hashes of a model's files as its repository has them now, to be pinned.

use std::env;

use embedkit_types::{FileDigest, ModelSpec};

use crate::{
    Error, Hub,
    digest::Digest,
    http::Client,
    layout::Repository,
    listing,
    needed::needed_files,
    retry::{from_endpoints, retrying},
    staging::Staged,
    transfer::fetch_alone,
};

/// A model's files as a repository has them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LookedUp {
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
    /// Each file that the model needs and each optional one that there is, sorted by path.
    pub files: Vec<FileDigest>,
}

impl LookedUp {
    /// The same facts, found in another way.
    #[must_use]
    pub fn new(commit: String, files: Vec<FileDigest>) -> Self {
        Self { commit, files }
    }
}

/// Asks for the model's revision, or for the newest commit where that is a commit. Pins of the model
/// count for nothing here.
pub(crate) fn look_up(hub: &Hub, spec: &ModelSpec) -> Result<LookedUp, Error> {
    let mut repository = Repository::of(spec)?;
    if repository.is_at_commit() {
        repository = repository.at_main();
    }
    if hub.offline {
        return Err(Error::Offline {
            model: spec.id.to_string(),
            cache: hub.cache_dir.clone(),
            missing: needed_files(spec).required,
        });
    }
    let spec = ModelSpec { files: Vec::new().into(), ..spec.clone() };
    from_endpoints(hub, &spec.id, |client, endpoint| {
        look_up_at(hub, client, endpoint, &repository, &spec)
    })
}

fn look_up_at(
    hub: &Hub,
    client: &Client,
    endpoint: &str,
    repository: &Repository,
    spec: &ModelSpec,
) -> Result<LookedUp, Error> {
    let repo = repository.id();
    let listing = retrying(hub, repo, || listing::fetch(client, endpoint, repository))?;
    let mut files = Vec::new();
    for file in listing.files_of(spec, repository)? {
        files.push(match (file.size, &file.digest) {
            (Some(size), Some(Digest::Sha256(sha256))) => {
                FileDigest { path: file.path.clone().into(), size, sha256: sha256.clone().into() }
            }
            // Small files are listed under another hash: they have to be read.
            _ => {
                let url = listing::file_url(endpoint, repo, &listing.commit, &file.path);
                let staged = Staged::beside(&env::temp_dir().join("embedkit-look-up"))?;
                let (_, hashed) = fetch_alone(hub, client, file, &url, staged)?;
                hashed.of(&file.path)
            }
        });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(LookedUp { commit: listing.commit, files })
}
