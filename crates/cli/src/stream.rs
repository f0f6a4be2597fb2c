//! From inputs to results, one at a time and in order: what a model cannot be given, and what it
//! cannot do, is put in its place or ends the run.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Error, Result, anyhow};
use embedkit::Embedded;

use crate::{
    args::{InputFormat, OnError},
    encoder::Results,
    input::{Input, Inputs, Item, Kind},
    report::{Progress, Report, causes, failure},
    value::Value,
};

/// Unusable inputs that are kept in a row until the next result is asked for.
const MOST_UNUSABLE: usize = 1024;

/// What became of one input.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its number, from 0.
    pub(crate) index: u64,
    /// The input itself and its result, or with `--on-error skip` why there is none.
    pub(crate) result: Result<(Item, Embedded<Value>), String>,
}

/// What happened to all inputs together.
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
        if let (OnError::Fail, Err(why)) = (on_error, &first.item) {
            return Err(anyhow!(why.clone()));
        }
        Ok(Some(Self { first, rest: inputs, on_error }))
    }

    /// The kind of the first input; `None` where it is none that can be used.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.first.item.as_ref().ok().map(Item::kind)
    }

    /// Warns where texts were wanted and the first line is JSON, unless lines were asked for.
    pub(crate) fn warn_of_json(&self, asked: Option<InputFormat>, report: &Report) {
        if asked.is_none() && self.rest.begins_with_json() {
            report.warn(
                "the input looks like JSON, and each of its lines is taken as a text; \
                 --input-format jsonl reads an object with \"text\" a line, which `jq -c '.[]'` makes of \
                 an array, and --input-format lines keeps it so without this warning",
            );
        }
    }

    /// Hands the inputs to `embed`, a stretch of one kind at a time, which gives one result for each,
    /// in order, and the results to `each`.
    ///
    /// # Errors
    /// The first input, in their order, that cannot be used; whatever `embed` and `each` say. What was
    /// handed to `each` before stands.
    pub(crate) fn run<'a>(
        self,
        report: &Report,
        mut embed: impl FnMut(Kind, Items) -> Result<Results<'a>>,
        each: impl FnMut(Done) -> Result<()>,
    ) -> Result<Count> {
        let mut run = Run {
            progress: report.progress(self.rest.bytes(), "inputs"),
            on_error: self.on_error,
            count: Count::default(),
            last_error: None,
            each,
        };
        let feed = Arc::new(Feed {
            source: Mutex::new(Source { next: Some(self.first), rest: self.rest, ended: false }),
            on_error: self.on_error,
            in_flight: Mutex::default(),
        });
        loop {
            let ahead = feed.look(&mut lock(&feed.source));
            let Ahead::Usable(kind) = ahead else {
                run.settle_unusable(&feed)?;
                if ahead == Ahead::End {
                    break;
                }
                continue;
            };
            for result in embed(kind, Items { feed: feed.clone(), kind })? {
                run.settle_unusable(&feed)?;
                let Some(pending) = lock(&feed.in_flight).queue.pop_front() else {
                    // More results than inputs: an error of the run as a whole.
                    return Err(result.err().unwrap_or_else(too_many));
                };
                run.settle(pending, Some(result))?;
            }
            run.settle_unusable(&feed)?;
            if !lock(&feed.in_flight).queue.is_empty() {
                // The model gave up before it had seen everything.
                let stopped = || anyhow!("the model stopped at input {}", run.count.inputs);
                return Err(run.last_error.unwrap_or_else(stopped));
            }
        }
        let stopped = lock(&feed.in_flight).stopped.take();
        stopped.map_or(Ok(run.count), Err)
    }
}

/// What has been done so far.
struct Run<Each> {
    progress: Progress,
    on_error: OnError,
    count: Count,
    last_error: Option<Error>,
    each: Each,
}

impl<Each: FnMut(Done) -> Result<()>> Run<Each> {
    /// The inputs that no model was given and whose turn it is.
    fn settle_unusable(&mut self, feed: &Feed) -> Result<()> {
        loop {
            let mut in_flight = lock(&feed.in_flight);
            if in_flight.queue.front().is_none_or(|next| next.item.is_ok()) {
                return Ok(());
            }
            let pending = in_flight.queue.pop_front();
            drop(in_flight);
            if let Some(pending) = pending {
                self.settle(pending, None)?;
            }
        }
    }

    /// One input is done.
    fn settle(&mut self, pending: Pending, result: Option<Result<Embedded<Value>>>) -> Result<()> {
        let index = self.count.inputs;
        let result = match (pending.item, result) {
            (Err(why), _) => Err(why),
            (Ok(item), result) => {
                let result = result.unwrap_or_else(|| Err(anyhow!("there is no result")));
                let checked = result.and_then(|done| done.value.check_finite().map(|()| done));
                match checked.map_err(|error| error.context(format!("input {index}"))) {
                    Ok(embedded) => Ok((item, embedded)),
                    Err(error) if self.on_error == OnError::Fail => return Err(error),
                    Err(error) => {
                        let why = causes(&error);
                        self.last_error = Some(error);
                        Err(why)
                    }
                }
            }
        };
        self.count.inputs += 1;
        self.count.skipped += u64::from(result.is_err());
        self.count.truncated += u64::from(result.as_ref().is_ok_and(|(_, done)| done.truncated));
        self.progress.advance(pending.position);
        (self.each)(Done { index, result })
    }
}

fn too_many() -> Error {
    anyhow!("the model gave more results than there are inputs")
}

/// Inputs on their way to models.
struct Feed {
    source: Mutex<Source>,
    on_error: OnError,
    in_flight: Mutex<InFlight>,
}

/// Where inputs are read, and the one that was read and not taken.
struct Source {
    next: Option<Input>,
    rest: Inputs,
    ended: bool,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ahead {
    /// An input that can be used, which is in [`Source::next`].
    Usable(Kind),
    /// So many that cannot be used that they should be settled first.
    Unusable,
    /// Nothing, or an error because of which there is nothing.
    End,
}

/// What was read and has no result yet, in order; the model's window bounds it.
#[derive(Default)]
struct InFlight {
    queue: VecDeque<Pending>,
    /// Why no more inputs come.
    stopped: Option<Error>,
}

struct Pending {
    item: Result<Item, String>,
    position: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves the queue as it is, and nothing here stops halfway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    /// Reads on until there is an input that can be used. Those before it are put in the queue.
    fn look(&self, source: &mut Source) -> Ahead {
        for _ in 0..MOST_UNUSABLE {
            if source.ended {
                return Ahead::End;
            }
            // Without a lock on what is in flight: it may take for ever.
            let input = source.next.take().map(Ok).or_else(|| source.rest.next());
            match input {
                Some(Ok(Input { item: Err(why), position })) if self.on_error == OnError::Skip => {
                    lock(&self.in_flight).queue.push_back(Pending { item: Err(why), position });
                }
                Some(Ok(Input { item: Ok(item), position })) => {
                    let kind = item.kind();
                    source.next = Some(Input { item: Ok(item), position });
                    return Ahead::Usable(kind);
                }
                Some(Ok(Input { item: Err(why), .. })) => self.stop(source, Some(anyhow!(why))),
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

/// Inputs of one kind, as a model pulls them, ahead of its results.
pub(crate) struct Items {
    feed: Arc<Feed>,
    kind: Kind,
}

impl Items {
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The texts, where all are texts.
    pub(crate) fn texts(self) -> impl Iterator<Item = Arc<str>> {
        self.filter_map(|item| match item {
            Item::Text(text) => Some(text),
            Item::Image(_) | Item::Pair(..) => None,
        })
    }

    /// The paths, where all are images.
    pub(crate) fn images(self) -> impl Iterator<Item = PathBuf> {
        self.filter_map(|item| match item {
            Item::Image(path) => Some(path.to_path_buf()),
            Item::Text(_) | Item::Pair(..) => None,
        })
    }

    /// Queries and texts, where all are such pairs.
    pub(crate) fn pairs(self) -> impl Iterator<Item = (Arc<str>, Arc<str>)> {
        self.filter_map(|item| match item {
            Item::Pair(query, text) => Some((query, text)),
            Item::Text(_) | Item::Image(_) => None,
        })
    }
}

impl Iterator for Items {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let mut source = lock(&self.feed.source);
        if self.feed.look(&mut source) != Ahead::Usable(self.kind) {
            return None;
        }
        let Input { item, position } = source.next.take()?;
        let item = item.ok()?;
        let mut in_flight = lock(&self.feed.in_flight);
        in_flight.queue.push_back(Pending { item: Ok(item.clone()), position });
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::input::{QueryKey, Source as Place, Wanted};

    const BOTH: Wanted =
        Wanted { texts: true, images: true, query: QueryKey::Ignored, plain: Kind::Text };

    /// A model that reads two texts ahead and embeds a text as its length; `bad` is an error, and
    /// `nan` not a number.
    fn embed(kind: Kind, items: Items) -> Result<Results<'static>> {
        let image = kind == Kind::Image;
        let mut texts = items.fuse();
        let mut window = VecDeque::new();
        let embedded =
            |value, truncated| Ok(Embedded { value: Value::Vector(value), tokens: 1, truncated });
        Ok(Box::new(std::iter::from_fn(move || {
            while window.len() < 3
                && let Some(text) = texts.next()
            {
                window.push_back(text);
            }
            Some(match window.pop_front()? {
                Item::Text(text) => match &*text {
                    "bad" => Err(anyhow!("cannot embed")),
                    "nan" => embedded(vec![0.0, f32::NAN], false),
                    text => embedded(vec![text.len() as f32], text.len() > 4),
                },
                Item::Image(_) if image => embedded(vec![-1.0], false),
                other => Err(anyhow!("{other:?} is no text")),
            })
        })))
    }

    fn run(content: &[u8], on_error: OnError) -> (Vec<String>, Result<Count>) {
        run_as(content, InputFormat::Lines, on_error)
    }

    fn run_as(
        content: &[u8],
        format: InputFormat,
        on_error: OnError,
    ) -> (Vec<String>, Result<Count>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, content).unwrap();
        let inputs = Place::File(path, format).open(BOTH).unwrap();
        let checked = match Checked::begin(inputs, on_error) {
            Ok(Some(checked)) => checked,
            Ok(None) => return (vec![], Ok(Count::default())),
            Err(error) => return (vec![], Err(error)),
        };
        let mut seen = Vec::new();
        let result = checked.run(&Report::new(true, 0), embed, |done| {
            seen.push(match done.result {
                Ok((Item::Text(text), Embedded { value: Value::Vector(value), .. })) => {
                    format!("{} {text} {value:?}", done.index)
                }
                Ok((item, done)) => format!("{item:?} {:?}", done.value),
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

    #[test]
    fn each_kind_of_input_goes_to_its_own_model() {
        let content = concat!(
            "{\"text\":\"a\"}\n{\"image\":\"b\"}\n{\"image\":\"c\"}\n{}\n",
            "{\"text\":\"dd\"}\n{}\n{\"image\":\"e\"}\n"
        );
        let (seen, count) = run_as(content.as_bytes(), InputFormat::Jsonl, OnError::Skip);
        let image = |name: &str| format!("Image({name:?}) Vector([-1.0])");
        assert_eq!(seen[..3], ["0 a [1.0]".to_owned(), image("b"), image("c")]);
        assert!(seen[3].starts_with("3 line 4 of ") && seen[5].starts_with("5 line 6 of "));
        assert_eq!([&seen[4], &seen[6]], [&"4 dd [2.0]".to_owned(), &image("e")]);
        assert_eq!(count.unwrap(), Count { inputs: 7, truncated: 0, skipped: 2 });
    }

    #[test]
    fn a_writer_that_fails_ends_the_run() {
        let inputs = Place::Arguments(vec!["a".into(), "b".into()]).open(BOTH).unwrap();
        let checked = Checked::begin(inputs, OnError::Skip).unwrap().unwrap();
        let result = checked.run(&Report::new(true, 0), embed, |_| Err(anyhow!("disk full")));
        assert_eq!(result.unwrap_err().to_string(), "disk full");
    }
}
