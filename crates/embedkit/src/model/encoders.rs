//! The encoders of a model, one for each description of its id.

use std::sync::{Mutex, OnceLock, PoisonError};

use embedkit_types::{ErrorKind, ModelSpec};

use super::{
    backend::Backend,
    capabilities::{self, Capabilities},
    input::InputKind,
    opening,
    selection::select_outputs,
};
use crate::{Error, Options, files::FileSource};

/// A model whose encoders are opened when they are needed.
pub(super) struct Encoders {
    pub(super) capabilities: Capabilities,
    files: FileSource,
    options: Options,
    /// At least one.
    list: Vec<Encoder>,
}

/// One description of the model, and what it describes once that is open.
struct Encoder {
    spec: ModelSpec,
    /// Held while the encoder is opened, so that it is opened once.
    opening: Mutex<()>,
    open: OnceLock<Box<dyn Backend>>,
}

impl Encoders {
    /// Opens a model with one description; where there are several, nothing yet.
    pub(super) fn new(
        specs: Vec<ModelSpec>,
        files: FileSource,
        options: Options,
    ) -> Result<Self, Error> {
        let specs = select_outputs(specs, options.outputs)?;
        let capabilities = Capabilities::of(&specs, &options);
        let encoder = |spec| Encoder { spec, opening: Mutex::new(()), open: OnceLock::new() };
        let list = specs.into_iter().map(encoder).collect();
        let encoders = Self { capabilities, files, options, list };
        if let [only] = &*encoders.list {
            encoders.open(only)?;
        }
        Ok(encoders)
    }

    /// The same encoders, of which that of texts has another task for raw text.
    pub(super) fn with_task(&self, task: &str) -> Result<Self, Error> {
        let kind = InputKind::Text;
        let backend = self.get(kind)?.with_task(&self.capabilities.id, task)?;
        let list = self.list.iter().map(|encoder| Encoder {
            spec: encoder.spec.clone(),
            opening: Mutex::new(()),
            open: OnceLock::new(),
        });
        let encoders = Self {
            capabilities: self.capabilities.clone(),
            files: self.files.clone(),
            options: self.options.clone(),
            list: list.collect(),
        };
        if let Some(encoder) = encoders.encoder(kind) {
            // Nobody else has it yet.
            drop(encoder.open.set(backend));
        }
        Ok(encoders)
    }

    /// True if an encoder takes inputs of a kind.
    pub(super) fn takes(&self, kind: InputKind) -> bool {
        self.encoder(kind).is_some()
    }

    /// The opened encoder for inputs of a kind.
    pub(super) fn get(&self, kind: InputKind) -> Result<&dyn Backend, Error> {
        match self.encoder(kind) {
            Some(encoder) => self.open(encoder),
            None => Err(self.refuse(kind)),
        }
    }

    /// The encoders that are open.
    pub(super) fn opened(&self) -> impl Iterator<Item = &dyn Backend> {
        self.list.iter().filter_map(|encoder| Some(&**encoder.open.get()?))
    }

    /// The error of an input that the model does not take.
    fn refuse(&self, kind: InputKind) -> Error {
        let Capabilities { id, inputs, .. } = &self.capabilities;
        let taken: Vec<_> = inputs.iter().map(ToString::to_string).collect();
        let what = format!("{id} takes {}, not {kind}", taken.join(" and "));
        Error::new(ErrorKind::InvalidInput, what)
    }

    fn encoder(&self, kind: InputKind) -> Option<&Encoder> {
        let takes =
            |encoder: &&Encoder| capabilities::inputs_of(&encoder.spec.task).contains(&kind);
        self.list.iter().find(takes)
    }

    fn open<'a>(&self, encoder: &'a Encoder) -> Result<&'a dyn Backend, Error> {
        if let Some(open) = encoder.open.get() {
            return Ok(&**open);
        }
        // A panic while it was opened leaves it closed.
        let _opening = encoder.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = encoder.open.get() {
            return Ok(&**open);
        }
        let backend = opening::open(&encoder.spec, &self.files, &self.options)?;
        if !self.options.load.lazy {
            tracing::debug!(model = %encoder.spec.id, device = backend.device()?, "model opened");
        }
        Ok(&**encoder.open.get_or_init(|| backend))
    }
}
