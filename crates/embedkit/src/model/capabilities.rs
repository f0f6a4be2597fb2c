//! Facts of a model that callers of any model ask for.

use embedkit_types::{
    LateText, LoadOptions, ModelPrompts, ModelSpec, Outputs, Prompts, Sparse, SparseKind, Task,
    TaskKind,
};

use super::{input::InputKind, output::OutputKind};
use crate::Options;

/// Abilities of a [`Model`](crate::Model), known before it is opened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Id of the model, in its own spelling.
    pub id: String,
    /// Tasks: one, or those of an encoder for texts and one for images.
    pub tasks: Vec<TaskKind>,
    /// Inputs that the model takes.
    pub inputs: Vec<InputKind>,
    /// Outputs that it gives.
    pub outputs: Vec<OutputKind>,
    /// Dimension of the vectors as the description states it; [`Model::dim`](crate::Model::dim) is that
    /// of the results.
    pub dim: Option<usize>,
    /// Pooling of the token vectors, such as `mean`, or `cls+mean` for a concatenation; `None` where the
    /// model does not pool.
    pub pooling: Option<String>,
    /// Context length in tokens that the authors state.
    pub max_tokens: Option<u32>,
    /// Prompts that the authors put before queries and documents; the options say whether they are used.
    pub prompts: Option<ModelPrompts>,
    /// True for sparse models whose weights have to be multiplied by the inverse document frequency.
    pub requires_idf: bool,
    /// True if a text gets another result as a query than as a document or as raw text.
    pub uses_roles: bool,
}

impl Capabilities {
    /// Those of a model with one description or more, the first of which stands for the model.
    pub(super) fn of(specs: &[ModelSpec], options: &Options) -> Self {
        let first = &specs[0];
        let (mut tasks, mut inputs, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
        for spec in specs {
            tasks.push(spec.task.kind());
            for &kind in inputs_of(&spec.task) {
                if !inputs.contains(&kind) {
                    inputs.push(kind);
                }
            }
            let output = output_of(&spec.task, options.outputs);
            if !outputs.contains(&output) {
                outputs.push(output);
            }
        }
        Self {
            id: first.id.to_string(),
            tasks,
            inputs,
            outputs,
            dim: first.task.dim(),
            pooling: first.task.pooling().map(|pooling| pooling.to_string()),
            max_tokens: first.max_tokens,
            prompts: first.prompts.clone(),
            requires_idf: first.task.requires_idf() == Some(true),
            uses_roles: specs.iter().any(|spec| uses_roles(spec, &options.load)),
        }
    }

    /// True if the model takes inputs of a kind.
    #[must_use]
    pub fn takes(&self, kind: InputKind) -> bool {
        self.inputs.contains(&kind)
    }

    /// True if the model gives outputs of a kind.
    #[must_use]
    pub fn gives(&self, kind: OutputKind) -> bool {
        self.outputs.contains(&kind)
    }
}

/// Inputs of a model of a task. The compiler does not ask for a new task here, since the enum may grow:
/// a test does.
pub(crate) fn inputs_of(task: &Task) -> &'static [InputKind] {
    match task {
        Task::TextDense(_) | Task::Sparse(_) | Task::LateText(_) | Task::TextHybrid(_) => {
            &[InputKind::Text]
        }
        Task::LateMultimodal(_) => &[InputKind::Text, InputKind::Image],
        Task::Image(_) => &[InputKind::Image],
        Task::Rerank(_) => &[InputKind::Pair],
        _ => &[],
    }
}

fn output_of(task: &Task, asked: Option<Outputs>) -> OutputKind {
    match task {
        Task::TextHybrid(task) => match asked.unwrap_or_else(|| task.outputs()) {
            Outputs { dense: true, sparse: false, multi_vector: false } => OutputKind::Dense,
            Outputs { dense: false, sparse: true, multi_vector: false } => OutputKind::Sparse,
            Outputs { dense: false, sparse: false, multi_vector: true } => OutputKind::MultiVector,
            _ => OutputKind::Hybrid,
        },
        Task::Sparse(_) => OutputKind::Sparse,
        Task::LateText(_) | Task::LateMultimodal(_) => OutputKind::MultiVector,
        Task::Rerank(_) => OutputKind::Score,
        _ => OutputKind::Dense,
    }
}

fn uses_roles(spec: &ModelSpec, options: &LoadOptions) -> bool {
    let prompted = match &options.prompts {
        Prompts::None => false,
        Prompts::Model => {
            spec.prompts.as_ref().is_some_and(|prompts| prompts.query != prompts.passage)
        }
        Prompts::Custom { query, document } => query != document,
    };
    match &spec.task {
        Task::TextDense(dense) => prompted || dense.tasks.is_some(),
        Task::Sparse(Sparse { kind, .. }) => {
            !matches!(kind, SparseKind::Splade(_) | SparseKind::TokenWeights(_))
        }
        Task::LateText(LateText { markers, query_padding, .. }) => {
            prompted || markers.is_some() || query_padding.is_some()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use embedkit_core::registry;

    use super::*;

    #[test]
    fn every_task_of_the_registry_is_known_here() {
        for spec in registry::models() {
            assert!(!inputs_of(&spec.task).is_empty(), "{} of task {}", spec.id, spec.task.name());
            let dense = matches!(spec.task, Task::TextDense(_) | Task::Image(_));
            let output = output_of(&spec.task, None);
            assert_eq!(output == OutputKind::Dense, dense, "{}", spec.id);
            assert_eq!(
                spec.task.dim().is_none(),
                inputs_of(&spec.task)[0] == InputKind::Pair || output == OutputKind::Sparse,
                "{}",
                spec.id
            );
        }
    }

    #[test]
    fn roles_matter_where_they_change_the_result() {
        let matter = |id: &str, options: &LoadOptions| {
            let specs: Vec<_> = registry::find(id).unwrap().into_iter().cloned().collect();
            Capabilities::of(&specs, &options.clone().into()).uses_roles
        };
        let plain = LoadOptions::default();
        for (id, expected) in [
            ("BAAI/bge-small-en-v1.5", false),
            ("jinaai/jina-embeddings-v3", true),
            ("Qdrant/bm25", true),
            ("prithivida/Splade_PP_en_v1", false),
            ("colbert-ir/colbertv2.0", true),
            ("jinaai/jina-clip-v1", false),
            ("BAAI/bge-reranker-base", false),
        ] {
            assert_eq!(matter(id, &plain), expected, "{id}");
        }
        let prompted = LoadOptions { prompts: Prompts::Model, ..LoadOptions::default() };
        assert!(matter("BAAI/bge-small-en-v1.5", &prompted));
    }

    #[test]
    fn an_id_may_stand_for_two_encoders() {
        let specs: Vec<_> =
            registry::find("jinaai/jina-clip-v1").unwrap().into_iter().cloned().collect();
        let capabilities = Capabilities::of(&specs, &Options::default());
        assert_eq!(capabilities.tasks, [TaskKind::TextDense, TaskKind::Image]);
        assert!(capabilities.takes(InputKind::Text) && capabilities.takes(InputKind::Image));
        assert_eq!((capabilities.outputs, capabilities.dim), (vec![OutputKind::Dense], Some(768)));
    }
}
