//! Opening of a model, step by step.

use std::{fmt, path::PathBuf};

use embedkit_core::registry;
#[cfg(feature = "hub")]
use embedkit_hub::Event;
use embedkit_types::{Encoder, ErrorKind, LateText, ModelSpec, Pooling, Task};

use super::{capabilities::Capabilities, encoders::Encoders, selection::select_outputs};
use crate::{
    Error, Options,
    files::FileSource,
    resolve::{Resolved, resolve},
};

/// A [`Model`](crate::Model) that is about to be opened: its name or its descriptions, its options, and where
/// its files are.
#[derive(Clone)]
pub struct ModelBuilder {
    subject: Subject,
    files: FileSource,
    options: Options,
}

/// The model.
#[derive(Debug, Clone)]
enum Subject {
    /// By descriptions, at least one.
    Specs(Vec<ModelSpec>),
    /// By a name that is not built in: its files are read when the options are known.
    Name(String),
}

impl ModelBuilder {
    pub(super) fn new(specs: Vec<ModelSpec>) -> Result<Self, Error> {
        if specs.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "there is no description of a model"));
        }
        Ok(Self::of(Subject::Specs(specs)))
    }

    pub(super) fn named(name: &str) -> Self {
        Self::of(Subject::Name(name.to_owned()))
    }

    fn of(subject: Subject) -> Self {
        Self { subject, files: FileSource::default(), options: Options::default() }
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

    /// Tells `on_event` of downloads and conversions.
    #[cfg(feature = "hub")]
    #[must_use]
    pub fn on_event(mut self, on_event: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        self.files.on_event = Some(std::sync::Arc::new(on_event));
        self
    }

    /// Inputs, outputs, and further facts of the model, with the options given so far.
    ///
    /// # Errors
    /// Those of [`resolve`], for a model that is not built in, and of [`select_outputs`].
    pub fn capabilities(&self) -> Result<Capabilities, Error> {
        match &self.subject {
            Subject::Specs(specs) => {
                let specs = select_outputs(specs.clone(), self.options.outputs)?;
                Ok(Capabilities::of(&specs, &self.options))
            }
            Subject::Name(_) => self.clone().resolve()?.capabilities(),
        }
    }

    /// The same transformer with a vector for each token, as its graph gives them: before pooling, layers and
    /// scaling. `None` for a model without an encoder of dense text whose token vectors are pooled here.
    ///
    /// # Errors
    /// Those of [`resolve`], for a model that is not built in.
    pub fn token_vectors(self) -> Result<Option<Self>, Error> {
        let mut builder = self.resolve()?;
        let Subject::Specs(specs) = builder.subject else { return Ok(None) };
        let specs: Vec<_> = specs.into_iter().filter_map(of_tokens).collect();
        if specs.is_empty() {
            return Ok(None);
        }
        builder.subject = Subject::Specs(specs);
        builder.options.load.dim = None;
        Ok(Some(builder))
    }

    /// The same with the descriptions that the name stands for.
    fn resolve(self) -> Result<Self, Error> {
        let Subject::Name(name) = &self.subject else { return Ok(self) };
        if self.files.dir.is_some() {
            // A folder is given for a model that is known by its id.
            registry::find(name)?;
        }
        let found = resolve(name, &self.options.load)?;
        Ok(Self { options: self.options, ..Self::from(found) }.hearing(&self.files))
    }

    /// The same with the callback of `files`.
    #[cfg(feature = "hub")]
    fn hearing(mut self, files: &FileSource) -> Self {
        self.files.on_event.clone_from(&files.on_event);
        self
    }

    #[cfg(not(feature = "hub"))]
    fn hearing(self, _: &FileSource) -> Self {
        self
    }

    pub(super) fn into_encoders(self) -> Result<Encoders, Error> {
        let resolved = self.resolve()?;
        match resolved.subject {
            Subject::Specs(specs) => Encoders::new(specs, resolved.files, resolved.options),
            Subject::Name(_) => unreachable!("a resolved model has descriptions"),
        }
    }
}

/// The description of a dense transformer as one of token vectors.
fn of_tokens(spec: ModelSpec) -> Option<ModelSpec> {
    let Task::TextDense(dense) = &spec.task else { return None };
    let pooled = dense.pooling == Pooling::None || dense.accept_pooled;
    if dense.encoder != Encoder::Transformer || pooled || dense.tasks.is_some() {
        return None;
    }
    let tokens = LateText { dim: dense.dim, output: dense.output.clone(), ..LateText::DEFAULT };
    Some(ModelSpec { task: Task::LateText(tokens), ..spec })
}

/// A model that was looked up before.
impl From<Resolved> for ModelBuilder {
    fn from(found: Resolved) -> Self {
        let Resolved { specs, files, .. } = found;
        Self { subject: Subject::Specs(specs), files, options: Options::default() }
    }
}

impl fmt::Debug for ModelBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelBuilder")
            .field("subject", &self.subject)
            .field("dir", &self.files.dir)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
