//! Everything that a user of this crate relies on, against a hub on loopback, caches as other tools
//! leave them, and a pip that is a script.

#![expect(clippy::unwrap_used, reason = "a test may panic, in its helping functions too")]

mod archives; // models in one file
mod caches; // models that are there already, whoever put them there
mod converted; // graphs that are made from a model's files
mod disk; // no space, no permission, no folder any more
mod download; // models that are not
mod faults; // servers and lines that misbehave
mod pins; // one content only, and content that changed
mod probe; // what can be said without a download
mod processes; // several at once, and one that is killed
#[cfg(unix)]
mod runtime; // ONNX Runtime from packages, files and folders
mod snapshot; // any repository, without a description

use std::{fs, path::Path, time::Duration};

use embedkit_hub::{Hub, Retries, Timeouts};
use embedkit_types::{ModelSpec, Pooling, Source, Task, TextDense};

use embedkit_testkit::hub::{Repo, Server};

/// The model of [`Repo::sample`].
fn spec() -> ModelSpec {
    ModelSpec {
        id: "me/model".into(),
        source: Source { repo: Some("Org/Model".into()), ..Source::DEFAULT },
        file: "onnx/model.onnx".into(),
        additional_files: vec!["onnx/model.onnx_data".into()].into(),
        task: Task::TextDense(TextDense { dim: 4, pooling: Pooling::Mean, ..TextDense::DEFAULT }),
        ..ModelSpec::DEFAULT
    }
}

/// A hub that does not wait long between attempts, but long enough for a busy machine to answer.
fn hub(cache: &Path, server: &Server) -> Hub {
    let mut hub = Hub::new(cache);
    hub.endpoints = vec![server.url()];
    hub.retries = Retries {
        attempts: 3,
        first_wait: Duration::from_millis(5),
        longest_wait: Duration::from_secs(2),
    };
    let limit = Duration::from_secs(5);
    hub.timeouts = Timeouts { connect: limit, headers: limit, stall: limit };
    hub
}

/// All files below a folder, with `/` between folders, sorted.
fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return found };
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(tree(&entry.path()).into_iter().map(|below| format!("{name}/{below}")));
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}

/// Asserts that the model's files are those of the repository, and that nothing unfinished is left.
fn check(repo: &Repo, cache: &Path, files: &embedkit_types::ModelFiles) {
    let large = fs::read(&files.model).unwrap();
    assert_eq!(large, repo.files["onnx/model.onnx"]);
    for name in ["tokenizer.json", "tokenizer_config.json", "onnx/model.onnx_data"] {
        assert_eq!(fs::read(files.path(name)).unwrap(), repo.files[name], "{name}");
    }
    nothing_unfinished(cache);
}

fn nothing_unfinished(cache: &Path) {
    let left: Vec<_> = tree(cache).into_iter().filter(|name| name.contains("incomplete")).collect();
    assert!(left.is_empty(), "{left:?}");
}
