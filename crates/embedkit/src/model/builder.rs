//! Opening of a model, step by step.

use std::{fmt, path::PathBuf};

#[cfg(feature = "hub")]
use embedkit_hub::Event;
use embedkit_types::{ErrorKind, ModelSpec};

use super::{capabilities::Capabilities, encoders::Encoders};
use crate::{Error, Options, files::FileSource};

/// A [`Model`](crate::Model) that is about to be opened: its descriptions, its options, and where its files are.
#[derive(Clone)]
pub struct ModelBuilder {
    /// At least one.
    specs: Vec<ModelSpec>,
    files: FileSource,
    options: Options,
}

impl ModelBuilder {
    pub(super) fn new(specs: Vec<ModelSpec>) -> Result<Self, Error> {
        if specs.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "there is no description of a model"));
        }
        Ok(Self { specs, files: FileSource::default(), options: Options::default() })
    }

    /// Replaces the options.
    #[must_use]
    pub fn options(mut self, options: impl Into<Options>) -> Self {
        self.options = options.into();
        self
    }

    /// Takes the files from a folder that is laid out like the model's repository. Nothing is fetched.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.files.dir = Some(dir.into());
        self
    }

    /// Tells `on_event` of downloads.
    #[cfg(feature = "hub")]
    #[must_use]
    pub fn on_event(mut self, on_event: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        self.files.on_event = Some(std::sync::Arc::new(on_event));
        self
    }

    /// Inputs, outputs, and further facts of the model, with the options given so far.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        Capabilities::of(&self.specs, &self.options.load)
    }

    pub(super) fn into_encoders(self) -> Result<Encoders, Error> {
        Encoders::new(self.specs, self.files, self.options)
    }
}

impl fmt::Debug for ModelBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelBuilder")
            .field("specs", &self.specs)
            .field("dir", &self.files.dir)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
