//! Checks of a model's numbers: on another device than the CPU, alone and in a batch, and with known results.
//!
//! An execution provider may give wrong numbers without an error. So a model's first use on a device other
//! than the CPU compares some results: of inputs alone with those of a batch, and with the known results
//! of the model or else those of the CPU. What agrees is recorded in the cache and not compared again;
//! what deviates is a [`CanaryError`]. [`LoadOptions::skip_canary`] and `EMBEDKIT_SKIP_CANARY=1` switch it
//! off.
//!
//! ```
//! use embedkit::{Output, canary::Deviation};
//!
//! let (found, expected) = ([Output::Dense(vec![0.5, 0.5])], [Output::Dense(vec![0.5, 0.25])]);
//! let deviation = Deviation::between(&found, &expected)?;
//! assert_eq!((deviation.largest, deviation.magnitude), (0.25, 0.5));
//! # Ok::<(), embedkit::Error>(())
//! ```

mod deviation;
mod record;
mod samples;
#[cfg(test)]
mod tests;

use std::{env, ffi::OsStr, fmt};

use embedkit_types::{
    Canonical, Device, ErrorKind, Hint, LoadOptions, ModelFiles, ModelSpec, Role, cache::cache_dir,
};

use crate::{
    Error,
    model::{
        backend::Backend,
        capabilities::inputs_of,
        input::{Input, InputKind},
        output::Output,
    },
};

pub use deviation::Deviation;
pub use samples::samples;

use record::Key;

/// The environment variable that switches the comparison off.
pub const SKIP: &str = "EMBEDKIT_SKIP_CANARY";

/// Largest deviation of a device, as a part of the largest number: rounding to f16 or TF32 gives a
/// hundredth at most, eight-bit weights somewhat more, a wrong kernel far more.
const ALLOWED: f32 = 0.1;

/// Results that a device was compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reference {
    /// Those of the same inputs, one at a time.
    Alone,
    /// Those that are known of the model.
    Known,
    /// Those of the CPU.
    Cpu,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alone => "those of the same inputs alone",
            Self::Known => "the known ones",
            Self::Cpu => "those of the CPU",
        })
    }
}

/// Reason why a model is not used on a device.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CanaryError {
    /// The device gives wrong numbers.
    #[error(
        "{model} gives wrong numbers on {device}: results for {kind} deviate from {reference} by {}, \
         expected at most {allowed}", deviation.largest
    )]
    Deviates {
        /// Id of the model.
        model: String,
        /// The device, such as `cuda:0`.
        device: String,
        /// Kind of the inputs.
        kind: InputKind,
        /// Origin of the expected results.
        reference: Reference,
        /// The largest difference and its place.
        deviation: Box<Deviation>,
        /// The largest difference that is allowed.
        allowed: f32,
    },
}

impl CanaryError {
    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Device
    }

    /// Advice.
    #[must_use]
    pub fn hint(&self) -> Hint {
        Hint::Advice(
            "use the CPU; another version of the driver, of ONNX Runtime or of its provider may be right \
             (EMBEDKIT_SKIP_CANARY=1 uses the device as it is)"
                .into(),
        )
    }
}

impl From<CanaryError> for Error {
    fn from(error: CanaryError) -> Self {
        let hint = error.hint();
        Self::new(error.kind(), error).with_hint(hint)
    }
}

/// The model that is checked: what it was opened from.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) spec: &'a ModelSpec,
    pub(crate) files: Option<&'a ModelFiles>,
    pub(crate) options: &'a LoadOptions,
}

/// Checks a model on the device that it was opened on, unless it is the CPU or was checked there before.
/// `open_on_cpu` opens it a second time, with the options that it is given.
pub(crate) fn check<M: Backend>(
    model: &M,
    subject: Subject<'_>,
    open_on_cpu: impl FnOnce(&LoadOptions) -> Result<M, Error>,
) -> Result<(), Error> {
    if !is_wanted(subject.options, env::var_os(SKIP).as_deref()) {
        return Ok(());
    }
    let device = model.device()?;
    if device == CPU {
        return Ok(());
    }
    let id = &subject.spec.id;
    let cache = subject.options.cache_dir.clone().or_else(|| cache_dir(|name| env::var_os(name)));
    let key = Key::new(subject, device);
    if cache.as_deref().is_some_and(|cache| record::holds(cache, &key)) {
        tracing::debug!(model = %id, device, "the results were compared before");
        return Ok(());
    }
    tracing::debug!(model = %id, device, "comparing results");
    let compared = compare(model, device, subject, open_on_cpu)?;
    if !compared {
        return Ok(());
    }
    let written = cache.map(|cache| record::write(&cache, &key));
    if let Some(Err(error)) = written {
        tracing::warn!(%error, "cannot record that {id} was checked on {device}; it will be again");
    }
    Ok(())
}

/// Name of the device that others are compared with.
const CPU: &str = "cpu";

/// True where a check may be needed. A lazy model has no device yet.
fn is_wanted(options: &LoadOptions, skip: Option<&OsStr>) -> bool {
    let skipped = skip.and_then(OsStr::to_str).is_some_and(|value| {
        ["1", "true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str())
    });
    !(options.skip_canary || skipped || options.lazy || options.device == Device::Cpu)
}

/// Compares results; `false` where there is nothing to compare with.
fn compare<M: Backend>(
    model: &M,
    device: &str,
    subject: Subject<'_>,
    open_on_cpu: impl FnOnce(&LoadOptions) -> Result<M, Error>,
) -> Result<bool, Error> {
    let Subject { spec, options, .. } = subject;
    let kinds = inputs_of(&spec.task);
    let mut all = Vec::new();
    for &kind in kinds {
        let inputs = samples(kind)?;
        let together = embed(model, &inputs)?;
        // Results that may depend on the batch say nothing about the device.
        if !options.allow_batch_dependence {
            let alone = inputs.iter().map(|input| embed(model, std::slice::from_ref(input)));
            let alone = alone.collect::<Result<Vec<_>, _>>()?.concat();
            let deviation = Deviation::between(&together, &alone)?;
            judge(spec, device, kind, Reference::Alone, deviation)?;
        }
        all.push((kind, inputs, together));
    }
    // A few components say nothing of the others where these may be anything.
    let finite =
        all.iter().flat_map(|(_, _, outputs)| outputs).all(|one| one.check_finite().is_ok());
    let own = finite && options.dim.is_none() && options.max_tokens.is_none();
    if let Some(known) = spec.canonical.as_ref().filter(|_| own) {
        let deviation = against_known(model, known)?;
        judge(spec, device, InputKind::Text, Reference::Known, deviation)?;
        return Ok(true);
    }
    let on_cpu = LoadOptions {
        device: Device::Cpu,
        provider_options: Vec::new(),
        replicas: Some(1),
        ..options.clone()
    };
    let on_cpu = match open_on_cpu(&on_cpu) {
        Ok(model) => model,
        // A graph may be for the device alone; the user did not ask for the CPU.
        Err(error) => {
            tracing::warn!(%error, "the results of {} on {device} are not compared with the CPU's", spec.id);
            return Ok(false);
        }
    };
    for (kind, inputs, found) in all {
        let deviation = Deviation::between(&found, &embed(&on_cpu, &inputs)?)?;
        judge(spec, device, kind, Reference::Cpu, deviation)?;
    }
    Ok(true)
}

/// The deviation of a model from its known results, as far as these go.
fn against_known(model: &dyn Backend, known: &Canonical) -> Result<Deviation, Error> {
    let texts: Vec<_> = known.texts.iter().map(|text| Input::from(&**text)).collect();
    Deviation::from_known(&embed(model, &texts)?, known)
}

fn judge(
    spec: &ModelSpec,
    device: &str,
    kind: InputKind,
    reference: Reference,
    deviation: Deviation,
) -> Result<(), Error> {
    let allowed = ALLOWED * deviation.magnitude;
    tracing::debug!(model = %spec.id, device, %kind, %reference, largest = deviation.largest, "compared");
    if deviation.largest <= allowed {
        return Ok(());
    }
    let (model, device) = (spec.id.to_string(), device.to_owned());
    let deviation = Box::new(deviation);
    Err(CanaryError::Deviates { model, device, kind, reference, deviation, allowed }.into())
}

/// Outputs of raw inputs that are given at once.
fn embed(model: &dyn Backend, inputs: &[Input]) -> Result<Vec<Output>, Error> {
    let outputs = model.embed(Role::Raw, Box::new(inputs.iter().cloned()));
    outputs.map(|output| Ok(output?.value)).collect()
}
