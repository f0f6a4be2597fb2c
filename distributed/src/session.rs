//! Sessions with the functions.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    catalog::Session,
    common::GetExt,
    datasource::file_format::{FileFormat, FileFormatFactory, json::JsonFormatFactory},
    error::Result,
    execution::{FunctionRegistry, SessionStateBuilder, session_state::SessionState},
    prelude::{SessionConfig, SessionContext},
};

use crate::{FunctionOptions, Models, all_functions, storage};

/// Rows that reach a model together: enough for batches of texts of similar length, few enough for memory.
pub(crate) const BATCH_ROWS: usize = 4096;

/// Registers the functions of this crate in a session, over models of its own.
///
/// ```
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// use datafusion::prelude::SessionContext;
/// use embedkit_datafusion::{FunctionOptions, register_all};
///
/// let session = SessionContext::new();
/// register_all(&session, FunctionOptions::default());
/// let found = session.sql("SELECT bm25('snails are slow') AS terms").await?.collect().await?;
/// assert_eq!(found[0].num_rows(), 1);
/// # Ok::<(), datafusion::error::DataFusionError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Returns the models, which tell how many texts they have seen.
pub fn register_all(session: &SessionContext, options: FunctionOptions) -> Models {
    let models = Models::new(options);
    register(session, &models);
    models
}

/// Registers the functions of this crate in a session, over models that are shared.
pub fn register(session: &SessionContext, models: &Models) {
    for function in all_functions(models) {
        session.register_udf(function.as_ref().clone());
    }
}

/// The same for a state that no session has yet. The builder's own method would replace all functions.
///
/// # Errors
/// A state that takes no functions.
pub fn register_in(state: &mut SessionState, models: &Models) -> Result<()> {
    for function in all_functions(models) {
        state.register_udf(function)?;
    }
    Ok(())
}

/// A session in this process: files by name in SQL (`FROM 'docs/*.parquet'`), object stores by URL, and the
/// functions.
///
/// # Errors
/// Those of the engine.
pub fn embedded(models: &Models, config: SessionConfig) -> Result<SessionContext> {
    let session = SessionContext::new_with_state(state(config)?).enable_url_table();
    register(&session, models);
    Ok(session)
}

/// The configuration that suits models.
#[must_use]
pub fn config() -> SessionConfig {
    SessionConfig::new().with_information_schema(true).with_batch_size(BATCH_ROWS)
}

/// A state with the functions of the engine, object stores, and all names of JSON lines.
pub(crate) fn state(config: SessionConfig) -> Result<SessionState> {
    let mut state = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_runtime_env(storage::runtime()?)
        .build();
    for extension in ["jsonl", "ndjson"] {
        let format = JsonLines { extension, format: JsonFormatFactory::new() };
        state.register_file_format(Arc::new(format), false)?;
    }
    Ok(state)
}

/// JSON lines under another extension than the engine's, which is `json`.
#[derive(Debug)]
struct JsonLines {
    extension: &'static str,
    format: JsonFormatFactory,
}

impl GetExt for JsonLines {
    fn get_ext(&self) -> String {
        self.extension.to_owned()
    }
}

impl FileFormatFactory for JsonLines {
    fn create(
        &self,
        session: &dyn Session,
        options: &HashMap<String, String>,
    ) -> Result<Arc<dyn FileFormat>> {
        self.format.create(session, options)
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        FileFormatFactory::default(&self.format)
    }
}
