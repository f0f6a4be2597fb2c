//! Several processes on one cache, and processes that are killed.
//!
//! Another process is this test program again, told by variables to run one test only: the one that
//! downloads and is a test of nothing otherwise.

use std::{
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use embedkit_hub::Hub;

use crate::{
    check,
    server::{Fault, Reply, Repo, Server},
    spec,
};

const CACHE: &str = "EMBEDKIT_TEST_CACHE";
/// Attempts per request in the other process.
const ATTEMPTS: &str = "EMBEDKIT_TEST_ATTEMPTS";

#[test]
fn child() {
    let Some(cache) = env::var_os(CACHE) else { return };
    let mut hub = Hub::from_env(Some(cache.into()), false).unwrap();
    if let Ok(attempts) = env::var(ATTEMPTS) {
        hub.retries.attempts = attempts.parse().unwrap();
    }
    check_model(&hub);
}

fn check_model(hub: &Hub) {
    let files = hub.files(&spec()).unwrap();
    assert_eq!(fs::read(&files.model).unwrap(), Repo::sample().files["onnx/model.onnx"]);
    assert!(files.path("tokenizer_config.json").is_file());
}

fn command(cache: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["processes::child", "--exact", "--quiet"])
        .env(CACHE, cache)
        .env("HF_HOME", cache.join("nobody-elses-cache"))
        .env_remove("HF_HUB_CACHE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn start(cache: &Path, server: &Server) -> Child {
    command(cache).env("HF_ENDPOINT", server.url()).spawn().unwrap()
}

#[test]
fn offline_opens_no_socket() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    // Every way out leads here: the hub's address by way of the proxy variables.
    let proxy = Server::start(|_| Reply::status(403));
    let run = |offline: &str| {
        let mut command = command(cache.path());
        for name in
            ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"]
        {
            command.env(name, proxy.url());
        }
        for name in ["NO_PROXY", "no_proxy", "HF_ENDPOINT"] {
            command.env_remove(name);
        }
        command.env("HF_HUB_OFFLINE", offline).env(ATTEMPTS, "1").status().unwrap().success()
    };
    assert!(!run("1"), "there is no model");
    assert_eq!(proxy.connections(), 0);
    assert!(!run("0"), "the proxy refuses");
    let asked: Vec<_> = proxy.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(asked, ["huggingface.co:443"], "the server would have noticed");
    let before = proxy.connections();

    let server = Server::start(move |request| repo.reply(request));
    assert!(start(cache.path(), &server).wait().unwrap().success());
    assert!(run("1") && run("0"), "a cached model needs no network in either case");
    assert_eq!(proxy.connections(), before);
}

#[test]
fn twenty_at_once() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let served = repo.clone();
    let server = Server::start(move |request| served.reply(request));
    let children: Vec<_> = (0..20).map(|_| start(cache.path(), &server)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let mut hub = Hub::new(cache.path());
    hub.offline = true;
    check(&repo, cache.path(), &hub.files(&spec()).unwrap());
    assert_eq!(server.count("/cdn/onnx/model.onnx?"), 1, "the lock saves the others the work");
}

#[test]
fn killed_at_any_point() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let served = repo.clone();
    // Small files come with pauses between their bytes, so that there is something to interrupt.
    let server = Server::start(move |request| {
        let reply = served.reply(request);
        if request.path.contains("json") { reply.failing(Fault::Drip) } else { reply }
    });
    let mut hub = Hub::new(cache.path());
    hub.offline = true;
    let mut complete = 0;
    for round in 0..100u64 {
        let mut child = start(cache.path(), &server);
        thread::sleep(Duration::from_millis(round * 37 % 400));
        child.kill().unwrap();
        child.wait().unwrap();
        // Whatever is visible is whole.
        if hub.cached(&spec()).is_some() {
            check_model(&hub);
            complete += 1;
            fs::remove_dir_all(cache.path().join("models--Org--Model/refs")).unwrap();
            if complete % 3 == 0 {
                fs::remove_dir_all(cache.path()).unwrap();
            }
        }
    }
    assert!(start(cache.path(), &server).wait().unwrap().success());
    check_model(&hub);
    for file in hub.verify(&spec()).unwrap() {
        assert_eq!(file.outcome, embedkit_hub::Outcome::Same, "{}", file.file.path);
    }
}
