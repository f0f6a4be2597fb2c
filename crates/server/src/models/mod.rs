//! The models of a server, by name.

mod slot;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use embedkit::{Capabilities, InputKind, Options, OutputKind, TaskKind, registry::similar_names};

pub(crate) use self::slot::{Lease, Slot, Status};
use crate::{
    ServedModel, StartError,
    failure::{Failure, FailureKind},
};

/// Most models that clients have opened by name.
const MAX_CLIENT_MODELS: usize = 16;
/// Characters of an unknown name that are repeated.
const MAX_SHOWN: usize = 128;

/// All models, the first of which come first where no name is given.
#[derive(Debug)]
pub(crate) struct Models {
    slots: RwLock<Vec<Arc<Slot>>>,
    queue_tokens: usize,
    /// Options of models that clients open, where they may.
    client_options: Option<Options>,
}

impl Models {
    pub(crate) fn new(
        models: Vec<ServedModel>,
        queue_tokens: usize,
        client_options: Option<Options>,
    ) -> Result<Self, StartError> {
        if models.is_empty() && client_options.is_none() {
            return Err(StartError::NoModel);
        }
        let mut slots: Vec<Arc<Slot>> = Vec::new();
        for model in models {
            let slot = Slot::new(model, queue_tokens)?;
            if let Some(name) = slot.names().find(|name| slots.iter().any(|one| one.is(name))) {
                return Err(StartError::SameName { name: name.to_owned() });
            }
            slots.push(Arc::new(slot));
        }
        Ok(Self { slots: RwLock::new(slots), queue_tokens, client_options })
    }

    /// All models, in their order.
    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The model with a name.
    pub(crate) fn named(&self, name: &str) -> Result<Arc<Slot>, Failure> {
        let slots = self.all();
        if let Some(slot) = slots.iter().find(|slot| slot.is(name)) {
            return Ok(Arc::clone(slot));
        }
        let closest = similar_names(name, slots.iter().flat_map(|slot| slot.names()));
        let hint = match closest.as_slice() {
            [] => "GET /models lists those that are served".to_owned(),
            closest => format!("the closest of those served are {}", closest.join(", ")),
        };
        let shown: String = name.chars().take(MAX_SHOWN).collect();
        Err(Failure::new(FailureKind::NoModel, format!("model {shown:?} not found"))
            .param("model")
            .hint(hint))
    }

    /// The model with a name, or else the first with an ability.
    ///
    /// # Errors
    /// An unknown name, a model without the ability, and none that has it.
    pub(crate) fn choose(
        &self,
        name: Option<&str>,
        ability: Ability,
    ) -> Result<Arc<Slot>, Failure> {
        let wrong = |message| Failure::new(FailureKind::WrongModel, message).param("model");
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            let slot = self.named(name)?;
            if !ability.is_of(slot.capabilities()) {
                return Err(wrong(format!("{} gives no {}", slot.name(), ability.name())));
            }
            return Ok(slot);
        }
        let mut slots = self.all().into_iter();
        slots.find(|slot| ability.is_of(slot.capabilities())).ok_or_else(|| {
            wrong(format!("no model is served that gives {}", ability.name()))
                .hint("GET /models lists those that are")
        })
    }

    /// A model with a vector for each token: one of multi-vectors, or else the transformer of a dense one.
    pub(crate) async fn choose_tokens(&self, name: Option<&str>) -> Result<Arc<Slot>, Failure> {
        let of_vectors = match self.choose(name, Ability::MultiVector) {
            Ok(slot) => return Ok(slot),
            Err(failure) => failure,
        };
        let Ok(dense) = self.choose(name, Ability::Dense) else { return Err(of_vectors) };
        dense.of_tokens().await?.ok_or(of_vectors)
    }

    /// The model with a name, which is added where clients may do that. It is not loaded yet.
    pub(crate) async fn add(&self, name: &str) -> Result<Arc<Slot>, Failure> {
        let unknown = match self.named(name) {
            Ok(slot) => return Ok(slot),
            Err(unknown) => unknown,
        };
        let Some(options) = self.client_options.clone() else { return Err(unknown) };
        let (name, queue_tokens) = (name.to_owned(), self.queue_tokens);
        // It may read files and ask the hub.
        let slot = tokio::task::spawn_blocking(move || {
            let model = ServedModel::named(&name).map_err(Failure::from)?;
            let model = ServedModel { options, ..model };
            Slot::new(model, queue_tokens).map_err(|error| match error {
                StartError::Model { source, .. } => source.into(),
                other => Failure::new(FailureKind::Internal, other.to_string()),
            })
        });
        let slot = Arc::new(slot.await.map_err(|error| {
            Failure::new(FailureKind::Internal, format!("the model was not described: {error}"))
        })??);
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = slots.iter().find(|known| known.is(slot.name())) {
            return Ok(Arc::clone(known));
        }
        if slots.iter().filter(|slot| slot.is_of_client()).count() >= MAX_CLIENT_MODELS {
            let message = format!("{MAX_CLIENT_MODELS} models were opened by clients already");
            return Err(Failure::new(FailureKind::Forbidden, message));
        }
        slot.mark_as_of_client();
        slots.push(Arc::clone(&slot));
        Ok(slot)
    }

    /// Unloads the models that nobody has used for long enough.
    pub(crate) fn unload_idle(&self) {
        for slot in self.all() {
            slot.unload_if_idle();
        }
    }
}

/// Ability that a route asks of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ability {
    /// One vector for an input.
    Dense,
    /// Weighted terms for an input.
    Sparse,
    /// Many vectors for an input.
    MultiVector,
    /// A score for a query and a document.
    Score,
    /// Any embedding.
    Embedding,
    /// Tokens of a text.
    Tokens,
    /// Anything.
    Any,
}

impl Ability {
    fn is_of(self, model: &Capabilities) -> bool {
        // Its parts are known with its results.
        let hybrid = model.gives(OutputKind::Hybrid);
        match self {
            Self::Dense => model.gives(OutputKind::Dense) || hybrid,
            Self::Sparse => model.gives(OutputKind::Sparse) || hybrid,
            Self::MultiVector => model.gives(OutputKind::MultiVector) || hybrid,
            Self::Score => model.gives(OutputKind::Score),
            Self::Embedding => !model.tasks.contains(&TaskKind::Rerank),
            Self::Tokens => !model.inputs.iter().all(|&kind| kind == InputKind::Image),
            Self::Any => true,
        }
    }

    /// In the plural.
    fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense vectors",
            Self::Sparse => "sparse vectors",
            Self::MultiVector => "multi-vectors",
            Self::Score => "scores of a query and a document",
            Self::Embedding => "embeddings",
            Self::Tokens => "tokens",
            Self::Any => "results",
        }
    }
}

/// Reads the time for which a model stays loaded, as Ollama writes it: seconds, or with a unit as in `500ms`,
/// `90s`, `5m` and `24h`; less than zero for ever, which is `Some(None)`. `None` for other texts.
///
/// ```
/// use embedkit_server::parse_keep_alive;
///
/// assert_eq!(parse_keep_alive("5m"), Some(Some(std::time::Duration::from_secs(300))));
/// assert_eq!(parse_keep_alive("-1"), Some(None));
/// assert_eq!(parse_keep_alive("soon"), None);
/// ```
#[must_use]
pub fn parse_keep_alive(text: &str) -> Option<Option<Duration>> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * scale;
    if negative {
        return Some(None);
    }
    Duration::try_from_secs_f64(seconds).ok().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_ollama_writes_it() {
        let seconds = |seconds| Some(Some(Duration::from_secs(seconds)));
        for (text, expected) in [
            ("0", seconds(0)),
            ("90", seconds(90)),
            ("5m", seconds(300)),
            ("24h", seconds(86_400)),
            ("1.5m", seconds(90)),
            ("500ms", Some(Some(Duration::from_millis(500)))),
            ("-1", Some(None)),
            ("-1m", Some(None)),
            ("", None),
            ("m", None),
            ("5 m", None),
            ("1e400", None),
            ("5d", None),
        ] {
            assert_eq!(parse_keep_alive(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_server_without_models_does_not_start() {
        assert!(matches!(Models::new(Vec::new(), 1, None), Err(StartError::NoModel)));
        let twice = || ServedModel::named("Qdrant/bm25").unwrap();
        let same = Models::new(vec![twice(), twice()], 1, None);
        assert!(matches!(same, Err(StartError::SameName { name }) if name == "Qdrant/bm25"));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_closest_ones() {
        let models = ["Qdrant/bm25", "BAAI/bge-small-en-v1.5"];
        let models = models.map(|name| ServedModel::named(name).unwrap());
        let models = Models::new(models.into(), 1, None).unwrap();
        assert_eq!(models.named("qdrant/BM25").unwrap().name().as_ref(), "Qdrant/bm25");
        let failure = models.named("bge-smal").unwrap_err();
        assert_eq!(failure.kind, FailureKind::NoModel);
        let hint = failure.hint.unwrap();
        assert!(hint.contains("are BAAI/bge-small-en-v1.5"), "{hint}");
        let first = models.choose(None, Ability::Dense).unwrap();
        assert_eq!(first.name().as_ref(), "BAAI/bge-small-en-v1.5");
        assert_eq!(models.choose(None, Ability::Any).unwrap().name().as_ref(), "Qdrant/bm25");
        let failure = models.choose(Some("Qdrant/bm25"), Ability::Dense).unwrap_err();
        assert_eq!(failure.message, "Qdrant/bm25 gives no dense vectors");
        assert!(models.choose(None, Ability::Score).is_err());
    }
}
