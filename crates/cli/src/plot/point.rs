//! An embedding that is to be drawn.

/// Most components of an embedding: far more than any model or MUVERA gives.
pub(crate) const MOST_DIM: usize = 1 << 18;

/// An embedding that is to be drawn.
#[derive(Debug)]
pub(crate) struct Point {
    /// Number of its input, from 0.
    pub(crate) index: u64,
    pub(crate) values: Vec<f32>,
    /// Empty where there is none.
    pub(crate) label: String,
    pub(crate) category: Option<String>,
}
