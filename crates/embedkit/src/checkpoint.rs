//! Checkpoints that a graph is made from: the head that a task needs, and the files with the weights.

use std::collections::{BTreeMap, BTreeSet};

use embedkit_describe::{Checkpoint, Head};
use embedkit_types::{Encoder, HybridHeads, ModelSpec, SparseKind, Task};
use serde::Deserialize;

/// Largest index of shards, in bytes: a hundred bytes for each of 100,000 tensors.
pub(crate) const LARGEST_INDEX: usize = 10_000_000;
/// Ending of the index of shards.
const INDEX: &str = ".safetensors.index.json";

/// The checkpoint of a description whose `file` is one; `None` where it is a graph or a table.
pub(crate) fn of_spec(spec: &ModelSpec) -> Option<Checkpoint> {
    let file = spec.file.as_ref();
    if !(file.ends_with(".safetensors") || file.ends_with(INDEX)) {
        return None;
    }
    let head = head(&spec.task)?;
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let more = spec.additional_files.iter().filter(|file| file.ends_with(".safetensors"));
    let weights = [file.to_owned()].into_iter().chain(more.map(ToString::to_string)).collect();
    Some(Checkpoint { folder, model_type: String::new(), head, weights })
}

/// The head that the graph of a task has; `None` for tasks that need no graph, or other ones.
fn head(task: &Task) -> Option<Head> {
    Some(match task {
        Task::TextDense(task) if task.encoder == Encoder::Transformer => Head::Hidden,
        Task::LateText(_) => Head::Hidden,
        Task::TextHybrid(task) => match task.heads {
            HybridHeads::Layers { .. } => Head::Hidden,
            _ => return None,
        },
        Task::Sparse(task) => match &task.kind {
            SparseKind::Splade(_) | SparseKind::IfSplade(_) => Head::MaskedLm,
            SparseKind::TokenWeights(facts) if facts.head.is_some() => Head::Hidden,
            _ => return None,
        },
        Task::Rerank(task) => match &task.tokens {
            None => Head::Classifier,
            Some(tokens) => {
                Head::NextToken { true_token: tokens.true_token, false_token: tokens.false_token }
            }
        },
        _ => return None,
    })
}

/// The index of a checkpoint in shards; `None` where the weights are in one file.
pub(crate) fn index(weights: &[String]) -> Option<&String> {
    weights.first().filter(|file| file.ends_with(INDEX))
}

/// The shards that an index names, as paths within the model's folder.
///
/// # Errors
/// Reason why it is no index.
pub(crate) fn shards(index: &str, content: &[u8]) -> Result<BTreeSet<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    if content.len() > LARGEST_INDEX {
        return Err(format!("it has more than {LARGEST_INDEX} bytes"));
    }
    let Index { weight_map } =
        serde_json::from_slice(content).map_err(|error| error.to_string())?;
    let folder =
        index.rsplit_once('/').map_or_else(String::new, |(folder, _)| format!("{folder}/"));
    Ok(weight_map.into_values().map(|file| format!("{folder}{file}")).collect())
}

#[cfg(test)]
mod tests {
    use embedkit_types::{Rerank, TextDense, TokenScore};

    use super::*;

    #[test]
    fn a_description_may_name_a_checkpoint() {
        let spec =
            |file: &'static str, task| ModelSpec { file: file.into(), task, ..ModelSpec::DEFAULT };
        let dense = || Task::TextDense(TextDense::DEFAULT);
        assert_eq!(of_spec(&spec("onnx/model.onnx", dense())), None);
        let table = TextDense { encoder: Encoder::Static, ..TextDense::DEFAULT };
        assert_eq!(of_spec(&spec("model.safetensors", Task::TextDense(table))), None);
        let found = of_spec(&spec("a/model.safetensors", dense())).unwrap();
        assert_eq!((found.folder.as_str(), found.head), ("a", Head::Hidden));
        let tokens = TokenScore {
            template: vec!["{query}{document}".into()].into(),
            true_token: 7,
            false_token: None,
        };
        let rerank = Task::Rerank(Rerank { tokens: Some(tokens), ..Rerank::DEFAULT });
        let found = of_spec(&spec("model.safetensors.index.json", rerank)).unwrap();
        assert_eq!(found.head, Head::NextToken { true_token: 7, false_token: None });
        assert_eq!(index(&found.weights).unwrap(), "model.safetensors.index.json");
    }

    #[test]
    fn shards_lie_beside_their_index() {
        let text = br#"{"weight_map": {"a": "2.safetensors", "b": "1.safetensors", "c": "2.safetensors"}}"#;
        let found = shards("x/model.safetensors.index.json", text).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["x/1.safetensors", "x/2.safetensors"]);
        assert!(shards("model.safetensors.index.json", b"[]").is_err());
    }
}
