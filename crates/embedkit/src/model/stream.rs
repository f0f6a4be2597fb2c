//! Inputs of any kind, in any order, each to the encoder that takes it.

use std::{
    iter::Fuse,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use embedkit_types::{Embedded, Role};

use super::{
    backend::Outputs,
    encoders::Encoders,
    input::{Input, InputKind},
    output::Output,
};
use crate::Error;

/// Lazy results in the order of the inputs: of one stretch of inputs of a kind after the other.
pub(super) struct Embeddings<'a, I> {
    encoders: Arc<Encoders>,
    role: Role,
    source: Arc<Source<I>>,
    stretch: Option<Outputs<'a>>,
    /// Results that were handed out, of inputs that were taken.
    given: u64,
    ended: bool,
}

/// The inputs, which each stretch reads as far as its kind goes.
type Source<I> = Mutex<Reader<I>>;

struct Reader<I> {
    inputs: Fuse<I>,
    next: Option<Input>,
    taken: u64,
}

fn lock<I>(source: &Source<I>) -> MutexGuard<'_, Reader<I>> {
    // After a panic of the caller's iterator nothing here is halfway done.
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<I: Iterator> Reader<I>
where
    I::Item: Into<Input>,
{
    /// The kind of the next input.
    fn kind(&mut self) -> Option<InputKind> {
        if self.next.is_none() {
            self.next = self.inputs.next().map(Into::into);
        }
        self.next.as_ref().map(Input::kind)
    }

    fn take(&mut self) -> Option<Input> {
        self.taken += u64::from(self.next.is_some());
        self.next.take()
    }
}

/// The inputs of one kind up to the first of another.
struct Stretch<I> {
    source: Arc<Source<I>>,
    kind: InputKind,
}

impl<I: Iterator> Iterator for Stretch<I>
where
    I::Item: Into<Input>,
{
    type Item = Input;

    fn next(&mut self) -> Option<Input> {
        let mut reader = lock(&self.source);
        if reader.kind() == Some(self.kind) { reader.take() } else { None }
    }
}

impl<I: Iterator> Embeddings<'_, I> {
    pub(super) fn new(encoders: Arc<Encoders>, role: Role, inputs: I) -> Self {
        let reader = Reader { inputs: inputs.fuse(), next: None, taken: 0 };
        let source = Arc::new(Mutex::new(reader));
        Self { encoders, role, source, stretch: None, given: 0, ended: false }
    }
}

impl<'a, I: Iterator + Send + 'a> Iterator for Embeddings<'a, I>
where
    I::Item: Into<Input>,
{
    type Item = Result<Embedded<Output>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            if let Some(stretch) = &mut self.stretch {
                if let Some(result) = stretch.next() {
                    self.given += 1;
                    return Some(result);
                }
                self.stretch = None;
            }
            let mut reader = lock(&self.source);
            // Where a stretch gave fewer results than it took inputs, its last error concerned all.
            let (true, Some(kind)) = (self.given == reader.taken, reader.kind()) else { break };
            let taken = self.encoders.takes(kind);
            if !taken {
                reader.take();
                self.given += 1;
            }
            drop(reader);
            match self.encoders.get(kind) {
                Ok(backend) => {
                    let stretch = Stretch { source: Arc::clone(&self.source), kind };
                    self.stretch = Some(backend.embed(self.role, Box::new(stretch)));
                }
                Err(error) => {
                    // An encoder that cannot be opened fails for all inputs of the kind.
                    self.ended = taken;
                    return Some(Err(error));
                }
            }
        }
        self.ended = true;
        None
    }
}
