//! Jobs in one process: killed, resumed, with bad rows, and over all formats.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::support::{
    contents, ids, model_with_fault, parts,
    process::{Bench, fail, job, run_with_kills, succeed},
    qdrant::{self, Points},
    texts, vectors, write_parquet,
};
use datafusion::{
    arrow::{
        array::{
            Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Int64Array, ListArray,
            RecordBatch,
        },
        buffer::OffsetBuffer,
        datatypes::{DataType, Field},
    },
    parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
};
use embedkit_datafusion::{
    FunctionOptions, Models, config, embedded,
    job::{self, Job},
};

const BM25: &str = "SELECT id, bm25(text) AS terms FROM source";

#[test]
fn a_job_that_is_killed_goes_on_where_it_was() {
    let bench = Bench::new();
    write_parquet(&bench.path("a.parquet"), 0, &texts(0, 40_000), 200);
    write_parquet(&bench.path("b.parquet"), 40_000, &texts(40_000, 50_000), 200);
    let source = format!("files = ['{}/*.parquet']\nunit_rows = 200", bench.path("").display());
    let (whole, expected) = bench.job("whole", BM25, &source, "");
    succeed(&mut job(&whole, &[]));
    assert_eq!(ids(&expected), (0..50_000).collect::<Vec<_>>());
    assert_eq!(parts(&expected).len(), 250);

    let (killed, folder) = bench.job("killed", BM25, &source, "run.in_flight = 3");
    let report = run_with_kills(|| job(&killed, &[]), &folder, 10);
    assert!(report.starts_with("250 units"), "{report}");
    assert!(contents(&folder) == contents(&expected), "the parts are the same, to the last bit");

    let again = succeed(&mut job(&killed, &[]));
    assert!(again.contains("(250 before): 0 rows"), "{again}");
}

#[test]
fn rows_that_fail_are_listed_with_their_reasons() {
    let (_dir, spec) = model_with_fault();
    let Some(library) = embedkit_testkit::runtime_library() else { return };
    let bench = Bench::new();
    let mut rows: Vec<_> = (0..500).map(|id| "a dog and the fox ".repeat(1 + id % 3)).collect();
    rows[123] = "the fox ".repeat(40);
    rows[321] = "a dog ".repeat(40);
    write_parquet(&bench.path("a.parquet"), 0, &rows, 100);
    let source = format!("files = ['{}']\nunit_rows = 100", bench.path("a.parquet").display());
    let statement = "SELECT id, embed('m', text) AS vector FROM source";
    let (description, folder) = bench.job("out", statement, &source, "");
    let model = format!("m={}", spec.display());
    let options = ["--model".into(), model, "--onnxruntime".into(), library.display().to_string()];
    let report = succeed(&mut job(&description, &options));
    assert!(report.contains("500 rows") && report.contains("2 failed"), "{report}");

    let lists: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .flat_map(|path| {
            fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let mut failed: Vec<_> = lists
        .iter()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(row["column"], "vector");
            assert!(row["reason"].as_str().unwrap().len() > 10, "{line}");
            row["id"].as_str().unwrap().parse::<i64>().unwrap()
        })
        .collect();
    failed.sort_unstable();
    assert_eq!(failed, [123, 321]);

    let mut without = Vec::new();
    for part in parts(&folder) {
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(fs::File::open(part).unwrap()).unwrap();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let ids = batch.column(0).as_primitive::<datafusion::arrow::datatypes::Int64Type>();
            let none =
                vectors(batch.column(1)).into_iter().enumerate().filter(|(_, v)| v.is_none());
            without.extend(none.map(|(row, _)| ids.value(row)));
        }
    }
    without.sort_unstable();
    assert_eq!(without, [123, 321]);
    // The count of an earlier run is not forgotten.
    assert!(succeed(&mut job(&description, &options)).contains("2 failed"));
}

#[test]
fn another_statement_does_not_mix_with_the_parts_of_the_first() {
    let bench = Bench::new();
    write_parquet(&bench.path("a.parquet"), 0, &texts(0, 300), 100);
    let source = format!("files = ['{}']\nunit_rows = 100", bench.path("a.parquet").display());
    let (first, folder) = bench.job("out", BM25, &source, "");
    succeed(&mut job(&first, &[]));
    let before = contents(&folder);
    let (second, _) = bench.job("out", "SELECT id FROM source WHERE id >= 50", &source, "");
    let error = fail(&mut job(&second, &[]));
    assert!(error.contains("3 parts of another") && error.contains("--prune"), "{error}");
    assert!(contents(&folder) == before, "nothing was touched");
    succeed(&mut job(&second, &["--prune".to_owned()]));
    assert_eq!(ids(&folder), (50..300).collect::<Vec<_>>());
}

#[test]
fn points_go_to_qdrant_and_a_repetition_overwrites() {
    let bench = Bench::new();
    write_parquet(&bench.path("a.parquet"), 0, &texts(0, 500), 100);
    let points = Arc::new(Mutex::new(Points { refusals: 2, ..Points::default() }));
    let url = qdrant::serve(&points);
    let file = bench.path("a.parquet");
    let source = format!("files = ['{}']\nunit_rows = 100", file.display());
    let statement = "SELECT 'doc-' || id AS key, id, bm25(text) AS terms FROM source";
    let sink = format!(
        "run = {{ pause_s = 0.0, attempts = 4 }}\n[sink.qdrant]\nurl = '{url}'\ncollection = 'docs'\n\
         vectors = {{ terms = 'bm25' }}\npayload = ['key', 'id']\npoints = 64"
    );
    let (description, folder) = bench.job("out", statement, &source, &sink);
    let report = succeed(&mut job(&description, &[]));
    assert!(report.contains("500 rows") && report.contains("2 retries"), "{report}");
    let first = std::mem::take(&mut points.lock().unwrap().by_id);
    assert_eq!(first.len(), 500);
    for point in first.values() {
        let key = point["payload"]["key"].as_str().unwrap();
        assert_eq!(key, format!("doc-{}", point["payload"]["id"]));
        assert!(point["id"].as_str().unwrap().len() == 36, "a text's id is a UUID: {point}");
        let terms = &point["vector"]["bm25"];
        let lengths = ["indices", "values"].map(|field| terms[field].as_array().unwrap().len());
        assert!(lengths[0] > 0 && lengths[0] == lengths[1], "{point}");
    }

    // Finished units are known by the folder.
    let before = points.lock().unwrap().requests;
    let again = succeed(&mut job(&description, &[]));
    assert!(again.contains("(5 before): 0 rows"), "{again}");
    assert_eq!(points.lock().unwrap().requests, before);
    // Without it all is done again, to the same ids.
    fs::remove_dir_all(&folder).unwrap();
    succeed(&mut job(&description, &[]));
    assert!(points.lock().unwrap().by_id == first, "the same points under the same ids");
}

#[test]
fn all_formats_give_the_same_rows() {
    let bench = Bench::new();
    let rows = texts(0, 1000);
    write_parquet(&bench.path("a.parquet"), 0, &rows, 300);
    let lines = |line: &dyn Fn(usize, &str) -> String| -> String {
        rows.iter().enumerate().map(|(id, text)| line(id, text)).collect()
    };
    let json = lines(&|id, text| format!("{{\"id\": {id}, \"text\": \"{text}\"}}\n"));
    let csv = lines(&|id, text| format!("{id};\"{text}\"\n"));
    fs::write(bench.path("a.jsonl"), &json).unwrap();
    fs::write(bench.path("a.csv"), format!("id;text\n{csv}")).unwrap();
    let sources = [
        ("parquet", String::new()),
        ("jsonl", "unit_bytes = 7001".to_owned()),
        (
            "csv",
            "unit_bytes = 7001\ndelimiter = ';'\ncolumns = ['id BIGINT', 'text VARCHAR']"
                .to_owned(),
        ),
    ];
    let mut found = Vec::new();
    for (format, more) in sources {
        let file = bench.path(&format!("a.{format}"));
        let source = format!("files = ['{}']\n{more}", file.display());
        let statement = "SELECT id, cardinality(bm25(text)['indices']) AS terms FROM source";
        let (description, folder) = bench.job(format, statement, &source, "");
        let report = succeed(&mut job(&description, &[]));
        assert!(report.contains("1000 rows"), "{format}: {report}");
        assert!(format == "parquet" || parts(&folder).len() > 3, "{format} is cut");
        found.push(ids(&folder));
    }
    assert_eq!(found[0], (0..1000).collect::<Vec<_>>());
    assert!(found.iter().all(|ids| ids == &found[0]));
}

#[test]
fn a_part_is_hardly_larger_than_its_vectors() {
    let bench = Bench::new();
    let component = || Arc::new(Field::new("item", DataType::Float32, true));
    let mut numbers = fastrand::Rng::with_seed(7);
    let mut vectors = |count: usize, dim: i32| {
        let values = (0..count * dim as usize).map(|_| numbers.f32() - 0.5);
        let values = Arc::new(Float32Array::from_iter_values(values));
        FixedSizeListArray::try_new(component(), dim, values, None).unwrap()
    };
    let one: ArrayRef = Arc::new(vectors(10_000, 384));
    let many = vectors(500 * 100, 96);
    let item = Arc::new(Field::new("item", many.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(100, 500));
    let many: ArrayRef = Arc::new(ListArray::try_new(item, offsets, Arc::new(many), None).unwrap());
    for (name, column, dim) in [("one", one, 384), ("many", many, 100 * 96)] {
        let rows = column.len();
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
        let batch = RecordBatch::try_from_iter([("id", ids), ("v", column)]).unwrap();
        let path = bench.path(&format!("{name}.parquet"));
        let file = fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let source = format!("files = ['{}']", path.display());
        let (description, folder) = bench.job(name, "SELECT id, v FROM source", &source, "");
        succeed(&mut job(&description, &[]));
        let bytes: usize = contents(&folder).iter().map(|(_, bytes)| bytes.len()).sum();
        let more = bytes as f64 / (rows * dim * 4) as f64 - 1.0;
        println!(
            "{name}: {bytes} bytes for {rows} times {dim} components, {:.2} % more",
            more * 1e2
        );
        assert!((0.0..0.02).contains(&more), "{name}: {bytes} bytes for {rows} texts");
    }
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_no_part() {
    let bench = Bench::new();
    write_parquet(&bench.path("a.parquet"), 0, &texts(0, 20_000), 20_000);
    let source = format!("files = ['{}']", bench.path("a.parquet").display());
    let (description, folder) = bench.job("out", BM25, &source, "");
    // Files of at most 16 KiB, and no signal for larger ones.
    let script = format!(
        "trap '' XFSZ; ulimit -f 16; exec '{}' job '{}' --quiet",
        env!("CARGO_BIN_EXE_embedkit-sql"),
        description.display()
    );
    let error = fail(std::process::Command::new("bash").args(["-c", &script]));
    assert!(error.contains("File too large") || error.contains("too large"), "{error}");
    assert_eq!(parts(&folder).len(), 0);
    succeed(&mut job(&description, &[]));
    assert_eq!(ids(&folder).len(), 20_000);
}

#[tokio::test]
async fn passing_trouble_is_tried_again() {
    let bench = Bench::new();
    write_parquet(&bench.path("a.parquet"), 0, &texts(0, 1000), 100);
    let source = format!("files = ['{}']\nunit_rows = 100", bench.path("a.parquet").display());
    let (description, folder) =
        bench.job("out", BM25, &source, "run = { pause_s = 0.0, attempts = 2, in_flight = 1 }");
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let models = Models::new(FunctionOptions {
        before_batch: Some(Arc::new(move |_, _| match counted.fetch_add(1, Ordering::Relaxed) {
            2 | 5 => Err(std::io::Error::other("the device is busy")),
            _ => Ok(()),
        })),
        ..FunctionOptions::default()
    });
    let session = embedded(&models, config().with_target_partitions(1)).unwrap();
    let job = Job::read(&description).unwrap();
    let report = job::run(&session, &models, &job, false, false, |_| {}).await.unwrap();
    assert_eq!((report.retries, report.rows, report.units), (2, 1000, 10));
    assert_eq!(calls.load(Ordering::Relaxed), 12, "ten batches and two that failed");
    assert_eq!(ids(&folder), (0..1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn trouble_that_stays_ends_the_job_and_keeps_what_is_finished() {
    let bench = Bench::new();
    write_parquet(&bench.path("a.parquet"), 0, &texts(0, 1000), 100);
    let source = format!("files = ['{}']\nunit_rows = 100", bench.path("a.parquet").display());
    let run = "run = { pause_s = 0.0, attempts = 3, in_flight = 1 }";
    let (description, folder) = bench.job("out", BM25, &source, run);
    let calls = AtomicUsize::new(0);
    let models = Models::new(FunctionOptions {
        before_batch: Some(Arc::new(move |_, _| match calls.fetch_add(1, Ordering::Relaxed) {
            0..4 => Ok(()),
            _ => Err(std::io::Error::other("no disk")),
        })),
        ..FunctionOptions::default()
    });
    let session = embedded(&models, config().with_target_partitions(1)).unwrap();
    let job = Job::read(&description).unwrap();
    let error =
        job::run(&session, &models, &job, false, false, |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("after 3 attempts") && error.contains("no disk"), "{error}");
    assert_eq!(parts(&folder).len(), 4);
}

#[test]
fn mistakes_are_told_before_any_work() {
    let bench = Bench::new();
    write_parquet(&bench.path("a.parquet"), 0, &texts(0, 10), 10);
    let file = bench.path("a.parquet");
    let good = format!("files = ['{}']", file.display());
    let none = "files = ['no/such/*.parquet']".to_owned();
    fs::write(bench.path("bad.parquet"), "PAR1 no PAR1").unwrap();
    let bad = format!("files = ['{}']", bench.path("bad.parquet").display());
    for (statement, source, named) in [
        ("SELECT embed('bge-smal', text) FROM source", &good, "unknown model"),
        ("SELECT count(*) FROM source", &good, "an aggregate"),
        ("SELECT nothing FROM source", &good, "nothing"),
        (BM25, &none, "no/such"),
        (BM25, &bad, "bad.parquet"),
    ] {
        let (description, folder) = bench.job("out", statement, source, "");
        let error = fail(&mut job(&description, &[]));
        assert!(error.contains(named), "{statement}: {error}");
        assert!(!folder.exists(), "{statement}");
    }
}
