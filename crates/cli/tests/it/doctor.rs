//! `doctor`: what it finds on machines in all sorts of states. It never hangs, and never shows a secret.

use std::{fs, net::TcpListener};

use embedkit_testkit::{dense_case, runtime_library};
use serde_json::Value;

use crate::program::{Outcome, Program, arg, fill_cache};

/// The repository of the default model, and the names of its files.
const REPO: &str = "Qdrant/bge-small-en-v1.5-onnx-Q";
const FILES: [&str; 3] = ["model_optimized.onnx", "tokenizer.json", "tokenizer_config.json"];

/// Level, finding and advice of a check.
#[track_caller]
fn check(outcome: &Outcome, name: &str) -> (String, String, String) {
    let page: Value = serde_json::from_slice(&outcome.stdout).unwrap();
    let checks = page["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name);
    let check = check.unwrap_or_else(|| panic!("no {name} in {page}"));
    let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
    (text("level"), text("found"), text("advice"))
}

fn doctor() -> Program {
    Program::new(["doctor", "--json"])
}

#[test]
fn a_new_machine_learns_what_to_do_first() {
    let outcome = Program::new(["doctor"]).run();
    let outcome = outcome.failure(1, "a problem was found: runtime", None);
    let page = outcome.text();
    assert!(
        page.contains("problem  runtime ") && page.contains("-> run `embedkit runtime install`"),
        "{page}"
    );
    assert!(page.contains("ok       words      Qdrant/bm25 found 3 words"), "{page}");
    assert!(page.contains("skipped  hub        not asked: the network is switched off"), "{page}");
    assert!(page.contains("skipped  vectors    no model is here yet"), "{page}");
    assert!(page.ends_with("\n1 problem, 0 warnings.\n"), "{page}");
    // Only what cannot be broken, such as a path, may be longer.
    let long =
        |line: &&str| line.len() > 80 && line.trim_start().contains(' ') && !line.contains('/');
    assert_eq!(page.lines().find(long), None);
}

#[test]
fn a_program_reads_the_same() {
    let outcome = doctor().run();
    assert_eq!(outcome.status, 1);
    let page: Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(page["version"], env!("CARGO_PKG_VERSION"));
    let levels = ["ok", "skipped", "warning", "problem"];
    for check in page["checks"].as_array().unwrap() {
        assert!(levels.contains(&check["level"].as_str().unwrap()), "{check}");
        assert!(!check["found"].as_str().unwrap().is_empty(), "{check}");
    }
    for name in ["embedkit", "processor", "runtime", "devices", "cache", "models", "hub", "words"] {
        check(&outcome, name);
    }
}

#[test]
fn a_file_that_is_no_library_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("libonnxruntime.so");
    fs::write(&path, "not a library").unwrap();
    let outcome = doctor().args(["--onnxruntime", arg(&path)]).run();
    assert_eq!(outcome.status, 1);
    let (level, found, advice) = check(&outcome, "runtime");
    assert_eq!(level, "problem");
    assert!(found.contains(arg(&path)), "{found}");
    assert!(advice.contains("embedkit runtime install"), "{advice}");
    assert_eq!(check(&outcome, "devices").0, "skipped");
}

#[test]
fn a_library_and_its_devices_are_found() {
    let Some(library) = runtime_library() else { return };
    let outcome = doctor().var("ORT_DYLIB_PATH", &library).run().silent_success();
    let (level, found, _) = check(&outcome, "runtime");
    assert_eq!(level, "ok");
    assert!(found.contains(arg(&library)) && found.contains("ORT_DYLIB_PATH"), "{found}");
    assert!(check(&outcome, "devices").1.contains("CPU"));
    if cfg!(not(feature = "cuda")) {
        let asked = doctor().args(["--device", "cuda"]).var("ORT_DYLIB_PATH", &library).run();
        let (level, _, advice) = check(&asked, "devices");
        assert_eq!((asked.status, &*level), (1, "problem"));
        assert!(advice.contains("--features cuda"), "{advice}");
    }
}

#[test]
fn a_model_that_is_here_is_tried() {
    let Some(library) = runtime_library() else { return };
    let program = doctor().var("ORT_DYLIB_PATH", &library);
    let files = dense_case("cls").files();
    let content = |name: &'static str| {
        let path = if name.ends_with(".onnx") { files.model.clone() } else { files.path(name) };
        (name, fs::read(path).unwrap())
    };
    fill_cache(&program.cache(), REPO, &FILES.map(content));
    let outcome = program.run();
    let (level, found, _) = check(&outcome, "vectors");
    assert_eq!((outcome.status, &*level), (0, "ok"), "{found}");
    assert!(found.starts_with("BAAI/bge-small-en-v1.5 gave a vector of "), "{found}");
    assert!(found.contains(" on cpu: "), "{found}");
    assert!(check(&outcome, "models").1.contains("BAAI/bge-small-en-v1.5"));

    // The same model with another file for its graph.
    let damaged = doctor().var("ORT_DYLIB_PATH", &library);
    fill_cache(&damaged.cache(), REPO, &FILES.map(|name| (name, b"{}".to_vec())));
    let outcome = damaged.run();
    assert_eq!(outcome.status, 1);
    let (level, found, _) = check(&outcome, "vectors");
    assert_eq!(level, "problem");
    assert!(found.starts_with("BAAI/bge-small-en-v1.5 does not embed: "), "{found}");
}

#[test]
fn half_a_model_is_a_warning() {
    let program = doctor();
    fill_cache(&program.cache(), REPO, &[(FILES[1], b"{}".to_vec())]);
    let (level, found, advice) = check(&program.run(), "models");
    assert_eq!(level, "warning");
    assert!(found.contains("BAAI/bge-small-en-v1.5 lacks ") && found.contains(FILES[0]), "{found}");
    assert!(advice.contains("embedkit models pull BAAI/bge-small-en-v1.5"), "{advice}");
}

#[test]
fn a_cache_that_is_no_folder_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let outcome = doctor().args(["--cache-dir", arg(&file)]).run();
    let (level, found, advice) = check(&outcome, "cache");
    assert_eq!((outcome.status, &*level), (1, "problem"));
    assert!(found.ends_with("is not a folder"), "{found}");
    assert!(advice.contains("--cache-dir"), "{advice}");
}

#[test]
fn an_endpoint_that_refuses_is_reported_without_the_token() {
    // A port that nobody listens on any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let outcome = doctor()
        .var("EMBEDKIT_OFFLINE", "0")
        .var("HF_ENDPOINT", format!("http://name:password@127.0.0.1:{port}"))
        .var("HF_TOKEN", "hf_secret")
        .run();
    assert_eq!(outcome.status, 1);
    let (level, found, advice) = check(&outcome, "hub");
    assert_eq!(level, "problem");
    assert!(
        found.contains(&format!("127.0.0.1:{port}")) && found.contains("with a token"),
        "{found}"
    );
    assert!(!advice.is_empty());
    let all = [outcome.text(), &outcome.stderr].concat();
    assert!(!all.contains("secret") && !all.contains("password"), "{all}");
}

#[test]
fn an_endpoint_that_never_answers_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let program = doctor()
        .var("EMBEDKIT_OFFLINE", "0")
        .var("HF_ENDPOINT", format!("http://{}", silent.local_addr().unwrap()));
    // With a model that is here, the hub is not needed.
    fill_cache(&program.cache(), REPO, &FILES.map(|name| (name, b"{}".to_vec())));
    let outcome = program.run();
    let (level, found, _) = check(&outcome, "hub");
    assert_eq!(level, "warning");
    assert!(found.contains("no token"), "{found}");
}
