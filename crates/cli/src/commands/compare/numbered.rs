//! An input of a comparison.

use embedkit::Input;

/// An input and its number among all of them, from 0.
#[derive(Debug, Clone)]
pub(super) struct Numbered {
    pub(super) index: u64,
    pub(super) input: Input,
}
