//! The driver of a job.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use datafusion::{
    arrow::{array::RecordBatch, compute::BatchCoalescer},
    parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties},
    prelude::SessionContext,
};
use futures::StreamExt as _;
use tokio::task::JoinSet;

use super::{
    Job, JobError,
    columns::{Columns, FailedRow},
    folder::Folder,
    key::{self, JobKey},
    progress::{Amount, Counters, Progress},
    qdrant::Collection,
    source::Source,
    statement::{Statement, id_column},
    units::{self, Unit},
};
use crate::Models;

/// Rows of a row group of a part. It is written as soon as it is full, so that memory stays flat.
const ROW_GROUP: usize = 8192;
/// Longest wait between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Most bytes of a list of failed rows that is read back.
const LARGEST_LIST: u64 = 1 << 30;

/// Result of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Units of the job.
    pub units: usize,
    /// Units that earlier runs had finished.
    pub skipped: usize,
    /// Rows of this run.
    pub rows: u64,
    /// Rows without a result, those of earlier runs included.
    pub failed: u64,
    /// Attempts beyond the first of each unit.
    pub retries: usize,
    /// Time of this run.
    pub elapsed: Duration,
}

/// Runs a job to its end, or from where it was.
///
/// `session` has the functions of `models`; it may be that of a cluster. `prune` removes parts that the job
/// does not make, which are an error otherwise. `on_progress` is called every `run.progress_s` seconds.
///
/// # Errors
/// A job that cannot be planned; the first unit that fails for good, after those at work have ended: what is
/// finished stays, and the next run goes on.
pub async fn run(
    session: &SessionContext,
    models: &Models,
    job: &Job,
    prune: bool,
    on_cluster: bool,
    on_progress: impl Fn(Progress),
) -> Result<Report, JobError> {
    let started = Instant::now();
    let source = Source::open(session, &job.source).await?;
    let statement = Statement::new(session, &job.statement, Arc::clone(&source.schema)).await?;
    let schema = statement.schema();
    let columns = Columns::new(&schema, id_column(&schema, job.id.as_deref())?);
    let qdrant =
        job.sink.qdrant.as_ref().map(|qdrant| Collection::new(qdrant, &columns)).transpose()?;
    let units = units::cut(session, &source, &job.source).await?;
    let folder = Folder::open(session, &job.sink.folder)?;
    let named = named_units(models, job, &source, &statement, units)?;
    let suffix = if qdrant.is_some() { "json" } else { "parquet" };
    let finished = finished(&folder, &named, suffix, prune).await?;

    let amount = |done: bool| {
        let of = named.iter().filter(|(hash, _)| !done || finished.contains_key(*hash));
        Amount::sum(of.map(|(_, unit)| (unit.rows, unit.bytes)))
    };
    let counters = Counters::new(amount(false), amount(true), finished.values().sum());
    let driver = Driver {
        session: session.clone(),
        job: job.clone(),
        source,
        statement,
        columns,
        folder,
        qdrant,
        counters,
        on_cluster,
    };
    let (total, skipped) = (named.len(), finished.len());
    let mut waiting: Vec<_> =
        named.into_iter().filter(|(hash, _)| !finished.contains_key(hash)).collect();
    // Units are taken from the end; the order is that of the files.
    waiting.sort_by_key(|(_, unit)| Reverse((unit.file, unit.range)));
    let driver = Arc::new(driver);
    let retries = work(&driver, waiting, on_progress).await?;
    let Progress { rows, failed, .. } = driver.counters.now();
    Ok(Report { units: total, skipped, rows, failed, retries, elapsed: started.elapsed() })
}

/// Units by the hashes of their parts.
fn named_units(
    models: &Models,
    job: &Job,
    source: &Source,
    statement: &Statement,
    units: Vec<Unit>,
) -> Result<BTreeMap<String, Unit>, JobError> {
    let key = JobKey {
        statement: &job.statement,
        models: statement
            .models
            .iter()
            .map(|name| models.identity(name))
            .collect::<Result<_, _>>()?,
        load: key::of_results(&models.options().load),
        options: &source.options,
        columns: format!("{:?}", source.schema.fields()),
        collection: job.sink.qdrant.as_ref().map(|q| (q.url.as_str(), q.collection.as_str())),
    };
    let name = |unit: Unit| {
        let file = &source.files[unit.file];
        Ok((key.part(&source.url(file), file, &unit)?, unit))
    };
    units.into_iter().map(name).collect()
}

/// Hashes of the units that are finished, with their numbers of failed rows.
async fn finished(
    folder: &Folder,
    units: &BTreeMap<String, Unit>,
    suffix: &str,
    prune: bool,
) -> Result<BTreeMap<String, u64>, JobError> {
    let names: BTreeSet<_> = folder.names().await?.into_iter().collect();
    let (mut finished, mut foreign) = (BTreeMap::new(), Vec::new());
    for name in &names {
        let hash = |kind, suffix| name.strip_prefix(kind)?.strip_suffix(suffix)?.strip_suffix('.');
        let part = ["parquet", "json"].into_iter().find_map(|suffix| hash("part-", suffix));
        let Some(hash) = part.or_else(|| hash("failed-", "jsonl")) else { continue };
        if !units.contains_key(hash) {
            foreign.push(name.clone());
        } else if part.is_some() && name.ends_with(suffix) {
            let list = failed_name(hash);
            let failed = match names.contains(&list) {
                true => folder
                    .read(&list, LARGEST_LIST)
                    .await?
                    .iter()
                    .filter(|&&byte| byte == b'\n')
                    .count(),
                false => 0,
            };
            finished.insert(hash.to_owned(), failed as u64);
        }
    }
    if let (Some(example), false) = (foreign.first(), prune) {
        let (place, count) = (folder.place(""), foreign.len());
        return Err(JobError::Foreign { place, count, example: example.clone() });
    }
    for name in foreign {
        folder.remove(&name).await?;
    }
    Ok(finished)
}

fn failed_name(hash: &str) -> String {
    format!("failed-{hash}.jsonl")
}

/// Works on units, some at a time, and counts the attempts beyond the first.
async fn work(
    driver: &Arc<Driver>,
    mut waiting: Vec<(String, Unit)>,
    on_progress: impl Fn(Progress),
) -> Result<usize, JobError> {
    let mut at_work = JoinSet::new();
    let (mut retries, mut failure) = (0, None);
    let period = Duration::from_secs_f64(driver.job.run.progress_s.max(0.1));
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    loop {
        while failure.is_none() && at_work.len() < driver.job.run.in_flight {
            let Some((hash, unit)) = waiting.pop() else { break };
            let driver = Arc::clone(driver);
            at_work.spawn(async move { driver.attempts(&hash, &unit).await });
        }
        tokio::select! {
            ended = at_work.join_next() => match ended {
                None => break,
                Some(Ok(Ok(tries))) => retries += tries - 1,
                Some(Ok(Err(error))) => failure = failure.or(Some(error)),
                Some(Err(panic)) => {
                    let what = format!("a unit ended without a result: {panic}");
                    failure = failure.or(Some(JobError::Config(what)));
                }
            },
            _ = ticks.tick() => on_progress(driver.counters.now()),
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(retries),
    }
}

/// Everything that work on a unit takes.
struct Driver {
    session: SessionContext,
    job: Job,
    source: Source,
    statement: Statement,
    columns: Columns,
    folder: Folder,
    qdrant: Option<Collection>,
    counters: Counters,
    on_cluster: bool,
}

impl Driver {
    /// Tries a unit until it is finished, and returns the number of attempts.
    async fn attempts(&self, hash: &str, unit: &Unit) -> Result<usize, JobError> {
        let mut pause = Duration::from_secs_f64(self.job.run.pause_s);
        for attempt in 1.. {
            let mut rows = 0;
            let Err(error) = self.attempt(hash, unit, &mut rows).await else { return Ok(attempt) };
            self.counters.take_back(rows);
            if attempt >= self.job.run.attempts || !error.is_passing(self.on_cluster) {
                let file = &self.source.files[unit.file];
                let unit = match unit.range {
                    Some((start, end)) => format!("{} (bytes {start} to {end})", file.location),
                    None => file.location.to_string(),
                };
                return Err(JobError::Unit { unit, attempts: attempt, cause: Box::new(error) });
            }
            tracing::warn!(attempt, file = %self.source.files[unit.file].location, "{error}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        unreachable!("attempts end")
    }

    /// Works on a unit once. `rows` counts as they come.
    async fn attempt(&self, hash: &str, unit: &Unit, rows: &mut u64) -> Result<(), JobError> {
        let table = self.source.table(&self.source.files[unit.file], unit.range);
        let query = self.statement.over(&self.session, Arc::new(table))?;
        let mut output = self.output(hash)?;
        let mut failed = Vec::new();
        // Batches of one size, so that the bytes of a part do not depend on how rows came.
        let mut batches = BatchCoalescer::new(self.columns.schema(), output.rows());
        let mut stream = query.execute_stream().await?;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let (part, bad) = self.columns.split(&batch)?;
            *rows += batch.num_rows() as u64;
            self.counters.add_rows(batch.num_rows() as u64);
            failed.extend(bad);
            batches.push_batch(part)?;
            while let Some(full) = batches.next_completed_batch() {
                output.write(full).await?;
            }
        }
        batches.finish_buffered_batch()?;
        while let Some(rest) = batches.next_completed_batch() {
            output.write(rest).await?;
        }
        if !failed.is_empty() {
            self.folder.put(&failed_name(hash), &lines(&failed)?).await?;
        }
        output.finish(&self.folder, hash, *rows).await?;
        self.counters.finish_unit(unit.bytes, failed.len() as u64);
        Ok(())
    }

    fn output(&self, hash: &str) -> Result<Output, JobError> {
        if let Some(collection) = &self.qdrant {
            return Ok(Output::Qdrant(Box::new(collection.clone())));
        }
        // Vectors neither repeat nor compress.
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .build();
        let file = self.folder.create(&format!("part-{hash}.parquet"))?;
        let writer = ArrowWriter::try_new(file, self.columns.schema(), Some(properties))?;
        Ok(Output::Parquet(Box::new(writer)))
    }
}

/// A part that is being written.
enum Output {
    Parquet(Box<ArrowWriter<super::folder::Pending>>),
    Qdrant(Box<Collection>),
}

impl Output {
    /// Rows that are written together.
    fn rows(&self) -> usize {
        match self {
            Self::Parquet(_) => 1024,
            Self::Qdrant(collection) => collection.points(),
        }
    }

    async fn write(&mut self, batch: RecordBatch) -> Result<(), JobError> {
        match self {
            Self::Parquet(writer) => Ok(writer.write(&batch)?),
            Self::Qdrant(collection) => collection.upsert(batch).await,
        }
    }

    /// Marks the unit as finished.
    async fn finish(self, folder: &Folder, hash: &str, rows: u64) -> Result<(), JobError> {
        match self {
            Self::Parquet(writer) => folder.commit(writer.into_inner()?).await,
            Self::Qdrant(_) => {
                let account = serde_json::json!({ "rows": rows }).to_string();
                folder.put(&format!("part-{hash}.json"), account.as_bytes()).await
            }
        }
    }
}

/// Failed rows as JSON, one a line.
fn lines(rows: &[FailedRow]) -> Result<Vec<u8>, JobError> {
    let mut bytes = Vec::new();
    for row in rows {
        let line =
            serde_json::to_string(row).map_err(|error| JobError::Config(error.to_string()))?;
        writeln!(bytes, "{line}").map_err(|error| JobError::Config(error.to_string()))?;
    }
    Ok(bytes)
}
