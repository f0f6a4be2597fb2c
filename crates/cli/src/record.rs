//! One input and what became of it.

use embedkit::{Embedded, Input, Output};

/// The record that is written of one input.
#[derive(Debug)]
pub(crate) struct Record {
    /// Number of the input, from 0.
    pub(crate) index: u64,
    /// The input itself and its result, or with `--on-error skip` why there is none.
    pub(crate) result: Result<(Input, Embedded<Output>), String>,
}

impl Record {
    /// The result, or why there is none.
    pub(crate) fn output(&self) -> Result<&Output, &str> {
        match &self.result {
            Ok((_, embedded)) => Ok(&embedded.value),
            Err(why) => Err(why),
        }
    }

    /// True if the end of the input was cut off.
    pub(crate) fn truncated(&self) -> bool {
        self.result.as_ref().is_ok_and(|(_, embedded)| embedded.truncated)
    }
}

#[cfg(test)]
impl Record {
    /// A result of some text.
    pub(crate) fn good(index: u64, output: impl Into<Output>) -> Self {
        let embedded = Embedded { value: output.into(), tokens: 1, truncated: false };
        Self { index, result: Ok((Input::from("a"), embedded)) }
    }

    /// The same record, of a text whose end was cut off.
    pub(crate) fn cut(mut self) -> Self {
        if let Ok((_, embedded)) = &mut self.result {
            embedded.truncated = true;
        }
        self
    }

    /// An input without a result.
    pub(crate) fn bad(index: u64, why: &str) -> Self {
        Self { index, result: Err(why.to_owned()) }
    }
}
