//! Built-in models by id.
//!
//! The rows are constants that `cargo xtask codegen` renders from `models.toml`. An id may be
//! registered for several tasks, such as a text and an image encoder. Lookups ignore case.
//!
//! ```
//! use embedkit_core::registry;
//! use embedkit_types::TaskKind;
//!
//! let spec = registry::find_task("baai/BGE-small-en-v1.5", TaskKind::TextDense)?;
//! assert_eq!(spec.id, "BAAI/bge-small-en-v1.5");
//! assert_eq!(spec.task.dim(), Some(384));
//!
//! let error = registry::find("bge-small-en-v1.6").unwrap_err();
//! assert!(error.hint().unwrap().to_string().starts_with("did you mean BAAI/bge-small-en-v1.5"));
//! # Ok::<(), embedkit_types::Error>(())
//! ```

#[rustfmt::skip]
mod generated;
mod similar;
#[cfg(test)]
mod tests;

use embedkit_types::{Error, ErrorKind, Hint, ModelSpec, TaskKind, Variant};

use generated::{MODELS, OTHER_NAMES};
pub use similar::similar_names;

/// All built-in models in the order of `models.toml`: by task, those of FastEmbed first, in its order.
#[must_use]
pub fn models() -> &'static [ModelSpec] {
    MODELS
}

/// Models with this id, one for each task, in the order of [`models`]; at least one.
///
/// The repository of a model stands for the model where no id has this name: for the first model of each
/// task, if several share the repository. A row of a quantised file beside an exact one is found by its id
/// only.
///
/// # Errors
/// [`LookupError::Unknown`] with the most similar ids.
pub fn find(id: &str) -> Result<Vec<&'static ModelSpec>, Error> {
    let mut found: Vec<_> = MODELS.iter().filter(|spec| spec.id.eq_ignore_ascii_case(id)).collect();
    if found.is_empty() {
        found = of_repository(id);
    }
    if found.is_empty() { Err(unknown(id).into()) } else { Ok(found) }
}

/// Names of quantised variants, which repositories have beside the exact graph.
const QUANTIZED: [&str; 4] = ["quantized", "int8", "uint8", "q4"];

fn of_repository(name: &str) -> Vec<&'static ModelSpec> {
    let mut found: Vec<&ModelSpec> = Vec::new();
    for spec in MODELS.iter().filter(|spec| spec.alias_of.is_none()) {
        let source =
            spec.source.repo.as_deref().is_some_and(|repo| repo.eq_ignore_ascii_case(name));
        let exact = !QUANTIZED.contains(&Variant::name_of(&spec.file));
        if source && exact && found.iter().all(|other| other.task.kind() != spec.task.kind()) {
            found.push(spec);
        }
    }
    found
}

/// The model with this id for a task.
///
/// # Errors
/// [`LookupError::Unknown`] with the most similar ids, or [`LookupError::OtherTask`] with the tasks of
/// the id.
pub fn find_task(id: &str, task: TaskKind) -> Result<&'static ModelSpec, Error> {
    let found = find(id)?;
    found.iter().copied().find(|spec| spec.task.kind() == task).ok_or_else(|| {
        let (id, task) = (found[0].id.to_string(), task.name().to_owned());
        let tasks = found.iter().map(|spec| spec.task.name()).collect();
        LookupError::OtherTask { id, task, tasks }.into()
    })
}

/// Reasons why a lookup fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// No model has this id.
    #[error("unknown model {id:?}")]
    Unknown {
        /// Id of the lookup.
        id: String,
        /// Similar ids, the most similar first; at most five.
        similar: Vec<&'static str>,
        /// Information about this name.
        remark: Option<&'static str>,
    },
    /// The id is registered, but for other tasks.
    #[error("model {id} is not registered for {task}, only for {}", tasks.join(" and "))]
    OtherTask {
        /// The registered id.
        id: String,
        /// Task of the lookup.
        task: String,
        /// Tasks of the id.
        tasks: Vec<&'static str>,
    },
}

impl LookupError {
    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown { .. } => ErrorKind::NotFound,
            Self::OtherTask { .. } => ErrorKind::InvalidInput,
        }
    }

    /// Advice.
    #[must_use]
    pub fn hint(&self) -> Hint {
        match self {
            Self::Unknown { remark: Some(remark), .. } => Hint::Advice((*remark).into()),
            Self::Unknown { similar, .. } => {
                Hint::SimilarModels(similar.iter().map(ToString::to_string).collect())
            }
            Self::OtherTask { id, tasks, .. } => {
                Hint::OpenAs { id: id.clone(), tasks: tasks.clone() }
            }
        }
    }
}

impl From<LookupError> for Error {
    fn from(error: LookupError) -> Self {
        let hint = error.hint();
        Self::new(error.kind(), error).with_hint(hint)
    }
}

/// Meaning of a known name that is not registered.
enum Meant {
    /// Another name of the model with this id.
    Model(&'static str),
    /// Not available, for this reason.
    Nothing(&'static str),
}

fn unknown(id: &str) -> LookupError {
    let asked = id.to_ascii_lowercase();
    // An entry covers all names with this prefix; the longest prefix is the most specific.
    let other =
        OTHER_NAMES.iter().filter(|(name, _)| asked.starts_with(&name.to_ascii_lowercase()));
    let (similar, remark) = match other.max_by_key(|(name, _)| name.len()) {
        Some((_, Meant::Model(id))) => (vec![*id], None),
        Some((_, Meant::Nothing(why))) => (vec![], Some(*why)),
        None => (similar::ids(&asked, MODELS), None),
    };
    LookupError::Unknown { id: id.to_owned(), similar, remark }
}
