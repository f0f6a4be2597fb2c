//! Input of a job: its files, their columns, and the table of one unit.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::{Field, Schema, SchemaRef},
    catalog::{Session, TableProvider},
    common::GetExt as _,
    datasource::{
        TableType,
        file_format::{
            FileFormat, csv::CsvFormat, file_compression_type::FileCompressionType,
            json::JsonFormat, parquet::ParquetFormat,
        },
        listing::{ListingTableUrl, PartitionedFile},
        physical_plan::FileScanConfigBuilder,
        table_schema::TableSchema,
    },
    error::{DataFusionError, Result},
    execution::object_store::ObjectStoreUrl,
    logical_expr::Expr,
    physical_plan::ExecutionPlan,
    prelude::SessionContext,
};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};
use serde::{Deserialize, Serialize};

use super::{JobError, SourceConfig};

/// Format of input files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values.
    Csv,
}

/// Format of the files of a job with everything that reading them takes. It travels to the scheduler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileOptions {
    pub(crate) format: Format,
    /// Name of the compression around a text file, such as `GZIP`.
    compression: Option<String>,
    header: bool,
    delimiter: u8,
    newlines_in_values: bool,
}

impl FileOptions {
    /// True for files that can be read from within.
    pub(crate) fn can_be_cut(&self) -> bool {
        self.compression.is_none() && !(self.format == Format::Csv && self.newlines_in_values)
    }

    fn file_format(&self) -> Result<Arc<dyn FileFormat>> {
        let compression = match &self.compression {
            Some(name) => name.parse()?,
            None => FileCompressionType::UNCOMPRESSED,
        };
        Ok(match self.format {
            Format::Parquet => Arc::new(ParquetFormat::default()),
            Format::Jsonl => {
                Arc::new(JsonFormat::default().with_file_compression_type(compression))
            }
            Format::Csv => Arc::new(
                CsvFormat::default()
                    .with_has_header(self.header)
                    .with_delimiter(self.delimiter)
                    .with_newlines_in_values(self.newlines_in_values)
                    .with_file_compression_type(compression),
            ),
        })
    }
}

/// Files of a job: where they are, what they are, and what columns they have.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) store: ObjectStoreUrl,
    pub(crate) files: Vec<ObjectMeta>,
    pub(crate) options: FileOptions,
    pub(crate) schema: SchemaRef,
}

impl Source {
    /// Lists the files and reads their columns.
    pub(crate) async fn open(
        session: &SessionContext,
        config: &SourceConfig,
    ) -> Result<Self, JobError> {
        let state = session.state();
        let (mut store, mut files) = (None, Vec::new());
        for name in &config.files {
            let url = ListingTableUrl::parse(name)?;
            let of_url = url.object_store();
            if *store.get_or_insert_with(|| of_url.clone()) != of_url {
                let what = "`source.files` are in more than one store; make a job of each";
                return Err(JobError::Config(what.to_owned()));
            }
            let objects = state.runtime_env().object_store(&of_url)?;
            let before = files.len();
            let found = url.list_all_files(&state, &objects, "").await?;
            files.extend(found.try_collect::<Vec<_>>().await?);
            if files.len() == before {
                return Err(JobError::Config(format!("`source.files`: no file matches {name}")));
            }
        }
        files.sort_by(|a, b| a.location.cmp(&b.location));
        files.dedup_by(|a, b| a.location == b.location);
        let store = store.ok_or_else(|| JobError::Config("there is no input".to_owned()))?;
        let options = file_options(config, &files)?;
        let objects = state.runtime_env().object_store(&store)?;
        if options.format == Format::Parquet {
            check_footers(&objects, &files).await?;
        }
        let schema = match config.columns.is_empty() {
            true => options.file_format()?.infer_schema(&state, &objects, &files).await?,
            false => declared(session, config).await?,
        };
        Ok(Self { store, files, options, schema })
    }

    /// The table of a part of a file; of the whole file without a range.
    pub(crate) fn table(&self, file: &ObjectMeta, range: Option<(u64, u64)>) -> UnitTable {
        let place = Place {
            store: self.store.as_str().to_owned(),
            path: file.location.to_string(),
            size: file.size,
            range,
            options: self.options.clone(),
        };
        UnitTable { place, schema: Arc::clone(&self.schema) }
    }

    /// URL of a file.
    pub(crate) fn url(&self, file: &ObjectMeta) -> String {
        format!("{}{}", self.store.as_str(), file.location)
    }
}

/// Refuses files that end in no footer or in a longer one than they have, which readers need not expect.
async fn check_footers(
    objects: &Arc<dyn ObjectStore>,
    files: &[ObjectMeta],
) -> Result<(), JobError> {
    /// Length of the footer, and the mark behind it; the mark stands at the beginning, too.
    const END: u64 = 8;
    const MARK: &[u8] = b"PAR1";
    let check = |file: &ObjectMeta| {
        let (objects, file) = (Arc::clone(objects), file.clone());
        async move {
            let wrong =
                |reason: String| JobError::Input { file: file.location.to_string(), reason };
            let start = file.size.checked_sub(END).filter(|&start| start >= MARK.len() as u64);
            let start = start.ok_or_else(|| wrong("it is too short for Parquet".to_owned()))?;
            let end = objects.get_range(&file.location, start..file.size).await;
            let end = end.map_err(|error| wrong(error.to_string()))?;
            match end.split_first_chunk() {
                Some((length, MARK)) if u64::from(u32::from_le_bytes(*length)) < start => Ok(()),
                _ => Err(wrong("it does not end as Parquet does".to_owned())),
            }
        }
    };
    futures::stream::iter(files.iter().map(check)).buffered(16).try_collect().await
}

/// The format of all files, from the configuration or their names.
fn file_options(config: &SourceConfig, files: &[ObjectMeta]) -> Result<FileOptions, JobError> {
    let mut found: Option<(Format, Option<String>)> = None;
    for file in files {
        let name = file.location.filename().unwrap_or_default();
        let (stem, compression) = split_compression(name);
        let format = config.format.or_else(|| match stem.rsplit_once('.')?.1 {
            "parquet" => Some(Format::Parquet),
            "jsonl" | "ndjson" | "json" => Some(Format::Jsonl),
            "csv" => Some(Format::Csv),
            _ => None,
        });
        let format = format.ok_or_else(|| {
            let what =
                "its name ends in none of .parquet, .jsonl, .ndjson, .csv (set `source.format`)";
            JobError::Config(format!("{}: {what}", file.location))
        })?;
        let this = (format, compression);
        if *found.get_or_insert_with(|| this.clone()) != this {
            let what = "the files of a job have one format and compression; make a job of each";
            return Err(JobError::Config(format!("{}: {what}", file.location)));
        }
    }
    let Some((format, compression)) = found else {
        return Err(JobError::Config("there is no input".to_owned()));
    };
    Ok(FileOptions {
        format,
        compression: compression.filter(|_| format != Format::Parquet),
        header: config.header,
        delimiter: u8::try_from(config.delimiter)
            .map_err(|_| JobError::Config("`source.delimiter` is no ASCII character".to_owned()))?,
        newlines_in_values: config.newlines_in_values,
    })
}

/// A name without the extension of its compression, and that.
fn split_compression(name: &str) -> (&str, Option<String>) {
    let kinds = [
        FileCompressionType::GZIP,
        FileCompressionType::BZIP2,
        FileCompressionType::XZ,
        FileCompressionType::ZSTD,
    ];
    for kind in kinds {
        if let Some(stem) = name.strip_suffix(&kind.get_ext()) {
            return (stem, Some(kind.get_ext().trim_start_matches('.').to_uppercase()));
        }
    }
    (name, None)
}

/// The columns of the configuration.
async fn declared(session: &SessionContext, config: &SourceConfig) -> Result<SchemaRef, JobError> {
    let mut fields = Vec::new();
    for column in &config.columns {
        let wrong =
            |reason: &str| JobError::Config(format!("`source.columns`: {column:?}: {reason}"));
        let (name, kind) = column
            .trim()
            .split_once(char::is_whitespace)
            .ok_or_else(|| wrong("expected a name and a type, such as \"id BIGINT\""))?;
        let wrong = |error: DataFusionError| wrong(&error.strip_backtrace());
        let cast = format!("SELECT CAST(NULL AS {kind})");
        let plan = session.state().create_logical_plan(&cast).await.map_err(wrong)?;
        fields.push(Field::new(name, plan.schema().field(0).data_type().clone(), true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Place of a unit's rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Place {
    store: String,
    path: String,
    size: u64,
    range: Option<(u64, u64)>,
    options: FileOptions,
}

/// The rows of a unit as a table of one partition, so that they keep their order.
#[derive(Debug, Clone)]
pub(crate) struct UnitTable {
    place: Place,
    schema: SchemaRef,
}

#[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "tables travel in clusters"))]
impl UnitTable {
    /// Bytes that [`decode`](Self::decode) takes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self.place).map_err(|error| DataFusionError::External(error.into()))
    }

    /// The table that was encoded.
    pub(crate) fn decode(bytes: &[u8], schema: SchemaRef) -> Result<Self> {
        let place = serde_json::from_slice(bytes).map_err(|error| {
            DataFusionError::Plan(format!("the table of a unit cannot be read: {error}"))
        })?;
        Ok(Self { place, schema })
    }
}

#[async_trait]
impl TableProvider for UnitTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Place { store, path, size, range, options } = &self.place;
        let format = options.file_format()?;
        let mut file = PartitionedFile::new(path.clone(), *size);
        if let Some((start, end)) = *range {
            let place = |bytes: u64| {
                i64::try_from(bytes)
                    .map_err(|_| DataFusionError::Plan(format!("{path} is too large")))
            };
            file = file.with_range(place(start)?, place(end)?);
        }
        let source = format.file_source(TableSchema::from(Arc::clone(&self.schema)));
        let scan = FileScanConfigBuilder::new(ObjectStoreUrl::parse(store)?, source)
            .with_file(file)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        format.create_physical_plan(state, scan).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(lines: &str) -> SourceConfig {
        toml::from_str(&format!("files = ['a']\n{lines}")).unwrap()
    }

    fn file(name: &str) -> ObjectMeta {
        PartitionedFile::new(name, 1).object_meta
    }

    #[test]
    fn names_tell_the_format() {
        let options =
            file_options(&config(""), &[file("a/b.jsonl.gz"), file("c.ndjson.gz")]).unwrap();
        assert_eq!((options.format, options.can_be_cut()), (Format::Jsonl, false));
        let options = file_options(&config(""), &[file("a.csv")]).unwrap();
        assert!(options.can_be_cut());
        let options = file_options(&config("newlines_in_values = true"), &[file("a.csv")]).unwrap();
        assert!(!options.can_be_cut());
        let options = file_options(&config("format = 'parquet'"), &[file("part-0")]).unwrap();
        assert_eq!(options.format, Format::Parquet);
        for names in [&["a.parquet", "a.csv"][..], &["a.txt"]] {
            let files: Vec<_> = names.iter().map(|name| file(name)).collect();
            file_options(&config(""), &files).unwrap_err();
        }
    }

    #[test]
    fn a_table_is_read_back_as_it_was_sent() {
        let options = file_options(&config("delimiter = ';'"), &[file("a.csv")]).unwrap();
        let schema = Arc::new(Schema::empty());
        let store = ObjectStoreUrl::local_filesystem();
        let source =
            Source { store, files: vec![file("a.csv")], options, schema: Arc::clone(&schema) };
        let table = source.table(&source.files[0], Some((3, 9)));
        let read = UnitTable::decode(&table.encode().unwrap(), Arc::clone(&schema)).unwrap();
        assert_eq!(read.place, table.place);
        UnitTable::decode(b"{", schema).unwrap_err();
    }
}
