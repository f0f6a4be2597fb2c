//! BM25 in the pipeline.

use std::sync::Arc;

use embedkit_core::pipeline::{Grouping, RunResult, Step, Workload};
use embedkit_types::{Embedded, Role, SparseEmbedding};

use super::Bm25;
use crate::Error;

/// One stream of texts through BM25. All of the work is in the run, which the number of threads
/// bounds.
pub(crate) struct Bm25Step {
    pub(crate) bm25: Arc<Bm25>,
    pub(crate) threads: usize,
    pub(crate) role: Role,
}

impl Step for Bm25Step {
    type Input = String;
    type Prepared = String;
    type Output = Embedded<SparseEmbedding>;
    type Error = Error;

    fn prepare(&self, text: String) -> Result<String, Error> {
        Ok(text)
    }

    fn length(&self, text: &String) -> usize {
        // A batch of 1024 is then 64 KB of text, whose cost hides that of passing it on.
        text.len() / 64 + 1
    }

    fn grouping(&self) -> Result<Grouping, Error> {
        Ok(Grouping::Any)
    }

    fn lanes(&self) -> Result<usize, Error> {
        Ok(self.threads)
    }

    fn run(&self, _: Workload, texts: Vec<String>) -> RunResult<Self> {
        let embed = |text: String| {
            let (value, tokens) = match self.role {
                Role::Query => self.bm25.query_and_count(&text),
                Role::Raw | Role::Document => self.bm25.document_and_count(&text),
            };
            Ok(Embedded { value, tokens, truncated: false })
        };
        Ok(texts.into_iter().map(embed).collect())
    }
}
