//! Rates of one core for the plan in `docs/guide/distributed.md`, measured by hand:
//! `cargo test --release --test it costs -- --ignored --nocapture`.
//!
//! `EMBEDKIT_INT8` names a folder with an eight-bit copy of MiniLM, as `embedkit quantize` makes it.

use std::{env, fs, path::Path, process, sync::Arc, time::Instant};

use datafusion::{
    arrow::{
        array::{ArrayRef, FixedSizeListArray, Float32Array, ListArray, RecordBatch},
        buffer::OffsetBuffer,
        datatypes::{DataType, Field},
    },
    prelude::SessionContext,
};
use embedkit::{LoadOptions, Model, Role};
use embedkit_datafusion::{FunctionOptions, Models, config, embedded};
use futures::StreamExt as _;

use crate::support::{MINILM, process::process_time, register};

/// Words of a passage.
const WORDS: usize = 90;
/// Rounds, the best of which counts: what one core can do, not what neighbours leave of it.
const ROUNDS: usize = 5;

/// Passages of the documentation: prose with a vocabulary of its own.
fn passages() -> Vec<String> {
    let mut words = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut entries: Vec<_> = entries.collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                let text = fs::read_to_string(path).unwrap();
                // Tables and code are not what people embed.
                let prose = text.lines().filter(|line| !line.contains('|') && !line.contains('`'));
                words.extend(prose.flat_map(str::split_whitespace).map(str::to_owned));
            }
        }
    }
    words.chunks_exact(WORDS).map(|words| words.join(" ")).collect()
}

/// Prints rows per second at work, on all threads together, of the best round.
async fn rate(session: &SessionContext, what: &str, sql: &str) {
    let (mut best, mut elapsed) = (0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        let (start, before) = (Instant::now(), process_time(process::id()));
        let mut stream = session.sql(sql).await.unwrap().execute_stream().await.unwrap();
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            rows += batch.unwrap().num_rows();
        }
        let work = (process_time(process::id()) - before).as_secs_f64();
        best = best.max(rows as f64 / work);
        elapsed = elapsed.max(rows as f64 / start.elapsed().as_secs_f64());
    }
    println!(
        "{what}: {best:.0} rows for a second at work ({elapsed:.0} a second), {:.3} core hours a million",
        1e6 / best / 3600.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement"]
async fn of_a_million_texts() {
    let (Some(dir), Some(library)) =
        (embedkit_testkit::asset("minilm"), embedkit_testkit::runtime_library())
    else {
        return;
    };
    let load = LoadOptions {
        onnxruntime: Some(library),
        threads: Some(1),
        replicas: Some(1),
        ..LoadOptions::default()
    };
    let model = Model::builder(MINILM).unwrap().dir(&dir).options(load.clone()).open().unwrap();
    let int8 = env::var("EMBEDKIT_INT8").ok();
    let named =
        [Some(format!("{MINILM}={}", dir.display())), int8.map(|dir| format!("int8={dir}"))];
    let named: Vec<_> = named.into_iter().flatten().map(|name| name.parse().unwrap()).collect();
    let with_int8 = named.len() > 1;
    let models = Models::new(FunctionOptions { load, models: named, ..FunctionOptions::default() });
    let session = embedded(&models, config().with_target_partitions(1)).unwrap();

    let texts = passages();
    let start = process_time(process::id());
    let tokens = model.token_count(Role::Document, &texts).unwrap();
    let tokenising = process_time(process::id()) - start;
    println!(
        "{} passages of {WORDS} words, {} characters and {} tokens; {:.0} tokenised for a second at work",
        texts.len(),
        texts.iter().map(String::len).sum::<usize>() / texts.len(),
        tokens / texts.len(),
        texts.len() as f64 / tokenising.as_secs_f64(),
    );
    register(&session, &texts.iter().cloned().map(Some).collect::<Vec<_>>());
    rate(&session, "MiniLM", &format!("SELECT id, embed('{MINILM}', text) FROM docs")).await;
    if with_int8 {
        rate(&session, "MiniLM, int8", "SELECT id, embed('int8', text) FROM docs").await;
    }
    // Many times as many for what takes little time.
    session.deregister_table("docs").unwrap();
    let many: Vec<_> = texts.iter().cycle().take(50_000).cloned().map(Some).collect();
    register(&session, &many);
    rate(&session, "BM25", "SELECT id, bm25(text) FROM docs").await;

    let (rows, vectors, dim) = (2000, 100, 96);
    let mut numbers = fastrand::Rng::with_seed(7);
    let values = (0..rows * vectors * dim).map(|_| numbers.f32() - 0.5);
    let component = Arc::new(Field::new("item", DataType::Float32, true));
    let values = Arc::new(Float32Array::from_iter_values(values));
    let many = FixedSizeListArray::try_new(component, dim as i32, values, None).unwrap();
    let item = Arc::new(Field::new(
        "item",
        datafusion::arrow::array::Array::data_type(&many).clone(),
        true,
    ));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(vectors, rows));
    let documents: ArrayRef =
        Arc::new(ListArray::try_new(item, offsets, Arc::new(many), None).unwrap());
    let batch = RecordBatch::try_from_iter([("d", documents)]).unwrap();
    session.register_batch("late", batch).unwrap();
    for options in ["k_sim=5,dim_proj=16,r_reps=20", "k_sim=3,dim_proj=8,r_reps=20"] {
        let sql = format!("SELECT muvera(d, '{options}') FROM late");
        rate(&session, &format!("MUVERA of 100 vectors of 96, {options}"), &sql).await;
    }
}
