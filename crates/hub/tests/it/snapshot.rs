//! Any repository: its list of files at a commit, and files of it by request.

use std::{fs, path::Path};

use embedkit_hub::{Error, Hub};
use embedkit_types::ErrorKind;

use embedkit_testkit::hub::{Reply, Repo, Server};

use crate::{hub, nothing_unfinished, spec};

const LIMIT: u64 = 1 << 20;

fn serving(repo: &Repo) -> Server {
    let repo = repo.clone();
    Server::start(move |request| repo.reply(request))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn a_repository_is_listed_once_and_its_files_are_fetched_once() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let server = serving(&repo);
    let mut hub = hub(cache.path(), &server);
    let snapshot = hub.snapshot("Org/Model", None).unwrap();
    assert_eq!((snapshot.repo(), snapshot.commit()), ("Org/Model", &*repo.commit));
    assert!(snapshot.paths().eq(repo.files.keys()));
    assert!(snapshot.contains("README.md") && !snapshot.contains("model.onnx"));
    assert_eq!(snapshot.size("onnx/model.onnx"), Some(300_000));
    assert_eq!(snapshot.read("config.json", LIMIT).unwrap(), None, "it is not here yet");

    let wanted = names(&["config.json", "tokenizer_config.json"]);
    hub.fetch(&snapshot, &wanted, LIMIT).unwrap();
    assert_eq!(snapshot.read("config.json", LIMIT).unwrap().unwrap(), repo.files["config.json"]);
    assert_eq!(snapshot.read("README.md", LIMIT).unwrap(), None);
    nothing_unfinished(cache.path());
    let requests = server.requests().len();
    assert_eq!(server.count("/api/"), 1);

    hub.offline = true;
    let again = hub.snapshot("Org/Model", None).unwrap();
    assert!(again.paths().eq(snapshot.paths()) && again.commit() == snapshot.commit());
    hub.fetch(&again, &wanted, LIMIT).unwrap();
    assert_eq!(again.size("onnx/model.onnx"), Some(300_000));
    let error = hub.fetch(&again, &names(&["README.md", "config.json"]), LIMIT).unwrap_err();
    let Error::Offline { missing, .. } = &error else { panic!("{error}") };
    assert_eq!(missing, &["README.md"]);
    assert_eq!(server.requests().len(), requests);
    // By its commit, too.
    assert!(hub.snapshot("Org/Model", Some(&repo.commit)).unwrap().contains("README.md"));
}

#[test]
fn a_file_that_was_damaged_is_fetched_again() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let server = serving(&repo);
    let hub = hub(cache.path(), &server);
    let snapshot = hub.snapshot("Org/Model", None).unwrap();
    let wanted = names(&["config.json"]);
    hub.fetch(&snapshot, &wanted, LIMIT).unwrap();
    let path = cache.path().join("models--Org--Model/snapshots").join(&repo.commit);
    fs::write(fs::canonicalize(path.join("config.json")).unwrap(), "{}").unwrap();
    hub.fetch(&snapshot, &wanted, LIMIT).unwrap();
    assert_eq!(snapshot.read("config.json", LIMIT).unwrap().unwrap(), repo.files["config.json"]);
}

#[test]
fn the_commit_of_a_cached_model_stays() {
    let (old, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let first = serving(&old);
    let hub = hub(cache.path(), &first);
    let files = hub.files(&spec()).unwrap();
    // The branch moves on.
    let mut new = old.clone();
    new.commit = "f".repeat(40);
    let server = Server::start(move |request| {
        let reply = old.reply(request);
        if request.path.contains("/revision/main") || reply.status == 404 {
            new.reply(request)
        } else {
            reply
        }
    });
    let hub = crate::hub(cache.path(), &server);
    let snapshot = hub.snapshot("Org/Model", None).unwrap();
    assert_eq!(snapshot.commit(), Repo::sample().commit);
    assert_eq!(hub.cached(&spec()), Some(files.clone()));
    hub.fetch(&snapshot, &names(&["tokenizer.json"]), LIMIT).unwrap();
    assert_eq!(server.requests().len(), 1, "the file is there already");
    // Until the newest is asked for.
    let snapshot = hub.pull_snapshot("Org/Model", None).unwrap();
    assert_eq!(snapshot.commit(), "f".repeat(40));
    assert_eq!(hub.snapshot("Org/Model", None).unwrap().commit(), "f".repeat(40));
}

#[test]
fn a_commit_that_the_hub_has_no_more_gives_way() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let gone = "e".repeat(40);
    let other = cache.path().join("other");
    fs::create_dir_all(other.join("models--Org--Model/refs")).unwrap();
    fs::write(other.join("models--Org--Model/refs/main"), &gone).unwrap();
    let server = serving(&repo);
    let mut hub = hub(&cache.path().join("own"), &server);
    hub.other_caches = vec![other];
    assert_eq!(hub.snapshot("Org/Model", None).unwrap().commit(), repo.commit);
    assert_eq!(server.count(&gone), 1);
    // Asked for by name, it is an error.
    assert!(matches!(hub.snapshot("Org/Model", Some(&gone)), Err(Error::NotFound { .. })));
}

/// A cache as another tool leaves it, with some of the files.
fn other_cache(dir: &Path, repo: &Repo, files: &[&str]) {
    let folder = dir.join("models--Org--Model");
    for name in files {
        let path = folder.join("snapshots").join(&repo.commit).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &repo.files[*name]).unwrap();
    }
    fs::create_dir_all(folder.join("refs")).unwrap();
    fs::write(folder.join("refs/main"), &repo.commit).unwrap();
}

#[test]
fn files_of_another_cache_are_used_as_they_are() {
    let (repo, dir) = (Repo::sample(), tempfile::tempdir().unwrap());
    let (own, other) = (dir.path().join("own"), dir.path().join("other"));
    other_cache(&other, &repo, &["config.json", "onnx/model.onnx"]);
    let server = serving(&repo);
    let mut hub = hub(&own, &server);
    hub.other_caches = vec![other];

    // Offline, the folder is all that is known.
    hub.offline = true;
    let snapshot = hub.snapshot("Org/Model", None).unwrap();
    let mut paths: Vec<_> = snapshot.paths().collect();
    paths.sort_unstable();
    assert_eq!(paths, ["config.json", "onnx/model.onnx"]);
    hub.fetch(&snapshot, &names(&paths), LIMIT).unwrap();
    assert_eq!(snapshot.read("config.json", LIMIT).unwrap().unwrap(), repo.files["config.json"]);
    assert!(!own.exists() && server.requests().is_empty());

    hub.offline = false;
    let snapshot = hub.snapshot("Org/Model", None).unwrap();
    assert!(snapshot.contains("tokenizer.json"));
    let wanted = names(&["config.json", "tokenizer.json"]);
    hub.fetch(&snapshot, &wanted, LIMIT).unwrap();
    assert_eq!(server.count("/resolve/"), 1, "the other one is in the other cache");
    for name in ["config.json", "tokenizer.json"] {
        assert_eq!(snapshot.read(name, LIMIT).unwrap().unwrap(), repo.files[name]);
    }
}

#[test]
fn what_cannot_be_had_is_told_apart() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let server = serving(&repo);
    let hub = hub(cache.path(), &server);
    let snapshot = hub.snapshot("Org/Model", None).unwrap();
    let fetch = |name: &str| hub.fetch(&snapshot, &names(&[name]), 1000).unwrap_err();
    let error = fetch("onnx/model.onnx");
    let Error::TooLarge { file, size, limit } = &error else { panic!("{error}") };
    assert_eq!((&**file, *size, *limit), ("onnx/model.onnx", 300_000, 1000));
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(matches!(fetch("modules.json"), Error::NoFile { .. }));
    assert!(matches!(fetch("../../evil"), Error::NoFile { .. }));
    hub.fetch(&snapshot, &names(&["config.json"]), 1000).unwrap();
    assert_eq!(snapshot.read("config.json", 3).unwrap().unwrap(), b"{\"c");

    assert!(matches!(hub.snapshot("Org/Other", None), Err(Error::NotFound { .. })));
    assert!(matches!(hub.snapshot("../evil", None), Err(Error::Name { .. })));
    let mut offline = hub.clone();
    offline.offline = true;
    let error = offline.snapshot("Org/Other", None).unwrap_err();
    assert!(matches!(&error, Error::NotCached { repo, .. } if repo == "Org/Other"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Offline);
    let gated = Server::start(|_| Reply::status(403).with("X-Error-Code", "GatedRepo"));
    let error = crate::hub(cache.path(), &gated).snapshot("Org/Gated", None).unwrap_err();
    assert!(matches!(error, Error::Denied { gated: true, .. }), "{error}");
}

#[test]
fn strange_names_are_left_out_and_damaged_lists_are_asked_for_again() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let listing = repo
        .listing()
        .replace("\"siblings\":[", r#""siblings":[{"rfilename":"../../../evil","size":1},"#);
    let server = Server::start(move |_| Reply::ok(listing.clone()));
    let hub = hub(cache.path(), &server);
    let snapshot = hub.snapshot("Org/Model", None).unwrap();
    assert!(snapshot.paths().eq(repo.files.keys()));
    let list = cache.path().join("models--Org--Model/embedkit");
    let list = list.join(format!("{}.files.json", repo.commit));
    for text in ["", "{}", &fs::read_to_string(&list).unwrap().replace("0123", "3210")] {
        fs::write(&list, text).unwrap();
        let before = server.requests().len();
        assert!(hub.snapshot("Org/Model", None).unwrap().contains("config.json"));
        assert_eq!(server.requests().len(), before + 1, "{text:?}");
    }
    assert!(Hub::new(cache.path()).snapshot("Org/Model", None).is_ok(), "the new one is sound");
}
