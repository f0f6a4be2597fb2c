//! An iterator of inputs through an engine.

use std::{collections::VecDeque, fmt, iter::Fuse};

use embedkit_types::Error;

use super::{Class, Engine, FEW, Outcome, Step, Ticket};

/// Inputs of the first window at most: early results soon.
const FIRST_WINDOW: usize = 512;

/// Lazy results in input order; see the [module](super).
pub struct Stream<S: Step, I> {
    engine: Engine<S>,
    inputs: Fuse<I>,
    /// Inputs of the next window.
    window: usize,
    state: State<S>,
}

enum State<S: Step> {
    /// No input was read yet.
    New,
    /// Results of a few inputs, which were all, or the error that ends the stream.
    Done(VecDeque<Outcome<S>>),
    Open(Ticket<S>),
}

impl<S: Step, I: Iterator<Item = S::Input>> Stream<S, I> {
    /// A stream over `inputs`, of which none is read yet.
    pub(super) fn new(engine: Engine<S>, inputs: I) -> Self {
        let window = engine.window().min(FIRST_WINDOW);
        Self { engine, inputs: inputs.fuse(), window, state: State::New }
    }

    /// The next window; empty at the end of the input.
    fn read(&mut self) -> Vec<S::Input> {
        let inputs: Vec<_> = self.inputs.by_ref().take(self.window).collect();
        self.window = self.window.saturating_mul(2).min(self.engine.window());
        inputs
    }

    fn start(&mut self) -> Result<State<S>, Error> {
        let full = self.window;
        let inputs = self.read();
        // Where the window is full, more may follow.
        if inputs.len() <= FEW && inputs.len() < full {
            return Ok(State::Done(self.engine.run_few(inputs)?.into()));
        }
        let mut ticket = self.engine.open(Class::Bulk)?;
        ticket.push(inputs);
        Ok(State::Open(ticket))
    }
}

impl<S: Step, I: Iterator<Item = S::Input>> Iterator for Stream<S, I> {
    type Item = Outcome<S>;

    fn next(&mut self) -> Option<Self::Item> {
        if let State::New = self.state {
            // An error that concerns no single input, such as a model that cannot be loaded.
            let failed = |error| State::Done([Err(error)].into());
            self.state = self.start().unwrap_or_else(failed);
        }
        loop {
            let ticket = match &mut self.state {
                State::Open(ticket) => ticket,
                State::Done(ready) => return ready.pop_front(),
                State::New => return None,
            };
            if let Some(result) = ticket.try_next() {
                return Some(result);
            }
            if ticket.outstanding() <= self.window {
                let inputs = self.read();
                if !inputs.is_empty()
                    && let State::Open(ticket) = &mut self.state
                {
                    ticket.push(inputs);
                    continue;
                }
            }
            let State::Open(ticket) = &mut self.state else { return None };
            return ticket.next();
        }
    }
}

impl<S: Step, I> fmt::Debug for Stream<S, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("window", &self.window).finish_non_exhaustive()
    }
}
