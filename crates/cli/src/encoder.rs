//! An opened model, whatever its family: the one place that knows which family does what.

use std::{iter, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Error, Result, bail};
use embedkit::{
    Embedded, ImageEmbedding, LateInteractionMultimodalEmbedding, LateInteractionTextEmbedding,
    Role, SparseTextEmbedding, TextEmbedding,
};
use embedkit_types::{ModelSpec, Task};

use crate::{
    input::Kind,
    model::Selected,
    report::{Report, causes, failure},
    stream::Items,
    value::{Shape, Value},
};

/// One result for each input, in order.
pub(crate) type Results<'a> = Box<dyn Iterator<Item = Result<Embedded<Value>>> + 'a>;

/// What a model of this task can be given.
pub(crate) fn kinds(task: &Task) -> &'static [Kind] {
    match task {
        Task::TextDense(_) | Task::Sparse(_) | Task::LateText(_) => &[Kind::Text],
        Task::Image(_) => &[Kind::Image],
        Task::LateMultimodal(_) => &[Kind::Text, Kind::Image],
        Task::Rerank(_) => &[Kind::Text, Kind::Pair],
        _ => &[],
    }
}

/// What a model of this task gives for each input.
pub(crate) fn shape(task: &Task) -> Shape {
    match task {
        Task::Sparse(_) => Shape::Weights,
        Task::LateText(_) | Task::LateMultimodal(_) => Shape::Vectors,
        Task::Rerank(_) => Shape::Score,
        _ => Shape::Vector,
    }
}

/// A model that is open.
pub(crate) enum Encoder {
    Dense(TextEmbedding),
    Sparse(SparseTextEmbedding),
    LateText(LateInteractionTextEmbedding),
    LateMultimodal(LateInteractionMultimodalEmbedding),
    Image(ImageEmbedding),
}

impl Encoder {
    /// Opens the model, fetching its files first where that is needed and allowed.
    ///
    /// # Errors
    /// Whatever keeps it from being opened.
    pub(crate) fn open(selected: &Selected, spec: &ModelSpec, report: &Report) -> Result<Self> {
        Ok(match &spec.task {
            Task::TextDense(_) => Self::Dense(selected.load(spec, &selected.dense, report)?),
            Task::Sparse(_) => Self::Sparse(selected.load(spec, &selected.sparse, report)?),
            Task::LateText(_) => Self::LateText(selected.load(spec, &(), report)?),
            Task::LateMultimodal(_) => {
                Self::LateMultimodal(selected.load(spec, &selected.images, report)?)
            }
            Task::Image(_) => Self::Image(selected.load(spec, &selected.images, report)?),
            other => bail!("{} is a model of task {}", spec.id, other.name()),
        })
    }

    /// Embeds inputs, all of one kind that the model takes.
    pub(crate) fn embed(&self, role: Role, items: Items) -> Results<'static> {
        match items.kind() {
            Kind::Text => self.embed_texts(role, items.texts()),
            Kind::Image => self.embed_images(items.images()),
            Kind::Pair => Box::new(iter::empty()),
        }
    }

    /// Embeds the text of a search.
    ///
    /// # Errors
    /// Those of embedding it, and a result that is not finite.
    pub(crate) fn embed_query(&self, query: &str) -> Result<Embedded<Value>> {
        let mut results = self.embed_texts(Role::Query, iter::once(Arc::from(query)));
        let embedded = results.next().context("the model gave no result")??;
        embedded.value.check_finite()?;
        Ok(embedded)
    }

    fn embed_texts(
        &self,
        role: Role,
        texts: impl Iterator<Item = Arc<str>> + 'static,
    ) -> Results<'static> {
        match self {
            Self::Dense(model) => results(model.embed_detailed(role, texts), Value::Vector),
            Self::Sparse(model) => results(model.embed_detailed(role, texts), Value::Weights),
            Self::LateText(model) => results(model.embed_detailed(role, texts), Value::Vectors),
            Self::LateMultimodal(model) => {
                results(model.embed_text_detailed(texts), Value::Vectors)
            }
            // No input of this kind gets here: see `kinds`.
            Self::Image(_) => Box::new(iter::empty()),
        }
    }

    fn embed_images(&self, images: impl Iterator<Item = PathBuf> + 'static) -> Results<'static> {
        match self {
            Self::LateMultimodal(model) => {
                results(model.embed_image_detailed(images), Value::Vectors)
            }
            Self::Image(model) => results(model.embed_detailed(images), Value::Vector),
            // The same.
            Self::Dense(_) | Self::Sparse(_) | Self::LateText(_) => Box::new(iter::empty()),
        }
    }

    /// Where it runs, such as `cpu`.
    ///
    /// # Errors
    /// Those of loading.
    pub(crate) fn device(&self) -> Result<&str, embedkit::Error> {
        Ok(match self {
            Self::Dense(model) => model.device()?,
            Self::Sparse(model) => model.device()?,
            Self::LateText(model) => model.device()?,
            Self::LateMultimodal(model) => model.device()?,
            Self::Image(model) => model.device()?,
        })
    }

    /// The width of each of many vectors.
    pub(crate) fn width_of_many(&self) -> Option<usize> {
        match self {
            Self::Dense(_) | Self::Sparse(_) | Self::Image(_) => None,
            Self::LateText(model) => Some(model.embedding_size()),
            Self::LateMultimodal(model) => Some(model.embedding_size()),
        }
    }
}

/// The results of a family as those of all families.
pub(crate) fn results<T: 'static, E>(
    stream: impl Iterator<Item = Result<Embedded<T>, E>> + 'static,
    value: fn(T) -> Value,
) -> Results<'static>
where
    E: 'static,
    embedkit::Error: From<E>,
{
    Box::new(stream.map(move |result| {
        let done = result.map_err(|error| without_position(error.into()))?;
        let Embedded { value: inner, tokens, truncated } = done;
        Ok(Embedded { value: value(inner), tokens, truncated })
    }))
}

/// An error without the position among the images of one stretch: the caller knows which input it is.
fn without_position(error: embedkit::Error) -> Error {
    use embedkit::{image::Error as Image, late_interaction::Error as Late};
    match error {
        embedkit::Error::LateInteraction(Late::Image { source, .. }) => {
            Error::new(embedkit::Error::from(*source))
        }
        embedkit::Error::Image(Image::Image { path: Some(path), source, .. }) => {
            let hint = source.hint();
            let why = causes(&Error::new(source));
            let complaint = failure(format!("{} {why}", path.display()));
            Error::new(match hint {
                Some(hint) => complaint.hint(hint),
                None => complaint,
            })
        }
        error => Error::new(error),
    }
}

#[cfg(test)]
mod tests {
    use embedkit::registry;

    use super::*;

    /// The compiler asks nobody about a new task, since the enum may grow.
    #[test]
    fn every_task_of_the_registry_is_known_here() {
        for spec in registry::models() {
            assert!(!kinds(&spec.task).is_empty(), "{} of task {}", spec.id, spec.task.name());
            let vector = matches!(spec.task, Task::TextDense(_) | Task::Image(_));
            assert_eq!(shape(&spec.task) == Shape::Vector, vector, "{}", spec.id);
        }
    }
}
