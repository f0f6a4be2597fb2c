//! The MUVERA encoder.

use std::fmt;

use embedkit_types::{Error, MultiVectorModel};

use crate::{
    MuveraError, MuveraOptions, Precision, hyperplanes::Hyperplanes, numpy::Generator,
    product::Panels,
};

/// Maximum components of an encoding, or of all random matrices of one kind: two gigabytes in double
/// precision.
const LIMIT: usize = if cfg!(target_pointer_width = "64") { 1 << 28 } else { 1 << 24 };

/// Encodes multi-vectors as fixed-dimensional vectors.
///
/// The dot product of a query's and a document's encoding approximates their MaxSim (the sum over the
/// query's vectors of the best dot product with a document vector) times the number of repetitions. An
/// index of single vectors thus finds candidates for exact scoring.
///
/// Each repetition partitions space into `2^k_sim` clusters by random hyperplanes, sums the vectors in
/// each (documents: their mean, without empty clusters), and multiplies each cluster by a random sign
/// matrix over `sqrt(dim_proj)`. The encoding concatenates all clusters of all repetitions: component
/// `c` of cluster `b` in repetition `r` is at `(r * 2^k_sim + b) * dim_proj + c`. It is not normalised.
///
/// `Muvera` ([`Muvera::new`]) computes in `f64` and gives FastEmbed's numbers for the same parameters
/// and seed. `Muvera<f32>` ([`Muvera::new_f32`]) assigns the same clusters and computes the rest in
/// `f32`: faster, half the memory, and components that differ by about 1e-6 of their usual size.
///
/// Infinite or NaN components are errors. An encoding has such components only if sums of very long
/// vectors overflow the precision.
#[derive(Clone)]
pub struct Muvera<T: Precision = f64> {
    pub(crate) dim: usize,
    pub(crate) options: MuveraOptions,
    pub(crate) hyperplanes: Hyperplanes<T>,
    /// One sign matrix for each repetition, `[dim, dim_proj]`; empty without a projection.
    pub(crate) projections: Vec<Panels<T>>,
    embedding_size: usize,
}

impl Muvera {
    /// Creates an encoder for vectors of `dim` components that computes in `f64`, as FastEmbed does.
    ///
    /// # Errors
    /// `dim`, `dim_proj` or `r_reps` is 0, `dim_proj` is above `dim`, or encodings or random matrices
    /// would be too large.
    pub fn new(dim: usize, options: MuveraOptions) -> Result<Self, Error> {
        Ok(Self::draw(dim, options)?)
    }

    /// [`Muvera::new`] for the vectors of a model. The model's description is enough; it need not be
    /// loaded.
    ///
    /// # Errors
    /// See [`Muvera::new`].
    pub fn from_multivector_model(
        model: &(impl MultiVectorModel + ?Sized),
        options: MuveraOptions,
    ) -> Result<Self, Error> {
        Self::new(model.embedding_size(), options)
    }
}

impl Muvera<f32> {
    /// Creates an encoder for vectors of `dim` components that computes in `f32`.
    ///
    /// # Errors
    /// See [`Muvera::new`].
    pub fn new_f32(dim: usize, options: MuveraOptions) -> Result<Self, Error> {
        Ok(Self::draw(dim, options)?)
    }
}

impl<T: Precision> Muvera<T> {
    fn draw(dim: usize, options: MuveraOptions) -> Result<Self, MuveraError> {
        let embedding_size = check::<T>(dim, &options)?;
        let MuveraOptions { k_sim, dim_proj, r_reps, random_seed } = options;
        let mut generator = Generator::new(random_seed);
        // Hyperplanes are drawn before signs. Signs without a projection would come last, so they need
        // not be drawn.
        let hyperplanes = Hyperplanes::draw(&mut generator, dim, k_sim, r_reps);
        let mut projections = Vec::new();
        if dim_proj < dim {
            projections.extend((0..r_reps).map(|_| {
                let signs: Vec<bool> = (0..dim * dim_proj).map(|_| generator.coin()).collect();
                Panels::new(dim, dim_proj, |row, column| {
                    T::from_f64(if signs[row * dim_proj + column] { 1.0 } else { -1.0 })
                })
            }));
        }
        Ok(Self { dim, options, hyperplanes, projections, embedding_size })
    }

    /// Dimension of the input vectors.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The parameters.
    #[must_use]
    pub fn options(&self) -> &MuveraOptions {
        &self.options
    }

    /// Components of an encoding: `r_reps * 2^k_sim * dim_proj`.
    #[must_use]
    pub fn embedding_size(&self) -> usize {
        self.embedding_size
    }
}

/// Omits the matrices, which would fill many screens.
impl<T: Precision> fmt::Debug for Muvera<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Muvera")
            .field("dim", &self.dim)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Checks parameters and returns the components of an encoding.
fn check<T: Precision>(dim: usize, options: &MuveraOptions) -> Result<usize, MuveraError> {
    let &MuveraOptions { k_sim, dim_proj, r_reps, .. } = options;
    for (parameter, value) in [("dim", dim), ("dim_proj", dim_proj), ("r_reps", r_reps)] {
        if value == 0 {
            return Err(MuveraError::Zero { parameter });
        }
    }
    if dim_proj > dim {
        return Err(MuveraError::ProjectionTooWide { dim_proj, dim });
    }
    let within = |what, factors: [Option<usize>; 3]| {
        factors
            .into_iter()
            .try_fold(1usize, |product, factor| product.checked_mul(factor?))
            .filter(|&product| product <= LIMIT)
            .ok_or(MuveraError::TooLarge { what, limit: LIMIT, dim, k_sim, dim_proj, r_reps })
    };
    let clusters = 1usize.checked_shl(k_sim);
    let size = within("an encoding", [Some(r_reps), clusters, Some(dim_proj)])?;
    let planes = r_reps.checked_mul(k_sim as usize).and_then(padded::<T>);
    within("hyperplanes", [Some(dim), planes, Some(1)])?;
    if dim_proj < dim {
        within("projections", [Some(r_reps), Some(dim), padded::<T>(dim_proj)])?;
    }
    Ok(size)
}

/// Columns of a matrix, padded to whole panels.
fn padded<T: Precision>(columns: usize) -> Option<usize> {
    columns.checked_next_multiple_of(T::PANEL)
}
