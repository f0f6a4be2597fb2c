//! The cost of SQL beside the library, measured by hand:
//! `cargo test --release --test it overhead -- --ignored --nocapture`.
//!
//! Both run in turn, so that a busy machine is one for both, and the medians are compared: of the time,
//! and of the time that processors were at work, which depends less on neighbours.

use std::{
    process,
    time::{Duration, Instant},
};

use datafusion::prelude::SessionContext;
use embedkit::{LoadOptions, Model, Role};
use futures::StreamExt as _;

use crate::support::{MINILM, process::process_time, register, texts, with_options};
use embedkit_datafusion::FunctionOptions;

/// Rounds of a measurement, the first of which does not count.
const ROUNDS: usize = 12;

/// Time, and time at work of all threads.
#[derive(Clone, Copy)]
struct Cost {
    elapsed: Duration,
    work: Duration,
}

impl Cost {
    async fn of(work: impl Future<Output = usize>, rows: usize) -> Self {
        let at_work = || process_time(process::id());
        let (start, before) = (Instant::now(), at_work());
        assert_eq!(work.await, rows);
        Self { elapsed: start.elapsed(), work: at_work().saturating_sub(before) }
    }
}

fn median(mut costs: Vec<Duration>) -> f64 {
    costs.sort_unstable();
    costs[costs.len() / 2].as_secs_f64()
}

/// Embeds texts with the library and in SQL, in turn.
async fn measure(
    name: &str,
    model: &Model,
    session: &SessionContext,
    sql: &str,
    texts: Vec<String>,
) {
    let count = texts.len();
    let texts: Vec<_> = texts.into_iter().map(Some).collect();
    register(session, &texts);
    let library = async || {
        let inputs = texts.iter().map(|text| text.as_deref().unwrap_or_default());
        model.embed(Role::Document, inputs).map(Result::unwrap).count()
    };
    let engine = async || {
        let mut stream = session.sql(sql).await.unwrap().execute_stream().await.unwrap();
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            rows += batch.unwrap().num_rows();
        }
        rows
    };
    let (mut of_library, mut of_engine) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Who comes first alternates, too.
        let costs = if round % 2 == 0 {
            (Cost::of(library(), count).await, Cost::of(engine(), count).await)
        } else {
            let engine = Cost::of(engine(), count).await;
            (Cost::of(library(), count).await, engine)
        };
        if round > 0 {
            of_library.push(costs.0);
            of_engine.push(costs.1);
        }
    }
    let of = |part: fn(&Cost) -> Duration| {
        let [library, engine] =
            [&of_library, &of_engine].map(|costs| median(costs.iter().map(part).collect()));
        let share = (engine / library - 1.0) * 100.0;
        format!("{:.0} ms, SQL {:.0} ms ({share:+.1} %)", library * 1e3, engine * 1e3)
    };
    println!(
        "{name}, {count} texts: library {}; at work: library {}",
        of(|cost| cost.elapsed),
        of(|cost| cost.work)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn of_minilm() {
    let (Some(dir), Some(library)) =
        (embedkit_testkit::asset("minilm"), embedkit_testkit::runtime_library())
    else {
        return;
    };
    let load = LoadOptions { onnxruntime: Some(library), ..LoadOptions::default() };
    let named = format!("{MINILM}={}", dir.display()).parse().unwrap();
    let (session, _) = with_options(FunctionOptions {
        load: load.clone(),
        models: vec![named],
        ..FunctionOptions::default()
    });
    let model = Model::builder(MINILM).unwrap().dir(dir).options(load).open().unwrap();
    let sql = format!("SELECT id, embed('{MINILM}', text, 'passage') FROM docs");
    measure("embed", &model, &session, &sql, texts(0, 1000)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn of_bm25() {
    let model = Model::load("Qdrant/bm25", LoadOptions::default()).unwrap();
    let (session, _) = with_options(FunctionOptions::default());
    let sql = "SELECT id, bm25(text) FROM docs";
    measure("bm25 of short texts", &model, &session, sql, texts(0, 200_000)).await;
    let passages = texts(0, 200_000);
    let passages: Vec<_> = passages.chunks(10).map(|texts| texts.join(", ")).collect();
    session.deregister_table("docs").unwrap();
    measure("bm25 of passages", &model, &session, sql, passages).await;
}
