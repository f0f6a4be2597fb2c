//! From inputs to results, one at a time and in order: what a model cannot be given, and what it
//! cannot do, is put in its place or ends the run.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Error, Result, anyhow};
use embedkit::Embedded;

use crate::{
    args::OnError,
    input::{Input, Inputs},
    report::{Report, causes},
};

/// What became of one input.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its number, from 0.
    pub(crate) index: u64,
    /// The input itself; empty where it could not be read.
    pub(crate) text: Arc<str>,
    /// The embedding, or with `--on-error skip` why there is none.
    pub(crate) embedding: Result<Embedded<Vec<f32>>, String>,
}

/// What happened to all inputs together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) inputs: u64,
    pub(crate) truncated: u64,
    pub(crate) skipped: u64,
}

impl Count {
    /// Warns of what the results alone do not show at a glance.
    pub(crate) fn report(&self, report: &Report) {
        let were = |count: u64| if count == 1 { "was" } else { "were" };
        if self.truncated > 0 {
            report.warn(&format!(
                "{} of {} inputs {} longer than the model takes and cut off",
                self.truncated,
                self.inputs,
                were(self.truncated)
            ));
        }
        if self.skipped > 0 {
            report.warn(&format!(
                "{} of {} inputs {} skipped",
                self.skipped,
                self.inputs,
                were(self.skipped)
            ));
        }
    }
}

/// Inputs of which the first has been read already, so that a file that cannot be read at all is
/// found before a model is opened.
pub(crate) struct Checked {
    first: Input,
    rest: Inputs,
    on_error: OnError,
}

impl Checked {
    /// Reads the first input; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read or used.
    pub(crate) fn begin(mut inputs: Inputs, on_error: OnError) -> Result<Option<Self>> {
        let Some(first) = inputs.next().transpose()? else { return Ok(None) };
        if let (OnError::Fail, Err(why)) = (on_error, &first.text) {
            return Err(anyhow!(why.clone()));
        }
        Ok(Some(Self { first, rest: inputs, on_error }))
    }

    /// Hands the texts to `embed`, which gives one result for each, in order, and the results to
    /// `each`.
    ///
    /// # Errors
    /// The first input, in their order, that cannot be used; whatever `each` says. What was handed to
    /// `each` before stands.
    pub(crate) fn run<Results, E>(
        self,
        report: &Report,
        embed: impl FnOnce(Texts) -> Results,
        mut each: impl FnMut(Done) -> Result<()>,
    ) -> Result<Count>
    where
        Results: Iterator<Item = Result<Embedded<Vec<f32>>, E>>,
        E: Into<Error>,
    {
        let mut progress = report.progress(self.rest.bytes(), "inputs");
        let on_error = self.on_error;
        let in_flight = Arc::new(Mutex::new(InFlight::default()));
        let mut results = embed(Texts {
            first: Some(self.first),
            rest: self.rest,
            on_error,
            stopped: false,
            in_flight: in_flight.clone(),
        });
        let mut count = Count::default();
        let mut last_error = None;
        for result in &mut results {
            let Some(pending) = lock(&in_flight).queue.pop_front() else {
                // More results than inputs: an error of the run as a whole.
                return Err(result.err().map_or_else(too_many, Into::into));
            };
            let index = count.inputs;
            let embedding = match (pending.bad, result.map_err(Into::into).and_then(finite)) {
                (Some(why), _) => Err(why),
                (None, Ok(embedded)) => Ok(embedded),
                (None, Err(error)) => {
                    let error = error.context(format!("input {index}"));
                    if on_error == OnError::Fail {
                        return Err(error);
                    }
                    let why = causes(&error);
                    last_error = Some(error);
                    Err(why)
                }
            };
            count.inputs += 1;
            count.skipped += u64::from(embedding.is_err());
            count.truncated += u64::from(embedding.as_ref().is_ok_and(|done| done.truncated));
            progress.advance(pending.position);
            each(Done { index, text: pending.text, embedding })?;
        }
        drop(results);
        let mut in_flight = lock(&in_flight);
        if let Some(error) = in_flight.stopped.take() {
            return Err(error);
        }
        if !in_flight.queue.is_empty() {
            // The model gave up before it had seen everything.
            return Err(last_error
                .unwrap_or_else(|| anyhow!("the model stopped at input {}", count.inputs)));
        }
        Ok(count)
    }
}

fn too_many() -> Error {
    anyhow!("the model gave more results than there are inputs")
}

/// A vector with a value that is no number is an error, not a result.
pub(crate) fn finite(embedded: Embedded<Vec<f32>>) -> Result<Embedded<Vec<f32>>> {
    match embedded.value.iter().position(|value| !value.is_finite()) {
        None => Ok(embedded),
        Some(at) => {
            Err(anyhow!("the embedding is not finite: component {at} is {}", embedded.value[at]))
        }
    }
}

/// The texts that a model pulls, ahead of its results.
pub(crate) struct Texts {
    first: Option<Input>,
    rest: Inputs,
    on_error: OnError,
    stopped: bool,
    in_flight: Arc<Mutex<InFlight>>,
}

/// What was pulled and has no result yet, in order; the model's window bounds it.
#[derive(Default)]
struct InFlight {
    queue: VecDeque<Pending>,
    /// Why no more inputs came.
    stopped: Option<Error>,
}

struct Pending {
    text: Arc<str>,
    position: u64,
    bad: Option<String>,
}

fn lock(in_flight: &Mutex<InFlight>) -> MutexGuard<'_, InFlight> {
    // A panic elsewhere leaves the queue as it is, and nothing here stops halfway.
    in_flight.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Iterator for Texts {
    type Item = Arc<str>;

    fn next(&mut self) -> Option<Arc<str>> {
        if self.stopped {
            return None;
        }
        // Not under the lock: it may take for ever, and results are taken out meanwhile.
        let input = self.first.take().map(Ok).or_else(|| self.rest.next())?;
        let usable = input.and_then(|input| match input.text {
            Ok(text) => Ok((text.into(), None, input.position)),
            Err(why) if self.on_error == OnError::Fail => Err(anyhow!(why)),
            // An empty text stands for it, so that results and inputs keep step.
            Err(why) => Ok(("".into(), Some(why), input.position)),
        });
        let mut in_flight = lock(&self.in_flight);
        match usable {
            Ok((text, bad, position)) => {
                let text: Arc<str> = text;
                in_flight.queue.push_back(Pending { text: text.clone(), position, bad });
                Some(text)
            }
            Err(error) => {
                in_flight.stopped = Some(error);
                self.stopped = true;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{args::InputFormat, input::Source};

    /// A model that reads two texts ahead and embeds a text as its length; `bad` is an error, and
    /// `nan` not a number.
    fn embed(texts: Texts) -> impl Iterator<Item = Result<Embedded<Vec<f32>>, Error>> {
        let mut texts = texts.fuse();
        let mut window = VecDeque::new();
        std::iter::from_fn(move || {
            while window.len() < 3
                && let Some(text) = texts.next()
            {
                window.push_back(text);
            }
            let text = window.pop_front()?;
            Some(match &*text {
                "bad" => Err(anyhow!("cannot embed")),
                "nan" => Ok(Embedded { value: vec![0.0, f32::NAN], tokens: 1, truncated: false }),
                text => Ok(Embedded {
                    value: vec![text.len() as f32],
                    tokens: 1,
                    truncated: text.len() > 4,
                }),
            })
        })
    }

    fn run(content: &[u8], on_error: OnError) -> (Vec<String>, Result<Count>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, content).unwrap();
        let inputs = Source::File(path, InputFormat::Lines).open().unwrap();
        let checked = match Checked::begin(inputs, on_error) {
            Ok(Some(checked)) => checked,
            Ok(None) => return (vec![], Ok(Count::default())),
            Err(error) => return (vec![], Err(error)),
        };
        let mut seen = Vec::new();
        let result = checked.run(&Report::new(true, 0), embed, |done| {
            seen.push(match done.embedding {
                Ok(embedded) => format!("{} {} {:?}", done.index, done.text, embedded.value),
                Err(why) => format!("{} {why}", done.index),
            });
            Ok(())
        });
        (seen, result)
    }

    #[test]
    fn results_keep_step_with_inputs() {
        let (seen, count) = run(b"a\n\nlonger\nbb\n", OnError::Fail);
        assert_eq!(seen, ["0 a [1.0]", "1  [0.0]", "2 longer [6.0]", "3 bb [2.0]"]);
        assert_eq!(count.unwrap(), Count { inputs: 4, truncated: 1, skipped: 0 });
        assert_eq!(run(b"", OnError::Fail).1.unwrap(), Count::default());
    }

    #[test]
    fn a_bad_line_ends_the_run_after_what_came_before() {
        let (seen, result) = run(b"a\nb\nc\n\xff\nd\n", OnError::Fail);
        assert_eq!(seen, ["0 a [1.0]", "1 b [1.0]", "2 c [1.0]"]);
        assert!(result.unwrap_err().to_string().starts_with("line 4 of "));
        let (seen, result) = run(b"\xff\na\n", OnError::Fail);
        assert!(seen.is_empty());
        assert!(result.unwrap_err().to_string().starts_with("line 1 of "));
    }

    #[test]
    fn what_the_model_cannot_do_names_the_input() {
        for (content, why) in [
            (&b"a\nbad\nb\n"[..], "input 1: cannot embed"),
            (b"a\nnan\nb\n", "input 1: the embedding is not finite: component 1 is NaN"),
        ] {
            let (seen, result) = run(content, OnError::Fail);
            assert_eq!(seen, ["0 a [1.0]"]);
            assert_eq!(causes(&result.unwrap_err()), why);
            let (seen, result) = run(content, OnError::Skip);
            assert_eq!(seen, ["0 a [1.0]", &format!("1 {why}"), "2 b [1.0]"]);
            assert_eq!(result.unwrap().skipped, 1);
        }
    }

    #[test]
    fn bad_lines_are_skipped_in_their_place() {
        let (seen, count) = run(b"\xff\na\n\xff\n\xff\nb\n\xff", OnError::Skip);
        assert_eq!(seen.len(), 6);
        assert_eq!([&*seen[1], &*seen[4]], ["1 a [1.0]", "4 b [1.0]"]);
        assert!(seen[5].starts_with("5 line 6 of "), "{}", seen[5]);
        assert_eq!(count.unwrap(), Count { inputs: 6, truncated: 0, skipped: 4 });
    }

    #[test]
    fn a_writer_that_fails_ends_the_run() {
        let inputs = Source::Arguments(vec!["a".into(), "b".into()]).open().unwrap();
        let checked = Checked::begin(inputs, OnError::Skip).unwrap().unwrap();
        let result = checked.run(&Report::new(true, 0), embed, |_| Err(anyhow!("disk full")));
        assert_eq!(result.unwrap_err().to_string(), "disk full");
    }
}
