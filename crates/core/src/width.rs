//! How wide a model's vectors are: the graph decides, once, and the caller may keep less.

use std::sync::OnceLock;

use crate::{Error, l2_normalize};

/// The width of a model's vectors: as registered until the graph has spoken, and fixed from then on.
#[derive(Debug)]
pub struct Width {
    id: String,
    registered: usize,
    kept: Option<usize>,
    found: OnceLock<usize>,
}

impl Width {
    /// For the model `id` with its registered width, of which `kept` components are kept.
    #[must_use]
    pub fn new(id: String, registered: usize, kept: Option<usize>) -> Self {
        Self { id, registered, kept, found: OnceLock::new() }
    }

    /// Components of the vectors that callers get.
    #[must_use]
    pub fn of_results(&self) -> usize {
        let width = || self.found.get().copied().unwrap_or(self.registered);
        self.kept.unwrap_or_else(width)
    }

    /// Takes note of what the graph gives, and says how many components are kept.
    ///
    /// # Errors
    /// [`Error::WidthChanged`] where the width is not what it was, and [`Error::Dimensions`] where more
    /// components were asked for than there are.
    pub fn check(&self, found: usize) -> Result<usize, Error> {
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
        match self.kept {
            Some(wanted) if wanted > found => {
                Err(Error::Dimensions { id: self.id.clone(), wanted, width: found })
            }
            wanted => Ok(wanted.unwrap_or(found)),
        }
    }

    /// Keeps the components that were asked for, scaled to unit length (Matryoshka). A vector that is
    /// kept whole stays as it is.
    ///
    /// # Errors
    /// Those of [`check`](Self::check).
    pub fn cut(&self, vector: Vec<f32>) -> Result<Vec<f32>, Error> {
        let wanted = self.check(vector.len())?;
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

    fn width(kept: Option<usize>) -> Width {
        Width::new("m".to_owned(), 3, kept)
    }

    #[test]
    fn the_graph_decides_and_stays_with_it() {
        let width = width(None);
        assert_eq!(width.of_results(), 3);
        assert_eq!(width.check(2).unwrap(), 2);
        assert_eq!(width.of_results(), 2);
        let error = width.check(4).unwrap_err();
        assert!(matches!(error, Error::WidthChanged { expected: 2, found: 4, .. }), "{error}");
    }

    #[test]
    fn what_is_kept_has_unit_length_and_the_whole_is_untouched() {
        assert_eq!(width(Some(2)).cut(vec![3.0, 4.0, 5.0]).unwrap(), [0.6, 0.8]);
        assert_eq!(width(Some(3)).cut(vec![3.0, 4.0, 5.0]).unwrap(), [3.0, 4.0, 5.0]);
        let error = width(Some(4)).cut(vec![3.0, 4.0, 5.0]).unwrap_err();
        assert!(matches!(error, Error::Dimensions { wanted: 4, width: 3, .. }), "{error}");
    }
}
