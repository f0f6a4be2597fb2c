//! A scheduler and executors as child processes: the results are those of one process, whoever is lost.
//!
//! `EMBEDKIT_TEXTS` sets the number of texts of the comparison with one process; the rest has its own
//! sizes.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    MINILM, contents, ids, model_with_fault, parts,
    process::{Bench, Process, fail, job, run_with_kills, succeed, wait_for},
    texts, write_parquet,
};

const BM25: &str = "SELECT id, bm25(text) AS terms FROM source";

/// A scheduler and its executors.
struct Cluster {
    bench: Bench,
    port: u16,
    _scheduler: Process,
    executors: Vec<Process>,
}

impl Cluster {
    fn new() -> Self {
        Self::planning_with(&[])
    }

    /// No executor yet; the scheduler has options of models.
    fn planning_with(options: &[String]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_embedkit-scheduler"));
        command.args(["--listen", "127.0.0.1:0", "--executor-timeout", "5"]).args(options);
        let mut scheduler = Process::start(&mut command);
        let line = scheduler.line();
        let port = line.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port in {line:?}"));
        Self { bench: Bench::new(), port, _scheduler: scheduler, executors: Vec::new() }
    }

    /// Two executors with options of models.
    fn with_two(options: &[String]) -> Self {
        let mut cluster = Self::new();
        cluster.add(options);
        cluster.add(options);
        cluster
    }

    fn work_dir(&self) -> PathBuf {
        self.bench.path(&format!("work-{}", self.executors.len()))
    }

    fn executor(&self, options: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_embedkit-executor"));
        command
            .args(["--scheduler", &format!("127.0.0.1:{}", self.port)])
            .args(["--port", "0", "--command-port", "0", "--tasks", "1", "--heartbeat", "1"])
            .arg("--work-dir")
            .arg(self.work_dir())
            .args(options);
        command
    }

    fn add(&mut self, options: &[String]) {
        let mut command = self.executor(options);
        self.start(&mut command);
    }

    fn start(&mut self, command: &mut Command) {
        let mut executor = Process::start(command);
        assert_eq!(executor.line(), "the models are open");
        self.executors.push(executor);
    }

    fn job(&self, description: &Path, options: &[String]) -> Command {
        let mut command = job(description, options);
        command.args(["--ballista", &format!("df://127.0.0.1:{}", self.port)]);
        command
    }

    /// Ends the executors and returns how many texts each model has seen on all of them.
    fn calls(self) -> BTreeMap<String, u64> {
        let mut calls = BTreeMap::new();
        for executor in self.executors {
            for line in executor.terminate().lines() {
                if let Some((model, rest)) = line.split_once(" has seen ") {
                    let texts: u64 = rest.trim_end_matches(" texts").parse().unwrap();
                    *calls.entry(model.to_owned()).or_default() += texts;
                }
            }
        }
        calls
    }
}

/// Writes files of texts, each with row groups of `group` rows, and returns the source of a job.
fn files(bench: &Bench, count: usize, of: usize, group: usize) -> String {
    for at in 0..count.div_ceil(of) {
        let (from, to) = (at * of, ((at + 1) * of).min(count));
        let path = bench.path(&format!("{at:03}.parquet"));
        write_parquet(&path, from as i64, &texts(from, to), group);
    }
    format!("files = ['{}/*.parquet']\nunit_rows = {group}", bench.path("").display())
}

fn assert_all(folder: &Path, count: usize) {
    assert!(ids(folder) == (0..count as i64).collect::<Vec<_>>(), "every id once");
}

/// Options with MiniLM; `None` without ONNX Runtime.
fn minilm() -> Option<Vec<String>> {
    let library = embedkit_testkit::runtime_library()?;
    let dir = embedkit_testkit::asset("minilm")?;
    Some(vec![
        "--model".into(),
        format!("{MINILM}={}", dir.display()),
        "--onnxruntime".into(),
        library.display().to_string(),
        "--threads".into(),
        "1".into(),
        "--replicas".into(),
        "1".into(),
    ])
}

#[test]
fn two_executors_give_what_one_process_gives() {
    let Some(options) = minilm() else { return };
    const PARTS: usize = 20;
    let count = env::var("EMBEDKIT_TEXTS").map_or(4000, |count| count.parse().unwrap());
    let listed: Vec<_> = options
        .iter()
        .cloned()
        .chain(["--only-listed".into(), "--model".into(), "Qdrant/bm25".into()])
        .collect();
    let cluster = Cluster::with_two(&listed);
    let source = files(&cluster.bench, count, (count / 4).max(1), (count / PARTS).max(1));
    let statement =
        format!("SELECT id, bm25(text) AS terms, embed('{MINILM}', text) AS vector FROM source");
    let (description, folder) = cluster.bench.job("cluster", &statement, &source, "");
    let memory =
        |cluster: &Cluster| cluster.executors.iter().map(Process::memory).max().unwrap_or(0);

    let mut running = Process::start(&mut cluster.job(&description, &options));
    let finished = || if folder.is_dir() { parts(&folder).len() } else { 0 };
    let mut over_time = Vec::new();
    for part in 1..PARTS {
        // One after the other: all of them may take longer than the patience with one.
        wait_for("a part", || !running.is_running() || finished() >= part);
        if let share @ (10 | 25 | 50 | 75) = part * 100 / PARTS {
            over_time.push((share, memory(&cluster)));
        }
    }
    println!("{}", running.line());
    over_time.push((100, memory(&cluster)));
    for (share, bytes) in &over_time {
        println!("at {share} % an executor has at most {} MiB of memory", bytes >> 20);
    }
    let (quarter, whole) = (over_time[1].1, over_time[4].1);
    assert_all(&folder, count);
    assert!(whole < quarter + quarter / 4, "memory grew from {quarter} to {whole} bytes");

    let (description, expected) = cluster.bench.job("alone", &statement, &source, "");
    println!("{}", succeed(&mut job(&description, &options)));
    assert!(contents(&folder) == contents(&expected), "the parts are the same, to the last bit");

    let expected = [("Qdrant/bm25", count as u64), (MINILM, count as u64)];
    let expected: BTreeMap<_, _> = expected.map(|(model, texts)| (model.to_owned(), texts)).into();
    assert_eq!(cluster.calls(), expected, "each text once");
}

#[test]
fn statements_run_on_a_cluster_without_a_change() {
    let cluster = Cluster::with_two(&[]);
    files(&cluster.bench, 500, 250, 100);
    let sql = |more: &[String]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_embedkit-sql"));
        let file = cluster.bench.path("*.parquet");
        let statement = format!(
            "SELECT id, text, bm25(text)['indices'] AS terms FROM '{}' WHERE id % 50 = 7 ORDER BY id",
            file.display()
        );
        command.args(["-c", &statement]).args(more);
        command
    };
    let alone = succeed(&mut sql(&[]));
    assert!(alone.contains("10 rows"), "{alone}");
    let url = format!("df://127.0.0.1:{}", cluster.port);
    assert_eq!(succeed(&mut sql(&["--ballista".into(), url])), alone);
}

#[test]
fn a_lost_executor_loses_no_row() {
    let mut cluster = Cluster::with_two(&[]);
    let source = files(&cluster.bench, 40_000, 40_000, 1000);
    let (description, folder) = cluster.bench.job("out", BM25, &source, "run.pause_s = 0.5");
    let mut running = Process::start(&mut cluster.job(&description, &[]));
    wait_for("a part", || folder.is_dir() && !parts(&folder).is_empty());
    assert!(running.is_running());
    cluster.executors[0].kill();
    println!("{}", running.line());
    assert_all(&folder, 40_000);
    let (description, expected) = cluster.bench.job("alone", BM25, &source, "");
    succeed(&mut job(&description, &[]));
    assert!(contents(&folder) == contents(&expected), "the parts are the same, to the last bit");
}

#[test]
fn a_bad_row_is_listed_and_its_neighbours_are_not() {
    let (_dir, spec) = model_with_fault();
    let Some(library) = embedkit_testkit::runtime_library() else { return };
    let options = [
        "--model".to_owned(),
        format!("m={}", spec.display()),
        "--onnxruntime".to_owned(),
        library.display().to_string(),
    ];
    let mut cluster = Cluster::planning_with(&options);
    cluster.add(&options);
    let mut rows: Vec<_> = (0..500).map(|id| "a dog and the fox ".repeat(1 + id % 3)).collect();
    rows[123] = "the fox ".repeat(40);
    write_parquet(&cluster.bench.path("a.parquet"), 0, &rows, 100);
    let file = cluster.bench.path("a.parquet");
    let source = format!("files = ['{}']\nunit_rows = 100", file.display());
    let statement = "SELECT id, embed('m', text) AS vector FROM source";
    let (description, folder) = cluster.bench.job("out", statement, &source, "run.attempts = 1");
    let report = succeed(&mut cluster.job(&description, &options));
    assert!(report.contains("500 rows") && report.contains("1 failed"), "{report}");
    let (description, expected) = cluster.bench.job("alone", statement, &source, "");
    succeed(&mut job(&description, &options));
    assert!(contents(&folder) == contents(&expected), "the parts are the same, to the last bit");
    let lists: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    assert!(lists.len() == 1 && lists[0].contains("\"id\":\"123\""), "{lists:?}");
}

#[test]
fn trouble_of_a_device_is_tried_again() {
    let mut cluster = Cluster::new();
    let example = Path::new(env!("CARGO_BIN_EXE_embedkit-executor")).with_file_name("examples");
    let mut command = Command::new(example.join("faulty-executor"));
    let port = cluster.port.to_string();
    command
        .envs([("FAILURES", "2"), ("SCHEDULER_PORT", &port)])
        .env("WORK_DIR", cluster.work_dir());
    cluster.start(&mut command);
    let source = files(&cluster.bench, 1000, 1000, 1000);
    // The cluster tries again, not the driver.
    let (description, folder) = cluster.bench.job("out", BM25, &source, "run.attempts = 1");
    let report = succeed(&mut cluster.job(&description, &[]));
    assert!(report.contains("0 retries"), "{report}");
    assert_all(&folder, 1000);
    let rest = cluster.executors.remove(0).terminate();
    assert_eq!(
        rest.lines().filter(|line| line.starts_with("failed on 1000 texts")).count(),
        2,
        "{rest}"
    );
}

#[test]
fn an_executor_that_loses_its_disk_does_not_end_the_job() {
    let mut cluster = Cluster::with_two(&[]);
    let source = files(&cluster.bench, 20_000, 20_000, 500);
    let run = "run = { attempts = 20, pause_s = 0.2 }";
    let (description, folder) = cluster.bench.job("out", BM25, &source, run);
    let mut running = Process::start(&mut cluster.job(&description, &[]));
    wait_for("a part", || folder.is_dir() && !parts(&folder).is_empty());
    // A file is in the place of the first executor's folder.
    let work_dir = cluster.bench.path("work-0");
    fs::remove_dir_all(&work_dir).unwrap();
    fs::write(&work_dir, "").unwrap();
    println!("{}", running.line());
    assert_all(&folder, 20_000);
    wait_for("the end of the executor", || !cluster.executors[0].is_running());
}

#[cfg(unix)]
#[test]
fn an_executor_with_a_full_disk_does_not_register() {
    let cluster = Cluster::new();
    // Files of at most 16 KiB, and no signal for larger ones.
    let command = cluster.executor(&[]);
    let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_string_lossy());
    let words = [command.get_program()].into_iter().chain(command.get_args()).map(quoted);
    let words = words.collect::<Vec<_>>().join(" ");
    let script = format!("trap '' XFSZ; ulimit -f 16; exec {words}");
    let error = fail(Command::new("bash").args(["-c", &script]));
    assert!(error.contains("results cannot be written"), "{error}");
}

#[test]
fn a_driver_that_is_killed_goes_on_where_it_was() {
    let cluster = Cluster::with_two(&[]);
    let (count, group, in_flight, kills) = (10_000, 200, 3, 10);
    let source = files(&cluster.bench, count, count, group);
    let run = format!("run.in_flight = {in_flight}");
    let (description, folder) = cluster.bench.job("out", BM25, &source, &run);
    let report = run_with_kills(|| cluster.job(&description, &[]), &folder, kills);
    println!("{report}");
    assert_all(&folder, count);
    let (description, expected) = cluster.bench.job("alone", BM25, &source, "");
    succeed(&mut job(&description, &[]));
    assert!(contents(&folder) == contents(&expected), "the parts are the same, to the last bit");
    // Each kill costs at most the units that were at work, and the scheduler's queue of them.
    let seen = cluster.calls()["Qdrant/bm25"];
    let most = count + kills * in_flight * group;
    assert!(
        (count as u64..=most as u64).contains(&seen),
        "{seen} texts instead of {count} to {most}"
    );
}

#[test]
fn an_executor_refuses_models_that_are_not_listed() {
    let options = ["--only-listed", "--model", "Qdrant/bm25"].map(str::to_owned);
    let mut cluster = Cluster::new();
    cluster.add(&options);
    let source = files(&cluster.bench, 10, 10, 10);
    let statement = "SELECT id, embed('BAAI/bge-small-en-v1.5', text) FROM source";
    let (description, folder) = cluster.bench.job("out", statement, &source, "run.attempts = 1");
    let error = fail(&mut cluster.job(&description, &[]));
    assert!(error.contains("BAAI/bge-small-en-v1.5") && error.contains("not among"), "{error}");
    assert_eq!(parts(&folder).len(), 0);
}

#[test]
fn an_executor_without_its_model_does_not_register() {
    let cluster = Cluster::new();
    let missing = cluster.bench.path("missing");
    fs::create_dir_all(&missing).unwrap();
    let model = format!("BAAI/bge-small-en-v1.5={}", missing.display());
    let error = fail(&mut cluster.executor(&["--model".to_owned(), model]));
    assert!(error.contains("BAAI/bge-small-en-v1.5") || error.contains("missing"), "{error}");
}

/// Rows per second of a job on the executors of a cluster, and per second that their processors were at work.
fn rates(cluster: &Cluster, name: &str, source: &str, options: &[String]) -> (f64, f64) {
    let statement = format!("SELECT id, embed('{MINILM}', text) AS vector FROM source");
    let run = format!("run.in_flight = {}", 2 * cluster.executors.len());
    let (description, folder) = cluster.bench.job(name, &statement, source, &run);
    let work =
        || cluster.executors.iter().map(Process::work).sum::<std::time::Duration>().as_secs_f64();
    let (before, start) = (work(), std::time::Instant::now());
    succeed(&mut cluster.job(&description, options));
    let (elapsed, worked) = (start.elapsed().as_secs_f64(), work() - before);
    let rows = ids(&folder).len() as f64;
    fs::remove_dir_all(&folder).unwrap();
    (rows / elapsed, rows / worked)
}

/// Measured by hand: `cargo test --release --features cluster --test it beside_one -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn two_executors_beside_one() {
    const ROUNDS: usize = 5;
    let Some(options) = minilm() else { return };
    let mut one = Cluster::new();
    one.add(&options);
    let two = Cluster::with_two(&options);
    let sources = [&one, &two].map(|cluster| files(&cluster.bench, 2400, 600, 200));
    // The first round does not count: its queries are the first of the processes.
    let (mut all, mut of_work) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (of_one, work_of_one) = rates(&one, &format!("one-{round}"), &sources[0], &options);
        let (of_two, work_of_two) = rates(&two, &format!("two-{round}"), &sources[1], &options);
        println!("one executor {of_one:.0} texts/s, two {of_two:.0}: {:.2} times", of_two / of_one);
        println!("  for each second at work: {work_of_one:.0} and {work_of_two:.0}");
        if round > 0 {
            all.push(of_two / of_one);
            of_work.push(work_of_two / work_of_one);
        }
    }
    for (what, ratios) in [("texts", &mut all), ("texts for a second at work", &mut of_work)] {
        ratios.sort_by(f64::total_cmp);
        println!(
            "{what}: two executors {:.2} times one, the median of {ratios:.2?}",
            ratios[ROUNDS / 2]
        );
    }
}
