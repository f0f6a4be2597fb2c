//! Options of dense text models, beside those of all families.

/// Options of a dense text model; `None` leaves what the model's description says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DenseOptions {
    /// Name of the task for raw text, of a model that has several (Jina v3), such as `text-matching`.
    /// Queries and documents have tasks of their own. An error for a model without that task.
    pub task: Option<String>,
}
