//! Inputs of a request as the model takes them: images decoded from base64, token ids as their text, and
//! starts of texts cut off.

use std::sync::Arc;

use embedkit::{ImageInput, Input, Model, Role};
use tokio::task::spawn_blocking;

use crate::{
    App,
    failure::{Failure, FailureKind},
    inputs::{Inputs, Item, Text, image},
    models::Lease,
};

/// Choices that several APIs have for texts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Choices {
    pub(super) role: Role,
    /// An input that is too long is an error.
    pub(super) refuse_truncated: bool,
    /// An input that is too long loses its start and not its end.
    pub(super) cut_start: bool,
}

/// Inputs for a model.
pub(super) struct Prepared {
    pub(super) inputs: Vec<Input>,
    /// Positions of those whose start was cut off.
    pub(super) cut: Vec<usize>,
}

/// Makes the inputs of a request ready for a model.
pub(super) async fn prepare(
    app: &App,
    lease: &Lease,
    inputs: Inputs,
    choices: Choices,
) -> Result<Prepared, Failure> {
    let cuts = choices.cut_start && !choices.refuse_truncated;
    if !cuts && !inputs.has_ids() {
        return Ok(Prepared { inputs: into_inputs(app, inputs)?, cut: Vec::new() });
    }
    let (app, model) = (app.clone(), lease.model().clone());
    // Tokenising many texts would hold up other requests.
    let work = move || {
        let mut inputs = into_inputs(&app, texts(&model, inputs)?)?;
        let cut = if cuts { cut_starts(&model, &mut inputs)? } else { Vec::new() };
        Ok(Prepared { inputs, cut })
    };
    let result = spawn_blocking(work).await;
    result.map_err(|error| Failure::new(FailureKind::Internal, error.to_string()))?
}

/// Inputs without token ids.
pub(super) fn into_inputs(app: &App, inputs: Inputs) -> Result<Vec<Input>, Failure> {
    if inputs.items.is_empty() {
        return Err(Failure::new(FailureKind::Empty, "there is no input").param("input"));
    }
    let most_bytes = app.config().limits.image_bytes;
    let of = inputs.items.len();
    let input = |(index, item)| match item {
        Item::Text(text) => Ok(text.into_input()),
        Item::Image(text) => image(&text, most_bytes).map_err(|failure| failure.at(index, of)),
        Item::Bytes(bytes) => Ok(Input::image(ImageInput::Bytes(bytes))),
        Item::Ids(_) => Err(Failure::invalid("input", "token ids are not taken").at(index, of)),
    };
    inputs.items.into_iter().enumerate().map(input).collect()
}

/// The same with texts in place of token ids.
fn texts(model: &Model, mut inputs: Inputs) -> Result<Inputs, Failure> {
    let of = inputs.items.len();
    for (index, item) in inputs.items.iter_mut().enumerate() {
        if let Item::Ids(ids) = item {
            let text = text(model, ids).map_err(|failure| failure.at(index, of))?;
            *item = Item::Text(text);
        }
    }
    Ok(inputs)
}

/// The text of token ids, which has to give the same ids again: those of another vocabulary would silently
/// give another text.
fn text(model: &Model, ids: &[u32]) -> Result<Text, Failure> {
    let tokenizer = |error: embedkit::Error| Failure {
        kind: FailureKind::Tokenizer,
        ..Failure::from(error).param("input")
    };
    let text = model.decode(ids, true).map_err(tokenizer)?;
    let tokens = model.tokenize(&text, true).map_err(tokenizer)?;
    let all = tokens.iter().map(|token| token.id);
    let plain = tokens.iter().filter(|token| !token.special).map(|token| token.id);
    if all.eq(ids.iter().copied()) || plain.eq(ids.iter().copied()) {
        return Ok(text.as_str().into());
    }
    let message = "the token ids are not those that the model's tokenizer gives for their text";
    Err(Failure::new(FailureKind::Tokenizer, message).param("input").hint("send the text"))
}

/// Cuts off the starts of texts that are too long, and returns their positions.
fn cut_starts(model: &Model, inputs: &mut [Input]) -> Result<Vec<usize>, Failure> {
    let mut cut = Vec::new();
    let Some(limit) = model.max_tokens()? else { return Ok(cut) };
    for (index, input) in inputs.iter_mut().enumerate() {
        if let Input::Text(text) = input
            && let Some(rest) = without_start(model, text, limit)?
        {
            *text = rest;
            cut.push(index);
        }
    }
    Ok(cut)
}

/// The end of a text that is too long, cut between two tokens; `None` for one that is not.
fn without_start(model: &Model, text: &str, limit: usize) -> Result<Option<Arc<str>>, Failure> {
    let mut rest = text;
    loop {
        let tokens = model.tokenize(rest, true)?;
        let excess = tokens.len().saturating_sub(limit);
        if excess == 0 {
            return Ok((rest.len() < text.len()).then(|| rest.into()));
        }
        // The first word of the rest may have other tokens than within the text, hence the loop. It ends, since
        // each round leaves at least a character out.
        let ranges = tokens.iter().filter_map(|token| token.range.clone());
        let start = ranges.map(|range| range.start).nth(excess);
        let Some(start) = start else { return Ok(Some("".into())) };
        let offset = rest.char_indices().nth(start.max(1)).map_or(rest.len(), |(at, _)| at);
        rest = &rest[offset..];
    }
}
