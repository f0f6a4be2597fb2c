//! Models with a graph in the pipeline.

use std::borrow::Borrow;

use embedkit_core::{
    pipeline::{Capacity, Pool, RunResult, Step, Workload, text_estimate},
    tokenizer::Tokens,
};
use embedkit_types::{Embedded, Error, Role};

use super::GraphModel;
use crate::terms::Terms;

/// A text with its role, which counts once the graph has run.
pub(crate) struct Text {
    pub(super) role: Role,
    pub(super) tokens: Tokens,
}

impl Borrow<Tokens> for Text {
    fn borrow(&self) -> &Tokens {
        &self.tokens
    }
}

impl Step for GraphModel {
    type Input = (Role, String);
    type Prepared = Text;
    type Output = Embedded<Terms>;

    fn prepare(&self, (role, text): (Role, String)) -> Result<Text, Error> {
        let tokens = self.encode(&text)?;
        self.check(&tokens)?;
        Ok(Text { role, tokens })
    }

    fn estimate(&self, (_, text): &(Role, String)) -> usize {
        text_estimate(text.len())
    }

    fn length(&self, text: &Text) -> usize {
        self.graph.padded(&text.tokens)
    }

    fn pool(&self, _: &Text) -> Result<Pool, Error> {
        Ok(Pool::new(self.graph.grouping()?))
    }

    fn capacity(&self) -> Result<Capacity, Error> {
        Ok(self.graph.session().capacity()?)
    }

    fn run(&self, workload: Workload, texts: &[Text]) -> RunResult<Self> {
        let vectors = self.run(workload, texts)?;
        let results = vectors.into_iter().zip(texts);
        Ok(results.map(|(value, text)| Ok(text.tokens.embedded(value?))).collect())
    }
}
