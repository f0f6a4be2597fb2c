//! MUVERA against the original, in one run: `cargo bench -p embedkit-postprocess --bench muvera`.
//!
//! After `--` may come `--python FILE`, an interpreter with FastEmbed 0.9.1 (by default that of the
//! virtual environment in `.cache/oracle`), `--rounds N`, and `--json` for one object a line.
//!
//! Both sides encode the same inputs, a few at a time and in turns, so that whatever else the
//! machine does hits both. Each input is timed by itself in every round; what counts is an input's
//! best time, and what is printed the inputs that the sum of these allows in a second. The first
//! table gives each side one thread. The second gives the original's matrix library, which is all of
//! it that has threads, and our batch as many as there are cores. The last column is the largest
//! difference of a component, relative to it.

#![expect(clippy::print_stdout, reason = "the tables are what it is for")]

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Instant,
};

use embedkit_postprocess::{Form, Muvera, MuveraOptions};
use embedkit_types::MultiVector;
use serde_json::{Value, json};

const DIM: usize = 128;
const INPUTS: usize = 32;
/// Inputs that one side encodes before it is the other's turn.
const TURN: usize = 8;
/// Form, vectors per input, `k_sim`, `dim_proj`; 20 repetitions each. The first is the default.
const SIZES: &[(&str, usize, u32, usize)] = &[
    ("document", 128, 5, 16),
    ("document", 128, 4, 16),
    ("document", 128, 4, 32),
    ("document", 128, 5, 32),
    ("document", 128, 6, 16),
    ("document", 128, 6, 32),
    ("document", 300, 5, 16),
    ("query", 32, 5, 16),
    ("query", 32, 6, 32),
];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    // Test runners start benchmarks too, or ask them for their tests.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let after = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = after("--python").map_or_else(
        || root.join(".cache").join("oracle").join("bin").join("python"),
        PathBuf::from,
    );
    let rounds = after("--rounds").map_or(20, |rounds| rounds.parse().expect("a number of rounds"));
    let as_json = arguments.iter().any(|argument| argument == "--json");

    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    for threads in [1, cores] {
        let mut original = Original::start(&python, threads);
        if !as_json {
            println!("\n{threads} thread{}; inputs a second", if threads == 1 { "" } else { "s" });
            println!(
                "form      vectors k_sim dim_proj  original      f64 times      f32 times  difference"
            );
        }
        for &size in SIZES {
            let line = Comparison::run(&mut original, size, threads, rounds);
            println!(
                "{}",
                if as_json { line.json(size, threads).to_string() } else { line.row(size) }
            );
        }
        if cores == 1 {
            break;
        }
    }
}

/// Inputs a second of each side, and how far their numbers are apart.
struct Comparison {
    original: f64,
    double: f64,
    single: f64,
    difference: f64,
}

impl Comparison {
    fn run(
        original: &mut Original,
        (form, rows, k_sim, dim_proj): (&str, usize, u32, usize),
        threads: usize,
        rounds: usize,
    ) -> Self {
        let inputs = inputs(rows);
        let options = MuveraOptions { k_sim, dim_proj, ..MuveraOptions::default() };
        original.load(&inputs, rows, &options);
        let muvera = Muvera::new(DIM, options.clone()).expect("valid options");
        let single = Muvera::new_f32(DIM, options).expect("valid options");
        let encode = if form == "query" { Form::QUERY } else { Form::DOCUMENT };
        let difference = difference(&muvera, encode, &inputs[..4], &original.save(form, 4));

        let mut best = [[f64::INFINITY; INPUTS]; 3];
        let threads = NonZeroUsize::new(threads);
        for _ in 0..rounds {
            for first in (0..INPUTS).step_by(TURN) {
                let turn = first..first + TURN;
                let theirs = original.encode(form, turn.clone());
                keep_best(&mut best[0][turn.clone()], &theirs);
                if threads == NonZeroUsize::new(1) {
                    let ours = turn.clone().map(|i| {
                        timed(|| muvera.process(&inputs[i], encode).expect("valid vectors"))
                    });
                    keep_best(&mut best[1][turn.clone()], &ours.collect::<Vec<_>>());
                    let ours = turn.clone().map(|i| {
                        timed(|| single.process(&inputs[i], encode).expect("valid vectors"))
                    });
                    keep_best(&mut best[2][turn], &ours.collect::<Vec<_>>());
                }
            }
            if threads != NonZeroUsize::new(1) {
                // One batch of all inputs, whose time is shared out.
                let ours = timed(|| muvera.process_batch(&inputs, encode, threads).expect("valid"));
                keep_best(&mut best[1], &[ours / INPUTS as f64; INPUTS]);
                let ours = timed(|| single.process_batch(&inputs, encode, threads).expect("valid"));
                keep_best(&mut best[2], &[ours / INPUTS as f64; INPUTS]);
            }
        }
        let [original, double, single] =
            best.map(|seconds| INPUTS as f64 / seconds.iter().sum::<f64>());
        Self { original, double, single, difference }
    }

    fn row(&self, (form, rows, k_sim, dim_proj): (&str, usize, u32, usize)) -> String {
        let Self { original, double, single, difference } = self;
        format!(
            "{form:<9} {rows:>7} {k_sim:>5} {dim_proj:>8} {original:>9.0} {double:>8.0} {:>5.1} \
             {single:>8.0} {:>5.1}  {difference:>10.1e}",
            double / original,
            single / original
        )
    }

    fn json(
        &self,
        (form, rows, k_sim, dim_proj): (&str, usize, u32, usize),
        threads: usize,
    ) -> Value {
        json!({
            "form": form, "vectors": rows, "k_sim": k_sim, "dim_proj": dim_proj, "threads": threads,
            "original": self.original, "f64": self.double, "f32": self.single,
            "f64_times": self.double / self.original, "f32_times": self.single / self.original,
            "difference": self.difference,
        })
    }
}

fn keep_best(best: &mut [f64], seconds: &[f64]) {
    for (best, &seconds) in best.iter_mut().zip(seconds) {
        *best = best.min(seconds);
    }
}

/// The seconds that something takes; its result is dropped after the clock is read.
fn timed<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    let result = std::hint::black_box(work());
    let seconds = start.elapsed().as_secs_f64();
    drop(result);
    seconds
}

/// The largest difference of a component, relative to it; infinite where one is not a number.
fn difference(muvera: &Muvera, form: Form, inputs: &[MultiVector], expected: &[f64]) -> f64 {
    let ours = muvera.process_batch(inputs, form, None).expect("valid vectors").concat();
    assert_eq!(ours.len(), expected.len());
    let relative = ours.iter().zip(expected).map(|(ours, expected)| {
        let relative = (ours - expected).abs() / expected.abs();
        match (ours == expected, relative.is_nan()) {
            (true, _) => 0.0,
            (false, true) => f64::INFINITY,
            (false, false) => relative,
        }
    });
    relative.fold(0.0, f64::max)
}

/// Unit vectors around a few directions, as those of tokens are.
fn inputs(rows: usize) -> Vec<MultiVector> {
    let mut state = 1u64;
    let mut number = move || {
        // Four uniform numbers are normal enough.
        let mut sum = 0.0;
        for _ in 0..4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            sum += (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5;
        }
        sum
    };
    let directions: Vec<f32> = (0..8 * DIM).map(|_| number()).collect();
    let mut input = || {
        let mut values: Vec<f32> = (0..rows * DIM).map(|_| number()).collect();
        for (row, vector) in values.chunks_exact_mut(DIM).enumerate() {
            let direction = &directions[row % 8 * DIM..][..DIM];
            vector.iter_mut().zip(direction).for_each(|(x, y)| *x += 0.5 * y);
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            vector.iter_mut().for_each(|x| *x /= length);
        }
        MultiVector::new(values, DIM).expect("whole vectors")
    };
    (0..INPUTS).map(|_| input()).collect()
}

/// The original, in a process of its own.
struct Original {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    exchange: PathBuf,
}

impl Original {
    fn start(python: &Path, threads: usize) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join("original.py");
        let mut command = Command::new(python);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        for variable in ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(variable, threads.to_string());
        }
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!("{} does not start ({error}); give --python FILE", python.display())
        });
        let to = process.stdin.take().expect("a pipe");
        let from = BufReader::new(process.stdout.take().expect("a pipe"));
        let exchange = env::temp_dir().join(format!("embedkit-muvera-{}", process.id()));
        Self { process, to, from, exchange }
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.to, "{question}").expect("the original listens");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("the original answers");
        serde_json::from_str(&line).expect("the original answers, see its message above")
    }

    fn load(&mut self, inputs: &[MultiVector], rows: usize, options: &MuveraOptions) {
        let bytes: Vec<u8> = inputs
            .iter()
            .flat_map(|input| input.values().iter().flat_map(|value| value.to_le_bytes()))
            .collect();
        fs::write(&self.exchange, bytes).expect("a writable temporary folder");
        let &MuveraOptions { k_sim, dim_proj, r_reps, .. } = options;
        let answer = self.ask(&json!({
            "op": "load", "vectors": self.exchange, "rows": rows, "dim": DIM,
            "k_sim": k_sim, "dim_proj": dim_proj, "r_reps": r_reps,
        }));
        assert_eq!(answer["count"], INPUTS);
    }

    fn encode(&mut self, form: &str, inputs: std::ops::Range<usize>) -> Vec<f64> {
        let inputs: Vec<usize> = inputs.collect();
        let answer = self.ask(&json!({"op": "encode", "form": form, "inputs": inputs}));
        let seconds = answer["seconds"].as_array().expect("times");
        seconds.iter().map(|seconds| seconds.as_f64().expect("a time")).collect()
    }

    /// The encodings of the first inputs.
    fn save(&mut self, form: &str, count: usize) -> Vec<f64> {
        let inputs: Vec<usize> = (0..count).collect();
        self.ask(&json!({"op": "save", "form": form, "inputs": inputs, "to": self.exchange}));
        let bytes = fs::read(&self.exchange).expect("the original has written");
        let (values, rest) = bytes.as_chunks::<8>();
        assert!(rest.is_empty());
        values.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        // It holds nothing but memory; ours is the only pipe to it.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.exchange);
    }
}
