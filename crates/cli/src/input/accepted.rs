//! Inputs that a command takes.

use embedkit::{Input, InputKind};

/// Inputs that a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AcceptedInputs {
    pub(crate) texts: bool,
    pub(crate) images: bool,
    pub(crate) query: QueryKey,
    /// Kind of an argument or a line that does not say so itself.
    pub(crate) plain: InputKind,
}

/// Meaning of the key `query` beside `text` in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueryKey {
    /// None, as of all other keys.
    Ignored,
    /// A second query, beside the one for all texts.
    Refused,
    /// The query that the text is scored for.
    Needed,
}

/// An argument or a line that does not say what it is.
pub(super) fn plain(text: &str, kind: InputKind) -> Input {
    match kind {
        InputKind::Image => Input::image(text),
        _ => text.into(),
    }
}
