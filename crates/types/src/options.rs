//! How a model is opened and run.

use std::{path::PathBuf, time::Duration};

use crate::{Device, Error, ErrorKind, Hint, ModelSpec, Precision, Variant};

/// How a model is opened and run: plain fields with a [`Default`], for struct update syntax.
///
/// `None` stands for the default of the device and of the modality, which may differ from model to model.
/// Fields come in four groups: *loading* (device, session and library), *files* (cache and network),
/// *running* (batches and time) and *encoding* (what is read of a text, and what is kept of a vector). All
/// families take them; an option that a family cannot follow is an error when the model is opened.
/// Options of a single family, such as the task of Jina v3, are types of that family.
///
/// ```
/// use embedkit_types::{BatchOptions, Device, LoadOptions, Prompts};
///
/// let options = LoadOptions {
///     device: "cuda:0>cpu".parse()?,
///     prompts: Prompts::Model,
///     max_tokens: Some(256),
///     batch: BatchOptions { tokens: Some(16_384), ..BatchOptions::default() },
///     ..LoadOptions::throughput()
/// };
/// assert_eq!(options.device, Device::Prefer(vec![Device::Cuda(vec![0]), Device::Cpu]));
/// # Ok::<(), embedkit_types::DeviceError>(())
/// ```
///
/// With the feature `serde` absent fields have their defaults and unknown fields are errors. `device` is
/// a string such as `"cuda:0"`, `timeout` a number of seconds.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct LoadOptions {
    /// Loading: where the graph runs.
    pub device: Device,
    /// Loading: whether lone calls, streams or both are to be fast.
    pub profile: Profile,
    /// Loading: numbers that the graph multiplies, [`Precision::F32`] by default. With another one a model
    /// that has no graph is an error, the device has to be the CPU, and `auto` is it.
    pub precision: Precision,
    /// Loading: threads within one replica, 1 or more; by default as many as the replicas leave.
    ///
    /// Where neither this nor `replicas` is set, the CPU runs many batches with one thread each, and
    /// a lone batch on all cores.
    pub threads: Option<usize>,
    /// Loading: copies of the graph that run side by side, 1 or more; by default as many as the cores have
    /// room for with `threads` each, one per device otherwise. On a CPU they share one copy of the weights.
    pub replicas: Option<usize>,
    /// Loading: the graph is opened at the first use instead of at load time.
    pub lazy: bool,
    /// Loading: ONNX Runtime keeps its CPU memory in an arena, or not; its own default when `None`.
    pub arena: Option<bool>,
    /// Loading: the first use of a model on a device other than the CPU compares no results. They are
    /// compared once for each model and device, with results that are known or with those of the CPU, and
    /// what deviates is an error; never for `lazy` models. `EMBEDKIT_SKIP_CANARY=1` in the environment does
    /// the same.
    pub skip_canary: bool,
    /// Loading: options of the execution provider, by its own names.
    pub provider_options: Vec<(String, String)>,
    /// Loading: the ONNX Runtime library, before all other places.
    pub onnxruntime: Option<PathBuf>,
    /// Files: the cache folder; by default the user's.
    pub cache_dir: Option<PathBuf>,
    /// Files: the network is never touched.
    pub offline: bool,
    /// Files: the graph to take where a repository or folder without a description has several; `fp32` when
    /// `None`. A built-in model has one graph.
    pub variant: Option<Variant>,
    /// Running: how inputs are grouped into batches.
    pub batch: BatchOptions,
    /// Running: texts share a batch even where the graph quantises activations by the range of the whole
    /// batch, so that a result depends on its neighbours: faster, but not repeatable.
    pub allow_batch_dependence: bool,
    /// Running: the longest time for one run of the graph, for one batch; without a limit when `None`.
    ///
    /// A batch that takes longer is stopped between two operators of the graph and run again in halves,
    /// each with the whole limit, so that only the inputs that are too slow by themselves fail. Loading
    /// and preprocessing do not count.
    #[cfg_attr(feature = "serde", serde(with = "seconds"))]
    pub timeout: Option<Duration>,
    /// Encoding: prompts of queries and documents.
    pub prompts: Prompts,
    /// Encoding: the limit on tokens of a text, or of a pair of texts, special tokens included, 1 or more; by
    /// default that of the model's files. Capped, with a warning, by the model's positions. Images have
    /// no tokens.
    pub max_tokens: Option<usize>,
    /// Encoding: only the first `dim` components of each vector are kept, 1 or more, and scaled to unit
    /// length (Matryoshka).
    pub dim: Option<usize>,
}

impl LoadOptions {
    /// Options with [`Profile::Auto`]; the default.
    #[must_use]
    pub fn auto() -> Self {
        Self::default()
    }

    /// Options with [`Profile::Latency`].
    #[must_use]
    pub fn latency() -> Self {
        Self { profile: Profile::Latency, ..Self::default() }
    }

    /// Options with [`Profile::Throughput`].
    #[must_use]
    pub fn throughput() -> Self {
        Self { profile: Profile::Throughput, ..Self::default() }
    }

    /// Checks the options for the model that `spec` describes. Families call it before they open a model.
    ///
    /// # Errors
    /// A number that is 0, a list of devices without any, and [custom prompts](Prompts::Custom) for a model
    /// that puts none before its inputs.
    pub fn check(&self, spec: &ModelSpec) -> Result<(), OptionsError> {
        let BatchOptions { rows, tokens, window, queue } = self.batch;
        let numbers = [
            ("threads", self.threads),
            ("replicas", self.replicas),
            ("batch.rows", rows),
            ("batch.tokens", tokens),
            ("batch.window", Some(window)),
            ("batch.queue", queue),
            ("max_tokens", self.max_tokens),
            ("dim", self.dim),
        ];
        if let Some(&(option, _)) = numbers.iter().find(|(_, number)| *number == Some(0)) {
            return Err(OptionsError::Zero { option });
        }
        if self.timeout == Some(Duration::ZERO) {
            return Err(OptionsError::Zero { option: "timeout" });
        }
        if self.device.is_none() {
            return Err(OptionsError::NoDevice);
        }
        let any_device = matches!(self.precision, Precision::F32 | Precision::AutoFast);
        if !any_device && !self.device.may_be_cpu() {
            let (precision, device) = (self.precision, self.device.to_string());
            return Err(OptionsError::PrecisionOfDevice { precision, device });
        }
        if self.prompts.is_custom() && !spec.task.takes_prompts() {
            let (id, task) = (spec.id.to_string(), spec.task.name());
            return Err(OptionsError::NoPrompts { id, task });
        }
        Ok(())
    }
}

/// Shape of a session on a CPU: one run on all cores, or many runs with one thread each. Other devices
/// have one shape, and fixed `threads` or `replicas` of [`LoadOptions`] go before the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Profile {
    /// The fastest shape for each workload: a lone call on all cores, a stream in lanes of one thread. The
    /// first shape serves both until the other workload has run for as long as loading takes; a program
    /// that goes on with both then has the weights in memory twice.
    #[default]
    Auto,
    /// One copy of the weights, with all cores for each run: a lone call is as fast as it gets, a stream
    /// is slower.
    Latency,
    /// One copy of the weights, with one thread for each of as many runs as there are cores: streams and
    /// many callers are as fast as they get, a lone call has one core.
    Throughput,
}

/// Prompts that are put before queries and documents; raw text stays bare.
///
/// With the feature `serde` they are `"none"`, `"model"` or `{"custom": {"query": "…", "document": "…"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
pub enum Prompts {
    /// No prompts, as in FastEmbed.
    #[default]
    None,
    /// Prompts that the registry records for the model; an error where it needs one that is not known.
    /// Without effect for models without prompts.
    Model,
    /// Prompts of the caller, in place of the model's; an error for models that put none before their
    /// inputs: images, multimodal and sparse models, rerankers.
    Custom {
        /// Text before each query, its blank at the end included.
        #[cfg_attr(feature = "serde", serde(default))]
        query: Option<String>,
        /// Text before each document.
        #[cfg_attr(feature = "serde", serde(default))]
        document: Option<String>,
    },
}

impl Prompts {
    fn is_custom(&self) -> bool {
        matches!(self, Self::Custom { query, document } if query.is_some() || document.is_some())
    }
}

/// How inputs are grouped into batches. Results never depend on it beyond rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct BatchOptions {
    /// Most rows of a batch, 1 or more. By default 256 texts; on a CPU one image, else 16.
    pub rows: Option<usize>,
    /// Most tokens of a batch, 1 or more, padding included (rows times the longest); a single longer text is
    /// a batch of its own. By default 256 on a CPU, which suits its caches, and 16,384 on a GPU, a usual
    /// value that was not measured. Images have no tokens.
    pub tokens: Option<usize>,
    /// Inputs that are read ahead and sorted by length together, 1 or more; bounds memory. 2,048 by
    /// default; fewer for images.
    pub window: usize,
    /// Most tokens, 1 or more, that may wait for their turn, of all inputs that were submitted to one model
    /// with one urgency; then submitting waits, or says that the model is busy. Texts that are not tokenised
    /// yet count by their bytes. Streams do not count: their windows bound them. By default 64 full batches
    /// for each batch that can run at once; of images as many as two windows.
    pub queue: Option<usize>,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self { rows: None, tokens: None, window: 2048, queue: None }
    }
}

/// Options that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// A number or a time is 0.
    #[error("the option `{option}` is 0, expected more")]
    Zero {
        /// Name of the option, such as `batch.rows`.
        option: &'static str,
    },
    /// A list of devices is empty.
    #[error("the option `device` is a list of devices without any")]
    NoDevice,
    /// The device does not run graphs with that precision.
    #[error("{precision} is a precision of the CPU, and the device is {device}")]
    PrecisionOfDevice {
        /// The precision.
        precision: Precision,
        /// The device asked for.
        device: String,
    },
    /// The model puts no prompts before its inputs.
    #[error("{id} is a model of task {task}, which takes no prompts")]
    NoPrompts {
        /// Id of the model.
        id: String,
        /// Name of its task.
        task: &'static str,
    },
}

impl OptionsError {
    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Zero { .. } | Self::NoDevice => ErrorKind::InvalidInput,
            Self::PrecisionOfDevice { .. } | Self::NoPrompts { .. } => ErrorKind::Unsupported,
        }
    }

    /// Advice, where something can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::PrecisionOfDevice { .. } => {
                Some(Hint::Advice("leave the precision at f32, or take the device cpu".into()))
            }
            Self::Zero { .. } | Self::NoDevice | Self::NoPrompts { .. } => None,
        }
    }
}

impl From<OptionsError> for Error {
    fn from(error: OptionsError) -> Self {
        let hint = error.hint();
        Self::new(error.kind(), error).with_hint(hint)
    }
}

/// A time as a number of seconds.
#[cfg(feature = "serde")]
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_secs_f64()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?;
        seconds.map(Duration::try_from_secs_f64).transpose().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Image, LateText, Rerank, Task};

    fn spec(task: Task) -> ModelSpec {
        ModelSpec { id: "m".into(), task, ..ModelSpec::DEFAULT }
    }

    #[test]
    fn zero_is_an_error_that_names_the_option() {
        let plain = LoadOptions::default;
        let batch = BatchOptions::default();
        for (options, option) in [
            (LoadOptions { threads: Some(0), ..plain() }, "threads"),
            (LoadOptions { replicas: Some(0), ..plain() }, "replicas"),
            (LoadOptions { max_tokens: Some(0), ..plain() }, "max_tokens"),
            (LoadOptions { dim: Some(0), ..plain() }, "dim"),
            (LoadOptions { timeout: Some(Duration::ZERO), ..plain() }, "timeout"),
            (
                LoadOptions { batch: BatchOptions { rows: Some(0), ..batch }, ..plain() },
                "batch.rows",
            ),
            (
                LoadOptions { batch: BatchOptions { tokens: Some(0), ..batch }, ..plain() },
                "batch.tokens",
            ),
            (LoadOptions { batch: BatchOptions { window: 0, ..batch }, ..plain() }, "batch.window"),
            (
                LoadOptions { batch: BatchOptions { queue: Some(0), ..batch }, ..plain() },
                "batch.queue",
            ),
        ] {
            let error = options.check(&ModelSpec::DEFAULT).unwrap_err();
            assert_eq!(error, OptionsError::Zero { option });
            assert_eq!(Error::from(error).kind(), ErrorKind::InvalidInput);
        }
        for profile in [LoadOptions::auto(), LoadOptions::latency(), LoadOptions::throughput()] {
            profile.check(&ModelSpec::DEFAULT).unwrap();
        }
    }

    #[test]
    fn a_list_of_devices_has_one() {
        let nested = Device::Prefer(vec![Device::Prefer(vec![])]);
        let options = LoadOptions { device: nested, ..LoadOptions::default() };
        assert_eq!(options.check(&ModelSpec::DEFAULT), Err(OptionsError::NoDevice));
    }

    #[test]
    fn a_precision_other_than_f32_is_one_of_the_cpu() {
        let check = |device: &str, precision| {
            let device = device.parse().unwrap();
            LoadOptions { device, precision, ..LoadOptions::default() }.check(&ModelSpec::DEFAULT)
        };
        for device in ["auto", "cpu", "cuda:0>cpu"] {
            check(device, Precision::Bf16).unwrap();
        }
        check("cuda:0", Precision::F32).unwrap();
        check("cuda:0", Precision::AutoFast).unwrap();
        let error = check("cuda:1", Precision::Bf16).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("cuda:1"), "{error}");
        assert!(Error::from(error).hint().unwrap().to_string().contains("f32"));
    }

    #[test]
    fn prompts_of_the_caller_need_a_model_with_roles() {
        let custom = |query| Prompts::Custom { query, document: None };
        let options = |prompts| LoadOptions { prompts, ..LoadOptions::default() };
        let given = options(custom(Some("q: ".to_owned())));
        let tasks = [Task::Image(Image::DEFAULT), Task::Rerank(Rerank::DEFAULT)];
        for task in tasks {
            let spec = spec(task);
            let error = given.check(&spec).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(spec.task.name()), "{error}");
            options(Prompts::Model).check(&spec).unwrap();
            options(custom(None)).check(&spec).unwrap();
        }
        given.check(&spec(Task::LateText(LateText::DEFAULT))).unwrap();
        given.check(&ModelSpec::DEFAULT).unwrap();
    }
}

#[cfg(all(test, feature = "serde"))]
mod serde_tests {
    use super::*;

    #[test]
    fn options_are_read_back_as_written() {
        let options = LoadOptions {
            device: Device::Prefer(vec![Device::Cuda(vec![0, 1]), Device::Cpu]),
            threads: Some(2),
            timeout: Some(Duration::from_millis(1500)),
            provider_options: vec![("use_tf32".to_owned(), "0".to_owned())],
            prompts: Prompts::Custom { query: Some("q: ".to_owned()), document: None },
            variant: Some("fp16".parse().unwrap()),
            batch: BatchOptions { rows: Some(3), ..BatchOptions::default() },
            ..LoadOptions::throughput()
        };
        for options in [options, LoadOptions::default()] {
            let text = toml::to_string(&options).unwrap();
            assert_eq!(toml::from_str::<LoadOptions>(&text).unwrap(), options, "{text}");
        }
    }

    #[test]
    fn absent_fields_have_their_defaults() {
        let text = r#"
            device = "cuda:0>cpu"
            profile = "latency"
            precision = "bf16"
            prompts = "model"
            timeout = 2
            batch.tokens = 4096
        "#;
        let options = LoadOptions {
            device: Device::Prefer(vec![Device::Cuda(vec![0]), Device::Cpu]),
            precision: Precision::Bf16,
            prompts: Prompts::Model,
            timeout: Some(Duration::from_secs(2)),
            batch: BatchOptions { tokens: Some(4096), ..BatchOptions::default() },
            ..LoadOptions::latency()
        };
        assert_eq!(toml::from_str::<LoadOptions>(text).unwrap(), options);
        assert_eq!(toml::from_str::<LoadOptions>("").unwrap(), LoadOptions::default());
    }

    #[test]
    fn unknown_fields_and_values_are_errors() {
        for (text, named) in [
            ("dimensions = 3", "dimensions"),
            ("batch.size = 3", "size"),
            ("prompts.custom.passage = 'p: '", "passage"),
            ("prompts = 'all'", "all"),
            ("device = 'gpu'", "gpu"),
            ("timeout = -1.0", "negative"),
            ("threads = -1", "-1"),
            ("variant = 'a/b'", "a/b"),
        ] {
            let error = toml::from_str::<LoadOptions>(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
