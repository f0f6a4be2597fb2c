//! How wide vectors are: what the registry says, what the graph gives, what the caller keeps.

use std::{num::NonZeroUsize, sync::OnceLock};

use crate::Error;

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
