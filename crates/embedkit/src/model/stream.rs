//! Inputs of any kind, in any order, each to the encoder that takes it.

use std::{
    iter::Fuse,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use embedkit_types::{Embedded, Role};

use super::{
    backend::{Backend, Inputs, Outputs},
    encoders::Encoders,
    input::{Input, InputKind},
};
use crate::Error;

/// A stream of inputs: their purpose, and how far they are read ahead.
///
/// ```
/// use embedkit::{Role, StreamOptions};
///
/// let options = StreamOptions { read_ahead: Some(16), ..StreamOptions::from(Role::Query) };
/// assert_eq!(options.role, Role::Query);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamOptions {
    /// Purpose of the texts.
    pub role: Role,
    /// Most inputs, 1 or more, that are read before the result of the first of them is given. For inputs that come
    /// slowly: the model rests while the next are read. By default two windows, of
    /// [`BatchOptions`](crate::BatchOptions), of which one is read while the other is embedded.
    pub read_ahead: Option<usize>,
}

impl From<Role> for StreamOptions {
    fn from(role: Role) -> Self {
        Self { role, read_ahead: None }
    }
}

/// The way of a stretch of inputs through an encoder.
pub(super) type Run<'a, T> = fn(&dyn Backend, Role, Inputs<'a>) -> Outputs<'a, T>;

/// Lazy results in the order of the inputs: of one stretch of inputs of a kind after the other.
pub(super) struct Embeddings<'a, I, T> {
    encoders: Arc<Encoders>,
    options: StreamOptions,
    run: Run<'a, T>,
    source: Arc<Source<I>>,
    stretch: Option<Outputs<'a, T>>,
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

/// The inputs of one kind up to the first of another, or as many as are read ahead.
struct Stretch<I> {
    source: Arc<Source<I>>,
    kind: InputKind,
    left: usize,
}

impl<I: Iterator> Iterator for Stretch<I>
where
    I::Item: Into<Input>,
{
    type Item = Input;

    fn next(&mut self) -> Option<Input> {
        // Before the next input is looked at, which may not be there yet.
        self.left = self.left.checked_sub(1)?;
        let mut reader = lock(&self.source);
        if reader.kind() == Some(self.kind) { reader.take() } else { None }
    }
}

impl<'a, I: Iterator, T> Embeddings<'a, I, T> {
    pub(super) fn new(
        encoders: Arc<Encoders>,
        options: StreamOptions,
        inputs: I,
        run: Run<'a, T>,
    ) -> Self {
        let reader = Reader { inputs: inputs.fuse(), next: None, taken: 0 };
        let source = Arc::new(Mutex::new(reader));
        Self { encoders, options, run, source, stretch: None, given: 0, ended: false }
    }
}

impl<'a, I: Iterator + Send + 'a, T> Iterator for Embeddings<'a, I, T>
where
    I::Item: Into<Input>,
{
    type Item = Result<Embedded<T>, Error>;

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
                    let left = self.options.read_ahead.map_or(usize::MAX, |most| most.max(1));
                    let stretch = Stretch { source: Arc::clone(&self.source), kind, left };
                    self.stretch = Some((self.run)(backend, self.options.role, Box::new(stretch)));
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
