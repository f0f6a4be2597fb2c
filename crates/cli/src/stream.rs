//! From inputs to results, one at a time and in order: an input that cannot be used, or that the model
//! fails on, is put in its place or ends the run.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Error, Result, anyhow};
use embedkit::{Embedded, Input, InputKind, Output};

use crate::{
    args::{InputFormat, OnError},
    input::{Inputs, Item},
    progress,
    record::Record,
    report::{Report, causes, failure},
};

/// Unusable inputs that are kept in a row until the next result is asked for.
const MOST_UNUSABLE: usize = 1024;

/// A result of the model for each input, in order.
pub(crate) type Results<'a> =
    Box<dyn Iterator<Item = Result<Embedded<Output>, embedkit::Error>> + 'a>;

/// Inputs of a run, and what happened to them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) inputs: u64,
    pub(crate) truncated: u64,
    pub(crate) skipped: u64,
}

impl Count {
    /// Warns of what the results alone do not show at a glance. `why` is what the first skipped input
    /// lacks, where no result says it.
    ///
    /// # Errors
    /// There were inputs, and none of them could be used.
    pub(crate) fn report(&self, report: &Report, why: Option<String>) -> Result<()> {
        if self.inputs > 0 && self.skipped == self.inputs {
            let what = match self.inputs {
                1 => "the only input was skipped".to_owned(),
                all => format!("all {all} inputs were skipped"),
            };
            return Err(match why {
                Some(why) => failure(format!("{what}, the first because of: {why}")),
                None => failure(what).hint("each record of the output says why"),
            }
            .into());
        }
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
        Ok(())
    }
}

/// Inputs of which the first has been read already, so that a file that cannot be read at all is
/// found before a model is opened.
pub(crate) struct Run {
    first: Item,
    rest: Inputs,
    on_error: OnError,
}

impl Run {
    /// Reads the first input; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read or used.
    pub(crate) fn begin(mut inputs: Inputs, on_error: OnError) -> Result<Option<Self>> {
        let Some(first) = inputs.next().transpose()? else { return Ok(None) };
        if let (OnError::Fail, Err(why)) = (on_error, &first.input) {
            return Err(anyhow!(why.clone()));
        }
        Ok(Some(Self { first, rest: inputs, on_error }))
    }

    /// The kind of the first input; `None` where it cannot be used.
    pub(crate) fn kind(&self) -> Option<InputKind> {
        self.first.input.as_ref().ok().map(Input::kind)
    }

    /// Warns where texts were expected and the first line is JSON, unless lines were asked for.
    pub(crate) fn warn_of_json(&self, asked: Option<InputFormat>, report: &Report) {
        if asked.is_none() && self.rest.begins_with_json() {
            report.warn(
                "the input looks like JSON, and each of its lines is taken as a text; \
                 --input-format jsonl reads an object with \"text\" a line, which `jq -c '.[]'` makes of \
                 an array, and --input-format lines keeps it so without this warning",
            );
        }
    }

    /// Hands the inputs to `embed`, which gives one result for each, in order, and the records to
    /// `each`. Before an input goes to the model, `open` opens what inputs of its kind need.
    ///
    /// # Errors
    /// The first input, in their order, that cannot be used; those of `open` and `each`. Records that
    /// were handed to `each` before stand.
    pub(crate) fn embed<'a>(
        self,
        report: &Report,
        open: impl Fn(InputKind) -> Result<()> + Send + Sync + 'a,
        mut embed: impl FnMut(Items<'a>) -> Results<'a>,
        each: impl FnMut(Record) -> Result<()>,
    ) -> Result<Count> {
        let mut settled = Settled {
            progress: report.progress(self.rest.bytes(), "inputs"),
            on_error: self.on_error,
            count: Count::default(),
            last_error: None,
            each,
        };
        let feed = Arc::new(Feed {
            source: Mutex::new(Source { next: Some(self.first), rest: self.rest, ended: false }),
            on_error: self.on_error,
            open: Box::new(open),
            in_flight: Mutex::default(),
        });
        loop {
            let ahead = feed.look(&mut lock(&feed.source));
            if ahead != Ahead::Usable {
                settled.settle_unusable(&feed)?;
                if ahead == Ahead::End {
                    break;
                }
                continue;
            }
            for result in embed(Items { feed: feed.clone() }) {
                settled.settle_unusable(&feed)?;
                let Some(item) = lock(&feed.in_flight).queue.pop_front() else {
                    // More results than inputs: an error of the run as a whole.
                    return Err(result.map_or_else(Error::new, |_| too_many()));
                };
                settled.settle(item, Some(result))?;
            }
            settled.settle_unusable(&feed)?;
            if !lock(&feed.in_flight).queue.is_empty() {
                // The model gave up before it had seen everything.
                let stopped = || anyhow!("the model stopped at input {}", settled.count.inputs);
                return Err(settled.last_error.unwrap_or_else(stopped));
            }
        }
        let stopped = lock(&feed.in_flight).stopped.take();
        stopped.map_or(Ok(settled.count), Err)
    }
}

/// The inputs that are done: their number, and the last error among them.
struct Settled<Each> {
    progress: progress::Items,
    on_error: OnError,
    count: Count,
    last_error: Option<Error>,
    each: Each,
}

impl<Each: FnMut(Record) -> Result<()>> Settled<Each> {
    /// The inputs that no model was given and whose turn it is.
    fn settle_unusable(&mut self, feed: &Feed<'_>) -> Result<()> {
        loop {
            let mut in_flight = lock(&feed.in_flight);
            if in_flight.queue.front().is_none_or(|next| next.input.is_ok()) {
                return Ok(());
            }
            let item = in_flight.queue.pop_front();
            drop(in_flight);
            if let Some(item) = item {
                self.settle(item, None)?;
            }
        }
    }

    /// One input is done.
    fn settle(
        &mut self,
        item: Item,
        result: Option<Result<Embedded<Output>, embedkit::Error>>,
    ) -> Result<()> {
        let index = self.count.inputs;
        let result = match (item.input, result) {
            (Err(why), _) => Err(why),
            (Ok(input), result) => {
                let result = match result {
                    Some(Ok(done)) => done.value.check_finite().map(|()| done).map_err(Error::new),
                    Some(Err(error)) => Err(Error::new(error)),
                    None => Err(anyhow!("there is no result")),
                };
                match result.map_err(|error| error.context(format!("input {index}"))) {
                    Ok(embedded) => Ok((input, embedded)),
                    Err(error) if self.on_error == OnError::Fail => return Err(error),
                    Err(error) => {
                        let why = causes(&error);
                        self.last_error = Some(error);
                        Err(why)
                    }
                }
            }
        };
        let record = Record { index, result };
        self.count.inputs += 1;
        self.count.skipped += u64::from(record.result.is_err());
        self.count.truncated += u64::from(record.truncated());
        self.progress.advance(item.position);
        (self.each)(record)
    }
}

fn too_many() -> Error {
    anyhow!("the model gave more results than there are inputs")
}

/// Inputs on their way to models.
struct Feed<'a> {
    source: Mutex<Source>,
    on_error: OnError,
    open: Box<dyn Fn(InputKind) -> Result<()> + Send + Sync + 'a>,
    in_flight: Mutex<InFlight>,
}

/// The inputs, and the one that was read and not taken.
struct Source {
    next: Option<Item>,
    rest: Inputs,
    ended: bool,
}

/// The next input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ahead {
    /// One that can be used, which is in [`Source::next`].
    Usable,
    /// Unusable ones, so many that they should be settled first.
    Unusable,
    /// None, or an error because of which there is none.
    End,
}

/// Items that were read and have no result yet, in order; the model's window bounds them.
#[derive(Default)]
struct InFlight {
    queue: VecDeque<Item>,
    /// The failure that ended the inputs.
    stopped: Option<Error>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves the queue as it is, and nothing here stops halfway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed<'_> {
    /// Reads on until there is an input that can be used, and opens what it needs. Those before it are
    /// put in the queue.
    fn look(&self, source: &mut Source) -> Ahead {
        for _ in 0..MOST_UNUSABLE {
            if source.ended {
                return Ahead::End;
            }
            // Without a lock on the queue: it may take for ever.
            let item = source.next.take().map(Ok).or_else(|| source.rest.next());
            match item {
                Some(Ok(item)) => match &item.input {
                    Ok(input) => match (self.open)(input.kind()) {
                        Ok(()) => {
                            source.next = Some(item);
                            return Ahead::Usable;
                        }
                        Err(error) => self.stop(source, Some(error)),
                    },
                    Err(_) if self.on_error == OnError::Skip => {
                        lock(&self.in_flight).queue.push_back(item);
                    }
                    Err(why) => self.stop(source, Some(anyhow!(why.clone()))),
                },
                Some(Err(error)) => self.stop(source, Some(error)),
                None => self.stop(source, None),
            }
        }
        Ahead::Unusable
    }

    fn stop(&self, source: &mut Source, why: Option<Error>) {
        source.ended = true;
        lock(&self.in_flight).stopped = why;
    }
}

/// Inputs as a model pulls them, ahead of its results.
pub(crate) struct Items<'a> {
    feed: Arc<Feed<'a>>,
}

impl Iterator for Items<'_> {
    type Item = Input;

    fn next(&mut self) -> Option<Input> {
        let mut source = lock(&self.feed.source);
        if self.feed.look(&mut source) != Ahead::Usable {
            return None;
        }
        let item = source.next.take()?;
        let input = item.input.as_ref().ok()?.clone();
        lock(&self.feed.in_flight).queue.push_back(item);
        Some(input)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use embedkit::types::{Error, ErrorKind};

    use super::*;
    use crate::input::{AcceptedInputs, QueryKey, Source as Place};
    use crate::report::Log;

    const BOTH: AcceptedInputs = AcceptedInputs {
        texts: true,
        images: true,
        query: QueryKey::Ignored,
        plain: InputKind::Text,
    };

    /// A model that reads two inputs ahead and embeds a text as its length; `bad` is an error, and
    /// `nan` not a number.
    fn embed(items: Items<'_>) -> Results<'_> {
        let mut items = items.fuse();
        let mut window = VecDeque::new();
        let embedded = |value: f32, truncated| {
            Ok(Embedded { value: Output::Dense(vec![value]), tokens: 1, truncated })
        };
        Box::new(std::iter::from_fn(move || {
            while window.len() < 3
                && let Some(input) = items.next()
            {
                window.push_back(input);
            }
            Some(match window.pop_front()? {
                Input::Text(text) => match &*text {
                    "bad" => Err(Error::new(ErrorKind::Runtime, "cannot embed")),
                    "nan" => embedded(f32::NAN, false),
                    text => embedded(text.len() as f32, text.len() > 4),
                },
                _ => embedded(-1.0, false),
            })
        }))
    }

    fn run(content: &[u8], on_error: OnError) -> (Vec<String>, Result<Count>) {
        run_as(content, InputFormat::Lines, on_error, |_| Ok(()))
    }

    fn run_as(
        content: &[u8],
        format: InputFormat,
        on_error: OnError,
        open: impl Fn(InputKind) -> Result<()> + Send + Sync,
    ) -> (Vec<String>, Result<Count>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, content).unwrap();
        let inputs = Place::File(path, format).open(BOTH).unwrap();
        let run = match Run::begin(inputs, on_error) {
            Ok(Some(run)) => run,
            Ok(None) => return (vec![], Ok(Count::default())),
            Err(error) => return (vec![], Err(error)),
        };
        let mut seen = Vec::new();
        let result = run.embed(&Report::new(true, 0, Log::Warnings), open, embed, |record| {
            seen.push(match record.result {
                Ok((Input::Text(text), Embedded { value: Output::Dense(value), .. })) => {
                    format!("{} {text} {value:?}", record.index)
                }
                Ok((input, done)) => {
                    format!("{} {:?} {:?}", record.index, input.kind(), done.value)
                }
                Err(why) => format!("{} {why}", record.index),
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
            (b"a\nnan\nb\n", "input 1: the embedding is not finite: component 0 is NaN"),
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
    fn more_bad_lines_than_are_kept_are_skipped_too() {
        let bad = MOST_UNUSABLE * 5 / 2;
        let mut content = b"a\n".to_vec();
        content.extend(b"\xff\n".repeat(bad));
        content.extend(b"b\n");
        let (seen, count) = run(&content, OnError::Skip);
        assert_eq!(seen.len(), bad + 2);
        assert_eq!(seen[bad + 1], format!("{} b [1.0]", bad + 1));
        assert_eq!(count.unwrap().skipped, bad as u64);
    }

    const MIXED: &str = concat!(
        "{\"text\":\"a\"}\n{\"image\":\"b\"}\n{\"image\":\"c\"}\n{}\n",
        "{\"text\":\"dd\"}\n{}\n{\"image\":\"e\"}\n"
    );

    #[test]
    fn inputs_of_all_kinds_stay_in_order() {
        let (seen, count) = run_as(MIXED.as_bytes(), InputFormat::Jsonl, OnError::Skip, |_| Ok(()));
        let image = |index: usize| format!("{index} Image Dense([-1.0])");
        assert_eq!(seen[..3], ["0 a [1.0]".to_owned(), image(1), image(2)]);
        assert!(seen[3].starts_with("3 line 4 of ") && seen[5].starts_with("5 line 6 of "));
        assert_eq!([&seen[4], &seen[6]], [&"4 dd [2.0]".to_owned(), &image(6)]);
        assert_eq!(count.unwrap(), Count { inputs: 7, truncated: 0, skipped: 2 });
    }

    #[test]
    fn an_encoder_that_cannot_be_opened_ends_the_run_behind_the_results_before_it() {
        let open = |kind| if kind == InputKind::Image { Err(anyhow!("no files")) } else { Ok(()) };
        let (seen, result) = run_as(MIXED.as_bytes(), InputFormat::Jsonl, OnError::Skip, open);
        assert_eq!(seen, ["0 a [1.0]"]);
        assert_eq!(result.unwrap_err().to_string(), "no files");
    }

    #[test]
    fn a_writer_that_fails_ends_the_run() {
        let inputs = Place::Arguments(vec!["a".into(), "b".into()]).open(BOTH).unwrap();
        let run = Run::begin(inputs, OnError::Skip).unwrap().unwrap();
        let report = Report::new(true, 0, Log::Warnings);
        let result = run.embed(&report, |_| Ok(()), embed, |_| Err(anyhow!("disk full")));
        assert_eq!(result.unwrap_err().to_string(), "disk full");
    }
}
