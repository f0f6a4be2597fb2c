//! BM25 in the pipeline.

use std::{num::NonZeroUsize, sync::Arc};

use embedkit_core::pipeline::{Grouping, RunResult, Step, Workload};
use embedkit_types::{BatchOptions, Embedded, Role, SparseEmbedding};

use super::Bm25;
use crate::Error;

/// One stream of texts through BM25. All of the work is in the run, which the number of threads
/// bounds.
pub(crate) struct Bm25Step {
    pub(crate) bm25: Arc<Bm25>,
    pub(crate) threads: usize,
    pub(crate) role: Role,
}

/// What a text costs beside its bytes, in bytes.
const SHORT: usize = 64;

impl Bm25Step {
    /// Batches of 64 KB of text, whose cost hides that of passing them on. Nothing is padded, so the
    /// limits that suit a graph mean nothing here; the window bounds memory.
    pub(crate) fn batches(asked: BatchOptions) -> BatchOptions {
        const BYTES: NonZeroUsize = NonZeroUsize::new(64 << 10).expect("a literal above zero");
        // Four windows are in memory instead of two, so each is half as large.
        const PARTS: NonZeroUsize = NonZeroUsize::new(2).expect("a literal above zero");
        let window = NonZeroUsize::new(asked.window.get() / PARTS).unwrap_or(NonZeroUsize::MIN);
        BatchOptions { rows: NonZeroUsize::MAX, tokens: BYTES, window }
    }
}

impl Step for Bm25Step {
    type Input = String;
    type Prepared = String;
    type Output = Embedded<SparseEmbedding>;
    type Error = Error;

    /// There is nothing to prepare, only to pass on.
    const CHUNK: usize = 1024;

    /// Reading texts and handing out vectors takes a good part of the time that all threads need for a
    /// window, which is a few milliseconds.
    const AHEAD: usize = 3;

    fn prepare(&self, text: String) -> Result<String, Error> {
        Ok(text)
    }

    fn length(&self, text: &String) -> usize {
        text.len() + SHORT
    }

    fn grouping(&self) -> Result<Grouping, Error> {
        Ok(Grouping::Any)
    }

    fn lanes(&self) -> Result<usize, Error> {
        Ok(self.threads)
    }

    fn run(&self, _: Workload, texts: &[String]) -> RunResult<Self> {
        let embed = |text: &String| {
            let (value, tokens) = match self.role {
                Role::Query => self.bm25.query_and_count(text),
                Role::Raw | Role::Document => self.bm25.document_and_count(text),
            };
            Ok(Embedded { value, tokens, truncated: false })
        };
        Ok(texts.iter().map(embed).collect())
    }
}
