//! A request's inputs through a model's queue: refused as a whole, or run as a whole.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use embedkit::{Class, Embedded, ErrorKind, Input, Output, Pending, QueueOptions, Role, Spent};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{sleep, timeout_at},
};

use crate::{
    account::{Account, Phases},
    failure::{Failure, FailureKind},
    models::Lease,
    request::Terms,
};

/// Most inputs that are interactive where neither the client nor the route says so.
const FEW: usize = 4;
/// Inputs of a part at most.
const PART_INPUTS: usize = 512;
/// Parts of one request in the queue at most: one that runs and one that waits.
const PARTS: usize = 2;
/// Tokens that an image counts for when a request is split.
const IMAGE_TOKENS: usize = 512;
/// Results that a thread computes ahead.
const READY: usize = 64;
/// Shortest and longest time until a part that found no room is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// Inputs for one model.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) role: Role,
    pub(crate) inputs: Vec<Input>,
    /// Positions of inputs that lost a part before.
    pub(crate) cut: Vec<usize>,
    /// True if an input that the model would truncate is an error.
    pub(crate) refuse_truncated: bool,
    /// Urgency where the client does not say; by the number of inputs where it is `None`.
    pub(crate) class: Option<Class>,
}

impl Work {
    pub(crate) fn new(role: Role, inputs: Vec<Input>) -> Self {
        Self { role, inputs, cut: Vec::new(), refuse_truncated: false, class: None }
    }
}

/// Results of a request, in the order of its inputs.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) outputs: Vec<Output>,
    /// Tokens of each input.
    pub(crate) tokens: Vec<usize>,
    pub(crate) account: Account,
}

impl Lease {
    /// Runs all inputs. Dropping the future takes out of the queue what does not run yet.
    ///
    /// # Errors
    /// [`FailureKind::Overloaded`] before anything runs; the first failure of an input; the deadline.
    pub(crate) async fn run(&self, work: Work, terms: &Terms) -> Result<Done, Failure> {
        let Work { role, inputs, cut, refuse_truncated, class } = work;
        let few = if inputs.len() <= FEW { Class::Interactive } else { Class::Bulk };
        let options = QueueOptions {
            class: terms.class.or(class).unwrap_or(few),
            deadline: terms.deadline,
            wait: false,
        };
        let mut account = Account {
            model: Some(self.slot.name().clone()),
            device: self.loaded.device.clone(),
            inputs: inputs.len(),
            characters: inputs.iter().map(characters).sum(),
            ..Account::default()
        };
        let count = inputs.len();
        // For the count of tokens in an error; a copy of a text is a count.
        let texts = if refuse_truncated { inputs.clone() } else { Vec::new() };
        let (mut outputs, mut tokens) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let start = Instant::now();
        let mut parts = Parts::new(self, role, inputs, options);
        parts.begin()?;
        while let Some(result) = parts.next().await? {
            let index = outputs.len();
            let Embedded { value, tokens: seen, truncated } =
                result.map_err(|error| Failure::from(error).at(index, count))?;
            value.check_finite().map_err(|error| Failure::from(error).at(index, count))?;
            if truncated && refuse_truncated {
                // What is still in the queue goes with the parts.
                drop(parts);
                return Err(self.too_long(texts.get(index), seen).await.at(index, count));
            }
            if truncated || cut.binary_search(&index).is_ok() {
                account.truncated.push(index);
            }
            account.tokens += seen;
            outputs.push(value);
            tokens.push(seen);
        }
        account.times = Phases::new(start.elapsed(), parts.spent);
        if outputs.len() != count {
            let message = format!("{} results for {count} inputs", outputs.len());
            return Err(Failure::new(FailureKind::Internal, message));
        }
        Ok(Done { outputs, tokens, account })
    }

    /// The failure of an input that is too long, with its number of tokens where it is a text.
    async fn too_long(&self, input: Option<&Input>, limit: usize) -> Failure {
        let tokens = match input {
            Some(Input::Text(text)) => {
                let (model, text) = (self.model().clone(), Arc::clone(text));
                let count = move || model.tokenize(&text, true).map(|tokens| tokens.len());
                spawn_blocking(count).await.ok().and_then(Result::ok)
            }
            _ => None,
        };
        let message = match tokens {
            Some(tokens) => format!("the text has {tokens} tokens, the model takes {limit}"),
            None => format!("the input has more than the {limit} tokens that the model takes"),
        };
        Failure::new(FailureKind::Invalid, message)
            .param("truncate")
            .hint("shorten it, or let the server cut it with truncate")
    }
}

fn characters(input: &Input) -> usize {
    match input {
        Input::Text(text) => text.chars().count(),
        Input::Pair { query, document } => query.chars().count() + document.chars().count(),
        _ => 0,
    }
}

/// A request in parts, of which some are in the queue. The first is refused or taken at once; the others
/// wait for room, so that a large request neither fails halfway nor fills the queue by itself.
struct Parts<'a> {
    lease: &'a Lease,
    role: Role,
    options: QueueOptions,
    waiting: VecDeque<Vec<Input>>,
    queued: VecDeque<Queued>,
    /// For the parts that are done; `None` where one was not measured.
    spent: Option<Spent>,
}

/// The result of an input.
type Outcome = Result<Embedded<Output>, embedkit::Error>;

/// Results of a part on their way.
enum Queued {
    /// From the threads of the model.
    Engine(Pending<Embedded<Output>>),
    /// From a thread that computes them, which stops where nobody takes them.
    Thread(mpsc::Receiver<Outcome>),
}

impl Queued {
    fn new(pending: Pending<Embedded<Output>>) -> Self {
        if !pending.is_computed() {
            return Self::Engine(pending);
        }
        let (results, taken) = mpsc::channel(READY);
        spawn_blocking(move || {
            for result in pending {
                if results.blocking_send(result).is_err() {
                    break;
                }
            }
        });
        Self::Thread(taken)
    }

    async fn next(&mut self) -> Option<Outcome> {
        match self {
            Self::Engine(pending) => pending.next_async().await,
            Self::Thread(results) => results.recv().await,
        }
    }

    fn spent(&self) -> Option<Spent> {
        match self {
            Self::Engine(pending) => pending.spent(),
            Self::Thread(_) => None,
        }
    }
}

impl<'a> Parts<'a> {
    fn new(lease: &'a Lease, role: Role, inputs: Vec<Input>, options: QueueOptions) -> Self {
        let waiting = split(inputs, lease.slot.part_tokens());
        Self {
            lease,
            role,
            options,
            waiting,
            queued: VecDeque::new(),
            spent: Some(Spent::default()),
        }
    }

    /// Submits the first part.
    fn begin(&mut self) -> Result<(), Failure> {
        match self.waiting.pop_front() {
            Some(first) => Ok(self.submit(first)?),
            None => Ok(()),
        }
    }

    fn submit(&mut self, part: Vec<Input>) -> Result<(), embedkit::Error> {
        let pending = self.lease.model().submit(self.role, part, self.options)?;
        self.queued.push_back(Queued::new(pending));
        Ok(())
    }

    /// The next result; `None` after the last.
    async fn next(&mut self) -> Result<Option<Outcome>, Failure> {
        loop {
            self.refill().await?;
            let Some(queued) = self.queued.front_mut() else { return Ok(None) };
            let next = queued.next();
            let next = match self.options.deadline {
                // The engine has no timer.
                Some(deadline) => {
                    timeout_at(deadline.into(), next).await.map_err(|_| Failure::deadline())?
                }
                None => next.await,
            };
            if next.is_some() {
                return Ok(next);
            }
            let done = self.queued.pop_front().and_then(|queued| queued.spent());
            self.spent = self.spent.zip(done).map(|(mut all, more)| {
                all.add(more);
                all
            });
        }
    }

    /// Submits further parts. Where there is no room it waits only if there is nothing to take.
    async fn refill(&mut self) -> Result<(), Failure> {
        while self.queued.len() < PARTS
            && let Some(part) = self.waiting.pop_front()
        {
            // A copy of a text is a count.
            let Err(error) = self.submit(part.clone()) else { continue };
            let busy = error.kind() == ErrorKind::Busy;
            let refused = Failure::from(error);
            if !busy {
                return Err(refused);
            }
            self.waiting.push_front(part);
            if !self.queued.is_empty() {
                break;
            }
            if self.options.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(Failure::deadline());
            }
            let (shortest, longest) = PAUSE;
            sleep(refused.retry_after.unwrap_or(shortest).clamp(shortest, longest)).await;
        }
        Ok(())
    }
}

/// Inputs in parts of at most so many tokens each; a longer input is a part of its own.
fn split(inputs: Vec<Input>, most_tokens: usize) -> VecDeque<Vec<Input>> {
    let mut parts = VecDeque::new();
    let (mut part, mut tokens) = (Vec::new(), 0);
    for input in inputs {
        let estimate = input.estimated_tokens().unwrap_or(IMAGE_TOKENS);
        if !part.is_empty() && (tokens + estimate > most_tokens || part.len() >= PART_INPUTS) {
            parts.push_back(std::mem::take(&mut part));
            tokens = 0;
        }
        tokens += estimate;
        part.push(input);
    }
    if !part.is_empty() {
        parts.push_back(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lengths: &[usize]) -> Vec<Input> {
        lengths.iter().map(|&length| Input::from("x".repeat(length))).collect()
    }

    #[test]
    fn a_request_is_split_by_tokens_and_by_inputs() {
        // 10 bytes are 4 tokens, 400 bytes 102.
        let sizes = |inputs, most| -> Vec<_> { split(inputs, most).iter().map(Vec::len).collect() };
        assert_eq!(sizes(texts(&[]), 8), [0; 0]);
        assert_eq!(sizes(texts(&[10; 5]), 8), [2, 2, 1]);
        assert_eq!(sizes(texts(&[10, 400, 10]), 8), [1, 1, 1]);
        assert_eq!(sizes(texts(&[10; 600]), 10_000), [PART_INPUTS, 600 - PART_INPUTS]);
        let order: Vec<_> = split(texts(&[1, 2, 3]), 2).into_iter().flatten().collect();
        assert_eq!(order, texts(&[1, 2, 3]));
    }
}
