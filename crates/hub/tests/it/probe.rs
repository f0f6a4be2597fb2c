//! Facts without a download: the hub's answer, and a model's presence.

use std::{fs, time::Duration};

use embedkit_hub::{CacheState, Error, Timeouts};

use embedkit_testkit::hub::{Fault, Reply, Repo, Server};

use crate::{hub, spec, tree};

#[test]
fn each_endpoint_is_asked_once_and_nothing_is_kept() {
    let repo = Repo::sample();
    let good = Server::start(move |request| repo.reply(request));
    let bad = Server::start(|_| Reply::status(500));
    let cache = tempfile::tempdir().unwrap();
    let mut hub = hub(cache.path(), &good);
    hub.endpoints.push(bad.url());
    let probes = hub.probe(&spec()).unwrap();
    assert_eq!(probes.len(), 2);
    assert!(probes[0].answer.is_ok(), "{:?}", probes[0]);
    assert!(matches!(probes[1].answer, Err(Error::Status { status: 500, .. })), "{:?}", probes[1]);
    assert_eq!((good.requests().len(), bad.requests().len()), (1, 1));
    assert!(tree(cache.path()).is_empty());
}

#[test]
fn an_endpoint_without_an_answer_or_with_another_page_is_no_hub() {
    let silent = Server::start(|_| Reply::status(200).failing(Fault::Silence));
    let portal = Server::start(|_| Reply::ok("<html>please log in</html>"));
    let cache = tempfile::tempdir().unwrap();
    let mut hub = hub(cache.path(), &silent);
    hub.endpoints.push(portal.url());
    let limit = Duration::from_millis(200);
    hub.timeouts = Timeouts { headers: limit, ..hub.timeouts };
    let probes = hub.probe(&spec()).unwrap();
    assert!(matches!(probes[0].answer, Err(Error::Timeout { .. })), "{:?}", probes[0]);
    assert!(matches!(probes[1].answer, Err(Error::Answer { .. })), "{:?}", probes[1]);
}

#[test]
fn offline_nobody_is_asked() {
    let server = Server::start(|_| Reply::status(200));
    let cache = tempfile::tempdir().unwrap();
    let mut hub = hub(cache.path(), &server);
    hub.offline = true;
    assert!(matches!(hub.probe(&spec()), Err(Error::Offline { .. })));
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_model_is_absent_incomplete_or_complete() {
    let repo = Repo::sample();
    let server = Server::start(move |request| repo.reply(request));
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(cache.path(), &server);
    assert!(matches!(hub.state(&spec()), CacheState::Absent));
    let files = hub.files(&spec()).unwrap();
    let CacheState::Complete(found) = hub.state(&spec()) else { panic!() };
    assert_eq!(found, files);
    fs::remove_file(files.path("tokenizer.json")).unwrap();
    let CacheState::Incomplete { missing } = hub.state(&spec()) else { panic!() };
    assert_eq!(missing, ["tokenizer.json"]);
}
