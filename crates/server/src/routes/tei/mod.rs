//! Text Embeddings Inference.

mod embed;
mod info;
mod root;
mod scores;
mod similarity;
mod tokens;

use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use super::{Choices, role};
use crate::{App, failure::Failure};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(embed::routes())
        .merge(scores::routes())
        .merge(similarity::routes())
        .merge(tokens::routes())
        .merge(info::routes())
        .merge(root::routes())
}

/// Side of a text that is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
pub(super) enum Direction {
    /// The start.
    #[serde(alias = "left")]
    Left,
    /// The end.
    #[default]
    #[serde(alias = "right")]
    Right,
}

/// Choices by the fields of a request.
fn choices(
    truncate: Option<bool>,
    direction: Option<Direction>,
    prompt_name: Option<&str>,
) -> Result<Choices, Failure> {
    Ok(Choices {
        role: role(prompt_name, "prompt_name")?,
        refuse_truncated: truncate == Some(false),
        cut_start: direction == Some(Direction::Left),
    })
}
