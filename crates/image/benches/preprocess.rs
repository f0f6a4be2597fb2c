//! Preprocessing against the original, in one run: `cargo bench -p embedkit-image --bench preprocess`.
//!
//! After `--` may come `--python FILE`, an interpreter with FastEmbed 0.9.1 and Pillow 12 (by default
//! that of the virtual environment in `.cache/oracle`), `--pictures DIR` (by default those that
//! `cargo xtask assets` fetches), `--rounds N`, and `--json` for one object a line.
//!
//! Each side makes a tensor from the same decoded picture, on one thread and in turns, so that
//! whatever else the machine does hits both; what counts is the best time. The last two columns are the
//! part of the tensor's values that differ from the original's: none on the exact path, and on the
//! fast one those that are a level or two away.

#![expect(clippy::print_stdout, reason = "the tables are what it is for")]

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use embedkit_image::{
    DecodeOptions, ImageInput, PreprocessOptions, Preprocessor, ResizeQuality, RgbImage, decode,
};
use serde_json::{Value, json};

const CLIP: &str = r#"{"image_processor_type": "CLIPImageProcessor", "do_resize": true,
    "size": {"shortest_edge": 224}, "resample": 3, "do_center_crop": true, "crop_size": 224,
    "do_normalize": true, "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711]}"#;
const SIGLIP: &str = r#"{"image_processor_type": "SiglipImageProcessor", "do_resize": true,
    "size": {"height": 224, "width": 224}, "resample": 2, "do_normalize": true,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
const COLPALI: &str = r#"{"image_processor_type": "SiglipImageProcessor", "do_resize": true,
    "size": {"height": 448, "width": 448}, "resample": 3, "do_normalize": true,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
const TILES: &str = r#"{"image_processor_type": "Idefics3ImageProcessor", "do_resize": true,
    "size": {"longest_edge": 2048}, "resample": 1, "do_image_splitting": true,
    "max_image_size": {"longest_edge": 512}, "do_normalize": true,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;

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
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache");
    let python = after("--python")
        .map_or_else(|| cache.join("oracle").join("bin").join("python"), PathBuf::from);
    let folder =
        after("--pictures").map_or_else(|| cache.join("assets/models/pictures"), PathBuf::from);
    let rounds = after("--rounds").map_or(10, |rounds| rounds.parse().expect("a number of rounds"));
    let as_json = arguments.iter().any(|argument| argument == "--json");

    let pictures = pictures(&folder);
    let mut original = Original::start(&python);
    for (name, config) in
        [("clip", CLIP), ("siglip", SIGLIP), ("colpali", COLPALI), ("tiles", TILES)]
    {
        if !as_json {
            println!("\n{name}: milliseconds for a picture on one core");
            println!(
                "picture                       size  original    exact times     fast times   differ     fast"
            );
        }
        let mut logs = [0.0; 2];
        for (picture, image) in &pictures {
            let line = Comparison::run(&mut original, config, image, rounds);
            let size = format!("{}x{}", image.width(), image.height());
            println!(
                "{}",
                if as_json { line.json(name, picture) } else { line.row(picture, &size) }
            );
            logs[0] += (line.original / line.exact).ln();
            logs[1] += (line.original / line.fast).ln();
        }
        if !as_json {
            let [exact, fast] = logs.map(|sum| (sum / pictures.len() as f64).exp());
            println!("geometric mean: exact {exact:.1} times, fast {fast:.1} times");
        }
    }
}

/// Every picture of the folder that can be decoded, by name.
fn pictures(folder: &Path) -> Vec<(String, RgbImage)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| {
        panic!("{}: {error}; run `cargo xtask assets`, or give --pictures DIR", folder.display())
    });
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    let picture = |path: &PathBuf| {
        let image = decode(&ImageInput::from(&**path), &DecodeOptions::default()).ok()?;
        Some((path.file_name()?.to_string_lossy().into_owned(), image))
    };
    let pictures: Vec<_> = paths.iter().filter_map(picture).collect();
    assert!(!pictures.is_empty(), "no pictures in {}", folder.display());
    pictures
}

/// Seconds for a picture, and the part of the values that differ.
struct Comparison {
    original: f64,
    exact: f64,
    fast: f64,
    exact_differs: f64,
    fast_differs: f64,
}

impl Comparison {
    fn run(original: &mut Original, config: &str, image: &RgbImage, rounds: usize) -> Self {
        let expected = original.load(config, image);
        let exact = Preprocessor::from_json(config.as_bytes()).expect("a valid configuration");
        let options =
            PreprocessOptions { quality: ResizeQuality::Fast, ..PreprocessOptions::default() };
        let fast = exact.clone().with_options(options);
        let differs = |ours: &[f32]| {
            assert_eq!(ours.len(), expected.len());
            let many = ours.iter().zip(&expected).filter(|(a, b)| a != b).count();
            many as f64 / ours.len() as f64
        };
        let (exact_differs, fast_differs) =
            (differs(&tensor(&exact, image)), differs(&tensor(&fast, image)));
        let mut best = [f64::INFINITY; 3];
        for _ in 0..rounds {
            let times = [
                original.ask(&json!({"op": "apply"}))["seconds"].as_f64().expect("a time"),
                timed(|| tensor(&exact, image)),
                timed(|| tensor(&fast, image)),
            ];
            best.iter_mut().zip(times).for_each(|(best, time)| *best = best.min(time));
        }
        let [original, exact, fast] = best;
        Self { original, exact, fast, exact_differs, fast_differs }
    }

    fn row(&self, picture: &str, size: &str) -> String {
        let Self { original, exact, fast, exact_differs, fast_differs } = self;
        format!(
            "{picture:<24} {size:>9} {:>9.2} {:>8.2} {:>5.1} {:>8.2} {:>5.1} {exact_differs:>8} {:>6.1} %",
            original * 1e3,
            exact * 1e3,
            original / exact,
            fast * 1e3,
            original / fast,
            fast_differs * 100.0,
        )
    }

    fn json(&self, config: &str, picture: &str) -> String {
        let Self { original, exact, fast, exact_differs, fast_differs } = self;
        json!({
            "config": config, "picture": picture, "original": original, "exact": exact,
            "fast": fast, "exact_times": original / exact, "fast_times": original / fast,
            "exact_differs": exact_differs, "fast_differs": fast_differs,
        })
        .to_string()
    }
}

fn tensor(preprocessor: &Preprocessor, image: &RgbImage) -> Vec<f32> {
    if preprocessor.makes_tiles() {
        preprocessor.tiles(image).expect("a picture").values
    } else {
        preprocessor.apply(image).expect("a picture").values
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

/// The original, in a process of its own.
struct Original {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    exchange: PathBuf,
}

impl Original {
    fn start(python: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join("original.py");
        let mut command = Command::new(python);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!("{} does not start ({error}); give --python FILE", python.display())
        });
        let to = process.stdin.take().expect("a pipe");
        let from = BufReader::new(process.stdout.take().expect("a pipe"));
        let exchange = env::temp_dir().join(format!("embedkit-image-{}", process.id()));
        Self { process, to, from, exchange }
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.to, "{question}").expect("the original listens");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("the original answers");
        serde_json::from_str(&line).expect("the original answers, see its message above")
    }

    /// Gives it configuration and picture, and returns its tensor.
    fn load(&mut self, config: &str, image: &RgbImage) -> Vec<f32> {
        let config: Value = serde_json::from_str(config).expect("valid JSON");
        self.ask(&json!({"op": "config", "config": config}));
        fs::write(&self.exchange, image.pixels()).expect("a writable temporary folder");
        let (width, height) = (image.width(), image.height());
        self.ask(
            &json!({"op": "image", "pixels": self.exchange, "width": width, "height": height}),
        );
        self.ask(&json!({"op": "save", "to": self.exchange}));
        let bytes = fs::read(&self.exchange).expect("the original has written");
        let (values, rest) = bytes.as_chunks::<4>();
        assert!(rest.is_empty());
        values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
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
