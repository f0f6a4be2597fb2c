//! Everything between token rows and graph outputs: providers, sessions, batches, pooling.

mod device;
mod graph;
mod int8;
mod narrow;
pub mod operators;
mod placement;
#[cfg(feature = "tokenizer")]
mod pool;
mod session;
#[cfg(feature = "tokenizer")]
mod text;
mod turns;

pub use narrow::narrow;
#[cfg(feature = "tokenizer")]
pub use pool::finish_dense;
pub use session::{Input, Session, Values, View};
#[cfg(feature = "tokenizer")]
pub use text::{Row, TextGraph, TextGraphOptions};
