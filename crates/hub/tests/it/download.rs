//! Models that are not in a cache yet.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use embedkit_hub::{Error, Event, Hub, Outcome, Token};
use embedkit_types::{ModelSpec, Source};

use embedkit_testkit::hub::{Reply, Repo, Server};

use crate::{check, hub, nothing_unfinished, spec, tree};

fn serving(repo: &Repo) -> Server {
    let repo = repo.clone();
    Server::start(move |request| repo.reply(request))
}

#[test]
fn the_first_use_downloads_and_the_second_opens_no_connection() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let server = serving(&repo);
    let hub = hub(cache.path(), &server);
    assert_eq!(hub.cached(&spec()), None);
    assert_eq!(server.requests().len(), 0);

    let files = hub.files(&spec()).unwrap();
    check(&repo, cache.path(), &files);
    assert_eq!(server.count("/api/"), 1, "one request lists all files");
    assert_eq!(server.count("/api/models/Org/Model/revision/main?blobs=true"), 1);
    assert_eq!(server.count("README"), 0, "what the model does not need stays where it is");
    assert!(files.path("config.json").is_file(), "optional files come along");

    let requests = server.requests().len();
    assert_eq!(hub.files(&spec()).unwrap(), files);
    assert_eq!(hub.cached(&spec()), Some(files));
    assert_eq!(server.requests().len(), requests);
}

#[test]
fn the_layout_is_the_hubs_own() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    hub(cache.path(), &serving(&repo)).files(&spec()).unwrap();
    let dir = cache.path().join("models--Org--Model");
    assert_eq!(fs::read_to_string(dir.join("refs/main")).unwrap(), repo.commit);
    for name in ["onnx/model.onnx", "onnx/model.onnx_data", "tokenizer.json", "config.json"] {
        let snapshot = dir.join("snapshots").join(&repo.commit).join(name);
        assert_eq!(fs::read(&snapshot).unwrap(), repo.files[name]);
        assert_eq!(fs::read(dir.join("blobs").join(repo.digest(name))).unwrap(), repo.files[name]);
        #[cfg(unix)]
        {
            let up = if name.contains('/') { "../../../blobs" } else { "../../blobs" };
            let link = fs::read_link(&snapshot).unwrap();
            assert_eq!(link, Path::new(up).join(repo.digest(name)));
        }
    }
    let record = dir.join("embedkit").join(format!("{}.json", repo.commit));
    let record = fs::read_to_string(record).unwrap();
    assert!(record.contains(&embedkit_testkit::hub::sha256(&repo.files["tokenizer.json"])));
}

#[test]
fn a_moved_revision_is_followed_by_pull_only() {
    let (old, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let mut new = old.clone();
    new.commit = "f".repeat(40);
    new.files.insert("tokenizer.json".into(), b"{\"tokenizer\":2}".to_vec());
    let now = Arc::new(Mutex::new(old.clone()));
    let current = Arc::clone(&now);
    let server = Server::start(move |request| current.lock().unwrap().reply(request));
    let hub = hub(cache.path(), &server);
    let first = hub.pull(&spec()).unwrap();
    assert_eq!(first.commit, old.commit);
    assert!(first.fetched.iter().all(|file| !file.reused));

    *now.lock().unwrap() = new.clone();
    assert_eq!(hub.files(&spec()).unwrap(), first.files);
    let second = hub.pull(&spec()).unwrap();
    assert_eq!(second.commit, new.commit);
    let fresh: Vec<_> = second.fetched.iter().filter(|file| !file.reused).collect();
    assert_eq!(fresh.len(), 1, "only what changed is transferred");
    assert_eq!(fresh[0].file.path, "tokenizer.json");
    assert_eq!(server.count("model.onnx?"), 1);
    check(&new, cache.path(), &second.files);
    check(&old, cache.path(), &first.files);
}

#[test]
fn a_pinned_commit_is_not_replaced_by_another() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let listing = repo.listing();
    let server = Server::start(move |request| {
        if request.path.starts_with("/api/") {
            Reply::ok(listing.clone())
        } else {
            repo.reply(request)
        }
    });
    let pinned = |commit: &str| ModelSpec {
        source: Source { revision: Some(commit.to_owned().into()), ..spec().source },
        ..spec()
    };
    let hub = hub(cache.path(), &server);
    let error = hub.files(&pinned(&"a".repeat(40))).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    let commit = Repo::sample().commit;
    let files = hub.files(&pinned(&commit)).unwrap();
    check(&Repo::sample(), cache.path(), &files);
    assert!(!cache.path().join("models--Org--Model/refs").exists(), "a commit needs no reference");
    assert!(hub.cached(&pinned(&commit)).is_some());
    assert!(hub.cached(&spec()).is_none(), "main is not known");
}

#[test]
fn the_token_stays_with_its_host() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let elsewhere = serving(&repo);
    let target = elsewhere.other_url();
    let server = Server::start(move |request| {
        let mut reply = repo.reply(request);
        for (name, value) in &mut reply.headers {
            if name == "Location" {
                *value = format!("{target}{value}");
            }
        }
        reply
    });
    let mut hub = hub(cache.path(), &server);
    hub.token = Some(Token::new("hf_very_secret"));
    hub.files(&spec()).unwrap();
    let with_token = |server: &Server| {
        let has = |r: &embedkit_testkit::hub::Request| {
            r.headers.get("authorization").is_some_and(|value| value == "Bearer hf_very_secret")
        };
        (server.requests().iter().filter(|r| has(r)).count(), server.requests().len())
    };
    let (sent, all) = with_token(&server);
    assert_eq!(sent, all);
    assert!(all > 4);
    assert_eq!(with_token(&elsewhere), (0, 2), "two large files live elsewhere");
    assert!(!format!("{hub:?}").contains("secret"));
}

#[test]
fn the_token_goes_to_no_other_machine_in_clear_text() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let next = serving(&repo);
    let mut hub = hub(cache.path(), &next);
    // No such name is ever known, and the address is one that is never in use: the error comes first.
    for endpoint in ["http://hub.invalid", "http://192.0.2.1:8080", "http://me:pw@hub.invalid"] {
        hub.endpoints = vec![endpoint.into(), next.url()];
        hub.token = Some(Token::new("hf_very_secret"));
        let error = hub.files(&spec()).unwrap_err();
        assert!(matches!(error, Error::ClearText { .. }), "{endpoint}: {error}");
        let text = format!("{error} {error:?} {:?}", error.hint());
        assert!(text.contains("the token") && text.contains("https://"), "{text}");
        assert!(!text.contains("secret\"") && !text.contains("hf_very") && !text.contains("pw@"));
    }
    hub.token = None;
    hub.endpoints = vec!["http://me:pw@hub.invalid".into()];
    assert!(matches!(hub.files(&spec()).unwrap_err(), Error::ClearText { .. }));
    assert_eq!(next.requests().len(), 0, "no other endpoint takes its place unnoticed");
    // Without a secret, a mirror without encryption is one that cannot be reached.
    hub.endpoints = vec!["http://hub.invalid".into(), next.url()];
    check(&repo, cache.path(), &hub.files(&spec()).unwrap());
    // To this machine it may go, since nobody else reads it.
    let own = tempfile::tempdir().unwrap();
    hub.cache_dir = own.path().into();
    hub.endpoints = vec![next.url()];
    hub.token = Some(Token::new("hf_very_secret"));
    hub.files(&spec()).unwrap();
    assert!(next.requests().last().unwrap().headers.contains_key("authorization"));
}

#[test]
fn a_server_that_tells_no_hashes_is_checked_by_its_headers() {
    for (headers, expect_named_by_server) in [(true, true), (false, false)] {
        let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
        let bare: Vec<_> =
            repo.files.keys().map(|path| format!(r#"{{"rfilename":"{path}"}}"#)).collect();
        let listing = format!(r#"{{"sha":"{}","siblings":[{}]}}"#, repo.commit, bare.join(","));
        let served = repo.clone();
        let server = Server::start(move |request| {
            if request.path.starts_with("/api/") {
                return Reply::ok(listing.clone());
            }
            let mut reply = served.reply(request);
            if !headers {
                // The entity tag of another kind of server: as long as a git hash, but none.
                reply.headers.retain(|(name, _)| !name.starts_with("X-"));
                reply = reply.with("ETag", format!("\"{}\"", "e".repeat(40)));
            }
            reply
        });
        let files = hub(cache.path(), &server).files(&spec()).unwrap();
        check(&repo, cache.path(), &files);
        let blob =
            cache.path().join("models--Org--Model/blobs").join(repo.digest("tokenizer.json"));
        assert_eq!(blob.is_file(), expect_named_by_server);
    }
}

#[test]
fn the_next_endpoint_helps_out() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let broken = Server::start(|_| Reply::status(500));
    let server = serving(&repo);
    let mut hub = hub(cache.path(), &broken);
    hub.endpoints.push(server.url());
    hub.token = Some(Token::new("hf_very_secret"));
    check(&repo, cache.path(), &hub.files(&spec()).unwrap());
    assert_eq!(broken.requests().len(), 3);
    let tokens =
        server.requests().iter().filter(|r| r.headers.contains_key("authorization")).count();
    assert_eq!(tokens, 0, "the token is for the first endpoint");
}

#[test]
fn progress_is_told() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let server = serving(&repo);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let hub = hub(cache.path(), &server).with_progress(Arc::new(move |event: Event<'_>| {
        let line = match event {
            Event::Started { file, size } => format!("start {file} {size:?}"),
            Event::Received { file, bytes } => format!("bytes {file} {bytes}"),
            Event::Finished { file, size } => format!("end {file} {size}"),
            other => format!("{other:?}"),
        };
        log.lock().unwrap().push(line);
    }));
    hub.files(&spec()).unwrap();
    let seen = seen.lock().unwrap();
    let position = |line: &str| seen.iter().position(|one| one == line).expect(line);
    let start = position("start onnx/model.onnx Some(300000)");
    let all = position("bytes onnx/model.onnx 300000");
    assert!(start < all && all < position("end onnx/model.onnx 300000"));
}

#[test]
fn what_the_repository_lacks_is_named() {
    let (mut repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    repo.files.remove("tokenizer_config.json");
    let error = hub(cache.path(), &serving(&repo)).files(&spec()).unwrap_err();
    let Error::NoFile { file, repo, .. } = &error else { panic!("{error}") };
    assert_eq!((file.as_str(), repo.as_str()), ("tokenizer_config.json", "Org/Model"));
}

#[test]
fn names_that_leave_the_cache_are_refused() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let server = serving(&repo);
    let hub = hub(&cache.path().join("cache"), &server);
    let source = |name: &str, revision: Option<&str>| Source {
        repo: Some(name.to_owned().into()),
        revision: revision.map(|r| r.to_owned().into()),
        ..Source::DEFAULT
    };
    let bad = [
        ModelSpec { file: "../../evil".into(), ..spec() },
        ModelSpec { file: "/etc/evil".into(), ..spec() },
        ModelSpec { file: "C:\\evil".into(), ..spec() },
        ModelSpec { additional_files: vec!["a/../../evil".into()].into(), ..spec() },
        ModelSpec { source: source("../evil", None), ..spec() },
        ModelSpec { source: source("a/b/c", None), ..spec() },
        ModelSpec { source: source("Org/Model", Some("../../evil")), ..spec() },
    ];
    for spec in bad {
        assert!(matches!(hub.files(&spec), Err(Error::Name { .. })), "{spec:?}");
        assert_eq!(hub.cached(&spec), None);
    }
    assert!(matches!(
        hub.files(&ModelSpec { source: Source::DEFAULT, ..spec() }),
        Err(Error::NoSource { .. })
    ));
    assert_eq!(server.requests().len(), 0);
    assert!(tree(cache.path()).is_empty());
}

#[test]
fn names_from_the_server_do_no_harm() {
    let cache = tempfile::tempdir().unwrap();
    let sound = Repo::sample();
    let odd = ["../../../evil", "/evil", "..\\\\evil", "C:/evil", "onnx/../../../../evil"];
    let siblings: Vec<_> = odd
        .iter()
        .map(|name| format!(r#"{{"rfilename":"{name}","size":1,"blobId":"../../../evil"}}"#))
        .collect();
    let listing = sound
        .listing()
        .replace("\"siblings\":[", &format!("\"siblings\":[{},", siblings.join(",")));
    let served = sound.clone();
    let server = Server::start(move |request| {
        if request.path.starts_with("/api/") {
            Reply::ok(listing.clone())
        } else {
            served.reply(request)
        }
    });
    let dir = cache.path().join("a").join("b").join("cache");
    let files = hub(&dir, &server).files(&spec()).unwrap();
    check(&sound, &dir, &files);
    assert!(
        tree(cache.path())
            .iter()
            .all(|name| !name.contains("evil") && name.starts_with("a/b/cache/"))
    );

    // A commit that is a path, and an entity tag that is one.
    let mut evil = sound.clone();
    evil.commit = "../../../../../evil".into();
    let server = Server::start(move |request| evil.reply(request));
    let fresh = tempfile::tempdir().unwrap();
    let error = hub(fresh.path(), &server).files(&spec()).unwrap_err();
    assert!(matches!(error, Error::Answer { .. }), "{error}");
    let served = sound.clone();
    let bare = sound.listing().replace("blobId", "b").replace("lfs", "l");
    let server = Server::start(move |request| {
        if request.path.starts_with("/api/") {
            return Reply::ok(bare.clone());
        }
        served.reply(request).with("X-Linked-Etag", "\"../../../../evil\"")
    });
    hub(fresh.path(), &server).files(&spec()).unwrap();
    assert!(tree(fresh.path()).iter().all(|name| !name.contains("evil")));
    nothing_unfinished(fresh.path());
}

#[test]
fn a_damaged_cache_is_repaired() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let server = serving(&repo);
    let mut hub = hub(cache.path(), &server);
    let files = hub.files(&spec()).unwrap();
    let blob = fs::canonicalize(&files.model).unwrap();
    fs::write(&blob, "truncated").unwrap();
    assert_eq!(hub.cached(&spec()), None, "the size is compared at every use");
    hub.offline = true;
    let Err(Error::Offline { missing, .. }) = hub.files(&spec()) else { panic!() };
    assert_eq!(missing, ["onnx/model.onnx"]);
    hub.offline = false;
    check(&repo, cache.path(), &hub.files(&spec()).unwrap());

    // The same size, but other bytes: `verify` and `pull` compare the hash.
    let sound = hub.verify(&spec()).unwrap();
    assert_eq!(sound.len(), 5);
    assert!(sound.iter().all(|file| file.outcome == Outcome::Same));
    let mut wrong = repo.files["onnx/model.onnx"].clone();
    wrong[1000] ^= 1;
    fs::write(&blob, wrong).unwrap();
    let different = |hub: &Hub| {
        let files = hub.verify(&spec()).unwrap().into_iter();
        let different = files.filter(|file| matches!(file.outcome, Outcome::Different { .. }));
        different.map(|file| file.file.path).collect::<Vec<_>>()
    };
    assert_eq!(different(&hub), ["onnx/model.onnx"]);
    // Without our record, the names that the hub's tools give to content say the same.
    fs::remove_dir_all(cache.path().join("models--Org--Model/embedkit")).unwrap();
    #[cfg(unix)]
    assert_eq!(different(&hub), ["onnx/model.onnx"]);
    let pulled = hub.pull(&spec()).unwrap();
    let fresh: Vec<_> = pulled.fetched.iter().filter(|f| !f.reused).map(|f| &f.file.path).collect();
    assert_eq!(fresh, ["onnx/model.onnx"]);
    check(&repo, cache.path(), &pulled.files);
    assert!(different(&hub).is_empty());
    fs::remove_file(pulled.files.path("tokenizer.json")).unwrap();
    let Err(Error::Missing { missing, .. }) = hub.verify(&spec()) else { panic!() };
    assert_eq!(missing, ["tokenizer.json"]);
}

#[test]
#[cfg(unix)]
fn a_cache_that_cannot_be_written_is_an_error() {
    let server = serving(&Repo::sample());
    let hub = hub(Path::new("/dev/null/cache"), &server);
    let error = hub.files(&spec()).unwrap_err();
    assert!(matches!(error, Error::Disk { .. }), "{error}");
    assert_eq!(server.requests().len(), 0);
}
