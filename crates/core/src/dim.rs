//! The dimension of a model's vectors: the graph decides, once, and the caller may keep less.

use std::sync::OnceLock;

use crate::{Error, l2_normalize};

/// Dimension of a model's vectors: as registered until the graph has spoken, and fixed from then on.
#[derive(Debug)]
pub struct Dim {
    id: String,
    registered: usize,
    kept: Option<usize>,
    found: OnceLock<usize>,
}

impl Dim {
    /// For the model `id` with its registered dimension, of which `kept` components are kept.
    #[must_use]
    pub fn new(id: String, registered: usize, kept: Option<usize>) -> Self {
        Self { id, registered, kept, found: OnceLock::new() }
    }

    /// Id of the model.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.id
    }

    /// Components of the vectors that callers get.
    #[must_use]
    pub fn kept(&self) -> usize {
        let all = || self.found.get().copied().unwrap_or(self.registered);
        self.kept.unwrap_or_else(all)
    }

    /// Takes note of the graph's dimension, and returns how many components are kept.
    ///
    /// # Errors
    /// [`Error::DimChanged`] where the dimension is not what it was, and [`Error::DimTooLarge`] where more
    /// components were asked for than there are.
    pub fn note(&self, found: usize) -> Result<usize, Error> {
        let expected = *self.found.get_or_init(|| {
            if found != self.registered {
                tracing::warn!(
                    model = %self.id, found, registered = self.registered,
                    "the graph's dimension is not the registered one; the graph decides"
                );
            }
            found
        });
        if found != expected {
            return Err(Error::DimChanged { id: self.id.clone(), expected, found });
        }
        match self.kept {
            Some(wanted) if wanted > found => {
                Err(Error::DimTooLarge { id: self.id.clone(), wanted, dim: found })
            }
            wanted => Ok(wanted.unwrap_or(found)),
        }
    }

    /// Keeps the components that were asked for, scaled to unit length (Matryoshka). A vector that is
    /// kept whole stays as it is.
    ///
    /// # Errors
    /// Those of [`note`](Self::note).
    pub fn truncate(&self, vector: Vec<f32>) -> Result<Vec<f32>, Error> {
        let wanted = self.note(vector.len())?;
        if wanted == vector.len() {
            return Ok(vector);
        }
        let mut kept: Vec<_> = vector[..wanted].iter().copied().map(f64::from).collect();
        l2_normalize(&mut kept);
        #[expect(clippy::cast_possible_truncation, reason = "f32 is what we return")]
        let kept = kept.into_iter().map(|x| x as f32).collect();
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dim(kept: Option<usize>) -> Dim {
        Dim::new("m".to_owned(), 3, kept)
    }

    #[test]
    fn the_graph_decides_and_stays_with_it() {
        let dim = dim(None);
        assert_eq!(dim.kept(), 3);
        assert_eq!(dim.note(2).unwrap(), 2);
        assert_eq!(dim.kept(), 2);
        let error = dim.note(4).unwrap_err();
        assert!(matches!(error, Error::DimChanged { expected: 2, found: 4, .. }), "{error}");
    }

    #[test]
    fn what_is_kept_has_unit_length_and_the_whole_is_untouched() {
        assert_eq!(dim(Some(2)).truncate(vec![3.0, 4.0, 5.0]).unwrap(), [0.6, 0.8]);
        assert_eq!(dim(Some(3)).truncate(vec![3.0, 4.0, 5.0]).unwrap(), [3.0, 4.0, 5.0]);
        let error = dim(Some(4)).truncate(vec![3.0, 4.0, 5.0]).unwrap_err();
        assert!(matches!(error, Error::DimTooLarge { wanted: 4, dim: 3, .. }), "{error}");
    }
}
