//! A plain function over inputs, in input order, on several threads.

use std::{
    collections::BTreeMap,
    fmt,
    iter::Fuse,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    vec::IntoIter,
};

use embedkit_types::Error;

use super::{FEW, rows::catching};
use crate::error::Error as CoreError;

/// Inputs of a chunk at most, and their size in bytes, which hide the cost of passing them on.
const CHUNK: (usize, usize) = (1024, 64 << 10);
/// Chunks in flight for each thread: one that runs and two that are prefetched.
const PREFETCH: usize = 3;

/// The results of a function for many inputs, lazily and in input order, for models that have no
/// batches: nothing is padded, and no input waits for another. Dropping it stops the work.
pub struct ParallelMap<I, F, A, T> {
    inputs: Fuse<I>,
    function: Arc<F>,
    /// The size of an input in bytes.
    size: fn(&A) -> usize,
    wanted: usize,
    /// Inputs that are read ahead at most.
    window: usize,
    threads: Option<Threads<A, T>>,
    /// Chunks that were read, and of those that were handed out.
    read: usize,
    handed: usize,
    /// Inputs of the chunks in between.
    outstanding: usize,
    done: BTreeMap<usize, Vec<Result<T, Error>>>,
    ready: IntoIter<Result<T, Error>>,
    ended: bool,
}

/// Chunks to the threads and back, by number.
struct Threads<A, T> {
    work: mpsc::Sender<(usize, Vec<A>)>,
    done: mpsc::Receiver<(usize, Vec<Result<T, Error>>)>,
}

impl<I, F, A, T> ParallelMap<I, F, A, T>
where
    I: Iterator<Item = A>,
    F: Fn(A) -> Result<T, Error> + Send + Sync + 'static,
    A: Send + 'static,
    T: Send + 'static,
{
    /// Results of `function` for `inputs`, of which none is read yet, on `threads` threads. Two `window`s
    /// of inputs are read ahead at most. `size` is that of an input in bytes.
    pub fn new(
        inputs: impl IntoIterator<IntoIter = I>,
        threads: usize,
        window: usize,
        size: fn(&A) -> usize,
        function: F,
    ) -> Self {
        Self {
            inputs: inputs.into_iter().fuse(),
            function: Arc::new(function),
            size,
            wanted: threads.max(1),
            window: window.saturating_mul(2),
            threads: None,
            read: 0,
            handed: 0,
            outstanding: 0,
            done: BTreeMap::new(),
            ready: Vec::new().into_iter(),
            ended: false,
        }
    }

    /// The next chunk; empty at the end of the input.
    fn read(&mut self, most: usize) -> Vec<A> {
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while !self.ended
            && chunk.len() < most
            && bytes < CHUNK.1
            && let Some(input) = self.inputs.next()
        {
            bytes += (self.size)(&input);
            chunk.push(input);
        }
        chunk
    }

    fn start(&self) -> Result<Threads<A, T>, Error> {
        let (work, chunks) = mpsc::channel::<(usize, Vec<A>)>();
        let (results, done) = mpsc::channel();
        let chunks = Arc::new(Mutex::new(chunks));
        for number in 0..self.wanted {
            let (chunks, results) = (Arc::clone(&chunks), results.clone());
            let function = Arc::clone(&self.function);
            let dispatch = tracing::dispatcher::get_default(Clone::clone);
            let run = move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    loop {
                        let next = chunks.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok((number, chunk)) = next else { return };
                        if results.send((number, apply(&*function, chunk))).is_err() {
                            return; // nobody waits any more
                        }
                    }
                });
            };
            let thread = thread::Builder::new().name(format!("embedkit-{number}"));
            let started = thread.spawn(run);
            if let Err(source) = started
                && number == 0
            {
                let source = Arc::new(source);
                let started = CoreError::Thread { started: number, wanted: self.wanted, source };
                return Err(started.into());
            }
        }
        Ok(Threads { work, done })
    }

    /// The next results, those of one chunk; `None` at the end.
    fn advance(&mut self) -> Result<Option<Vec<Result<T, Error>>>, Error> {
        if self.read == 0 {
            let chunk = self.read(FEW.min(self.window));
            (self.read, self.handed) = (1, 1);
            return Ok((!chunk.is_empty()).then(|| apply(&*self.function, chunk)));
        }
        let chunks = self.wanted.saturating_mul(PREFETCH);
        while self.read - self.handed < chunks && self.outstanding < self.window {
            let fair = self.window.div_ceil(chunks).min(CHUNK.0);
            let chunk = self.read(fair.min(self.window - self.outstanding));
            if chunk.is_empty() {
                break;
            }
            self.outstanding += chunk.len();
            if self.threads.is_none() {
                self.threads = Some(self.start()?);
            }
            if let Some(threads) = &self.threads {
                threads.work.send((self.read, chunk)).map_err(|_| gone())?;
            }
            self.read += 1;
        }
        let Some(threads) = self.threads.as_ref().filter(|_| self.read > self.handed) else {
            return Ok(None);
        };
        loop {
            if let Some(results) = self.done.remove(&self.handed) {
                self.handed += 1;
                self.outstanding -= results.len();
                return Ok(Some(results));
            }
            let (number, results) = threads.done.recv().map_err(|_| gone())?;
            self.done.insert(number, results);
        }
    }
}

/// Threads catch panics and only end when nobody waits for them.
fn gone() -> CoreError {
    CoreError::Defect { reason: "all threads are gone".to_owned() }
}

fn apply<A, T>(function: &impl Fn(A) -> Result<T, Error>, chunk: Vec<A>) -> Vec<Result<T, Error>> {
    chunk.into_iter().map(|input| catching(|| function(input))).collect()
}

impl<I, F, A, T> Iterator for ParallelMap<I, F, A, T>
where
    I: Iterator<Item = A>,
    F: Fn(A) -> Result<T, Error> + Send + Sync + 'static,
    A: Send + 'static,
    T: Send + 'static,
{
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(result) = self.ready.next() {
                return Some(result);
            }
            match self.advance() {
                Ok(results) => self.ready = results?.into_iter(),
                Err(error) => {
                    // Of no single input: the end.
                    (self.handed, self.ended) = (self.read, true);
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<I, F, A, T> fmt::Debug for ParallelMap<I, F, A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParallelMap").field("threads", &self.wanted).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    fn doubled(inputs: u64, threads: usize, window: usize) -> Vec<Result<u64, Error>> {
        let double = |x: u64| match x % 100 {
            77 => Err(CoreError::Tokenize { reason: "unlucky".to_owned() }.into()),
            88 => panic!("a defect"),
            _ => Ok(x * 2),
        };
        ParallelMap::new(0..inputs, threads, window, |_| 8, double).collect()
    }

    #[test]
    fn results_come_in_input_order_and_errors_in_their_places() {
        for threads in [0, 1, 3] {
            for window in [1, 10, 2048] {
                for inputs in [0, 1, 7, 8, 9, 500, 20_000] {
                    let results = doubled(inputs, threads, window);
                    assert_eq!(results.len() as u64, inputs);
                    for (input, result) in (0..).zip(results) {
                        match result {
                            Ok(output) => assert_eq!(output, input * 2),
                            Err(_) => assert!([77, 88].contains(&(input % 100)), "{input}"),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn no_more_is_read_than_two_windows_ahead() {
        let read = Cell::new(0);
        let inputs = (0u64..).inspect(|_| read.set(read.get() + 1));
        let mut map = ParallelMap::new(inputs, 4, 100, |_| 8, Ok);
        for taken in 1..=1000 {
            assert!(map.next().unwrap().is_ok());
            // A chunk of results is handed out at a time.
            assert!(read.get() <= taken + 200, "{} were read for {taken}", read.get());
        }
    }

    #[test]
    fn dropping_it_stops_the_work() {
        let done = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&done);
        let count = move |x: u64| Ok(counter.fetch_add(1, Ordering::Relaxed) as u64 + x);
        let mut map = ParallelMap::new(0.., 2, 64, |_| 8, count);
        assert!(map.next().is_some());
        drop(map);
        // What the threads were given is all that they do; then they drop the function.
        while Arc::strong_count(&done) > 1 {
            thread::yield_now();
        }
        assert!(done.load(Ordering::Relaxed) <= 8 + 128);
    }
}
