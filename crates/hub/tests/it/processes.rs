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

use embedkit_hub::{Conversion, Error, Hub};

use embedkit_testkit::hub::{Fault, Reply, Repo, Server};

use crate::{check, converted::local, spec, tree};

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

/// Folder with the weights that the other process converts.
const WEIGHTS: &str = "EMBEDKIT_TEST_WEIGHTS";
/// Set where the other process stops in the middle of its conversion.
const STUCK: &str = "EMBEDKIT_TEST_STUCK";

#[test]
fn converting_child() {
    let (Some(cache), Some(dir)) = (env::var_os(CACHE), env::var_os(WEIGHTS)) else { return };
    let (hub, dir) = (Hub::new(cache), Path::new(&dir));
    let path = convert(&hub, dir, || {
        // The other tools of the test see who came here.
        let mark = dir.join(format!("made-{}", std::process::id()));
        fs::write(mark, "").unwrap();
        if env::var_os(STUCK).is_some() {
            loop {
                thread::sleep(Duration::from_secs(60));
            }
        }
        thread::sleep(Duration::from_millis(100));
    });
    assert_eq!(fs::read_to_string(path).unwrap(), "whole");
}

fn convert(hub: &Hub, dir: &Path, between: impl FnOnce()) -> std::path::PathBuf {
    let inputs = ["weights".to_owned()];
    let spec = local();
    let conversion =
        Conversion { spec: &spec, root: dir, inputs: &inputs, recipe: "x", file: "model.onnx" };
    hub.converted(&conversion, |path, _| -> Result<(), Error> {
        fs::write(path, "half").unwrap();
        between();
        fs::write(path, "whole").unwrap();
        Ok(())
    })
    .unwrap()
}

fn start_conversion(cache: &Path, dir: &Path, stuck: bool) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["processes::converting_child", "--exact", "--quiet"])
        .env(CACHE, cache)
        .env(WEIGHTS, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if stuck {
        command.env(STUCK, "1");
    }
    command.spawn().unwrap()
}

fn conversions(dir: &Path) -> usize {
    tree(dir).iter().filter(|name| name.starts_with("made-")).count()
}

#[test]
fn eight_at_once_convert_once() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(dir.path().join("weights"), "w").unwrap();
    let children: Vec<_> =
        (0..8).map(|_| start_conversion(cache.path(), dir.path(), false)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(conversions(dir.path()), 1);
}

#[test]
fn a_conversion_that_is_killed_leaves_nothing_that_counts() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(dir.path().join("weights"), "w").unwrap();
    let mut child = start_conversion(cache.path(), dir.path(), true);
    while conversions(dir.path()) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let made = std::cell::Cell::new(false);
    let hub = Hub::new(cache.path());
    let path = convert(&hub, dir.path(), || made.set(true));
    assert!(made.get(), "half a graph is none");
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
    assert_eq!(convert(&hub, dir.path(), || panic!("it is there")), path);
}
