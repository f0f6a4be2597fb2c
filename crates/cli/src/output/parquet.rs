//! A Parquet file with the columns `index`, `embedding` (a list of 32-bit floats, null where there is
//! an error), `truncated` and `error`. Not compressed: vectors hardly shrink.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use embedkit::Output;
use parquet::{
    basic::Compression,
    data_type::{BoolType, ByteArray, ByteArrayType, FloatType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};

use super::target::Sink;
use crate::record::Record;

const SCHEMA: &str = "message embeddings {
    required int64 index;
    optional group embedding (LIST) { repeated group list { required float element; } }
    required boolean truncated;
    optional binary error (STRING);
}";

/// Components in a row group: what is kept in memory until it is written (16 MiB).
const GROUP: usize = 4 << 20;

/// Bytes of a file that holds nothing.
const MAGIC: u64 = 4;

/// Levels of a value in the column of lists: no list, an empty one, an element of one.
const NO_LIST: i16 = 0;
const EMPTY_LIST: i16 = 1;
const ELEMENT: i16 = 2;

pub(crate) struct Parquet {
    file: SerializedFileWriter<Shared>,
    failure: String,
    group: Group,
    /// True if there are any.
    records: bool,
}

/// The columns of the row group that is being filled.
#[derive(Default)]
struct Group {
    index: Vec<i64>,
    values: Vec<f32>,
    value_levels: Vec<i16>,
    repeats: Vec<i16>,
    truncated: Vec<bool>,
    errors: Vec<ByteArray>,
    error_levels: Vec<i16>,
}

impl Parquet {
    pub(crate) fn new(sink: Sink) -> Result<Self> {
        let failure = sink.failure();
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false);
        let file = SerializedFileWriter::new(Shared(sink), schema, Arc::new(properties.build()))
            .map_err(unwrapped)
            .with_context(|| failure.clone())?;
        Ok(Self { file, failure, group: Group::default(), records: false })
    }

    pub(crate) fn write(&mut self, record: &Record) -> Result<()> {
        self.records = true;
        let group = &mut self.group;
        group.index.push(i64::try_from(record.index)?);
        group.truncated.push(record.truncated());
        let values = match record.output() {
            Ok(Output::Dense(values)) => Ok(values.as_slice()),
            Ok(Output::Score(score)) => Ok(std::slice::from_ref(score)),
            Ok(_) => bail!("input {}: there is no column for it", record.index),
            Err(why) => Err(why),
        };
        match values {
            Ok(values) => {
                group.values.extend_from_slice(values);
                // An element each, the first of a record marked; or one mark for a list without any.
                let marks = values.len().max(1);
                let level = if values.is_empty() { EMPTY_LIST } else { ELEMENT };
                group.value_levels.extend(std::iter::repeat_n(level, marks));
                group.repeats.push(0);
                group.repeats.extend(std::iter::repeat_n(1, marks - 1));
                group.error_levels.push(0);
            }
            Err(why) => {
                group.value_levels.push(NO_LIST);
                group.repeats.push(0);
                group.errors.push(why.into());
                group.error_levels.push(1);
            }
        }
        if group.values.len() >= GROUP || group.index.len() >= GROUP {
            self.write_group()?;
        }
        Ok(())
    }

    pub(crate) fn complete(&mut self) -> Result<()> {
        if !self.group.index.is_empty() {
            self.write_group()?;
        }
        self.file
            .finish()
            .map_err(unwrapped)
            .and_then(|_| {
                self.file.inner_mut().flush()?;
                Ok(self.file.inner_mut().0.complete()?)
            })
            .with_context(|| self.failure.clone())
    }

    pub(crate) fn is_part(&self) -> bool {
        self.file.inner().0.is_part()
    }

    /// Leaves all records, without the footer.
    pub(crate) fn leave(mut self) -> Option<PathBuf> {
        if !self.group.index.is_empty() {
            let _ = self.write_group();
        }
        let _ = self.file.flush();
        self.file.inner_mut().0.leave(if self.records { MAGIC } else { u64::MAX })
    }

    fn write_group(&mut self) -> Result<()> {
        let group = std::mem::take(&mut self.group);
        let writer = self.file.next_row_group().map_err(unwrapped);
        writer.and_then(|writer| group.write(writer)).with_context(|| self.failure.clone())
    }
}

impl Group {
    fn write(&self, mut writer: SerializedRowGroupWriter<'_, Shared>) -> Result<()> {
        /// One column; the order of the calls is that of the schema.
        macro_rules! column {
            ($type:ty, $values:expr, $levels:expr, $repeats:expr) => {
                if let Some(mut column) = writer.next_column().map_err(unwrapped)? {
                    column
                        .typed::<$type>()
                        .write_batch($values, $levels, $repeats)
                        .and_then(|_| column.close())
                        .map_err(unwrapped)?;
                }
            };
        }
        column!(Int64Type, &self.index, None, None);
        column!(FloatType, &self.values, Some(&self.value_levels), Some(&self.repeats));
        column!(BoolType, &self.truncated, None, None);
        column!(ByteArrayType, &self.errors, Some(&self.error_levels), None);
        writer.close().map_err(unwrapped)?;
        Ok(())
    }
}

/// The error of the target, where it is the cause: a closed standard output has to be recognised.
fn unwrapped(error: ParquetError) -> anyhow::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(inner) => anyhow::Error::new(*inner),
            Err(inner) => anyhow::anyhow!(inner),
        },
        other => anyhow::Error::new(other),
    }
}

/// The target as the crate wants it.
struct Shared(Sink);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::*;
    use crate::{input::Origin, output::Target};

    fn begin(path: &std::path::Path) -> Parquet {
        let target = Target::open(Some(path), &Origin::Arguments).unwrap();
        Parquet::new(target.begin().unwrap()).unwrap()
    }

    #[test]
    fn what_is_written_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.parquet");
        let mut parquet = begin(&path);
        parquet.write(&Record::good(0, vec![0.5, 0.25]).cut()).unwrap();
        parquet.write(&Record::bad(1, "no")).unwrap();
        parquet.write_group().unwrap();
        parquet.write(&Record::good(2, vec![])).unwrap();
        parquet.complete().unwrap();
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(reader.num_row_groups(), 2);
        let rows: Vec<_> =
            reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert_eq!(
            rows,
            [
                "{index: 0, embedding: [0.5, 0.25], truncated: true, error: null}",
                "{index: 1, embedding: null, truncated: false, error: \"no\"}",
                "{index: 2, embedding: [], truncated: false, error: null}",
            ]
        );
    }
    #[test]
    fn a_table_may_have_no_rows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.parquet");
        begin(&path).complete().unwrap();
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
        assert_eq!(reader.metadata().file_metadata().schema().get_fields().len(), 4);
    }

    #[test]
    fn an_unfinished_table_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.parquet");
        assert!(begin(&path).leave().is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut parquet = begin(&path);
        parquet.write(&Record::good(0, vec![0.5; 64])).unwrap();
        let part = parquet.leave().unwrap();
        assert!(std::fs::metadata(&part).unwrap().len() > 64 * 4, "the records are there");
        assert!(SerializedFileReader::new(File::open(&part).unwrap()).is_err());
        assert!(!path.exists());
    }
}
