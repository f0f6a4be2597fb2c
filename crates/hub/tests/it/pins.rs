//! Models whose files are pinned: no other content under their names, whoever has it; and files that
//! changed in the cache.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use embedkit_hub::{Error, Hub, Outcome};
use embedkit_types::{FileDigest, ModelSpec, Source};

use embedkit_testkit::hub::{Reply, Repo, Server, sha256};

use crate::{check, hub, spec, tree};

const MODEL: &str = "onnx/model.onnx";
const NEEDED: [&str; 5] =
    [MODEL, "onnx/model.onnx_data", "tokenizer.json", "tokenizer_config.json", "config.json"];

fn pin(repo: &Repo, path: &str) -> FileDigest {
    let body = &repo.files[path];
    FileDigest {
        path: path.to_owned().into(),
        size: body.len() as u64,
        sha256: sha256(body).into(),
    }
}

/// The model with all files pinned to what they are in `repo`.
fn pinned(repo: &Repo) -> ModelSpec {
    let files: Vec<_> = NEEDED.iter().map(|path| pin(repo, path)).collect();
    ModelSpec { files: files.into(), ..spec() }
}

/// The model with one file pinned to something else.
fn pinned_wrong(repo: &Repo, path: &str, change: impl FnOnce(&mut FileDigest)) -> ModelSpec {
    let mut spec = pinned(repo);
    change(spec.files.to_mut().iter_mut().find(|file| file.path == path).unwrap());
    spec
}

fn serving(repo: &Repo) -> Server {
    let repo = repo.clone();
    Server::start(move |request| repo.reply(request))
}

/// A server that says nothing about sizes and hashes beforehand.
fn reticent(repo: &Repo) -> Server {
    let bare: Vec<_> =
        repo.files.keys().map(|path| format!(r#"{{"rfilename":"{path}"}}"#)).collect();
    let listing = format!(r#"{{"sha":"{}","siblings":[{}]}}"#, repo.commit, bare.join(","));
    let repo = repo.clone();
    Server::start(move |request| {
        if request.path.starts_with("/api/") {
            return Reply::ok(listing.clone());
        }
        let mut reply = repo.reply(request);
        reply.headers.retain(|(name, _)| !name.starts_with("X-"));
        reply
    })
}

fn refused(hub: &Hub, spec: &ModelSpec) -> (String, String, String) {
    let error = hub.files(spec).unwrap_err();
    assert!(error.hint().is_some());
    let message = error.to_string();
    let Error::Pin { file, pinned, found, .. } = error else { panic!("{error:?}") };
    assert!(message.contains(&pinned) && message.contains(&found), "{message}");
    assert_eq!(hub.cached(spec), None);
    (file, pinned, found)
}

#[test]
fn what_is_as_pinned_is_taken() {
    let repo = Repo::sample();
    for server in [serving(&repo), reticent(&repo)] {
        let cache = tempfile::tempdir().unwrap();
        let hub = hub(cache.path(), &server);
        let files = hub.files(&pinned(&repo)).unwrap();
        check(&repo, cache.path(), &files);
        assert_eq!(hub.cached(&pinned(&repo)), Some(files));
        assert!(hub.verify(&pinned(&repo)).unwrap().iter().all(|f| f.outcome == Outcome::Same));
    }
}

#[test]
fn what_the_hub_lists_otherwise_is_not_even_asked_for() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let server = serving(&repo);
    let hub = hub(cache.path(), &server);
    let other = "0".repeat(64);
    let hash = pinned_wrong(&repo, MODEL, |pin| pin.sha256 = other.clone().into());
    let (file, pinned, found) = refused(&hub, &hash);
    assert_eq!(file, MODEL);
    assert!(pinned.contains(&other) && found.contains(&sha256(&repo.files[MODEL])), "{found}");
    let size = pinned_wrong(&repo, "tokenizer.json", |pin| pin.size = 14);
    let (file, pinned, found) = refused(&hub, &size);
    assert_eq!((file.as_str(), found.as_str()), ("tokenizer.json", "15 bytes"));
    assert!(pinned.starts_with("14 bytes"), "{pinned}");
    assert_eq!(server.count("/resolve/"), 0);
}

#[test]
fn small_files_are_compared_when_they_are_here() {
    // The hub names them by another hash, so that nothing can be said before.
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let server = serving(&repo);
    let hub = hub(cache.path(), &server);
    let wrong = pinned_wrong(&repo, "config.json", |pin| pin.sha256 = "0".repeat(64).into());
    let (file, ..) = refused(&hub, &wrong);
    assert_eq!(file, "config.json");
    assert_eq!(server.count("/config.json"), 1, "another request would not help");
    // Nor is it taken from the cache, where it is for whoever does not pin it.
    hub.files(&spec()).unwrap();
    let (file, ..) = refused(&hub, &wrong);
    assert_eq!(file, "config.json");
    let files = hub.files(&spec()).unwrap();
    check(&repo, cache.path(), &files);
    assert!(files.path("config.json").is_file(), "the pin of one takes nothing from another");
}

#[test]
fn a_server_without_hashes_has_the_pins_only() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let server = reticent(&repo);
    let hub = hub(cache.path(), &server);
    let wrong = pinned_wrong(&repo, MODEL, |pin| pin.sha256 = "0".repeat(64).into());
    let error = hub.files(&wrong).unwrap_err();
    let Error::Corrupt { file, expected, .. } = &error else { panic!("{error}") };
    assert_eq!((file.as_str(), expected.contains(&"0".repeat(64))), (MODEL, true));
    assert_eq!(server.count("/cdn/onnx/model.onnx?"), 2, "it may have been damaged on the way");
}

#[test]
fn another_endpoint_may_have_what_is_pinned() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let mut changed = repo.clone();
    changed.files.get_mut(MODEL).unwrap()[5] ^= 1;
    let (first, second) = (serving(&changed), serving(&repo));
    let mut hub = hub(cache.path(), &first);
    hub.endpoints.push(second.url());
    check(&repo, cache.path(), &hub.files(&pinned(&repo)).unwrap());
}

#[test]
fn a_pinned_commit_and_its_files() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let served = repo.clone();
    let server = Server::start(move |request| {
        let mut request = request.clone();
        request.path =
            request.path.replace(&format!("revision/{}", served.commit), "revision/main");
        served.reply(&request)
    });
    let source = Source { revision: Some(repo.commit.clone().into()), ..spec().source };
    let spec = ModelSpec { source, ..pinned(&repo) };
    check(&repo, cache.path(), &hub(cache.path(), &server).files(&spec).unwrap());
}

#[test]
fn what_there_is_to_pin_is_looked_up() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let server = serving(&repo);
    let mut hub = hub(cache.path(), &server);
    // Old pins do not matter, nor does the commit that they belong to.
    let mut old = pinned_wrong(&repo, MODEL, |pin| pin.size = 1);
    old.source.revision = Some("a".repeat(40).into());
    let found = hub.look_up(&old).unwrap();
    assert_eq!(found.commit, repo.commit);
    let mut expected = pinned(&repo).files.into_owned();
    expected.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(found.files, expected);
    assert_eq!(server.count("/cdn/"), 0, "large files are not transferred");
    assert!(tree(cache.path()).is_empty());

    hub.offline = true;
    assert!(matches!(hub.look_up(&spec()), Err(Error::Offline { .. })));
    hub.offline = false;
    let gone = Server::start(|_| Reply::status(404));
    hub.endpoints = vec![gone.url()];
    assert!(matches!(hub.look_up(&spec()), Err(Error::NotFound { .. })));
}

/// Changes one byte of a file, and nothing else that a look at the folder would show but the time.
fn flip(path: &Path) {
    let mut body = fs::read(path).unwrap();
    body[3] ^= 1;
    let later = SystemTime::now() + Duration::from_secs(5);
    fs::write(path, body).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
}

#[test]
fn damage_of_the_same_size_is_found_at_load_moved_aside_and_repaired() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let server = serving(&repo);
    let mut hub = hub(cache.path(), &server);
    // The last one is optional, but read where it is there.
    for name in [MODEL, "tokenizer.json", "config.json"] {
        let files = hub.files(&spec()).unwrap();
        let path = fs::canonicalize(files.path(name)).unwrap();
        flip(&path);
        let damaged = fs::read(&path).unwrap();
        assert_eq!(hub.cached(&spec()), None, "{name}");
        hub.offline = true;
        let Err(Error::Offline { missing, .. }) = hub.files(&spec()) else { panic!("{name}") };
        assert_eq!(missing, [name]);
        assert!(path.is_file(), "offline, it cannot be replaced and stays");
        hub.offline = false;
        let before = server.count(name);
        check(&repo, cache.path(), &hub.files(&spec()).unwrap());
        assert!(server.count(name) > before);
        let aside =
            cache.path().join("models--Org--Model/embedkit/damaged").join(repo.digest(name));
        assert_eq!(fs::read(aside).unwrap(), damaged, "{name}");
    }
}

#[test]
fn damage_that_the_server_has_too_is_an_error() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let files = hub(cache.path(), &serving(&repo)).files(&spec()).unwrap();
    flip(&fs::canonicalize(&files.model).unwrap());
    let served = repo.clone();
    let server = Server::start(move |request| {
        let mut reply = served.reply(request);
        if request.path.starts_with("/cdn/onnx/model.onnx?") {
            reply.body[7] ^= 1;
        }
        reply
    });
    let hub = hub(cache.path(), &server);
    let error = hub.files(&spec()).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { file, .. } if file == MODEL), "{error}");
    assert_eq!(hub.cached(&spec()), None, "what is damaged is not loaded either");
}

#[test]
fn a_file_that_was_only_touched_is_read_once() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let server = serving(&repo);
    let hub = hub(cache.path(), &server);
    let files = hub.files(&spec()).unwrap();
    let record = cache.path().join("models--Org--Model/embedkit").join(repo.commit + ".json");
    let before = fs::read_to_string(&record).unwrap();
    let blob = fs::File::options().write(true).open(&files.model).unwrap();
    blob.set_modified(SystemTime::now() + Duration::from_secs(9)).unwrap();
    let requests = server.requests().len();
    assert_eq!(hub.files(&spec()).unwrap(), files);
    let after = fs::read_to_string(&record).unwrap();
    assert_ne!(before, after, "the new time is noted");
    assert_eq!(hub.files(&spec()).unwrap(), files);
    assert_eq!(fs::read_to_string(&record).unwrap(), after);
    assert_eq!(server.requests().len(), requests);
}

#[test]
fn what_the_hubs_tools_fetched_is_compared_with_the_pins() {
    // No record, but blobs that are named by their hash, and one that is not what its name says.
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let server = serving(&repo);
    let mut hub = hub(cache.path(), &server);
    hub.files(&spec()).unwrap();
    fs::remove_dir_all(cache.path().join("models--Org--Model/embedkit")).unwrap();
    hub.offline = true;
    let files = hub.files(&pinned(&repo)).unwrap();
    let other = pinned_wrong(&repo, "tokenizer.json", |pin| pin.sha256 = "1".repeat(64).into());
    let Err(Error::Offline { missing, .. }) = hub.files(&other) else { panic!() };
    assert_eq!(missing, ["tokenizer.json"]);
    let outcomes = hub.verify(&other).unwrap();
    let different: Vec<_> =
        outcomes.iter().filter(|f| matches!(f.outcome, Outcome::Different { .. })).collect();
    assert_eq!(different.len(), 1);
    assert_eq!(different[0].file.path, "tokenizer.json");
    flip(&fs::canonicalize(files.path("tokenizer.json")).unwrap());
    assert_eq!(hub.cached(&pinned(&repo)), None);
    assert!(!tree(cache.path()).iter().any(|name| name.contains("damaged")));
}
