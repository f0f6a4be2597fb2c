//! Encoding of one input.

use embedkit_types::Error;

use crate::{
    Form, Muvera, MuveraError, Precision,
    clusters::Clusters,
    hyperplanes::Sides,
    product::Number,
    simd::{self, Work},
    vectors::{AsVectors, Vectors},
};

impl<T: Precision> Muvera<T> {
    /// Encodes a document: [`Form::DOCUMENT`].
    ///
    /// # Errors
    /// No vector, vectors of another dimension than the encoder's, a component that is not finite, or
    /// no memory for the encoding.
    pub fn process_document(&self, vectors: &impl AsVectors) -> Result<Vec<T>, Error> {
        self.process(vectors, Form::DOCUMENT)
    }

    /// Encodes a query: [`Form::QUERY`].
    ///
    /// # Errors
    /// See [`Self::process_document`].
    pub fn process_query(&self, vectors: &impl AsVectors) -> Result<Vec<T>, Error> {
        self.process(vectors, Form::QUERY)
    }

    /// Encodes vectors in any form.
    ///
    /// # Errors
    /// See [`Self::process_document`].
    pub fn process(&self, vectors: &impl AsVectors, form: Form) -> Result<Vec<T>, Error> {
        Ok(encode(self, vectors.as_vectors(), form, &mut Scratch::default())?)
    }
}

/// Buffers that are reused for the next input.
#[derive(Debug, Default)]
pub(crate) struct Scratch<T> {
    converted: Vec<T>,
    buffers: Buffers<T>,
}

#[derive(Debug, Default)]
struct Buffers<T> {
    sides: Sides,
    of: Vec<u32>,
    clusters: Clusters,
    /// Input of the projection: one row for each occupied cluster, then vectors that fill empty
    /// clusters.
    rows: Vec<T>,
    projected: Vec<T>,
    /// Row of each cluster, or [`EMPTY`].
    row_of: Vec<usize>,
    /// Row of the first vector of each occupied cluster, or [`EMPTY`] until an empty cluster needs it.
    fill: Vec<usize>,
}

const EMPTY: usize = usize::MAX;

/// Encodes the vectors of one input.
pub(crate) fn encode<T: Precision>(
    muvera: &Muvera<T>,
    vectors: Vectors<'_>,
    form: Form,
    scratch: &mut Scratch<T>,
) -> Result<Vec<T>, MuveraError> {
    simd::run(Encode::prepare(muvera, vectors, form, scratch)?)
}

struct Encode<'a, T: Precision> {
    muvera: &'a Muvera<T>,
    vectors: Vectors<'a>,
    /// Components of `vectors` in the encoder's precision.
    components: &'a [T],
    form: Form,
    buffers: &'a mut Buffers<T>,
    encoding: Vec<T>,
}

impl<T: Precision> Work for Encode<'_, T> {
    type Output = Result<Vec<T>, MuveraError>;

    #[inline(always)]
    fn run<const FUSED: bool>(mut self) -> Result<Vec<T>, MuveraError> {
        self.check_finite()?;
        let sides = &mut self.buffers.sides;
        self.muvera.hyperplanes.sides::<FUSED>(self.vectors, self.components, sides);
        for repetition in 0..self.muvera.options.r_reps {
            self.repetition::<FUSED>(repetition);
        }
        Ok(self.encoding)
    }
}

impl<'a, T: Precision> Encode<'a, T> {
    fn prepare(
        muvera: &'a Muvera<T>,
        vectors: Vectors<'a>,
        form: Form,
        scratch: &'a mut Scratch<T>,
    ) -> Result<Self, MuveraError> {
        if vectors.dim() != muvera.dim {
            return Err(MuveraError::WrongDim { expected: muvera.dim, found: vectors.dim() });
        }
        if vectors.is_empty() {
            return Err(MuveraError::Empty);
        }
        let components = T::components(vectors, &mut scratch.converted);
        let mut encoding = Vec::new();
        let size = muvera.embedding_size();
        encoding.try_reserve_exact(size).map_err(|_| MuveraError::Memory { components: size })?;
        Ok(Self { muvera, vectors, components, form, buffers: &mut scratch.buffers, encoding })
    }

    #[inline(always)]
    fn check_finite(&self) -> Result<(), MuveraError> {
        // No early exit within a piece, so that the loop is vectorised.
        let finite = |piece: &[T]| piece.iter().fold(true, |all, x| all & x.is_finite());
        if self.components.chunks(1024).all(finite) {
            return Ok(());
        }
        let place = self.components.iter().position(|x| !x.is_finite()).unwrap_or_default();
        let (vector, component) = (place / self.muvera.dim, place % self.muvera.dim);
        Err(MuveraError::NotFinite { vector, component, value: self.vectors.component(place) })
    }

    /// Appends one repetition to the encoding.
    #[inline(always)]
    fn repetition<const FUSED: bool>(&mut self, repetition: usize) {
        let Self { muvera, components, form, buffers, encoding, .. } = self;
        let dim = muvera.dim;
        let count = 1usize << muvera.options.k_sim;
        let Buffers { sides, of, clusters, rows, projected, row_of, fill } = &mut **buffers;
        muvera.hyperplanes.clusters(sides, repetition, of);
        clusters.sort(of, count);

        rows.clear();
        rows.resize(clusters.occupied().len() * dim, T::default());
        row_of.clear();
        row_of.resize(count, EMPTY);
        for (row, &cluster) in clusters.occupied().iter().enumerate() {
            row_of[cluster as usize] = row;
            let members = clusters.members(cluster);
            sum(components, members, *form, &mut rows[row * dim..(row + 1) * dim]);
        }
        if form.fill_empty_clusters && clusters.occupied().len() < count {
            fill.clear();
            fill.resize(clusters.occupied().len(), EMPTY);
            clusters.find_nearest();
            for cluster in 0..count {
                if row_of[cluster] != EMPTY {
                    continue;
                }
                let nearest = clusters.nearest(cluster);
                let donor = &mut fill[row_of[nearest as usize]];
                if *donor == EMPTY {
                    let members = clusters.members(nearest);
                    *donor = if members.len() == 1 {
                        row_of[nearest as usize]
                    } else {
                        let first = members[0] * dim;
                        rows.extend_from_slice(&components[first..first + dim]);
                        rows.len() / dim - 1
                    };
                }
                row_of[cluster] = *donor;
            }
        }

        let (finished, width) = match muvera.projections.get(repetition) {
            None => (&*rows, dim),
            Some(signs) => {
                let width = signs.columns();
                let scale = T::from_f64(1.0 / (width as f64).sqrt());
                projected.resize(rows.len() / dim * width, T::default());
                T::multiply::<FUSED>(rows, signs, |row, column, values| {
                    let place = row * width + column;
                    for (to, &value) in projected[place..][..values.len()].iter_mut().zip(values) {
                        *to = scale * value;
                    }
                });
                (&*projected, width)
            }
        };
        for &row in row_of.iter() {
            if row == EMPTY {
                encoding.resize(encoding.len() + width, T::default());
            } else {
                encoding.extend_from_slice(&finished[row * width..(row + 1) * width]);
            }
        }
    }
}

/// Sum of a cluster's members in input order, or their mean.
#[inline(always)]
fn sum<T: Number>(components: &[T], members: &[usize], form: Form, total: &mut [T]) {
    let dim = total.len();
    let count = T::from_f64(members.len() as f64);
    // With an exact inverse, a multiplication gives the same bits as a division and is faster.
    let inverse = T::from_f64(1.0) / count;
    let exact = members.len().is_power_of_two();
    let finish = |total: &mut [T], sums: &[T]| {
        for (to, &sum) in total.iter_mut().zip(sums) {
            *to = if !form.normalize_by_count {
                sum
            } else if exact {
                sum * inverse
            } else {
                sum / count
            };
        }
    };
    const PIECE: usize = 32;
    let mut first = 0;
    let (pieces, rest) = total.as_chunks_mut::<PIECE>();
    for piece in pieces {
        let mut sums = [T::default(); PIECE];
        for &member in members {
            let place = member * dim + first;
            for (sum, &x) in sums.iter_mut().zip(&components[place..place + PIECE]) {
                *sum = *sum + x;
            }
        }
        finish(piece, &sums);
        first += PIECE;
    }
    let mut sums = [T::default(); PIECE];
    for &member in members {
        let place = member * dim + first;
        for (sum, &x) in sums.iter_mut().zip(&components[place..place + rest.len()]) {
            *sum = *sum + x;
        }
    }
    finish(rest, &sums);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MuveraOptions, numpy::Generator};

    fn both_versions_agree<T: Precision>(muvera: &Muvera<T>, form: Form, count: usize) {
        let mut generator = Generator::new(count as u128);
        let values: Vec<f64> = (0..count * muvera.dim).map(|_| generator.normal()).collect();
        let vectors = Vectors::from_f64(&values, muvera.dim).unwrap();
        let (mut first, mut second) = (Scratch::default(), Scratch::default());
        let picked = encode(muvera, vectors, form, &mut first).unwrap();
        let portable =
            Encode::prepare(muvera, vectors, form, &mut second).unwrap().run::<false>().unwrap();
        assert_eq!(picked, portable, "{count} vectors, {form:?}");
    }

    /// Products with signs are exact, so fusing them with the addition changes nothing.
    #[test]
    fn the_portable_version_gives_the_same_bits() {
        // Dimensions and columns that fill panels and pieces, and some that do not.
        for (dim, k_sim, dim_proj) in [(64, 5, 16), (37, 3, 5), (40, 2, 40), (1, 1, 1), (33, 6, 17)]
        {
            let options = MuveraOptions { k_sim, dim_proj, r_reps: 3, random_seed: 5 };
            let muvera = Muvera::new(dim, options.clone()).unwrap();
            let single = Muvera::new_f32(dim, options).unwrap();
            for count in [1, 2, 5, 6, 7, 11, 12, 40] {
                for form in [Form::DOCUMENT, Form::QUERY] {
                    both_versions_agree(&muvera, form, count);
                    both_versions_agree(&single, form, count);
                }
            }
        }
    }
}
