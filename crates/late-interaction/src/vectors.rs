//! From the graph's vectors to results: how wide they are, and how long.

use std::{num::NonZeroUsize, sync::OnceLock};

use embedkit_core::onnx::Row;

use crate::Error;

/// Appends a vector of a row, scaled to unit length (L2); zeros stay zeros.
pub(crate) fn push_unit(values: &mut Vec<f32>, row: &Row<'_>, vector: &[f32]) {
    let norm = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    // `f64::max` would turn a NaN into the floor.
    let norm = if norm < 1e-12 { 1e-12 } else { norm };
    values.extend(vector.iter().map(|&x| row.round(f64::from(x) / norm)));
}

/// The width of a model's vectors. The graph decides it, and may not change it.
#[derive(Debug)]
pub(crate) struct Width {
    id: String,
    registered: usize,
    dimensions: Option<NonZeroUsize>,
    found: OnceLock<usize>,
}

impl Width {
    pub(crate) fn new(id: String, registered: usize, dimensions: Option<NonZeroUsize>) -> Self {
        Self { id, registered, dimensions, found: OnceLock::new() }
    }

    /// Components of the vectors that callers get; before the graph has spoken, as registered.
    pub(crate) fn of_results(&self) -> usize {
        let width = || self.found.get().copied().unwrap_or(self.registered);
        self.dimensions.map_or_else(width, usize::from)
    }

    /// Takes note of what the graph gives, and says how many components are kept.
    pub(crate) fn check(&self, found: usize) -> Result<usize, Error> {
        let expected = *self.found.get_or_init(|| {
            if found != self.registered {
                tracing::warn!(
                    model = %self.id, found, registered = self.registered,
                    "the graph's width is not the registered one; the graph decides"
                );
            }
            found
        });
        if found != expected {
            return Err(Error::WidthChanged { id: self.id.clone(), expected, found });
        }
        match self.dimensions.map(usize::from) {
            Some(wanted) if wanted > found => {
                Err(Error::Dimensions { id: self.id.clone(), wanted, width: found })
            }
            wanted => Ok(wanted.unwrap_or(found)),
        }
    }
}
