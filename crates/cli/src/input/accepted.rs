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

/// What the key `query` beside `text` means in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueryKey {
    /// Nothing, as all other keys.
    Ignored,
    /// That there are two queries: there is one for all texts.
    Refused,
    /// What the text is scored for.
    Needed,
}

/// An argument or a line that does not say what it is.
pub(super) fn plain(text: &str, kind: InputKind) -> Input {
    match kind {
        InputKind::Image => Input::image(text),
        _ => text.into(),
    }
}
