//! Description of a job, `JOB.toml`.

use std::{collections::BTreeMap, fs, io::Read as _, path::Path};

use embedkit::LoadOptions;
use serde::{Deserialize, Serialize};

use super::{JobError, source::Format};

/// Most bytes of a description: it names files by pattern.
const LARGEST: u64 = 1 << 20;

/// A job: which texts, what is computed of them, and where it goes.
///
/// ```
/// use embedkit_datafusion::job::Job;
///
/// let job = Job::parse(
///     r#"
///     statement = "SELECT id, bm25(text) AS terms FROM source"
///
///     [source]
///     files = ["docs/*.parquet"]
///
///     [sink]
///     folder = "out"
///     "#,
/// )?;
/// assert_eq!(job.source.unit_rows, 10_000);
/// # Ok::<(), embedkit_datafusion::job::JobError>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// A `SELECT` over the table `source` that treats each row by itself.
    pub statement: String,
    /// Column of the statement that names a row in lists of failures; the first one by default.
    pub id: Option<String>,
    /// Input.
    pub source: SourceConfig,
    /// Output.
    pub sink: SinkConfig,
    /// Amounts.
    #[serde(default)]
    pub run: RunConfig,
    /// Options of the models for whoever makes the session of the job, where the models run in its process.
    /// Executors have their own.
    #[serde(default)]
    pub load: LoadOptions,
}

/// Input of a job.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Paths, patterns, folders or URLs of object stores.
    pub files: Vec<String>,
    /// Format; by default that of the files' extension.
    pub format: Option<Format>,
    /// Names and SQL types of the columns, in order, such as `"id BIGINT"`; by default those of the files.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Most rows of a unit of work; a row group of Parquet is never divided.
    #[serde(default = "unit_rows")]
    pub unit_rows: u64,
    /// Bytes of a unit of JSONL or CSV.
    #[serde(default = "unit_bytes")]
    pub unit_bytes: u64,
    /// CSV: the first line has the names of the columns.
    #[serde(default = "yes")]
    pub header: bool,
    /// CSV: the character between values.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// CSV: quoted values may have line breaks, so that a file is one unit.
    #[serde(default)]
    pub newlines_in_values: bool,
}

/// Output of a job.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// Folder, or URL in an object store, of the parts and of the lists of failed rows.
    pub folder: String,
    /// A collection of Qdrant that points go to instead; the folder keeps account of finished units.
    pub qdrant: Option<QdrantConfig>,
}

/// A collection of Qdrant, which has to exist.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct QdrantConfig {
    /// URL of the REST interface, such as `http://localhost:6333`.
    pub url: String,
    /// Name of the collection.
    pub collection: String,
    /// Columns with vectors, by their names in the collection; the name `""` is that of a collection with one
    /// unnamed vector.
    pub vectors: BTreeMap<String, String>,
    /// Columns that become the payload.
    #[serde(default)]
    pub payload: Vec<String>,
    /// Points of a request.
    #[serde(default = "points")]
    pub points: usize,
    /// Environment variable with the API key.
    #[serde(default = "key_variable")]
    pub api_key_variable: String,
}

/// Amounts of a job.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Units that are worked on at once: on a cluster at least as many as it has slots for tasks.
    pub in_flight: usize,
    /// Times that a unit is tried where the trouble may pass.
    pub attempts: usize,
    /// Seconds before the second attempt; each further wait is twice as long, up to a minute.
    pub pause_s: f64,
    /// Seconds between two lines of progress.
    pub progress_s: f64,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self { in_flight: 4, attempts: 4, pause_s: 2.0, progress_s: 10.0 }
    }
}

fn unit_rows() -> u64 {
    10_000
}

fn unit_bytes() -> u64 {
    8 << 20
}

fn yes() -> bool {
    true
}

fn comma() -> char {
    ','
}

fn points() -> usize {
    256
}

fn key_variable() -> String {
    "QDRANT_API_KEY".to_owned()
}

impl Job {
    /// Reads a description.
    ///
    /// # Errors
    /// A file that cannot be read or has more than 1 MiB, and those of [`parse`](Self::parse).
    pub fn read(path: &Path) -> Result<Self, JobError> {
        let wrong = |reason: String| JobError::Config(format!("{}: {reason}", path.display()));
        let file = fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
        let mut text = String::new();
        file.take(LARGEST + 1)
            .read_to_string(&mut text)
            .map_err(|error| wrong(error.to_string()))?;
        if text.len() as u64 > LARGEST {
            return Err(wrong(format!("it has more than {LARGEST} bytes")));
        }
        Self::parse(&text).map_err(|error| wrong(error.to_string()))
    }

    /// A description in TOML.
    ///
    /// # Errors
    /// Unknown or missing fields, and amounts of zero.
    pub fn parse(text: &str) -> Result<Self, JobError> {
        let wrong = |reason: String| JobError::Config(reason);
        let job: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let amounts = [
            ("source.unit_rows", job.source.unit_rows),
            ("source.unit_bytes", job.source.unit_bytes),
            ("run.in_flight", job.run.in_flight as u64),
            ("run.attempts", job.run.attempts as u64),
            (
                "sink.qdrant.points",
                job.sink.qdrant.as_ref().map_or(1, |qdrant| qdrant.points as u64),
            ),
        ];
        if let Some((name, _)) = amounts.iter().find(|(_, amount)| *amount == 0) {
            return Err(wrong(format!("`{name}` is 0, expected more")));
        }
        for (name, seconds) in
            [("run.pause_s", job.run.pause_s), ("run.progress_s", job.run.progress_s)]
        {
            if !(0.0..=86_400.0).contains(&seconds) {
                return Err(wrong(format!("`{name}` is {seconds}, expected 0 to 86400 seconds")));
            }
        }
        if job.source.files.is_empty() {
            return Err(wrong("`source.files` names no file".to_owned()));
        }
        if !job.source.delimiter.is_ascii() {
            return Err(wrong("`source.delimiter` is no ASCII character".to_owned()));
        }
        Ok(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "statement = 'SELECT 1'\nsource.files = ['a']\nsink.folder = 'b'\n";

    #[test]
    fn fields_that_nobody_knows_are_errors() {
        Job::parse(JOB).unwrap();
        for (line, named) in [
            ("run.threads = 2", "threads"),
            ("run.in_flight = 0", "run.in_flight"),
            ("source.unit_rows = 0", "source.unit_rows"),
            ("run.pause_s = -1.0", "run.pause_s"),
            ("source.delimiter = '–'", "delimiter"),
            ("source.format = 'xml'", "xml"),
            ("load.dimensions = 3", "dimensions"),
        ] {
            let error = Job::parse(&format!("{JOB}{line}")).unwrap_err().to_string();
            assert!(error.contains(named), "{line}: {error}");
        }
    }

    #[test]
    fn a_file_is_named_in_its_errors() {
        let error = Job::read(Path::new("no/such.toml")).unwrap_err().to_string();
        assert!(error.contains("no/such.toml"), "{error}");
    }
}
