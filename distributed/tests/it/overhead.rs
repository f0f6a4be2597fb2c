//! The cost of SQL beside the library, measured by hand:
//! `cargo test --release --test it overhead -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use embedkit::{Model, Role};

use crate::support::{MINILM, register, session, texts};

/// Rounds of a measurement, the best of which counts.
const ROUNDS: usize = 5;

/// Measures both in turn, so that a busy machine is one for both.
async fn measure(model: &Model, sql: &str, function: &str, count: usize) {
    let Some(dir) = embedkit_testkit::asset("minilm") else { return };
    let named = format!("{MINILM}={}", dir.display()).parse().unwrap();
    let Some((session, _)) = session(vec![named]) else { return };
    let texts = texts(0, count);
    register(&session, &texts.iter().cloned().map(Some).collect::<Vec<_>>());
    let (mut library, mut engine) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for result in model.embed(Role::Document, &texts) {
            result.unwrap();
        }
        library = library.min(start.elapsed());
        let start = Instant::now();
        let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
        assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), count);
        engine = engine.min(start.elapsed());
    }
    let share = engine.as_secs_f64() / library.as_secs_f64() - 1.0;
    println!("{function}: SQL takes {:+.1} % beside the library", share * 100.0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn of_minilm() {
    let (Some(dir), Some(library)) =
        (embedkit_testkit::asset("minilm"), embedkit_testkit::runtime_library())
    else {
        return;
    };
    let load =
        embedkit::LoadOptions { onnxruntime: Some(library), ..embedkit::LoadOptions::default() };
    let model = Model::from_dir(MINILM, dir, load).unwrap();
    let sql = format!("SELECT id, embed('{MINILM}', text, 'passage') FROM docs");
    measure(&model, &sql, "embed", 4000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn of_bm25() {
    let load = embedkit::LoadOptions {
        threads: Some(1),
        replicas: Some(1),
        ..embedkit::LoadOptions::default()
    };
    let model = Model::load("Qdrant/bm25", load).unwrap();
    measure(&model, "SELECT id, bm25(text) FROM docs", "bm25", 200_000).await;
}
