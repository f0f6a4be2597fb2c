//! The protocol that the contestants of the benchmarks speak: a JSON object a line on standard
//! input, and one in answer on standard output.
//!
//! A contestant is a process that measures itself, so that neither its start nor the pipe is in its
//! times, and so that all contestants can run side by side and take turns. Texts are in files, one
//! a line. A script in another language speaks the same:
//!
//! ```text
//! {"op":"load","kind":"dense","model":"DIR","onnxruntime":"FILE","threads":2}   {"seconds":0.21}
//! {"op":"embed","inputs":"FILE","batch":32}                       {"seconds":9.1,"count":2000,"checksum":0.4}
//! {"op":"embed","inputs":"FILE","vectors":"FILE"}                 the same, and writes little-endian f32
//! {"op":"query","inputs":"FILE","callers":8}                      {"wall":0.8,"seconds":[0.004,…]}
//! ```
//!
//! What is embedded depends on the kind: a text, a query and a document with a tab between them, or
//! the path of an image. What comes back is a row of numbers: a vector, the vectors of a text's tokens
//! one after the other, a score, or the sums of a sparse vector ([`fold`]). Other operations belong to
//! one kind only.
//!
//! An operation that fails is answered by `{"error":"…"}`. The end of the input ends the process.

use std::{
    error::Error as StdError,
    fs::File,
    hint::black_box,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use serde::Deserialize;
use serde_json::{Value, json};

/// Whatever goes wrong; it is only ever printed.
pub type Error = Box<dyn StdError + Send + Sync>;
/// A result with such an error.
pub type Result<T> = std::result::Result<T, Error>;

/// How a contestant opens its model.
#[derive(Debug, Deserialize)]
pub struct Load {
    /// What kind of model it is, such as `dense`.
    pub kind: String,
    /// The folder with `model.onnx` and the tokenizer's files; empty for a kind without files.
    pub model: PathBuf,
    /// The ONNX Runtime library.
    pub onnxruntime: PathBuf,
    /// Threads that the contestant may compute with.
    pub threads: usize,
    /// Settings of one contestant only.
    #[serde(default)]
    pub options: Value,
}

/// A library with a model open.
pub trait Contestant: Sync {
    /// Embeds inputs, `batch` at a time where the library knows such a size, and hands the numbers of
    /// each to `each`, in order.
    ///
    /// # Errors
    /// Whatever the library says.
    fn embed(
        &self,
        inputs: &mut (dyn Iterator<Item = String> + Send),
        batch: Option<usize>,
        each: &mut Each<'_>,
    ) -> Result<()>;

    /// Embeds one query; called by several threads at once.
    ///
    /// # Errors
    /// Whatever the library says.
    fn query(&self, _text: &str) -> Result<Vec<f32>> {
        Err("this contestant has no single queries".into())
    }

    /// How many tokens the model sees of each text, special tokens included.
    ///
    /// # Errors
    /// For libraries that do not tell.
    fn tokens(&self, _texts: &[String]) -> Result<Vec<usize>> {
        Err("this contestant does not count tokens".into())
    }

    /// Any other operation.
    ///
    /// # Errors
    /// Whatever the library says, or that there is no such operation.
    fn other(&self, request: &Value) -> Result<Value> {
        Err(no_operation(request))
    }
}

/// What is called with the numbers of every input.
pub type Each<'a> = dyn FnMut(&[f32]) + 'a;

/// Opens a model.
pub type Open = fn(&Load) -> Result<Box<dyn Contestant>>;

/// The error of an operation that is not there.
#[must_use]
pub fn no_operation(request: &Value) -> Error {
    format!("there is no operation {}", request["op"]).into()
}

/// A sparse vector as the sums of its values over 64 groups of indices, so that vectors can be compared
/// component by component, and a value of almost zero that only one of them has does not count.
pub fn fold(pairs: impl Iterator<Item = (u32, f32)>) -> [f32; 64] {
    let mut sums = [0.0_f64; 64];
    for (index, value) in pairs {
        // The high bits of the product depend on all bits of the index (Knuth's multiplicative hash).
        sums[(index.wrapping_mul(2_654_435_761) >> 26) as usize] += f64::from(value);
    }
    sums.map(|sum| sum as f32)
}

/// Answers requests until the input ends.
///
/// # Errors
/// When standard input or output fails.
pub fn serve(open: Open) -> io::Result<()> {
    let mut contestant = None;
    answer(|request| handle(open, &mut contestant, request))
}

/// Answers every line of standard input with what `handle` makes of it.
///
/// # Errors
/// When standard input or output fails.
pub fn answer(mut handle: impl FnMut(&Value) -> Result<Value>) -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let answer =
            serde_json::from_str(&line?).map_err(Error::from).and_then(|request| handle(&request));
        let answer = answer.unwrap_or_else(|error| json!({"error": chain(&*error)}));
        let mut out = io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[derive(Deserialize)]
struct Embed {
    inputs: PathBuf,
    batch: Option<usize>,
    vectors: Option<PathBuf>,
    /// Inputs are read while they are embedded, so that memory does not hold them all.
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct Query {
    inputs: PathBuf,
    callers: usize,
    /// Texts of one call; a call of one is a query.
    #[serde(default = "one")]
    texts: usize,
}

fn one() -> usize {
    1
}

#[derive(Deserialize)]
struct Tokens {
    inputs: PathBuf,
}

fn handle(
    open: Open,
    contestant: &mut Option<Box<dyn Contestant>>,
    request: &Value,
) -> Result<Value> {
    if request["op"] == "load" {
        let load = Load::deserialize(request)?;
        let start = Instant::now();
        *contestant = Some(open(&load)?);
        return Ok(json!({"seconds": start.elapsed().as_secs_f64()}));
    }
    let contestant = contestant.as_deref().ok_or("nothing is loaded")?;
    match request["op"].as_str() {
        Some("embed") => embed(contestant, &Embed::deserialize(request)?),
        Some("query") => query(contestant, &Query::deserialize(request)?),
        Some("tokens") => {
            let texts = lines(&Tokens::deserialize(request)?.inputs)?;
            Ok(json!({"tokens": contestant.tokens(&texts)?}))
        }
        _ => contestant.other(request),
    }
}

fn embed(contestant: &dyn Contestant, request: &Embed) -> Result<Value> {
    let mut checksum = Checksum::default();
    let mut file = request.vectors.as_ref().map(File::create).transpose()?.map(BufWriter::new);
    let mut written = Ok(());
    let mut each = |vector: &[f32]| {
        checksum.add(vector);
        if let Some(file) = &mut file {
            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            if let Err(error) = file.write_all(&bytes) {
                written = Err(error);
            }
        }
    };
    let start;
    if request.stream {
        let mut unreadable = None;
        let read = BufReader::new(File::open(&request.inputs)?).lines();
        let mut read = read.map_while(|line| line.map_err(|error| unreadable = Some(error)).ok());
        start = Instant::now();
        contestant.embed(&mut read, request.batch, &mut each)?;
        if let Some(error) = unreadable {
            return Err(error.into());
        }
    } else {
        let mut inputs = lines(&request.inputs)?.into_iter();
        start = Instant::now();
        contestant.embed(&mut inputs, request.batch, &mut each)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    written?;
    if let Some(mut file) = file {
        file.flush()?;
    }
    Ok(json!({"seconds": seconds, "count": checksum.count, "checksum": checksum.mean()}))
}

/// Each call takes the next texts, one or more; the callers take their turns.
fn query(contestant: &dyn Contestant, request: &Query) -> Result<Value> {
    let texts = lines(&request.inputs)?;
    let calls: Vec<&[String]> = texts.chunks(request.texts.max(1)).collect();
    let next = AtomicUsize::new(0);
    let caller = || -> Result<Vec<f64>> {
        let mut seconds = Vec::new();
        while let Some(texts) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
            let start = Instant::now();
            match texts {
                [text] => _ = black_box(contestant.query(text)?),
                texts => {
                    let mut texts = texts.iter().cloned();
                    contestant.embed(&mut texts, None, &mut |vector| _ = black_box(vector))?;
                }
            }
            seconds.push(start.elapsed().as_secs_f64());
        }
        Ok(seconds)
    };
    let start = Instant::now();
    let seconds = if request.callers == 1 {
        caller()?
    } else {
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..request.callers).map(|_| scope.spawn(caller)).collect();
            let mut all = Vec::new();
            for one in callers {
                all.extend(one.join().map_err(|_| "a caller panicked")??);
            }
            Ok::<_, Error>(all)
        })?
    };
    Ok(json!({"wall": start.elapsed().as_secs_f64(), "seconds": seconds}))
}

/// The lines of a file.
///
/// # Errors
/// One that cannot be read.
pub fn lines(file: &Path) -> Result<Vec<String>> {
    let read = BufReader::new(File::open(file)?).lines();
    Ok(read.collect::<io::Result<_>>()?)
}

/// One number that tells whether the same vectors came in the same order, up to rounding: the mean
/// over all texts of one component each, another one from text to text, with weights.
#[derive(Default)]
struct Checksum {
    count: usize,
    sum: f64,
}

impl Checksum {
    fn add(&mut self, vector: &[f32]) {
        let component = self.count % vector.len().max(1);
        let weight = (self.count % 7 + 1) as f64;
        self.sum += weight * vector.get(component).map_or(f64::NAN, |&x| f64::from(x));
        self.count += 1;
    }

    fn mean(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }
}
