//! Models with a graph in the pipeline.

use std::sync::Arc;

use embedkit_core::{
    pipeline::{Grouping, RunResult, Step, Workload},
    tokenizer::Tokens,
};
use embedkit_types::{Embedded, Role, SparseEmbedding};

use super::GraphModel;
use crate::Error;

/// One stream of texts through a model.
pub(crate) struct GraphStep {
    pub(crate) model: Arc<GraphModel>,
    pub(crate) role: Role,
}

impl Step for GraphStep {
    type Input = String;
    type Prepared = Tokens;
    type Output = Embedded<SparseEmbedding>;
    type Error = Error;

    fn prepare(&self, text: String) -> Result<Tokens, Error> {
        let tokens = self.model.encode(&text)?;
        self.model.check(self.role, &tokens)?;
        Ok(tokens)
    }

    fn length(&self, tokens: &Tokens) -> usize {
        self.model.length(tokens)
    }

    fn grouping(&self) -> Result<Grouping, Error> {
        self.model.grouping(self.role)
    }

    fn lanes(&self) -> Result<usize, Error> {
        self.model.lanes(self.role)
    }

    fn run(&self, workload: Workload, rows: &[Tokens]) -> RunResult<Self> {
        let vectors = self.model.run(workload, self.role, rows)?;
        Ok(vectors.into_iter().zip(rows).map(|(value, row)| Ok(row.embedded(value?))).collect())
    }
}
