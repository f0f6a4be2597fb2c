//! Choices at opening time, for any model.

use embedkit_types::{LoadOptions, Outputs, Precision};

/// Options of a [`Model`](crate::Model): those that all models have, and those of the families, which
/// act on models of the family and on no others. Plain fields with [`Default`]; use struct update syntax.
///
/// [`LoadOptions`] alone are options as well:
///
/// ```
/// use embedkit::{LoadOptions, Options};
///
/// let options = Options::from(LoadOptions { offline: true, ..LoadOptions::default() });
/// assert!(options.load.offline);
/// assert_eq!(Options::latency().load, LoadOptions::latency());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Device, threads, batches, cache and text limits.
    pub load: LoadOptions,
    /// Options of dense text models, such as the task of Jina v3.
    #[cfg(feature = "text-dense")]
    pub dense: embedkit_text_dense::DenseOptions,
    /// Parameters of sparse models, such as BM25's language.
    #[cfg(feature = "any-sparse")]
    pub sparse: embedkit_sparse::SparseOptions,
    /// Decoding and preprocessing of images.
    #[cfg(feature = "image-preprocess")]
    pub image: embedkit_image::ImageOptions,
    /// Kinds of embedding that are wanted of a model that gives several, such as BGE-M3. `None`: those of the
    /// first description of its id ([`select_outputs`](crate::select_outputs)).
    pub outputs: Option<Outputs>,
}

impl Options {
    /// Options with [`Profile::Auto`](crate::Profile::Auto); the default.
    #[must_use]
    pub fn auto() -> Self {
        LoadOptions::auto().into()
    }

    /// Options with [`Profile::Latency`](crate::Profile::Latency): one graph, all cores for each batch.
    #[must_use]
    pub fn latency() -> Self {
        LoadOptions::latency().into()
    }

    /// Options with [`Profile::Throughput`](crate::Profile::Throughput): one graph, a core for each batch.
    #[must_use]
    pub fn throughput() -> Self {
        LoadOptions::throughput().into()
    }
}

impl From<Precision> for Options {
    /// Options with a precision: `Options::from(Precision::Bf16)`.
    fn from(precision: Precision) -> Self {
        LoadOptions { precision, ..LoadOptions::default() }.into()
    }
}

impl From<LoadOptions> for Options {
    fn from(load: LoadOptions) -> Self {
        Self {
            load,
            #[cfg(feature = "text-dense")]
            dense: embedkit_text_dense::DenseOptions::default(),
            #[cfg(feature = "any-sparse")]
            sparse: embedkit_sparse::SparseOptions::default(),
            #[cfg(feature = "image-preprocess")]
            image: embedkit_image::ImageOptions::default(),
            outputs: None,
        }
    }
}
