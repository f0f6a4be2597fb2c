//! How a model is opened and run.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use crate::Device;

/// How a model is opened. Plain fields with [`Default`]; use struct update syntax.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LoadOptions {
    /// Where the graph runs.
    pub device: Device,
    /// Threads within one replica; by default as many as the replicas leave.
    ///
    /// Where neither this nor `replicas` is set, the CPU runs many batches with one thread each, and
    /// a lone batch on all cores.
    pub threads: Option<NonZeroUsize>,
    /// Copies of the graph that run side by side; by default one per core of a CPU, one per device
    /// otherwise.
    pub replicas: Option<NonZeroUsize>,
    /// How long one run of the graph, for one batch, may take; without a limit when `None`.
    ///
    /// A batch that takes longer is stopped between two operators of the graph and run again in halves,
    /// each with the whole limit, so that only the inputs that are too slow by themselves fail. Loading
    /// and preprocessing do not count.
    pub timeout: Option<Duration>,
    /// Where model files are kept; by default the user's cache folder.
    pub cache_dir: Option<PathBuf>,
    /// Never touch the network.
    pub offline: bool,
    /// Open the graph at the first use instead of at load time.
    pub lazy: bool,
    /// Whether ONNX Runtime keeps its CPU memory in an arena; its own default when `None`.
    pub arena: Option<bool>,
    /// Options of the execution provider, by its own names.
    pub provider_options: Vec<(String, String)>,
    /// The most tokens of a text, or of a pair of texts, special tokens included; by default what
    /// the model's files say. Capped, with a warning, by the model's positions. Images have no tokens.
    pub max_tokens: Option<NonZeroUsize>,
    /// Which prompts are put before queries and passages.
    pub prompts: PromptUse,
    /// Keep only the first `dimensions` components and scale to unit length (Matryoshka).
    pub dimensions: Option<NonZeroUsize>,
    /// The task for raw text of a model that has several (Jina v3), by name.
    pub task: Option<String>,
    /// How inputs are grouped into batches.
    pub batch: BatchOptions,
    /// Let texts share a batch even where the graph quantises activations by the range of the whole
    /// batch, so that a result depends on its neighbours: faster, but not repeatable.
    pub allow_batch_dependence: bool,
    /// The ONNX Runtime library to load, before all other places.
    pub onnxruntime: Option<PathBuf>,
}

/// Which prompts are put before queries and passages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PromptUse {
    /// None, as FastEmbed does.
    #[default]
    None,
    /// Those that the registry records for the model; an error where it needs one that is not known.
    Model,
}

/// How inputs are grouped into batches. Results never depend on it beyond rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// Most rows of a batch.
    pub rows: NonZeroUsize,
    /// Most tokens of a batch, padding included (rows times the longest); a single longer text is a
    /// batch of its own. The default suits the caches of a CPU; a GPU wants thousands.
    pub tokens: NonZeroUsize,
    /// Inputs that are read ahead and sorted by length together; bounds memory.
    pub window: NonZeroUsize,
}

impl Default for BatchOptions {
    fn default() -> Self {
        const fn at_least_one(n: usize) -> NonZeroUsize {
            NonZeroUsize::new(n).expect("a literal above zero")
        }
        const { Self { rows: at_least_one(256), tokens: at_least_one(256), window: at_least_one(2048) } }
    }
}
