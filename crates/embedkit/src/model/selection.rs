//! The description that is used, of an id that has several.

use embedkit_types::{ModelSpec, Outputs, SpecError, Task};

use super::capabilities::inputs_of;
use crate::Error;

/// The descriptions of a model that are used for these kinds of embedding: for each kind of input one.
///
/// An id may have a description for each task, such as `BAAI/bge-m3` for one vector, for weighted terms and for
/// all of them in one pass. Without a choice the first one that takes an input is used; with one, the first
/// that gives just that, or else more.
///
/// ```
/// use embedkit::{TaskKind, registry, select_outputs};
///
/// let specs: Vec<_> = registry::find("BAAI/bge-m3")?.into_iter().cloned().collect();
/// let kind = |outputs: Option<&str>| -> Result<_, Box<dyn std::error::Error>> {
///     let outputs = outputs.map(str::parse).transpose()?;
///     Ok(select_outputs(specs.clone(), outputs)?[0].task.kind())
/// };
/// assert_eq!(kind(None)?, TaskKind::TextDense);
/// assert_eq!(kind(Some("sparse"))?, TaskKind::Sparse);
/// assert_eq!(kind(Some("dense,sparse,multi"))?, TaskKind::TextHybrid);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`SpecError::NoOutput`] for kinds that the model does not give together.
pub fn select_outputs(
    specs: Vec<ModelSpec>,
    outputs: Option<Outputs>,
) -> Result<Vec<ModelSpec>, Error> {
    let Some(asked) = outputs else { return Ok(one_for_each_input(specs)) };
    let known = specs.iter().map(|spec| outputs_of(&spec.task)).fold(Outputs::NONE, Outputs::or);
    let id = specs.first().map(|spec| spec.id.to_string()).unwrap_or_default();
    let gives = |spec: &ModelSpec| asked.and(outputs_of(&spec.task)) == asked;
    let mut specs: Vec<_> = specs.into_iter().filter(gives).collect();
    if specs.is_empty() || asked == Outputs::NONE {
        return Err(SpecError::NoOutput { id, asked, known }.into());
    }
    specs.sort_by_key(|spec| outputs_of(&spec.task) != asked);
    Ok(one_for_each_input(specs))
}

/// The first description that takes a kind of input, for each kind.
fn one_for_each_input(specs: Vec<ModelSpec>) -> Vec<ModelSpec> {
    let mut taken = Vec::new();
    let mut used = Vec::new();
    for spec in specs {
        let inputs = inputs_of(&spec.task);
        // A task that is not known here is left to whoever opens it.
        if inputs.is_empty() || inputs.iter().any(|input| !taken.contains(input)) {
            taken.extend(inputs);
            used.push(spec);
        }
    }
    used
}

/// The kinds of embedding of a task.
pub(super) fn outputs_of(task: &Task) -> Outputs {
    match task {
        Task::TextDense(_) | Task::Image(_) => Outputs { dense: true, ..Outputs::NONE },
        Task::Sparse(_) => Outputs { sparse: true, ..Outputs::NONE },
        Task::LateText(_) | Task::LateMultimodal(_) => {
            Outputs { multi_vector: true, ..Outputs::NONE }
        }
        Task::TextHybrid(task) => task.outputs(),
        _ => Outputs::NONE,
    }
}

#[cfg(test)]
mod tests {
    use embedkit_core::registry;
    use embedkit_types::TaskKind;

    use super::*;

    fn select(id: &str, outputs: Option<&str>) -> Result<Vec<TaskKind>, Error> {
        let specs = registry::find(id).unwrap().into_iter().cloned().collect();
        let outputs = outputs.map(|outputs| outputs.parse().unwrap());
        Ok(select_outputs(specs, outputs)?.iter().map(|spec| spec.task.kind()).collect())
    }

    #[test]
    fn the_narrowest_description_is_used() {
        for (outputs, kind) in [
            (None, TaskKind::TextDense),
            (Some("dense"), TaskKind::TextDense),
            (Some("sparse"), TaskKind::Sparse),
            (Some("multi"), TaskKind::TextHybrid),
            (Some("sparse,dense"), TaskKind::TextHybrid),
        ] {
            assert_eq!(select("BAAI/bge-m3", outputs).unwrap(), [kind], "{outputs:?}");
        }
    }

    #[test]
    fn both_encoders_of_an_id_stay() {
        let both = [TaskKind::TextDense, TaskKind::Image];
        assert_eq!(select("jinaai/jina-clip-v1", None).unwrap(), both);
        assert_eq!(select("jinaai/jina-clip-v1", Some("dense")).unwrap(), both);
    }

    #[test]
    fn other_kinds_are_refused() {
        for (id, outputs, message) in [
            (
                "BAAI/bge-small-en-v1.5",
                "sparse",
                "BAAI/bge-small-en-v1.5 gives dense, and sparse is asked for",
            ),
            (
                "Qdrant/bm25",
                "dense,sparse",
                "Qdrant/bm25 gives sparse, and dense,sparse is asked for",
            ),
            (
                "BAAI/bge-reranker-base",
                "dense",
                "BAAI/bge-reranker-base gives no embeddings, and dense is asked for",
            ),
        ] {
            assert_eq!(select(id, Some(outputs)).unwrap_err().to_string(), message);
        }
    }
}
