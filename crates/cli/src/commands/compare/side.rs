//! One of two models, its embeddings, and how long they took.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, anyhow};
use embedkit::{Embedded, Input, InputKind, Model, Output, Role};

use super::{agreement::Hit, numbered::Numbered};
use crate::{
    args::OnError,
    model::Selected,
    ranking::Ranking,
    report::{Report, causes},
};

/// Parts of the inputs that the models embed in turns, so that what else the machine does meets both.
const TURNS: usize = 4;

pub(super) struct Side {
    pub(super) selected: Selected,
    pub(super) model: Model,
    /// Of the inputs, in their order.
    documents: Vec<Embedded<Output>>,
    /// `None` where the documents are the queries.
    queries: Option<Vec<Output>>,
    pub(super) time: Duration,
    /// Inputs that were embedded in that time.
    pub(super) timed: usize,
}

impl Side {
    /// Opens a model for inputs of a kind.
    ///
    /// # Errors
    /// Those of [`Selected::open`].
    pub(super) fn open(selected: Selected, kind: InputKind, report: &Report) -> Result<Self> {
        let model = selected.open(Some(kind), report)?;
        Ok(Self {
            selected,
            model,
            documents: Vec::new(),
            queries: None,
            time: Duration::ZERO,
            timed: 0,
        })
    }

    /// Embeds a part of the inputs and takes the time.
    fn embed(&mut self, part: &[Numbered]) -> Vec<Result<Embedded<Output>>> {
        let inputs: Vec<_> = part.iter().map(|numbered| numbered.input.clone()).collect();
        let begin = Instant::now();
        let results: Vec<_> = self.model.embed(Role::Document, inputs).collect();
        self.time += begin.elapsed();
        self.timed += part.len();
        let mut results = results.into_iter();
        part.iter()
            .map(|numbered| {
                let result = results.next().map_or_else(
                    || Err(anyhow!("there is no result")),
                    |result| {
                        let embedded = result?;
                        embedded.value.check_finite()?;
                        Ok(embedded)
                    },
                );
                result.with_context(|| format!("{}: input {}", self.selected.id(), numbered.index))
            })
            .collect()
    }

    /// Embeds the queries, or where none are given each input as a query, if that makes a difference.
    ///
    /// # Errors
    /// One of them cannot be embedded.
    pub(super) fn embed_queries(&mut self, given: &[Input], inputs: &[Numbered]) -> Result<()> {
        let texts = inputs.iter().all(|input| input.input.kind() == InputKind::Text);
        let queries: Vec<Input> = if !given.is_empty() {
            self.selected.open_for(&self.model, InputKind::Text)?;
            given.to_vec()
        } else if texts && self.model.capabilities().uses_roles {
            inputs.iter().map(|input| input.input.clone()).collect()
        } else {
            return Ok(());
        };
        let embedded = self.model.embed(Role::Query, queries).enumerate().map(|(at, result)| {
            let result = result.and_then(|done| done.value.check_finite().map(|()| done.value));
            result.with_context(|| format!("{}: query {at}", self.selected.id()))
        });
        self.queries = Some(embedded.collect::<Result<_>>()?);
        Ok(())
    }

    /// The inputs for a query, best first, but for the input that is the query itself.
    ///
    /// # Errors
    /// A score is not a number.
    pub(super) fn rank(
        &self,
        query: usize,
        own: Option<usize>,
        inputs: &[Numbered],
    ) -> Result<Vec<Hit>> {
        let embedded = match &self.queries {
            Some(queries) => &queries[query],
            None => &self.documents[query].value,
        };
        let idf = self.selected.requires_idf();
        let mut ranking = Ranking::new(embedded.clone(), idf, inputs.len())?;
        for (at, (input, document)) in inputs.iter().zip(&self.documents).enumerate() {
            if own != Some(at) {
                ranking.offer(at as u64, input.input.clone(), document)?;
            }
        }
        let hits = ranking.finish().into_iter();
        Ok(hits.map(|hit| Hit { at: hit.index as usize, score: hit.score }).collect())
    }

    /// Warns of inputs whose end the model did not see.
    pub(super) fn warn_of_truncated(&self, report: &Report) {
        let truncated = self.documents.iter().filter(|document| document.truncated).count();
        if truncated > 0 {
            report.warn(&format!(
                "{} cut off the end of {truncated} of {} inputs",
                self.selected.id(),
                self.documents.len()
            ));
        }
    }
}

/// Embeds the inputs with both models, a part with the one, then with the other, and returns those that
/// both embedded.
///
/// # Errors
/// An input that a model fails on, unless such are to be skipped; fewer than two are left.
pub(super) fn embed_in_turns(
    sides: &mut [Side; 2],
    inputs: &[Numbered],
    on_error: OnError,
    report: &Report,
) -> Result<Vec<Numbered>> {
    for side in sides.iter() {
        // What a first run sets up is not timed; what is wrong with the input is seen below.
        let _ = side.model.embed_one(Role::Document, inputs[0].input.clone());
    }
    let mut kept = Vec::with_capacity(inputs.len());
    let mut progress = report.progress(Some(inputs.len() as u64), "inputs");
    for (turn, part) in inputs.chunks(inputs.len().div_ceil(TURNS)).enumerate() {
        let [a, b] = sides;
        // Who begins changes, too.
        let (first, second) = if turn % 2 == 0 {
            let first = a.embed(part);
            (first, b.embed(part))
        } else {
            let second = b.embed(part);
            (a.embed(part), second)
        };
        for (input, results) in part.iter().zip(first.into_iter().zip(second)) {
            match results {
                (Ok(first), Ok(second)) => {
                    a.documents.push(first);
                    b.documents.push(second);
                    kept.push(input.clone());
                }
                (Err(error), _) | (_, Err(error)) => leave_out(error, on_error, report)?,
            }
            progress.advance(kept.len() as u64);
        }
    }
    drop(progress);
    if kept.len() < 2 {
        return Err(anyhow!("only {} of {} inputs could be embedded", kept.len(), inputs.len()));
    }
    Ok(kept)
}

fn leave_out(error: Error, on_error: OnError, report: &Report) -> Result<()> {
    if on_error == OnError::Fail {
        return Err(error);
    }
    report.warn(&format!("left out: {}", causes(&error)));
    Ok(())
}
