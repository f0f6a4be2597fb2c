//! Models that come as one archive.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use embedkit_hub::{Error, Hub, Outcome};
use embedkit_types::{ModelSpec, Source};
use flate2::{Compression, write::GzEncoder};

use embedkit_testkit::hub::{Fault, Reply, Repo, Server};

use crate::{check, hub, nothing_unfinished, spec, tree};

/// The sample model packed in a folder, without the files named in `without`.
fn packed(folder: &str, without: &[&str]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, body) in Repo::sample().files {
        if without.contains(&name.as_str()) {
            continue;
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{folder}{name}"), body.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn from_url(server: &Server) -> ModelSpec {
    let url = format!("{}/files/model.tar.gz", server.url());
    ModelSpec { source: Source { url: Some(url.into()), ..Source::DEFAULT }, ..spec() }
}

fn serving(body: Vec<u8>) -> Server {
    Server::start(move |_| Reply::ok(body.clone()))
}

fn nothing_kept(cache: &Path, hub: &Hub, spec: &ModelSpec) {
    assert_eq!(hub.cached(spec), None);
    let left: Vec<_> = tree(cache).into_iter().filter(|name| !name.starts_with(".locks")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_archive_is_unpacked_once() {
    for folder in ["fast-model/", "./fast-model/", ""] {
        let cache = tempfile::tempdir().unwrap();
        let server = serving(packed(folder, &[]));
        let (hub, spec) = (hub(cache.path(), &server), from_url(&server));
        let files = hub.files(&spec).unwrap();
        check(&Repo::sample(), cache.path(), &files);
        assert_eq!(hub.files(&spec).unwrap(), files);
        assert_eq!(server.requests().len(), 1);
        // So does one of the same size; what was there is kept aside.
        let mut other = fs::read(&files.model).unwrap();
        other[5] ^= 1;
        fs::write(&files.model, &other).unwrap();
        let later = SystemTime::now() + Duration::from_secs(5);
        let model = fs::File::options().write(true).open(&files.model).unwrap();
        model.set_modified(later).unwrap();
        assert_eq!(hub.cached(&spec), None);
        check(&Repo::sample(), cache.path(), &hub.files(&spec).unwrap());
        assert_eq!(server.requests().len(), 2);
        let aside = |name: &&String| name.contains(".damaged/") && name.ends_with("/model.onnx");
        assert_eq!(tree(cache.path()).iter().filter(aside).count(), 1);
        // A file that has changed brings the archive again.
        fs::write(&files.model, "short").unwrap();
        assert_eq!(hub.cached(&spec), None);
        check(&Repo::sample(), cache.path(), &hub.files(&spec).unwrap());
        assert_eq!(server.requests().len(), 3);
        let verified = hub.verify(&spec).unwrap();
        assert!(verified.iter().all(|file| file.outcome == Outcome::Same), "{verified:?}");
    }
}

#[test]
fn the_repository_comes_first() {
    let cache = tempfile::tempdir().unwrap();
    let body = packed("m/", &[]);
    let server = Server::start(move |request| {
        if request.path.contains("tar.gz") { Reply::ok(body.clone()) } else { Reply::status(404) }
    });
    let mut spec = from_url(&server);
    spec.source.repo = Some("Org/Model".into());
    check(&Repo::sample(), cache.path(), &hub(cache.path(), &server).files(&spec).unwrap());
    let paths: Vec<_> = server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths.len(), 2);
    assert!(paths[0].starts_with("/api/") && paths[1].ends_with("tar.gz"), "{paths:?}");
}

#[test]
fn archives_that_another_tool_unpacked() {
    for name in ["model", "fast-model"] {
        let cache = tempfile::tempdir().unwrap();
        let server = serving(Vec::new());
        for (file, body) in Repo::sample().files {
            let path = cache.path().join(name).join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, body).unwrap();
        }
        let mut hub = hub(cache.path(), &server);
        hub.offline = true;
        let files = hub.files(&from_url(&server)).unwrap();
        check(&Repo::sample(), cache.path(), &files);
        assert_eq!(server.requests().len(), 0);
    }
}

#[test]
fn archives_that_are_of_no_use() {
    let incomplete = serving(packed("m/", &["tokenizer.json"]));
    let page = serving(b"<html>not found</html>".to_vec());
    let cut = packed("m/", &[]);
    let cut = serving(cut[..cut.len() - 20].to_vec());
    let outside = serving(packed("m/C:", &[]));
    for (server, expect) in
        [(&incomplete, "missing"), (&page, "archive"), (&cut, "archive"), (&outside, "name")]
    {
        let cache = tempfile::tempdir().unwrap();
        let (hub, spec) = (hub(cache.path(), server), from_url(server));
        let error = hub.files(&spec).unwrap_err();
        match (expect, &error) {
            ("missing", Error::Missing { missing, .. }) => assert_eq!(missing, &["tokenizer.json"]),
            ("archive", Error::Archive { path, .. }) => {
                assert_eq!(path.to_str(), spec.source.url.as_deref());
            }
            ("name", Error::Name { .. }) => {}
            _ => panic!("{error:?}"),
        }
        nothing_kept(cache.path(), &hub, &spec);
    }
}

#[test]
fn a_transfer_that_breaks_is_made_again() {
    let cache = tempfile::tempdir().unwrap();
    let body = packed("m/", &[]);
    let server = Server::start(move |request| {
        let reply = Reply::ok(body.clone());
        if request.earlier == 0 { reply.failing(Fault::CutAfter(1000)) } else { reply }
    });
    let files = hub(cache.path(), &server).files(&from_url(&server)).unwrap();
    check(&Repo::sample(), cache.path(), &files);
    nothing_unfinished(cache.path());
}

#[test]
fn plain_addresses_are_for_this_machine_only() {
    let cache = tempfile::tempdir().unwrap();
    let server = serving(packed("m/", &[]));
    for url in ["http://files.example/model.tar.gz", "file:///etc/passwd", "model.tar.gz"] {
        let source = Source { url: Some(url.into()), ..Source::DEFAULT };
        let error = hub(cache.path(), &server).files(&ModelSpec { source, ..spec() }).unwrap_err();
        assert!(matches!(error, Error::Name { .. }), "{url}: {error:?}");
    }
}
