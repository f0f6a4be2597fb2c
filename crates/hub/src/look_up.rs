//! What a repository holds of a model now: the facts that the registry can pin.

use std::{env, sync::atomic::AtomicBool};

use embedkit_types::{ModelSpec, PinnedFile};

use crate::{
    Error, Hub, digest::Digest, download::from_endpoints, http::Client, layout, listing, names,
    needed::needed_files, retry::retrying, staging::Staged, transfer::Transfer,
};

/// A model's files as a repository has them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LookedUp {
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
    /// Each file that the model needs and each optional one that there is, sorted by path.
    pub files: Vec<PinnedFile>,
}

impl LookedUp {
    /// What was found in some other way.
    #[must_use]
    pub fn new(commit: String, files: Vec<PinnedFile>) -> Self {
        Self { commit, files }
    }
}

/// Asks for the model's revision, or for the newest commit where that is a commit. Pins of the model
/// count for nothing here.
pub(crate) fn look_up(hub: &Hub, spec: &ModelSpec) -> Result<LookedUp, Error> {
    let model = || spec.id.to_string();
    let needed = needed_files(spec);
    let repo = spec.source.repo.as_deref().ok_or_else(|| Error::NoSource { model: model() })?;
    let repo = names::repo(repo)?;
    let revision = names::revision(layout::revision(spec))?;
    let revision = if names::is_commit(revision) { layout::MAIN } else { revision };
    if hub.offline {
        let (cache, missing) = (hub.cache_dir.clone(), needed.required);
        return Err(Error::Offline { model: model(), cache, missing });
    }
    let spec = ModelSpec { files: Vec::new().into(), ..spec.clone() };
    from_endpoints(hub, &spec, |client, endpoint| {
        look_up_at(hub, client, endpoint, repo, revision, &spec)
    })
}

fn look_up_at(
    hub: &Hub,
    client: &Client,
    endpoint: &str,
    repo: &str,
    revision: &str,
    spec: &ModelSpec,
) -> Result<LookedUp, Error> {
    let listing = retrying(hub, repo, || listing::fetch(client, endpoint, repo, revision))?;
    let wanted = listing.files_of(spec, repo, revision)?;
    let mut files = Vec::new();
    for file in wanted {
        let (size, sha256) = match (file.size, &file.digest) {
            (Some(size), Some(Digest::Sha256(sha256))) => (size, sha256.clone()),
            // Small files are listed under another hash: they have to be read.
            _ => {
                let url = listing::file_url(endpoint, repo, &listing.commit, &file.path);
                let staged = Staged::beside(&env::temp_dir().join("embedkit-look-up"))?;
                let stop = AtomicBool::new(false);
                let transfer = Transfer::new(hub, client, file, &url, &stop, staged);
                let Some((_, hashed, _)) = transfer.run()? else {
                    unreachable!("nobody tells this transfer to stop")
                };
                (hashed.size, hashed.sha256)
            }
        };
        files.push(PinnedFile { path: file.path.clone().into(), size, sha256: sha256.into() });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(LookedUp { commit: listing.commit, files })
}
