//! Everything between token rows and graph outputs: providers, sessions, batches, pooling.

mod attention;
mod bf16;
mod device;
mod external;
mod failure;
pub mod fusion;
mod graph;
mod in_memory;
mod int8;
mod lanes;
mod layer_norm;
pub mod operators;
mod placement;
#[cfg(feature = "tokenizer")]
mod pool;
mod precision;
#[doc(hidden)]
pub mod rates;
mod round;
mod semaphore;
mod session;
mod sgemm;
#[cfg(feature = "tokenizer")]
mod tables;
#[cfg(test)]
mod testing;
#[cfg(feature = "tokenizer")]
mod text;
#[cfg(feature = "tokenizer")]
mod token_weights;
mod watchdog;

/// The files that a graph names as its weights, checked as before it is loaded.
#[cfg(any(test, fuzzing))]
pub(crate) fn weight_files(
    model: &std::path::Path,
) -> Result<Vec<std::path::PathBuf>, crate::Error> {
    let outline = graph::outline(model)?;
    external::check(model, &outline.external)?;
    let names = outline.external.into_iter().map(|name| String::from_utf8(name).map(Into::into));
    Ok(names.map(|name| name.expect("it was checked")).collect())
}

pub use bf16::kernel_name as bf16_kernel;
pub use int8::kernel_name as int8_kernel;
#[cfg(feature = "tokenizer")]
pub use pool::finish_dense;
pub use precision::{check as check_precision, choose as choose_precision};
pub use round::round_to;
pub use session::{Input, Session, Values, View};
#[cfg(feature = "tokenizer")]
pub use text::{Row, TextGraph, TextGraphOptions};
#[cfg(feature = "tokenizer")]
pub use token_weights::TokenWeights;
