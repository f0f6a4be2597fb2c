//! What goes wrong: statuses, the words, and that nothing done before is lost.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
};

use embedkit::registry;
use embedkit_testkit::{dense_case, fault, runtime_library, texts_with_a_long_one};
use tempfile::TempDir;

use crate::program::{Program, arg, embedding, file, names, read_npy};

#[test]
fn texts_and_a_file_together_make_no_sense() {
    Program::embed(["a", "--input", "b"]).run().failure(
        2,
        "as arguments and with --input",
        Some("leave one"),
    );
}

#[test]
fn what_the_command_line_does_not_know_is_refused() {
    for args in [
        &["embed", "a", "--images"][..],
        &["embed", "a", "--format", "csv"],
        &["embed", "a", "--device", "gpu"],
        &["embed", "a", "--threads", "0"],
        &["embed", "a", "--option", "task"],
        &["search", "a", "--top-k", "0"],
        &["search"],
        &["models", "list", "--task", "audio"],
        &["rerank", "a", "--top-k", "x"],
        &[],
    ] {
        let outcome = Program::new(args).run();
        assert_eq!(outcome.status, 2, "{args:?}");
        assert!(outcome.stdout.is_empty() && !outcome.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn numbers_say_what_is_allowed() {
    for (command, option) in [
        ("embed", "--batch-size"),
        ("embed", "--batch-tokens"),
        ("embed", "--threads"),
        ("embed", "--replicas"),
        ("embed", "--dimensions"),
        ("search", "--top-k"),
        ("rerank", "--top-k"),
    ] {
        for value in ["0", "-1", "1.5", "many", "", "99999999999999999999999"] {
            let outcome = Program::new([command, "a", option, value]).run();
            assert_eq!(outcome.status, 2, "{option} {value}");
            assert!(
                outcome
                    .stderr
                    .starts_with(&format!("error: invalid value '{value}' for '{option} <"))
                    && outcome.stderr.contains("expected a whole number "),
                "{}",
                outcome.stderr
            );
        }
    }
}

#[test]
fn text_that_is_no_utf8_is_refused_by_name() {
    let wide: Vec<u8> = "hello\nworld\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (_dir, path) = file("wide.txt", &wide);
    for args in [&[][..], &["--on-error", "skip"], &["--input-format", "jsonl"]] {
        Program::embed(args).stdin(&wide).run().failure(
            1,
            "standard input is UTF-16LE text",
            Some("iconv -f UTF-16LE -t UTF-8"),
        );
        let outcome = Program::embed(args).args(["--input", arg(&path)]).run();
        outcome.failure(1, "wide.txt is UTF-16LE text", Some("iconv"));
    }
    let marked: Vec<u8> = "\u{feff}hello".encode_utf16().flat_map(u16::to_be_bytes).collect();
    Program::new(["search", "q"]).stdin(marked).run().failure(1, "UTF-16 text", Some("iconv"));
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    Program::embed([""; 0]).stdin(png).run().failure(1, "it is a PNG image", Some("UTF-8"));
}

#[test]
fn json_where_lines_are_wanted_is_a_warning() {
    let run = |args: &[&str], content: &str| Program::embed(args).stdin(content).run();
    for content in ["{\"text\":\"a\"}\n{\"text\":\"b\"}\n", "[\"a\",\n\"b\"]\n"] {
        let outcome = run(&[], content);
        assert_eq!((outcome.status, outcome.records().len()), (0, 2), "{content}");
        let said: Vec<_> = outcome.stderr.lines().collect();
        assert!(
            said.len() == 1
                && said[0].starts_with("warning: ")
                && said[0].contains("--input-format jsonl"),
            "{said:?}"
        );
        run(&["--input-format", "lines"], content).silent_success();
        run(&["-q"], content).silent_success();
    }
    run(&["--input-format", "jsonl"], "{\"text\":\"a\"}\n").silent_success();
    run(&[], "[1] a note\n{a} {b}\n").silent_success();
}

#[test]
fn a_run_in_which_all_inputs_were_skipped_is_a_failure() {
    let content = b"\xff\n\xfe\n";
    let outcome = Program::embed(["--on-error", "skip"]).stdin(content).run();
    let records = outcome.records();
    assert_eq!(records.len(), 2);
    assert!(records[1]["error"].as_str().unwrap().contains("line 2"));
    outcome.failure(1, "all 2 inputs were skipped", Some("each record"));
    let search = Program::new(["search", "a", "--on-error", "skip"]).case("static");
    search.stdin(content).run().failure(1, "line 1 of standard input: not UTF-8", None);
    // One that is left makes it a success.
    let outcome = Program::embed(["--on-error", "skip"]).stdin(b"a\n\xff\n").run();
    assert_eq!(outcome.status, 0);
}

#[test]
fn help_and_version_are_results() {
    for args in [&["--help"][..], &["embed", "-h"], &["models", "list", "--help"], &["--version"]] {
        let outcome = Program::new(args).run().silent_success();
        assert!(outcome.text().contains("embedkit"), "{args:?}");
    }
}

#[test]
fn a_format_has_to_fit() {
    Program::embed(["a", "--format", "npy", "--on-error", "skip"]).run().failure(
        2,
        "npy has no place",
        Some("jsonl"),
    );
    Program::new(["search", "a", "b", "--format", "npy"]).run().failure(
        2,
        "table or jsonl",
        Some("--format"),
    );
}

#[cfg(not(feature = "parquet"))]
#[test]
fn parquet_names_the_feature_that_it_needs() {
    Program::embed(["a", "--format", "parquet"]).run().failure(
        2,
        "parquet",
        Some("--features parquet"),
    );
}

#[test]
fn options_of_a_model_are_checked_before_anything_is_opened() {
    let run = |option: &str| Program::new(["embed", "a", "--option", option]).case("tasks").run();
    let names = "retrieval.query, retrieval.passage, separation, classification, text-matching";
    run("task=clustering").failure(2, "no task \"clustering\"", Some(names));
    run("k=1").failure(2, "no option \"k\"", Some(names));
    Program::embed(["a", "--option", "task=separation"]).run().failure(2, "no options", None);
}

#[test]
fn an_unknown_model_leads_to_the_closest_names() {
    Program::new(["embed", "a", "--model", "BAAI/bge-smal-en-v1.5"]).run().failure(
        1,
        "unknown model",
        Some("BAAI/bge-small-en-v1.5"),
    );
}

#[test]
fn a_model_of_another_task_is_a_usage_error() {
    Program::new(["embed", "a", "--model", "Xenova/ms-marco-MiniLM-L-6-v2"]).run().failure(
        2,
        "is a reranker",
        Some("embedkit rerank --model Xenova/ms-marco-MiniLM-L-6-v2"),
    );
}

#[test]
fn a_model_that_is_not_here_is_an_error_without_network() {
    let outcome = Program::new(["embed", "a", "--offline"]).run();
    outcome.failure(
        1,
        "BAAI/bge-small-en-v1.5",
        Some("embedkit models pull BAAI/bge-small-en-v1.5"),
    );
    // Which does not know a model of one's own.
    let (_dir, path) = file(
        "spec.toml",
        "id = \"a/b\"\nsource = { repo = \"a/b\" }\ntask = \"text-dense\"\ndim = 2\n\
         pooling = \"mean\"\nnormalize = true\n",
    );
    let outcome = Program::new(["embed", "a", "--offline", "--model-spec", arg(&path)]).run();
    outcome.failure(1, "model a/b is not complete", Some("--model-dir"));
}

#[test]
fn what_the_registry_has_to_say_of_a_model_is_a_warning() {
    let notice = registry::models()
        .iter()
        .find(|spec| spec.notice.is_some() && spec.task.name() == "text-dense");
    let spec = notice.unwrap();
    let run = |args: &[&str]| Program::new(["embed", "a", "--model", &spec.id]).args(args).run();
    let outcome = run(&[]);
    let warning = format!("warning: {}: {}\n", spec.id, spec.notice.as_deref().unwrap());
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.starts_with(&warning), "{}", outcome.stderr);
    run(&["-q"]).failure(1, "offline", Some("network"));
}

#[test]
fn files_that_are_missing_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let run = |dir: &str| {
        Program::new(["embed", "a", "--model", "sentence-transformers/all-MiniLM-L6-v2"])
            .args(["--model-dir", dir])
            .run()
    };
    let hint = Some("the names of the model's repository");
    run(arg(dir.path())).failure(1, "model.onnx", hint);
    let none = dir.path().join("none");
    run(arg(&none)).failure(1, "there is no such folder", Some("models pull"));
    let (_other, path) = file("model.onnx", "");
    run(arg(&path)).failure(1, "model.onnx is a file, not a folder", Some("the folder in which"));
    let outcome = Program::embed(["--input", arg(&dir.path().join("none.txt"))]).run();
    outcome.failure(1, "none.txt: ", None);
}

#[test]
#[cfg(unix)] // a folder of the user on Windows is known without variables
fn hints_about_files_name_options_and_commands() {
    let hint = |program: Program, error: &str| {
        let outcome = program.run().failure(1, error, Some(""));
        outcome.stderr.lines().nth(1).unwrap().to_owned()
    };
    let embed = || Program::new(["embed", "a", "--model", "BAAI/bge-small-en-v1.5"]);
    assert_eq!(
        hint(embed(), "offline"),
        "hint: with network access, run: embedkit models pull BAAI/bge-small-en-v1.5"
    );
    assert_eq!(
        hint(embed().var("HOME", "").var("EMBEDKIT_CACHE", ""), "no cache folder is known"),
        "hint: set EMBEDKIT_CACHE or pass --cache-dir"
    );
    let install =
        Program::new(["runtime", "install", "-q"]).var("EMBEDKIT_OFFLINE", "").var("PATH", "");
    assert_eq!(
        hint(install, "pip was not found"),
        "hint: install pip, or give a library, wheel or folder with: embedkit runtime install --from PATH"
    );
    let case = dense_case("static").dir;
    let dir = tempfile::tempdir().unwrap();
    for name in ["spec.toml", "tokenizer.json"] {
        fs::copy(case.join(name), dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("other.safetensors"), "").unwrap();
    assert_eq!(
        hint(Program::new(["embed", "a"]).model_in(dir.path()), "lacks files of model"),
        "hint: if other.safetensors is the model, say `file = \"other.safetensors\"` in its \
         description (--model-spec)"
    );
}

#[test]
fn a_description_has_to_be_one() {
    for (content, why) in [
        ("id = \"a/b\"\ntask = \"text-dense\"\n", "dim"),
        ("id = \"a/b\"\ntask = \"poetry\"\n", "poetry"),
        ("id = ", "line 1"),
    ] {
        let (_dir, path) = file("spec.toml", content);
        let outcome = Program::new(["embed", "a", "--model-spec", arg(&path)]).run();
        assert!(outcome.failure(1, why, None).stderr.contains("spec.toml"), "{content}");
    }
    Program::embed(["a", "--model", "another/one"]).run().failure(
        2,
        "another/one",
        Some("--model"),
    );
}

#[test]
fn without_a_library_the_hint_says_how_to_get_one() {
    let program = Program::new(["embed", "a"]).case("mean-normalized");
    program.run().failure(1, "no-such-library", Some("embedkit runtime install"));
}

#[test]
fn what_was_embedded_before_a_bad_line_stays_written() {
    let content = b"hello world\na\nb\xc3\nc\n";
    let error = "line 3 of standard input: not UTF-8 from byte 2 on";
    let outcome = Program::embed([""; 0]).stdin(content).run().failure(1, error, None);
    let records = outcome.records();
    assert_eq!(records.len(), 2);
    assert_eq!(records[1]["index"], 1);

    // A file stays beside its place, and an array that is not complete does not load.
    let (dir, output) = file("out.npy", "earlier");
    let outcome = Program::embed(["--format", "npy", "--output", arg(&output)])
        .stdin(content)
        .run()
        .failure(1, error, Some("the records already written stay in "));
    assert_eq!(fs::read(&output).unwrap(), b"earlier");
    let [_, part] = &*names(dir.path()) else { panic!("two files") };
    assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    let mut bytes = fs::read(dir.path().join(part)).unwrap();
    assert_eq!(bytes[..6], *b"\0NUMPY");
    bytes[0] = 0x93;
    let (shape, values) = read_npy(&bytes);
    assert_eq!(shape, (2, 8));
    assert_eq!(values[..8], embedding(&records[0]));
}

#[test]
fn a_bad_first_line_is_found_before_the_model_is_opened() {
    let outcome = Program::new(["embed", "--input-format", "jsonl"]).stdin("{}\n").run();
    outcome.failure(1, "line 1 of standard input: neither \"text\" nor \"image\"", None);
}

#[test]
fn what_the_model_cannot_embed_names_the_input() {
    // The table has fewer rows than the vocabulary, so that some texts can be embedded.
    let texts = dense_case("error-static-few-rows").golden.texts;
    let run = |args: &[&str]| {
        Program::new(["embed"]).case("error-static-few-rows").args(args).args(&texts).run()
    };
    let outcome = run(&[]);
    let done = outcome.records().len();
    assert!((1..texts.len()).contains(&done));
    let outcome = outcome.failure(1, &format!("input {done}: "), None);
    assert!(outcome.stderr.contains("model.safetensors"), "{}", outcome.stderr);

    let records = run(&["--on-error", "skip"]).records();
    assert_eq!(records.len(), texts.len());
    assert!(records[done]["error"].as_str().unwrap().contains("model.safetensors"));
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none").join("out.jsonl");
    Program::embed(["a", "--output", arg(&none)]).run().failure(1, "cannot write", None);
    Program::embed(["a", "--output", arg(dir.path())]).run().failure(1, "cannot write", None);
    #[cfg(target_os = "linux")]
    for format in ["jsonl", "npy"] {
        Program::embed(["a", "--output", "/dev/full", "--format", format]).run().failure(
            1,
            "cannot write /dev/full: No space left",
            None,
        );
    }
}

#[test]
fn an_earlier_result_outlives_a_model_that_cannot_be_opened() {
    let (_dir, output) = file("out.jsonl", "earlier\n");
    let outcome = Program::new(["embed", "a", "--output", arg(&output)]).run();
    assert_eq!(outcome.status, 1);
    assert_eq!(fs::read(&output).unwrap(), b"earlier\n");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    for args in [&[][..], &["--format", "npy"]] {
        // More than a pipe holds.
        let mut child = Program::embed(args).stdin("a b c d e f g\n".repeat(20_000)).start();
        if args.is_empty() {
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            assert!(line.starts_with("{\"index\":0,"));
        } else {
            drop(child.stdout.take());
        }
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}: {said}");
        assert_eq!(said, "", "{args:?}");
    }
    let mut child = Program::new(["models", "list"]).start();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A model whose graph fails for a long text, or never ends; `None` without a runtime.
fn faulty<const N: usize>(name: &str, args: [&str; N]) -> Option<(TempDir, Program)> {
    let library = runtime_library()?;
    let (dir, files) = dense_case("mean").copy();
    fs::copy(fault(name), &files.model).unwrap();
    let program = Program::new(["embed"]).args(args).model_in(dir.path());
    Some((dir, program.var("ORT_DYLIB_PATH", library)))
}

#[test]
fn an_input_that_the_model_fails_on_is_the_only_one_that_is_skipped() {
    let texts = texts_with_a_long_one(23);
    let mut others = texts.clone();
    others.remove(23);
    for (name, options, reason) in [
        ("hidden", ["--batch-tokens=100000", "--threads=1"], "indices element out of data bounds"),
        (
            "shown-slice",
            ["--batch-tokens=100000", "--threads=1"],
            "has 32 tokens, but the position table of",
        ),
        (
            "endless",
            ["--batch-size=4", "--timeout=1"],
            "was stopped: with 1 in a batch it ran longer than",
        ),
    ] {
        let Some((_dir, program)) = faulty(name, ["--on-error", "skip"]) else { return };
        let outcome = program.args(options).stdin(texts.join("\n")).run();
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        assert_eq!(outcome.stderr, "warning: 1 of 41 inputs was skipped\n");
        let mut records = outcome.records();
        let bad = records.remove(23);
        let said = bad["error"].as_str().unwrap();
        assert!(
            bad["index"] == 23 && said.contains("input 23: ") && said.contains(reason),
            "{bad}"
        );
        let (_dir, program) = faulty(name, []).unwrap();
        let without = program.args(options).stdin(others.join("\n")).run().silent_success();
        let vectors = |records: &[serde_json::Value]| -> Vec<_> {
            records.iter().map(|record| record["embedding"].clone()).collect()
        };
        assert_eq!(vectors(&records), vectors(&without.records()), "{name}");
    }
}

#[test]
fn a_time_limit_ends_a_graph_that_does_not_end() {
    let text = texts_with_a_long_one(0).remove(0);
    let Some((_dir, program)) = faulty("endless", [&text, "--timeout", "0.1"]) else { return };
    program.run().failure(1, "input 0: ", Some("--timeout"));
}

#[cfg(target_os = "linux")]
#[test]
fn threads_that_cannot_be_had_are_an_error() {
    let Some((_dir, program)) = faulty("hidden", ["a", "--threads", "1024"]) else { return };
    // Their stacks alone would take twice as much.
    let outcome = program.script("ulimit -v 4194304 && exec \"$@\"").run();
    outcome.failure(1, " of 1023 threads can be started", Some("`--threads`"));
}
