//! SQL functions of embedkit for DataFusion and Ballista, and jobs over many files.
//!
//! | function | result |
//! |---|---|
//! | `embed(model, text [, role])` | one vector, `FixedSizeList<Float32, dim>` |
//! | `embed_try(model, text [, role])` | `Struct{vector, error, tokens, truncated}` |
//! | `sparse(model, text [, role])`, `bm25(text [, language])` | `Struct{indices: List<UInt32>, values: List<Float32>}` |
//! | `colbert(model, text [, role])` | many vectors, `List<FixedSizeList<Float32, dim>>` |
//! | `muvera(vectors [, options])` | one vector for many, `FixedSizeList<Float32, n>` |
//! | `rerank(model, query, text)`, `max_sim(query, document)` | a score, `Float32` |
//!
//! A model is a built-in id, a folder, or a repository of the hub; the role is `'query'` or `'passage'`. A
//! model is opened once in a process and shared by all partitions. NULL gives NULL, and so does a row that
//! cannot be embedded; `embed_try` tells the reason. Trouble with a download, a device or memory is an error
//! that the engine answers with another attempt.
//!
//! ```
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use datafusion::prelude::SessionContext;
//! use embedkit_datafusion::{FunctionOptions, register_all};
//!
//! let session = SessionContext::new();
//! register_all(&session, FunctionOptions::default());
//! let sql = "SELECT bm25(text)['indices'] AS terms FROM (VALUES ('a snail is slow')) AS t (text)";
//! let found = session.sql(sql).await?.collect().await?;
//! assert_eq!(found[0].num_rows(), 1);
//! # Ok::<(), datafusion::error::DataFusionError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Module [`job`] runs a statement over many files and goes on where it was killed. Feature `cluster` has
//! the same on other machines: module `cluster`. [`simulate`] tells how long a job takes where executors
//! are slow or get lost.

#![forbid(unsafe_code)]

#[cfg(feature = "cluster")]
pub mod cluster;
mod error;
mod functions;
pub mod job;
mod models;
mod session;
pub mod shell;
pub mod simulate;
mod storage;

pub use functions::all_functions;
pub use models::{BM25, BeforeBatch, FunctionOptions, ModelCalls, Models, NamedModel};
pub use session::{config, embedded, register, register_all, register_in};
