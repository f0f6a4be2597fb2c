//! Parameters and forms of an encoding.

/// Parameters of the encoding, with FastEmbed's names and defaults. Use struct update syntax.
///
/// Queries and documents are comparable only if all parameters are equal, including the seed.
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
    /// Hyperplanes of each repetition, which partition space into `2^k_sim` clusters. May be 0.
    pub k_sim: u32,
    /// Components of a cluster after the random projection, at most the dimension of the vectors. The
    /// same dimension means no projection.
    pub dim_proj: usize,
    /// Repetitions, each with its own hyperplanes and projection.
    pub r_reps: usize,
    /// Seed of the random numbers. The original takes seeds of any length; this type is as long as
    /// NumPy recommends.
    pub random_seed: u128,
}

impl Default for MuveraOptions {
    fn default() -> Self {
        Self { k_sim: 5, dim_proj: 16, r_reps: 20, random_seed: 42 }
    }
}

/// Treatment of clusters, different for documents and queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    /// Fills an empty cluster with the first vector of the nearest occupied cluster: nearest in Hamming
    /// distance, then by the lower number.
    pub fill_empty_clusters: bool,
    /// Takes the mean of a cluster's vectors instead of their sum.
    pub normalize_by_count: bool,
}

impl Form {
    /// Means, without empty clusters.
    pub const DOCUMENT: Self = Self { fill_empty_clusters: true, normalize_by_count: true };
    /// Sums, with zeros in empty clusters, so that the dot product with a document is a sum over the
    /// query's vectors.
    pub const QUERY: Self = Self { fill_empty_clusters: false, normalize_by_count: false };
}
