//! The examples of the page about Python that need no download.

use std::{env, fs, path::Path, process::Command};

/// Blocks of Python on a page.
fn blocks(page: &str) -> Vec<&str> {
    let starts = page.split("```python\n").skip(1);
    starts.map(|rest| rest.split_once("```").expect("a block that ends").0).collect()
}

#[test]
fn examples_without_a_download_run() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/python-program.md");
    let page = fs::read_to_string(page).unwrap();
    let examples = blocks(&page).into_iter().filter(|block| block.contains("\"Qdrant/bm25\""));
    let examples: Vec<_> = examples.collect();
    assert_eq!(examples.len(), 3);
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: there is no python3");
        return;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_embedkit"));
    let old = env::var_os("PATH").unwrap_or_default();
    let paths = [program.parent().unwrap().to_owned()].into_iter().chain(env::split_paths(&old));
    let paths = env::join_paths(paths).unwrap();
    for example in examples {
        let folder = tempfile::tempdir().unwrap();
        let mut python = Command::new("python3");
        python.args(["-c", example]).current_dir(&folder).env("PATH", &paths);
        python.env("EMBEDKIT_CACHE", folder.path()).env("EMBEDKIT_OFFLINE", "1");
        let output = python.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{example}\n{said}");
        assert_eq!(said, "", "{example}");
    }
}
