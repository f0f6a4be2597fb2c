//! The program as a person sees it, on a terminal.

use std::fs;

use crate::program::{Program, arg, fill_cache};

#[test]
fn the_name_alone_shows_the_first_steps() {
    let (status, screen) = Program::new::<&str>([]).on_terminal(80);
    assert_eq!(status, 0, "{screen}");
    let first = screen.lines().find(|line| line.starts_with("  ")).unwrap();
    assert_eq!(first, "  embedkit runtime install");
    assert!(screen.contains("embedkit doctor"), "{screen}");
    assert!(screen.lines().all(|line| line.len() <= 80), "{screen}");
}

#[test]
fn the_list_fits_the_terminal() {
    let program = Program::new(["models", "list"]);
    let files = ["model_optimized.onnx", "tokenizer.json", "tokenizer_config.json"];
    let files = files.map(|name| (name, b"{}".to_vec()));
    fill_cache(&program.cache(), "Qdrant/bge-small-en-v1.5-onnx-Q", &files);
    let (status, screen) = program.on_terminal(80);
    assert_eq!(status, 0, "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    let marked: Vec<_> = screen.lines().filter(|line| line.starts_with("* ")).collect();
    assert_eq!(marked.len(), 1, "{screen}");
    assert!(marked[0].starts_with("* BAAI/bge-small-en-v1.5 "), "{screen}");
}

#[test]
fn long_work_shows_its_progress() {
    let dir = tempfile::tempdir().unwrap();
    let (texts, out) = (dir.path().join("texts.txt"), dir.path().join("vectors.jsonl"));
    fs::write(&texts, "a text\n".repeat(2000)).unwrap();
    let args = ["--input", arg(&texts), "--output", arg(&out)];
    let (status, screen) = Program::embed(args).on_terminal(100);
    assert_eq!(status, 0, "{screen}");
    assert!(
        screen.contains(" inputs, ") && screen.contains("/s") && screen.contains(" to go"),
        "{screen}"
    );
    let (status, screen) = Program::embed(args).args(["-q"]).on_terminal(100);
    assert_eq!((status, &*screen), (0, ""));
}

#[test]
fn the_page_of_the_doctor_has_colours_and_fits() {
    let (status, screen) = Program::new(["doctor"]).on_terminal(80);
    assert_eq!(status, 1, "{screen}");
    assert!(screen.contains("\u{1b}[31m"), "a problem is red: {screen:?}");
    let plain = Program::new(["doctor"]).var("NO_COLOR", "1").on_terminal(80).1;
    assert!(plain.contains("problem  runtime"), "{plain:?}");
}
