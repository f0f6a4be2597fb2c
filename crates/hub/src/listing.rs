//! The files of a repository at a revision: one request gives the commit, and for each file its size and
//! hash.

use std::{fs::File, io::Read};

use embedkit_types::{FileDigest, ModelSpec};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    digest::Digest,
    http::{Client, shown},
    layout::{RepoDir, Repository},
    names,
    needed::needed_files,
};

/// The largest answer that is read. A file takes some 250 bytes in it.
const LARGEST: u64 = 64 << 20;

/// A repository at one commit.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) commit: String,
    pub(crate) files: Vec<ListedFile>,
}

impl Listing {
    /// An error where the repository is at a commit and this is another one.
    pub(crate) fn check_commit(&self, repository: &Repository) -> Result<(), Error> {
        let (repo, revision) = (repository.id(), repository.revision());
        if !repository.is_at_commit() || revision.eq_ignore_ascii_case(&self.commit) {
            return Ok(());
        }
        Err(Error::Corrupt {
            file: format!("{repo} at {revision}"),
            expected: format!("commit {revision}"),
            found: format!("commit {}", self.commit),
        })
    }

    /// The list as [`parse`] reads it.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let sibling = |file: &ListedFile| {
            let hash = |sha256: bool| {
                let digest = file.digest.as_ref()?;
                (sha256 == matches!(digest, Digest::Sha256(_))).then(|| digest.hex().to_owned())
            };
            let lfs = hash(true).map(|sha256| Lfs { sha256: Some(sha256), size: file.size });
            Sibling { rfilename: file.path.clone(), size: file.size, blob_id: hash(false), lfs }
        };
        let siblings = self.files.iter().map(sibling).collect();
        let info = ModelInfo { sha: self.commit.clone(), siblings };
        serde_json::to_vec(&info).expect("strings and numbers become JSON")
    }

    /// The files that a model needs, then the optional ones that there are.
    pub(crate) fn files_of(
        &self,
        spec: &ModelSpec,
        repository: &Repository,
    ) -> Result<Vec<&ListedFile>, Error> {
        let needed = needed_files(spec);
        let listed = |name: &String| self.files.iter().find(|file| file.path == *name);
        let mut files = Vec::new();
        for name in &needed.required {
            files.push(listed(name).ok_or_else(|| Error::NoFile {
                repo: repository.id().into(),
                revision: repository.revision().into(),
                file: name.clone(),
            })?);
        }
        files.extend(needed.optional.iter().filter_map(listed));
        Ok(files)
    }
}

/// One file, as the server describes it. Mirrors may leave size and hash out.
#[derive(Debug, Clone)]
pub(crate) struct ListedFile {
    pub(crate) path: String,
    pub(crate) size: Option<u64>,
    pub(crate) digest: Option<Digest>,
    /// Size and hash in the model's description.
    pub(crate) pinned: Option<FileDigest>,
}

impl ListedFile {
    /// The file with its pin, which the server at `origin` must not contradict.
    pub(crate) fn pinned(&self, pinned: Option<&FileDigest>, origin: &str) -> Result<Self, Error> {
        let file = Self { pinned: pinned.cloned(), ..self.clone() };
        let Some(pin) = pinned else { return Ok(file) };
        if let Some(size) = self.size
            && size != pin.size
        {
            return Err(file.contradiction(pin, origin, format!("{size} bytes")));
        }
        file.agrees(self.digest.as_ref(), origin)?;
        Ok(Self { size: Some(pin.size), ..file })
    }

    /// An error unless the hash that the server states is the pinned one, where it can be compared.
    pub(crate) fn agrees(&self, stated: Option<&Digest>, origin: &str) -> Result<(), Error> {
        match (&self.pinned, stated) {
            (Some(pin), Some(Digest::Sha256(sha256))) if pin.sha256 != *sha256 => {
                Err(self.contradiction(pin, origin, format!("sha256 {sha256}")))
            }
            _ => Ok(()),
        }
    }

    fn contradiction(&self, pin: &FileDigest, origin: &str, found: String) -> Error {
        Error::Pin {
            file: self.path.clone(),
            pinned: format!("{} bytes, sha256 {}", pin.size, pin.sha256),
            origin: shown(origin),
            found,
        }
    }
}

#[derive(Deserialize, Serialize)]
struct ModelInfo {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize, Serialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize, Serialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

/// Asks for the files of a repository at its revision.
pub(crate) fn fetch(
    client: &Client,
    endpoint: &str,
    repository: &Repository,
) -> Result<Listing, Error> {
    let url = format!(
        "{endpoint}/api/models/{}/revision/{}?blobs=true",
        names::escape(repository.id(), true),
        names::escape(repository.revision(), false),
    );
    let answer = client.get(&url, None)?;
    let mut text = Vec::new();
    let read = answer.body.into_reader().take(LARGEST + 1).read_to_end(&mut text);
    read.map_err(|error| client.broken(&url, error))?;
    if text.len() as u64 > LARGEST {
        let reason = format!("more than {LARGEST} bytes");
        return Err(Error::Answer { url: shown(&url), reason });
    }
    parse(&text).map_err(|reason| Error::Answer { url: shown(&url), reason })
}

/// The list that was recorded for a commit. A damaged one counts as none.
pub(crate) fn recorded(dir: &RepoDir, commit: &str) -> Option<Listing> {
    let mut text = Vec::new();
    let file = File::open(dir.file_list(commit)).ok()?;
    file.take(LARGEST + 1).read_to_end(&mut text).ok()?;
    parse(&text).ok().filter(|listing| listing.commit.eq_ignore_ascii_case(commit))
}

/// The address of a file's content.
pub(crate) fn file_url(endpoint: &str, repo: &str, commit: &str, path: &str) -> String {
    let (repo, path) = (names::escape(repo, true), names::escape(path, true));
    format!("{endpoint}/{repo}/resolve/{commit}/{path}")
}

/// Reads the answer. Names of files are only ever compared with those that a model asks for, so a
/// strange one among them does no harm; the commit becomes a folder and has to look like one.
pub(crate) fn parse(text: &[u8]) -> Result<Listing, String> {
    let info: ModelInfo = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if !names::is_commit(&info.sha) {
        return Err(format!("{:?} is not a commit", info.sha));
    }
    let files = info.siblings.into_iter().map(|file| {
        let (size, hash) = match file.lfs {
            Some(lfs) => (lfs.size.or(file.size), lfs.sha256),
            None => (file.size, file.blob_id),
        };
        ListedFile {
            path: file.rfilename,
            size,
            digest: hash.as_deref().and_then(Digest::parse),
            pinned: None,
        }
    });
    Ok(Listing { commit: info.sha.to_ascii_lowercase(), files: files.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn sizes_and_hashes() {
        let sha = "ab".repeat(32);
        let text = format!(
            r#"{{"sha":"{COMMIT}","private":false,"siblings":[
                {{"rfilename":"config.json","size":3,"blobId":"{COMMIT}"}},
                {{"rfilename":"m.onnx","size":9,"blobId":"{COMMIT}","lfs":{{"sha256":"{sha}","size":9,"pointerSize":133}}}},
                {{"rfilename":"bare"}},
                {{"rfilename":"odd","blobId":"../../evil"}}]}}"#
        );
        let listing = parse(text.as_bytes()).unwrap();
        assert_eq!(listing.commit, COMMIT);
        let digests: Vec<_> = listing.files.iter().map(|file| file.digest.clone()).collect();
        assert_eq!(
            digests,
            [Some(Digest::GitBlob(COMMIT.into())), Some(Digest::Sha256(sha)), None, None]
        );
        assert_eq!(listing.files[1].size, Some(9));
    }

    #[test]
    fn a_list_is_read_back_as_it_was_written() {
        let sha = "ab".repeat(32);
        let text = format!(
            r#"{{"sha":"{COMMIT}","siblings":[
                {{"rfilename":"config.json","size":3,"blobId":"{COMMIT}"}},
                {{"rfilename":"m.onnx","blobId":"{COMMIT}","lfs":{{"sha256":"{sha}","size":9}}}},
                {{"rfilename":"bare"}}]}}"#
        );
        let listing = parse(text.as_bytes()).unwrap();
        let again = parse(&listing.to_json()).unwrap();
        assert_eq!(again.commit, COMMIT);
        let facts = |listing: &Listing| -> Vec<_> {
            let facts = |file: &ListedFile| (file.path.clone(), file.size, file.digest.clone());
            listing.files.iter().map(facts).collect()
        };
        assert_eq!(facts(&again), facts(&listing));
        assert_eq!(facts(&again)[1].1, Some(9));
    }

    #[test]
    fn what_is_not_a_listing() {
        for text in
            ["", "[]", "<html>", "{}", r#"{"sha":"../../x"}"#, r#"{"sha":"main"}"#, r#"{"sha":1}"#]
        {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
