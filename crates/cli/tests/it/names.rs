//! `--model` as a folder or a repository of the hub: models that describe themselves.

use std::path::Path;

use embedkit_testkit::{
    TINY_TEXT, TINY_VECTOR, assert_close,
    hub::{Reply, Repo, Server},
    runtime_library, sentence_folder,
};
use serde_json::Value;

use crate::program::{Outcome, Program, arg, embedding, names};

const REPO: &str = "Org/Tiny";
const TOLERANCE: f32 = 1e-5;

/// A run with the network switched on, and no hub but this one.
fn online(server: &Server, cache: &Path, args: &[&str]) -> Program {
    Program::new(args)
        .args(["--cache-dir", arg(cache)])
        .var("HF_ENDPOINT", server.url())
        .var("EMBEDKIT_OFFLINE", "0")
}

/// A run without network on the same cache.
fn offline(cache: &Path, args: &[&str]) -> Program {
    Program::new(args).args(["--cache-dir", arg(cache)])
}

#[track_caller]
fn check_vector(outcome: &Outcome) {
    assert_close(&embedding(&outcome.records()[0]), &TINY_VECTOR, TOLERANCE);
}

#[test]
fn a_folder_embeds_and_is_converted_once() {
    let Some(library) = runtime_library() else { return };
    let (dir, cache) = (sentence_folder(), tempfile::tempdir().unwrap());
    let embed = || {
        let args = ["embed", "--model", arg(dir.path()), TINY_TEXT];
        let outcome = offline(cache.path(), &args).var("ORT_DYLIB_PATH", &library).run();
        check_vector(&outcome.silent_success());
        let converted = cache.path().join("converted");
        let names = names(&converted);
        assert_eq!(names.len(), 1);
        converted.join(&names[0]).join("model.onnx").metadata().unwrap().modified().unwrap()
    };
    assert_eq!(embed(), embed(), "the second run takes the graph of the first");
}

#[test]
fn a_folder_is_shown_with_the_files_that_describe_it() {
    let dir = sentence_folder();
    let show = |args: &[&str]| Program::new(["models", "show"]).args(args).run().silent_success();
    let page = show(&[arg(dir.path())]);
    let line = |part: &str| {
        let line = page.text().lines().find(|line| line.contains(part));
        line.unwrap_or_else(|| panic!("{part}: {}", page.text())).to_owned()
    };
    assert!(line("1_Pooling/config.json").contains("mean"));
    assert!(line("sentence_bert_config.json").contains("12"));
    assert!(line("model file").ends_with("model.safetensors"));
    assert!(line("cached").ends_with("yes"));
    assert_eq!(show(&["--model-dir", arg(dir.path())]).text(), page.text());

    let json = show(&[arg(dir.path()), "--json"]);
    let rows: Value = serde_json::from_slice(&json.stdout).unwrap();
    let facts = rows[0]["facts"].as_array().unwrap();
    let pooling = facts.iter().find(|fact| fact["field"] == "pooling").unwrap();
    assert_eq!(pooling["value"], "mean");
    assert_eq!(pooling["file"], "1_Pooling/config.json");
    assert_eq!((&rows[0]["dim"], &rows[0]["task"]), (&8.into(), &"text-dense".into()));

    Program::new(["models", "show"]).run().status_is(2);
    Program::new(["models", "show", "--model-dir", "no/such"]).run().failure(
        1,
        "cannot open the folder ./no/such",
        None,
    );
    let pull = Program::new(["models", "pull", arg(dir.path())]).run();
    pull.failure(1, "is a folder", Some("models list"));
}

/// Moves the encoder of a folder with its files to a folder of its own.
fn move_encoder(dir: &Path) {
    const ENCODER: &str = "0_Transformer";
    std::fs::create_dir(dir.join(ENCODER)).unwrap();
    for name in names(dir) {
        if dir.join(&name).is_file() && name != "modules.json" {
            std::fs::rename(dir.join(&name), dir.join(ENCODER).join(&name)).unwrap();
        }
    }
    let modules = std::fs::read_to_string(dir.join("modules.json")).unwrap();
    assert!(modules.contains(r#""path":"""#), "{modules}");
    let modules = modules.replacen(r#""path":"""#, &format!(r#""path":"{ENCODER}""#), 1);
    std::fs::write(dir.join("modules.json"), modules).unwrap();
}

#[test]
fn an_encoder_in_a_folder_of_its_own_is_fetched_and_run() {
    let Some(library) = runtime_library() else { return };
    let (dir, cache) = (sentence_folder(), tempfile::tempdir().unwrap());
    move_encoder(dir.path());
    let embed = |model: &str| ["embed", "--model", model, TINY_TEXT].map(str::to_owned);
    let local = Program::new(embed(arg(dir.path()))).args(["--cache-dir", arg(cache.path())]);
    check_vector(&local.var("ORT_DYLIB_PATH", &library).run().silent_success());

    let repo = Repo::of_dir(REPO, dir.path());
    let server = Server::start(move |request| repo.reply(request));
    let args = embed(REPO);
    let args = args.each_ref().map(String::as_str);
    let first = online(&server, cache.path(), &args).var("ORT_DYLIB_PATH", &library).run();
    check_vector(&first.silent_success());
    let second = offline(cache.path(), &args).var("ORT_DYLIB_PATH", &library).run();
    check_vector(&second.silent_success());
    let pull = ["models", "verify", REPO];
    let verified = offline(cache.path(), &pull).run().silent_success();
    assert!(verified.text().contains("0_Transformer/tokenizer.json"), "{}", verified.text());
}

#[test]
fn a_vocabulary_is_fetched_where_there_is_no_tokenizer() {
    let Some(library) = runtime_library() else { return };
    let (dir, cache) = (sentence_folder(), tempfile::tempdir().unwrap());
    std::fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let words = (special.len()..29).map(|id| format!("w{id}"));
    let lines: Vec<_> = special.into_iter().chain(words).collect();
    std::fs::write(dir.path().join("vocab.txt"), lines.join("\n")).unwrap();
    let config = r#"{"model_max_length": 16}"#;
    std::fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();

    let repo = Repo::of_dir(REPO, dir.path());
    let server = Server::start(move |request| repo.reply(request));
    let fetched = online(&server, cache.path(), &["embed", "--model", REPO, "w6 W18"])
        .var("ORT_DYLIB_PATH", &library)
        .run()
        .silent_success();
    let local = offline(cache.path(), &["embed", "--model", arg(dir.path()), "w6 W18"])
        .var("ORT_DYLIB_PATH", &library)
        .run()
        .silent_success();
    assert_eq!(fetched.text(), local.text());
    let show = Program::new(["models", "show", arg(dir.path())]).run().silent_success();
    let line = show.text().lines().find(|line| line.contains("vocab.txt"));
    assert!(line.is_some(), "{}", show.text());
    let verify = offline(cache.path(), &["models", "verify", REPO]).run().silent_success();
    assert!(verify.text().contains("vocab.txt"), "{}", verify.text());
}

#[test]
fn a_checkpoint_is_one_of_half_precision_on_demand() {
    let Some(library) = runtime_library() else { return };
    let (dir, cache) = (sentence_folder(), tempfile::tempdir().unwrap());
    let args = ["embed", "--model", arg(dir.path()), "--variant", "fp16", TINY_TEXT];
    let half = offline(cache.path(), &args).var("ORT_DYLIB_PATH", &library).run();
    let vector = embedding(&half.silent_success().records()[0]);
    assert_close(&vector, &TINY_VECTOR, 2e-2);
    let graphs = names(&cache.path().join("converted"));
    assert!(graphs.len() == 1 && graphs[0].contains("hidden-f16-"), "{graphs:?}");
}

#[test]
fn a_repository_is_fetched_converted_and_opened_offline() {
    let Some(library) = runtime_library() else { return };
    let (dir, cache) = (sentence_folder(), tempfile::tempdir().unwrap());
    let repo = Repo::of_dir(REPO, dir.path());
    let server = Server::start(move |request| repo.reply(request));
    let embed = ["embed", "--model", REPO, TINY_TEXT];
    let first = online(&server, cache.path(), &embed).var("ORT_DYLIB_PATH", &library).run();
    check_vector(&first.silent_success());
    assert_eq!(server.count("/api/"), 1, "the list is asked for once");
    let requests = server.requests().len();
    let converted = cache.path().join("models--Org--Tiny/embedkit/converted");
    assert_eq!(names(&converted).len(), 1);

    let second = offline(cache.path(), &embed).var("ORT_DYLIB_PATH", &library).run();
    check_vector(&second.silent_success());
    assert_eq!((server.requests().len(), names(&converted).len()), (requests, 1));

    let show = offline(cache.path(), &["models", "show", REPO, "--json"]).run().silent_success();
    let rows: Value = serde_json::from_slice(&show.stdout).unwrap();
    assert_eq!((&rows[0]["cached"], &rows[0]["source"]["repo"]), (&true.into(), &REPO.into()));
    let verify = offline(cache.path(), &["models", "verify", REPO]).run().silent_success();
    let weights = verify.text().lines().find(|line| line.starts_with("model.safetensors"));
    assert!(weights.unwrap().contains("ok"), "{}", verify.text());
}

#[test]
fn a_pull_brings_the_files_and_follows_the_branch() {
    let (dir, cache) = (sentence_folder(), tempfile::tempdir().unwrap());
    let old = Repo::of_dir(REPO, dir.path());
    let mut new = old.clone();
    new.commit = "0".repeat(40);
    let moved = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let branch = std::sync::Arc::clone(&moved);
    let server = Server::start(move |request| {
        let new_first = branch.load(std::sync::atomic::Ordering::Relaxed);
        let (first, second) = if new_first { (&new, &old) } else { (&old, &new) };
        let reply = first.reply(request);
        if reply.status == 404 { second.reply(request) } else { reply }
    });
    let pull = ["models", "pull", REPO];
    let folder = |outcome: Outcome| outcome.silent_success().text().trim_end().to_owned();
    let first = folder(online(&server, cache.path(), &pull).run());
    assert!(Path::new(&first).join("model.safetensors").is_file(), "{first}");
    assert_eq!(folder(offline(cache.path(), &pull).run()), first);
    moved.store(true, std::sync::atomic::Ordering::Relaxed);
    let second = folder(online(&server, cache.path(), &pull).run());
    assert!(second.ends_with(&"0".repeat(40)), "{second}");
    assert_eq!(server.count("/resolve/0000"), 0, "the content is the same");
}

#[test]
fn names_that_lead_nowhere_say_so() {
    let cache = tempfile::tempdir().unwrap();
    let nothing = Server::start(|_| Reply::status(404));
    let embed = |name: &'static str| ["embed", "--model", name, "a"];
    let run = |name| online(&nothing, cache.path(), &embed(name)).run();
    run("BAAI/bge-smal-en-v1.5").failure(
        1,
        "unknown model \"BAAI/bge-smal-en-v1.5\", which is not built in: http://",
        Some("BAAI/bge-small-en-v1.5"),
    );
    run("nobody/nothing").failure(1, "404", Some("repository"));
    run("bge-smal-en").failure(1, "unknown model \"bge-smal-en\"", Some("BAAI/bge-small-en"));
    run("./no/such").failure(1, "cannot open the folder ./no/such", None);

    for (code, hint) in [("GatedRepo", "accept the terms"), ("", "set HF_TOKEN")] {
        let server = Server::start(move |_| Reply::status(401).with("X-Error-Code", code));
        let outcome = online(&server, cache.path(), &embed("nobody/nothing")).run();
        outcome.failure(1, "401", Some(hint));
    }
    offline(cache.path(), &embed("nobody/nothing")).run().failure(1, "offline", Some("network"));
}

#[test]
fn a_variant_that_is_not_there_is_an_error_that_names_the_others() {
    let dir = sentence_folder();
    let embed = |variant: &str, more: &[&str]| {
        let args = ["embed", "--model", arg(dir.path()), "--variant", variant, "a"];
        Program::new(args).args(more).run()
    };
    embed("q4", &[]).failure(1, "no graph of the variant q4", Some("--variant: fp16, fp32"));
    embed("a/b", &[]).status_is(2);
    let built_in = ["embed", "--model", "BAAI/bge-small-en-v1.5", "--variant", "fp16", "a"];
    Program::new(built_in).run().failure(1, "`variant` has no meaning", None);
}

#[test]
fn a_folder_beside_model_dir_is_no_id() {
    let dir = sentence_folder();
    let args = ["embed", "--model", arg(dir.path()), "--model-dir", arg(dir.path()), "a"];
    Program::new(args).run().failure(1, "unknown model", Some("models list"));
}

#[test]
fn a_check_compares_with_known_results_and_with_a_batch() {
    let Some(library) = runtime_library() else { return };
    let (dir, cache) = (sentence_folder(), tempfile::tempdir().unwrap());
    let check = |known: &str, more: &[&str]| {
        std::fs::write(dir.path().join("canonical.json"), known).unwrap();
        let args = ["models", "check", arg(dir.path())];
        let program = offline(cache.path(), &args).args(more);
        program.var("ORT_DYLIB_PATH", &library).run()
    };
    let known = |first: f32| {
        let vector = [first, TINY_VECTOR[1], TINY_VECTOR[2]];
        serde_json::json!({"texts": [TINY_TEXT], "vectors": [vector], "tolerance": 1e-4})
            .to_string()
    };
    let good = check(&known(TINY_VECTOR[0]), &["--json"]).silent_success();
    let rows: Value = serde_json::from_slice(&good.stdout).unwrap();
    let names: Vec<_> = rows.as_array().unwrap().iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["canonical", "texts: alone and in a batch"]);
    assert!(rows.as_array().unwrap().iter().all(|row| row["ok"] == true), "{rows}");

    let wrong = check(&known(TINY_VECTOR[0] + 0.5), &[]);
    let wrong = wrong.failure(1, "deviate: canonical", None);
    let line = wrong.text().lines().next().unwrap();
    assert!(line.contains("deviates") && line.contains("component 0 of input 0"), "{line}");
    let fetch = Some("fetch it again");
    check("{}", &[]).failure(1, "canonical.json cannot be used", fetch);
    let none = r#"{"texts": ["a"], "vectors": [], "tolerance": 1e-4}"#;
    check(none, &[]).failure(1, "expected a vector for each text", fetch);
    let long = serde_json::json!({"texts": ["a"], "vectors": [vec![0.0; 9]], "tolerance": 1e-4});
    check(&long.to_string(), &[]).failure(1, "9 components or more, got 8", None);
}
