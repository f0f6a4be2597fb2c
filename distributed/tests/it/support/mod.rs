//! Sessions, files and texts of the tests.

pub(crate) mod process;
pub(crate) mod qdrant;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{
            Array, ArrayRef, AsArray, FixedSizeListArray, Int64Array, RecordBatch, StringArray,
        },
        compute::concat_batches,
        datatypes::Float32Type,
    },
    parquet::{
        arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
        file::properties::WriterProperties,
    },
    prelude::SessionContext,
};
use embedkit::LoadOptions;
use embedkit_datafusion::{FunctionOptions, Models, NamedModel, config, embedded};
use embedkit_testkit::{Case, fault};

/// Name of MiniLM in SQL.
pub(crate) const MINILM: &str = "sentence-transformers/all-MiniLM-L6-v2";

/// A session with models, or `None` where there is no ONNX Runtime.
pub(crate) fn session(models: Vec<NamedModel>) -> Option<(SessionContext, Models)> {
    let load = LoadOptions {
        onnxruntime: Some(embedkit_testkit::runtime_library()?),
        offline: true,
        ..LoadOptions::default()
    };
    Some(with_options(FunctionOptions { load, models, ..FunctionOptions::default() }))
}

/// A session with options.
pub(crate) fn with_options(options: FunctionOptions) -> (SessionContext, Models) {
    let models = Models::new(options);
    (embedded(&models, config()).unwrap(), models)
}

/// A tiny model of the test kit by the name of its case.
pub(crate) fn tiny<G>(case: &Case<G>) -> NamedModel {
    NamedModel {
        dir: Some(case.dir.clone()),
        spec: Some(case.spec.clone()),
        ..NamedModel::new(&case.name)
    }
}

/// A folder with a tiny model that fails for texts of more than 30 tokens, and its description.
pub(crate) fn model_with_fault() -> (tempfile::TempDir, PathBuf) {
    let case = embedkit_testkit::dense_case("mean-normalized");
    let (dir, files) = case.copy();
    std::fs::copy(fault("hidden"), &files.model).unwrap();
    let spec = dir.path().join("spec.toml");
    assert!(spec.is_file());
    (dir, spec)
}

/// A table of texts with their positions as ids.
pub(crate) fn register(session: &SessionContext, texts: &[Option<String>]) {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..texts.len() as i64));
    let texts: ArrayRef = Arc::new(StringArray::from_iter(texts.iter().map(Option::as_deref)));
    let batch = RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap();
    session.register_batch("docs", batch).unwrap();
}

/// The rows of a statement as one batch.
pub(crate) async fn rows(session: &SessionContext, sql: &str) -> RecordBatch {
    let frame = session.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let found = frame.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let schema = found.first().map_or(schema, RecordBatch::schema);
    concat_batches(&schema, &found).unwrap()
}

/// Vectors of a column; `None` for NULL.
pub(crate) fn vectors(column: &ArrayRef) -> Vec<Option<Vec<f32>>> {
    list_of_vectors(column.as_fixed_size_list())
}

pub(crate) fn list_of_vectors(column: &FixedSizeListArray) -> Vec<Option<Vec<f32>>> {
    let vector = |row: usize| {
        column
            .is_valid(row)
            .then(|| column.value(row).as_primitive::<Float32Type>().values().to_vec())
    };
    (0..column.len()).map(vector).collect()
}

/// Texts of a few words, of several lengths; the same for the same numbers.
pub(crate) fn texts(from: usize, to: usize) -> Vec<String> {
    const WORDS: [&str; 16] = [
        "the", "fox", "dog", "snail", "garden", "slow", "river", "over", "a", "jumps", "quiet",
        "stone", "winter", "eats", "and", "leaves",
    ];
    let word = |seed: usize| WORDS[(seed.wrapping_mul(2_654_435_761) >> 7) % WORDS.len()];
    let text = |id: usize| {
        let length = 2 + id % 7;
        let words: Vec<_> = (0..length).map(|at| word(id * 31 + at * 7)).collect();
        format!("{} {id}", words.join(" "))
    };
    (from..to).map(text).collect()
}

/// Writes a Parquet file of ids and texts in row groups of `group` rows.
pub(crate) fn write_parquet(path: &Path, first: i64, texts: &[String], group: usize) {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + texts.len() as i64));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    let batch = RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Names of the parts in a folder, in order.
pub(crate) fn parts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut parts: Vec<_> = entries
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("part-"))
        })
        .collect();
    parts.sort();
    parts
}

/// The ids of all parts, in order.
pub(crate) fn ids(folder: &Path) -> Vec<i64> {
    let mut ids = Vec::new();
    for part in parts(folder) {
        let file = File::open(part).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            ids.extend(
                batch.column(0).as_primitive::<datafusion::arrow::datatypes::Int64Type>().values(),
            );
        }
    }
    ids.sort_unstable();
    ids
}

/// Bytes of all parts by name.
pub(crate) fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(path).unwrap())
    };
    parts(folder).into_iter().map(read).collect()
}
