//! Many inputs on several threads.

use std::{
    num::NonZeroUsize,
    panic,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{
    Error, Form, Muvera, Precision,
    encode::{self, Scratch},
    vectors::AsVectors,
};

/// Inputs that a thread takes at once: enough that taking costs nothing, few enough that all threads
/// end at the same time.
const TAKE: usize = 8;

impl<T: Precision> Muvera<T> {
    /// Encodes the vectors of many inputs, in input order, on `threads` threads: as many as this
    /// process may use when `None`.
    ///
    /// The encodings are the same for any number of threads.
    ///
    /// # Errors
    /// [`Error::Input`] with the first input, in their order, that cannot be encoded; see
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
        let threads = threads.min(inputs.len().div_ceil(TAKE));
        let next = AtomicUsize::new(0);
        let work = || self.encode_some(inputs, form, &next);
        let shares = if threads <= 1 {
            vec![work()]
        } else {
            thread::scope(|scope| {
                // This thread is one of them.
                let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
                let mut shares = vec![work()];
                for other in others {
                    shares.push(other.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
                }
                shares
            })
        };
        let mut all: Vec<_> = shares.into_iter().flatten().collect();
        // A thread that meets an error stops, but all inputs before it were taken by then.
        all.sort_unstable_by_key(|&(index, _)| index);
        all.into_iter()
            .map(|(index, encoding)| {
                encoding.map_err(|error| Error::Input { index, source: Box::new(error) })
            })
            .collect()
    }

    /// Takes inputs until there are none left or one cannot be encoded.
    fn encode_some<V: AsVectors>(
        &self,
        inputs: &[V],
        form: Form,
        next: &AtomicUsize,
    ) -> Vec<(usize, Result<Vec<T>, Error>)> {
        let mut scratch = Scratch::default();
        let mut done = Vec::new();
        loop {
            let first = next.fetch_add(TAKE, Ordering::Relaxed);
            for (index, input) in inputs.iter().enumerate().skip(first).take(TAKE) {
                let encoding = encode::encode(self, input.as_vectors(), form, &mut scratch);
                let failed = encoding.is_err();
                done.push((index, encoding));
                if failed {
                    // Nobody needs what comes after.
                    next.fetch_max(inputs.len(), Ordering::Relaxed);
                    return done;
                }
            }
            if first >= inputs.len() {
                return done;
            }
        }
    }
}
