//! Parallel encoding of many inputs.

use std::{
    num::NonZeroUsize,
    panic,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use embedkit_types::Error;

use crate::{
    Form, Muvera, MuveraError, Precision,
    encode::{self, Scratch},
    vectors::AsVectors,
};

impl<T: Precision> Muvera<T> {
    /// Encodes many inputs on `threads` threads and returns the encodings in input order. `None` uses
    /// as many threads as this process may.
    ///
    /// The encodings are the same for any number of threads.
    ///
    /// # Errors
    /// [`MuveraError::Input`] with the first input, in input order, that cannot be encoded; see
    /// [`Muvera::process_document`].
    pub fn process_batch<V>(
        &self,
        inputs: &[V],
        form: Form,
        threads: Option<NonZeroUsize>,
    ) -> Result<Vec<Vec<T>>, Error>
    where
        V: AsVectors + Sync,
    {
        let available = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let threads = threads.unwrap_or_else(available).get();
        let threads = threads.min(inputs.len());
        let next = AtomicUsize::new(0);
        let work = || self.encode_some(inputs, form, &next);
        let mut all = thread::scope(|scope| {
            // This thread works, too, so the work is done even if no other thread starts.
            let others: Vec<_> = (1..threads)
                .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
                .collect();
            let mut all = work();
            for other in others {
                all.extend(other.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
            }
            all
        });
        // A thread stops at an error, but all inputs before it were taken by then.
        all.sort_unstable_by_key(|&(index, _)| index);
        all.into_iter()
            .map(|(index, encoding)| {
                let input = |error| MuveraError::Input { index, source: Box::new(error) };
                Ok(encoding.map_err(input)?)
            })
            .collect()
    }

    /// Takes inputs one at a time, until none are left or one cannot be encoded.
    fn encode_some<V: AsVectors>(
        &self,
        inputs: &[V],
        form: Form,
        next: &AtomicUsize,
    ) -> Vec<(usize, Result<Vec<T>, MuveraError>)> {
        let mut scratch = Scratch::default();
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(input) = inputs.get(index) else { return done };
            let encoding = encode::encode(self, input.as_vectors(), form, &mut scratch);
            let failed = encoding.is_err();
            done.push((index, encoding));
            if failed {
                // The inputs after it are not needed.
                next.fetch_max(inputs.len(), Ordering::Relaxed);
                return done;
            }
        }
    }
}
