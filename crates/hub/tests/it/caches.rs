//! Models that are there already, whoever put them there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use embedkit_hub::{Error, Outcome};
use embedkit_types::{Hint, ModelFiles};

use embedkit_testkit::hub::{Reply, Repo, Server};

use crate::{hub, spec};

/// A server that must not be asked.
fn silent() -> Server {
    Server::start(|_| Reply::status(500))
}

fn write(path: PathBuf, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A cache without links, in a folder of the given name.
fn plain(cache: &Path, folder: &str) -> Repo {
    let repo = Repo::sample();
    let dir = cache.join(folder);
    write(dir.join("refs/main"), repo.commit.as_bytes());
    for (name, body) in &repo.files {
        write(dir.join("snapshots").join(&repo.commit).join(name), body);
    }
    repo
}

fn same(repo: &Repo, files: &ModelFiles) {
    assert_eq!(fs::read(&files.model).unwrap(), repo.files["onnx/model.onnx"]);
    assert_eq!(fs::read(files.path("tokenizer.json")).unwrap(), repo.files["tokenizer.json"]);
}

#[test]
fn a_cache_without_links() {
    let (cache, server) = (tempfile::tempdir().unwrap(), silent());
    let repo = plain(cache.path(), "models--Org--Model");
    let mut hub = hub(cache.path(), &server);
    same(&repo, &hub.files(&spec()).unwrap());
    hub.offline = true;
    same(&repo, &hub.files(&spec()).unwrap());
    same(&repo, &hub.pull(&spec()).unwrap().files);
    let verified = hub.verify(&spec()).unwrap();
    assert!(verified.iter().all(|file| file.outcome == Outcome::Unknown), "{verified:?}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_folder_that_differs_in_case() {
    let (cache, server) = (tempfile::tempdir().unwrap(), silent());
    let repo = plain(cache.path(), "models--org--model");
    plain(cache.path(), "models--org--models");
    let files = hub(cache.path(), &server).files(&spec()).unwrap();
    same(&repo, &files);
    assert!(files.root.starts_with(cache.path().join("models--org--model").join("snapshots")));
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn the_hubs_own_cache_and_ours_first() {
    let (ours, others, server) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), silent());
    let repo = plain(others.path(), "models--Org--Model");
    let mut hub = hub(ours.path(), &server);
    hub.other_caches = vec!["/nowhere/at/all".into(), others.path().into()];
    let files = hub.files(&spec()).unwrap();
    same(&repo, &files);
    assert!(files.root.starts_with(others.path()));
    plain(ours.path(), "models--Org--Model");
    assert!(hub.files(&spec()).unwrap().root.starts_with(ours.path()));
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn what_is_missing_is_named_and_the_command_that_fetches_it() {
    let (cache, server) = (tempfile::tempdir().unwrap(), silent());
    let repo = plain(cache.path(), "models--Org--Model");
    let snapshot = cache.path().join("models--Org--Model/snapshots").join(&repo.commit);
    fs::remove_file(snapshot.join("tokenizer_config.json")).unwrap();
    fs::remove_file(snapshot.join("onnx/model.onnx_data")).unwrap();
    fs::remove_file(snapshot.join("config.json")).unwrap();
    let mut hub = hub(cache.path(), &server);
    hub.offline = true;
    assert_eq!(hub.cached(&spec()), None);
    let error = hub.files(&spec()).unwrap_err();
    let Error::Offline { missing, .. } = &error else { panic!("{error}") };
    assert_eq!(missing, &["onnx/model.onnx_data", "tokenizer_config.json"]);
    assert_eq!(
        error.to_string(),
        format!(
            "offline, and model me/model is not complete in {}: missing onnx/model.onnx_data, \
             tokenizer_config.json",
            cache.path().display()
        )
    );
    assert_eq!(error.hint(), Some(Hint::PullModel("me/model".into())));
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn references_that_are_not_names_of_folders() {
    let (cache, server) = (tempfile::tempdir().unwrap(), silent());
    let repo = plain(cache.path(), "models--Org--Model");
    let dir = cache.path().join("models--Org--Model");
    let hub = hub(cache.path(), &server);
    for text in ["../../outside", "", "/", "\u{0}", &"x".repeat(300)] {
        fs::write(dir.join("refs/main"), text).unwrap();
        assert_eq!(hub.cached(&spec()), None, "{text:?}");
    }
    fs::write(dir.join("refs/main"), format!("{}\n", repo.commit)).unwrap();
    same(&repo, &hub.cached(&spec()).unwrap());
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    /// A cache with links; `shared` puts the content into a store of several repositories.
    fn linked(cache: &Path, shared: bool) -> Repo {
        let repo = Repo::sample();
        let dir = cache.join("models--Org--Model");
        write(dir.join("refs/main"), repo.commit.as_bytes());
        fs::create_dir_all(dir.join("blobs")).unwrap();
        for (name, body) in &repo.files {
            let digest = repo.digest(name);
            let blob = dir.join("blobs").join(&digest);
            if shared {
                let hash = embedkit_testkit::hub::sha256(body);
                write(cache.join("blobs").join(&hash[..2]).join(&hash), body);
                symlink(format!("../../blobs/{}/{hash}", &hash[..2]), &blob).unwrap();
            } else {
                fs::write(&blob, body).unwrap();
            }
            let path = dir.join("snapshots").join(&repo.commit).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let up = "../".repeat(2 + name.matches('/').count());
            symlink(format!("{up}blobs/{digest}"), path).unwrap();
        }
        repo
    }

    #[test]
    fn links_to_blobs_are_opened_as_they_are() {
        let (cache, server) = (tempfile::tempdir().unwrap(), silent());
        let repo = linked(cache.path(), false);
        let files = hub(cache.path(), &server).files(&spec()).unwrap();
        same(&repo, &files);
        assert_eq!(files.model, files.root.join("onnx/model.onnx"));
        assert!(!cache.path().join("models--Org--Model/onnx_snapshots").exists());
        assert_eq!(server.requests().len(), 0);
    }

    #[test]
    fn a_shared_store_gets_model_and_data_side_by_side() {
        let (ours, theirs, server) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), silent());
        let repo = linked(theirs.path(), true);
        let mut hub = hub(ours.path(), &server);
        hub.other_caches = vec![theirs.path().into()];
        let before = crate::tree(theirs.path());
        let files = hub.files(&spec()).unwrap();
        same(&repo, &files);
        let data = files.model.with_file_name("model.onnx_data");
        assert_eq!(fs::read(&data).unwrap(), repo.files["onnx/model.onnx_data"]);
        for path in [&files.model, &data] {
            assert!(fs::symlink_metadata(path).unwrap().is_file(), "not a link");
            assert!(path.starts_with(ours.path()));
        }
        assert_eq!(crate::tree(theirs.path()), before, "other tools' caches stay as they are");
        // The second use takes what is there.
        let inode = fs::metadata(&files.model).unwrap().ino();
        assert_eq!(hub.files(&spec()).unwrap(), files);
        assert_eq!(fs::metadata(&files.model).unwrap().ino(), inode);
        crate::nothing_unfinished(ours.path());
    }

    #[test]
    fn a_broken_link_is_a_missing_file() {
        let (cache, server) = (tempfile::tempdir().unwrap(), silent());
        let repo = linked(cache.path(), false);
        let blobs = cache.path().join("models--Org--Model/blobs");
        fs::remove_file(blobs.join(repo.digest("tokenizer.json"))).unwrap();
        assert_eq!(hub(cache.path(), &server).cached(&spec()), None);
    }

    #[test]
    fn a_cache_that_is_read_only_works() {
        let (cache, server) = (tempfile::tempdir().unwrap(), silent());
        let repo = linked(cache.path(), false);
        let mode =
            |mode| fs::set_permissions(cache.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o555);
        let files = hub(cache.path(), &server).files(&spec());
        mode(0o755);
        same(&repo, &files.unwrap());
    }
}
