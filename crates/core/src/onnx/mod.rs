//! Everything between token rows and graph outputs: providers, sessions, batches, pooling.

mod device;
mod graph;
mod pool;
mod session;
mod text;

pub use pool::{finish_dense, l2_normalize};
pub use session::{Input, Session, Values, View};
pub use text::{Row, TextGraph, TextGraphOptions};
