//! A plain function over texts, in input order, on several threads.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    iter::Fuse,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    vec::IntoIter,
};

use embedkit_types::Error;

use super::{FEW, rows::catching};
use crate::error::Error as CoreError;

/// Texts of a chunk at most, and their bytes, which hide the cost of passing them on.
const CHUNK: (usize, usize) = (1024, 64 << 10);
/// Chunks in flight for each thread: one that runs and two that are prefetched.
const PREFETCH: usize = 3;

/// Texts that one thread has at a time, one behind the other in one string: a thread that frees the strings of
/// another waits for the other's allocator.
#[derive(Debug, Default)]
pub struct Texts {
    joined: String,
    ends: Vec<usize>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.joined.push_str(text);
        self.ends.push(self.joined.len());
    }

    /// The number of texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The texts in input order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| &self.joined[std::mem::replace(&mut start, end)..end])
    }

    /// The results of a function, each with its own error, where it panics, too.
    pub fn map_each<T>(
        &self,
        mut function: impl FnMut(&str) -> Result<T, Error>,
    ) -> IntoIter<Result<T, Error>> {
        let results: Vec<_> = self.iter().map(|text| catching(|| function(text))).collect();
        results.into_iter()
    }
}

/// The results of a function for many texts, lazily and in input order, for models that have no
/// batches: nothing is padded, and no text waits for another. Dropping it stops the work.
///
/// The caller's thread is one of the threads: it reads texts, and works while it has no result. `R` is an
/// iterator over the results of a chunk.
pub struct ParallelMap<I, F, R> {
    texts: Fuse<I>,
    function: Arc<F>,
    /// Threads at work, with the caller's.
    threads: usize,
    /// Texts that are read ahead at most.
    window: usize,
    workers: Option<Workers<R>>,
    /// Chunks that were read, and of those that were handed out.
    read: usize,
    handed: usize,
    /// Texts of the chunks in between.
    outstanding: usize,
    ready: Option<Results<R>>,
}

/// Results of a chunk.
enum Results<R> {
    Each(R),
    /// As many texts have this error.
    Failed(Error, usize),
}

impl<T, R: ExactSizeIterator<Item = Result<T, Error>>> Results<R> {
    /// Applies a function to a chunk. Each text gets the error of one that panics or gives another number of results.
    fn new(function: &impl Fn(&Texts) -> R, texts: &Texts) -> Self {
        let applied = catching(|| {
            let results = function(texts);
            if results.len() == texts.len() {
                return Ok(results);
            }
            let reason = format!("{} results for {} texts", results.len(), texts.len());
            Err(CoreError::Defect { reason }.into())
        });
        applied.map_or_else(|error| Self::Failed(error, texts.len()), Self::Each)
    }

    fn len(&self) -> usize {
        match self {
            Self::Each(results) => results.len(),
            Self::Failed(_, count) => *count,
        }
    }

    fn next(&mut self) -> Option<Result<T, Error>> {
        match self {
            Self::Each(results) => results.next(),
            Self::Failed(error, count) => {
                *count = count.checked_sub(1)?;
                Some(Err(error.clone()))
            }
        }
    }
}

/// Chunks by number on their way to the threads and back.
struct Chunks<R> {
    todo: VecDeque<(usize, Texts)>,
    done: BTreeMap<usize, Results<R>>,
    /// Nobody waits for results any more.
    closed: bool,
}

struct Shared<R> {
    chunks: Mutex<Chunks<R>>,
    /// There is a chunk to do, or no more ever.
    more: Condvar,
    /// A chunk is done.
    done: Condvar,
}

impl<R> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, Chunks<R>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next chunk for a worker; `None` at the end.
    fn take(&self) -> Option<(usize, Texts)> {
        let idle = |chunks: &mut Chunks<R>| !chunks.closed && chunks.todo.is_empty();
        let chunks = self.more.wait_while(self.lock(), idle);
        let mut chunks = chunks.unwrap_or_else(PoisonError::into_inner);
        if chunks.closed { None } else { chunks.todo.pop_front() }
    }

    fn put(&self, number: usize, results: Results<R>) {
        self.lock().done.insert(number, results);
        self.done.notify_one();
    }
}

/// Ends the threads when it is dropped, after the chunks that they work at.
struct Workers<R>(Arc<Shared<R>>);

impl<R> Drop for Workers<R> {
    fn drop(&mut self) {
        let mut chunks = self.0.lock();
        chunks.closed = true;
        chunks.todo.clear();
        drop(chunks);
        self.0.more.notify_all();
    }
}

impl<I, F, S, R, T> ParallelMap<I, F, R>
where
    I: Iterator<Item = S>,
    S: AsRef<str>,
    F: Fn(&Texts) -> R + Send + Sync + 'static,
    R: ExactSizeIterator<Item = Result<T, Error>> + Send + 'static,
{
    /// Results of `function` for `texts`, of which none is read yet, on `threads` threads with the caller's. The
    /// function gives one result for each text. Two `window`s of texts are read ahead at most.
    pub fn new(
        texts: impl IntoIterator<IntoIter = I>,
        threads: usize,
        window: usize,
        function: F,
    ) -> Self {
        Self {
            texts: texts.into_iter().fuse(),
            function: Arc::new(function),
            threads: threads.max(1),
            window: window.saturating_mul(2),
            workers: None,
            read: 0,
            handed: 0,
            outstanding: 0,
            ready: None,
        }
    }

    /// The next chunk; empty at the end of the input.
    fn read(&mut self, most: usize) -> Texts {
        let mut chunk = Texts::default();
        while chunk.len() < most
            && chunk.joined.len() < CHUNK.1
            && let Some(text) = self.texts.next()
        {
            chunk.push(text.as_ref());
        }
        chunk
    }

    /// Starts all threads but the caller's. One that cannot be started leaves its work to the others.
    fn start(&self) -> Workers<R> {
        let chunks = Chunks { todo: VecDeque::new(), done: BTreeMap::new(), closed: false };
        let shared = Arc::new(Shared {
            chunks: Mutex::new(chunks),
            more: Condvar::new(),
            done: Condvar::new(),
        });
        for number in 1..self.threads {
            let (shared, function) = (Arc::clone(&shared), Arc::clone(&self.function));
            let dispatch = tracing::dispatcher::get_default(Clone::clone);
            let run = move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    while let Some((number, texts)) = shared.take() {
                        shared.put(number, Results::new(&*function, &texts));
                    }
                });
            };
            let thread = thread::Builder::new().name(format!("embedkit-{number}"));
            if let Err(error) = thread.spawn(run) {
                tracing::warn!(%error, started = number, wanted = self.threads, "fewer threads");
                break;
            }
        }
        Workers(shared)
    }

    /// The next results, those of one chunk; `None` at the end.
    fn advance(&mut self) -> Option<Results<R>> {
        if self.read == 0 {
            let chunk = self.read(FEW.min(self.window));
            (self.read, self.handed) = (1, 1);
            return (!chunk.is_empty()).then(|| Results::new(&*self.function, &chunk));
        }
        let chunks = self.threads.saturating_mul(PREFETCH);
        while self.read - self.handed < chunks && self.outstanding < self.window {
            let fair = self.window.div_ceil(chunks).min(CHUNK.0);
            let chunk = self.read(fair.min(self.window - self.outstanding));
            if chunk.is_empty() {
                break;
            }
            if self.threads == 1 {
                return Some(Results::new(&*self.function, &chunk));
            }
            self.outstanding += chunk.len();
            if self.workers.is_none() {
                self.workers = Some(self.start());
            }
            if let Some(Workers(shared)) = &self.workers {
                shared.lock().todo.push_back((self.read, chunk));
                shared.more.notify_one();
            }
            self.read += 1;
        }
        let Workers(shared) = self.workers.as_ref().filter(|_| self.read > self.handed)?;
        let mut chunks = shared.lock();
        loop {
            if let Some(results) = chunks.done.remove(&self.handed) {
                self.handed += 1;
                self.outstanding -= results.len();
                return Some(results);
            }
            chunks = match chunks.todo.pop_front() {
                Some((number, texts)) => {
                    drop(chunks);
                    let results = Results::new(&*self.function, &texts);
                    chunks = shared.lock();
                    chunks.done.insert(number, results);
                    chunks
                }
                // A thread works at it: threads catch panics, and end only when nobody waits for them.
                None => shared.done.wait(chunks).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl<I, F, S, R, T> Iterator for ParallelMap<I, F, R>
where
    I: Iterator<Item = S>,
    S: AsRef<str>,
    F: Fn(&Texts) -> R + Send + Sync + 'static,
    R: ExactSizeIterator<Item = Result<T, Error>> + Send + 'static,
{
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(result) = self.ready.as_mut().and_then(Results::next) {
                return Some(result);
            }
            self.ready = Some(self.advance()?);
        }
    }
}

impl<I, F, R> fmt::Debug for ParallelMap<I, F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParallelMap").field("threads", &self.threads).finish_non_exhaustive()
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
        let double = |text: &str| match text.parse::<u64>().unwrap() {
            x if x % 100 == 77 => Err(CoreError::Tokenize { reason: "unlucky".to_owned() }.into()),
            x if x % 100 == 88 => panic!("a defect"),
            x => Ok(x * 2),
        };
        let texts = (0..inputs).map(|x| x.to_string());
        ParallelMap::new(texts, threads, window, move |texts| texts.map_each(double)).collect()
    }

    #[test]
    fn results_come_in_input_order_and_errors_in_their_places() {
        for threads in [0, 1, 2, 3] {
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
    fn texts_are_themselves_again() {
        let mut texts = Texts::default();
        let all = ["", "ein", "", "žluťoučký", "kůň", ""];
        all.iter().for_each(|text| texts.push(text));
        assert_eq!(texts.iter().collect::<Vec<_>>(), all);
    }

    #[test]
    fn a_function_that_loses_a_result_is_an_error_of_each_text() {
        let lose = |texts: &Texts| vec![Ok(()); texts.len() - 1].into_iter();
        let results: Vec<_> = ParallelMap::new(["a", "b"], 2, 10, lose).collect();
        assert_eq!(results.len(), 2);
        let error = results[1].as_ref().unwrap_err().to_string();
        assert!(error.contains("1 results for 2 texts"), "{error}");
    }

    #[test]
    fn no_more_is_read_than_two_windows_ahead() {
        for threads in [1, 4] {
            let read = Cell::new(0);
            let texts = (0u64..).map(|_| "").inspect(|_| read.set(read.get() + 1));
            let map = ParallelMap::new(texts, threads, 100, |texts| texts.map_each(|_| Ok(())));
            for (taken, result) in (1..=1000).zip(map) {
                assert!(result.is_ok());
                // A chunk of results is handed out at a time.
                assert!(read.get() <= taken + 200, "{} were read for {taken}", read.get());
            }
        }
    }

    #[test]
    fn the_caller_works_too() {
        let callers = thread::current().id();
        let work = move |texts: &Texts| texts.map_each(|_| Ok(thread::current().id() == callers));
        let texts = (0..1000).map(|_| "");
        let mut alone = ParallelMap::new(texts.clone(), 1, 10, work);
        assert!(alone.all(|result| result.unwrap()), "one thread is the caller's");
        let waiting = move |texts: &Texts| {
            if thread::current().id() != callers {
                // The caller need not wait for it.
                thread::sleep(std::time::Duration::from_millis(10));
            }
            work(texts)
        };
        let mut both = ParallelMap::new(texts, 2, 10, waiting).skip(FEW);
        assert!(both.any(|result| result.unwrap()), "the caller has done some");
    }

    #[test]
    fn dropping_it_stops_the_work() {
        let done = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&done);
        let count = move |_: &str| Ok(counter.fetch_add(1, Ordering::Relaxed));
        let texts = (0..).map(|x: u64| x.to_string());
        let mut map = ParallelMap::new(texts, 2, 64, move |texts| texts.map_each(&count));
        assert!(map.next().is_some());
        drop(map);
        // The threads finish what they work at; then they drop the function.
        while Arc::strong_count(&done) > 1 {
            thread::yield_now();
        }
        assert!(done.load(Ordering::Relaxed) <= 8 + 128);
    }
}
