//! How an encoding is made.

/// Parameters of the encoding, with FastEmbed's names and defaults. Use struct update syntax.
///
/// Queries and documents can only be compared when all of them are equal, the seed too.
///
/// ```
/// use embedkit_postprocess::MuveraOptions;
///
/// let options = MuveraOptions { k_sim: 4, ..MuveraOptions::default() };
/// assert_eq!((options.dim_proj, options.r_reps, options.random_seed), (16, 20, 42));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct MuveraOptions {
    /// Hyperplanes in each repetition, which cut space into `2^k_sim` clusters. May be 0.
    pub k_sim: u32,
    /// Components of a cluster after the random projection, at most those of the vectors; as many
    /// as those mean that nothing is projected.
    pub dim_proj: usize,
    /// Repetitions with hyperplanes and projections of their own.
    pub r_reps: usize,
    /// Seed of all random numbers. The original takes seeds of any length; this is as long as those
    /// that NumPy recommends.
    pub random_seed: u128,
}

impl Default for MuveraOptions {
    fn default() -> Self {
        Self { k_sim: 5, dim_proj: 16, r_reps: 20, random_seed: 42 }
    }
}

/// What is done with the clusters on the way: one form for documents, another for queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    /// Whether a cluster without vectors takes the first vector of the nearest cluster that has
    /// some: nearest in the number of hyperplanes between them, then by the lower number.
    pub fill_empty_clusters: bool,
    /// Whether a cluster is the mean of its vectors instead of their sum.
    pub normalize_by_count: bool,
}

impl Form {
    /// Means, and no cluster left empty.
    pub const DOCUMENT: Self = Self { fill_empty_clusters: true, normalize_by_count: true };
    /// Sums, and empty clusters stay zero, so that the dot product with a document is a sum over the
    /// vectors of the query.
    pub const QUERY: Self = Self { fill_empty_clusters: false, normalize_by_count: false };
}
