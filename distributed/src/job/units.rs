//! Units of work: parts of files that are embedded, written and repeated as a whole.

use datafusion::{
    datasource::physical_plan::parquet::metadata::DFParquetMetadata,
    parquet::file::metadata::{ParquetMetaData, RowGroupMetaData},
    prelude::SessionContext,
};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::ObjectMeta;

use super::{
    JobError, SourceConfig,
    source::{Format, Source},
};

/// Footers that are read at once.
const FOOTERS: usize = 16;

/// A part of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unit {
    /// Index of the file.
    pub(crate) file: usize,
    /// Bytes from and to; the whole file without.
    pub(crate) range: Option<(u64, u64)>,
    /// Rows, where the file tells them.
    pub(crate) rows: Option<u64>,
    /// Bytes, for the share that is done where rows are not known.
    pub(crate) bytes: u64,
}

/// Cuts all files of a job.
pub(crate) async fn cut(
    session: &SessionContext,
    source: &Source,
    config: &SourceConfig,
) -> Result<Vec<Unit>, JobError> {
    if source.options.format != Format::Parquet {
        let cut = |(at, file)| by_bytes(at, file, source.options.can_be_cut(), config.unit_bytes);
        return Ok(source.files.iter().enumerate().flat_map(cut).collect());
    }
    let objects = session.runtime_env().object_store(&source.store)?;
    let objects = &objects;
    let read = |(at, file): (usize, &ObjectMeta)| {
        let (file, unit_rows) = (file.clone(), config.unit_rows);
        async move {
            let wrong =
                |reason: String| JobError::Input { file: file.location.to_string(), reason };
            let footer = DFParquetMetadata::new(objects, &file).fetch_metadata().await;
            let footer = footer.map_err(|error| wrong(error.strip_backtrace()))?;
            by_row_groups(at, file.size, &footer, unit_rows).map_err(wrong)
        }
    };
    let footers = futures::stream::iter(source.files.iter().enumerate().map(read));
    let units: Vec<Vec<Unit>> = footers.buffered(FOOTERS).try_collect().await?;
    Ok(units.into_iter().flatten().collect())
}

/// Equal pieces of a text file; the engine moves their ends to those of lines.
fn by_bytes(at: usize, file: &ObjectMeta, can_be_cut: bool, unit_bytes: u64) -> Vec<Unit> {
    if !can_be_cut || file.size <= unit_bytes {
        return vec![Unit { file: at, range: None, rows: None, bytes: file.size }];
    }
    let pieces = file.size.div_ceil(unit_bytes);
    let piece = |index: u64| {
        let (start, end) =
            (index * unit_bytes, (index + 1).saturating_mul(unit_bytes).min(file.size));
        Unit { file: at, range: Some((start, end)), rows: None, bytes: end - start }
    };
    (0..pieces).map(piece).collect()
}

/// Row groups of a file, as many together as have `unit_rows` rows.
fn by_row_groups(
    at: usize,
    size: u64,
    footer: &ParquetMetaData,
    unit_rows: u64,
) -> Result<Vec<Unit>, String> {
    let mut groups = Vec::with_capacity(footer.num_row_groups());
    for group in footer.row_groups() {
        let rows = u64::try_from(group.num_rows())
            .map_err(|_| "a row group has a negative number of rows")?;
        groups.push((offset(group)?, rows));
    }
    if !groups.is_sorted_by(|a, b| a.0 < b.0) {
        return Err("its row groups are not in order".to_owned());
    }
    let mut units: Vec<Unit> = Vec::new();
    for (index, &(start, rows)) in groups.iter().enumerate() {
        let end = groups.get(index + 1).map_or(size, |next| next.0);
        match units.last_mut() {
            Some(Unit { range: Some(range), rows: Some(sum), bytes, .. })
                if *sum + rows <= unit_rows =>
            {
                (range.1, *sum, *bytes) = (end, *sum + rows, end - range.0);
            }
            _ => units.push(Unit {
                file: at,
                range: Some((start, end)),
                rows: Some(rows),
                bytes: end.saturating_sub(start),
            }),
        }
    }
    Ok(units)
}

/// The first byte of a row group, by which the engine tells in which range it lies.
fn offset(group: &RowGroupMetaData) -> Result<u64, String> {
    let Some(column) = group.columns().first() else { return Err("it has no columns".to_owned()) };
    let offset = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    u64::try_from(offset).map_err(|_| "a row group begins before the file".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::{
        arrow::array::{ArrayRef, Int64Array, RecordBatch},
        datasource::listing::PartitionedFile,
        parquet::{
            arrow::ArrowWriter,
            file::{
                properties::WriterProperties,
                reader::{FileReader as _, SerializedFileReader},
            },
        },
    };

    use super::*;

    /// The footer of a file with `rows` rows in groups of 10, and its size.
    fn footer(rows: i64) -> (ParquetMetaData, u64) {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
        let mut writer =
            ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        let bytes = writer.into_inner().unwrap();
        let size = bytes.len() as u64;
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        (reader.metadata().clone(), size)
    }

    #[test]
    fn row_groups_go_together_up_to_the_limit() {
        let (footer, size) = footer(45);
        let rows = |limit| -> Vec<u64> {
            let units = by_row_groups(0, size, &footer, limit).unwrap();
            let ends: Vec<_> = units.iter().map(|unit| unit.range.unwrap()).collect();
            assert!(ends.windows(2).all(|pair| pair[0].1 == pair[1].0), "no gap: {ends:?}");
            assert_eq!(ends.last().unwrap().1, size);
            units.iter().map(|unit| unit.rows.unwrap()).collect()
        };
        assert_eq!(rows(20), [20, 20, 5]);
        assert_eq!(rows(29), [20, 25]);
        assert_eq!(rows(1), [10, 10, 10, 10, 5]);
        assert_eq!(rows(1000), [45]);
    }

    #[test]
    fn text_files_are_cut_into_equal_pieces() {
        let file = PartitionedFile::new("a", 25).object_meta;
        let ranges =
            |units: Vec<Unit>| units.into_iter().map(|unit| unit.range).collect::<Vec<_>>();
        let pieces = ranges(by_bytes(0, &file, true, 10));
        assert_eq!(pieces, [Some((0, 10)), Some((10, 20)), Some((20, 25))]);
        assert_eq!(ranges(by_bytes(0, &file, false, 10)), [None]);
        assert_eq!(ranges(by_bytes(0, &file, true, 25)), [None]);
    }
}
