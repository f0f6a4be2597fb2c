//! Embeddings from files, with labels and categories for each.

use std::{
    fs::File,
    io::{BufReader, Read as _, Seek as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow};
use embedkit::{Input, InputKind};
use serde_json::{Map, Value};

use super::{
    npy::{Array, MAGIC},
    point::Point,
};
use crate::{
    args::InputFormat,
    input::{AcceptedInputs, Inputs, Item, Origin, QueryKey, Source},
    report::{CliError, failure},
};

/// Keys under which a label is looked for, the first one that is there.
const LABEL_KEYS: [&str; 3] = ["label", "text", "image"];

const IN_STEP: &str = "a line belongs to each embedding, in the same order";

/// Files of a map.
#[derive(Debug)]
pub(crate) struct Files<'a> {
    /// Embeddings; `-` is standard input.
    pub(crate) embeddings: &'a Path,
    pub(crate) labels: Option<&'a Path>,
    /// A file of categories, or the key of an object.
    pub(crate) color_by: Option<&'a str>,
}

/// Points, one by one.
pub(crate) struct Rows {
    place: String,
    source: Embeddings,
    labels: Option<Labels>,
    color_by: Option<ColorBy>,
    /// Number of the next row, from 0.
    next: u64,
    /// Rows with an error in place of an embedding.
    pub(crate) skipped: u64,
    category_seen: bool,
}

enum Embeddings {
    Array(Array<BufReader<File>>),
    Lines(Inputs),
}

enum ColorBy {
    File(Box<Labels>),
    Key(String),
}

impl Rows {
    /// Opens the files.
    ///
    /// # Errors
    /// One of them cannot be opened, or is no array of embeddings.
    pub(crate) fn open(files: &Files<'_>) -> Result<Self> {
        let place = place(files.embeddings);
        let source = match array(files.embeddings, &place)? {
            Some(array) => Embeddings::Array(array),
            None => Embeddings::Lines(lines(files.embeddings)?),
        };
        let labels = files.labels.map(Labels::open).transpose()?;
        let color_by = match files.color_by {
            Some(name) if Path::new(name).is_file() => {
                Some(ColorBy::File(Box::new(Labels::open(Path::new(name))?)))
            }
            name => name.map(|name| ColorBy::Key(name.to_owned())),
        };
        Ok(Self { place, source, labels, color_by, next: 0, skipped: 0, category_seen: false })
    }

    /// The files that are read.
    pub(crate) fn origin(files: &Files<'_>) -> Origin {
        if files.embeddings == Path::new("-") && files.labels.is_none() {
            return Origin::Stdin;
        }
        let color_by = files.color_by.map(Path::new).filter(|path| path.is_file());
        let paths = [Some(files.embeddings), files.labels, color_by];
        Origin::Files(paths.into_iter().flatten().map(Path::to_path_buf).collect())
    }

    /// The next point; `None` at the end, where labels and categories have to end, too.
    ///
    /// # Errors
    /// A row that is none, that has no label or category, or more of them than rows.
    pub(crate) fn next(&mut self) -> Result<Option<Point>> {
        loop {
            let row = match &mut self.source {
                Embeddings::Array(array) => array
                    .next()
                    .transpose()?
                    .map(|values| Row { values: Some(values), ..Row::default() }),
                Embeddings::Lines(lines) => match line(lines)? {
                    None => None,
                    Some(text) => Some(Row::parse(&text).map_err(|error| {
                        error.context(format!("line {} of {}", self.next + 1, self.place))
                    })?),
                },
            };
            let Some(row) = row else { return self.end().map(|()| None) };
            if let Some(point) = self.point(row)? {
                return Ok(Some(point));
            }
        }
    }

    /// Rows so far.
    pub(crate) fn count(&self) -> u64 {
        self.next
    }

    fn point(&mut self, row: Row) -> Result<Option<Point>> {
        let index = self.next;
        self.next += 1;
        let (label, object) = match &mut self.labels {
            Some(labels) => labels.expect(&self.place)?,
            None => (label(&row.others), Map::new()),
        };
        let category = match &mut self.color_by {
            None => None,
            Some(ColorBy::File(categories)) => Some(categories.expect(&self.place)?.0),
            Some(ColorBy::Key(key)) => {
                row.others.get(key).or_else(|| object.get(key)).and_then(plain)
            }
        };
        self.category_seen |= category.is_some();
        let Some(values) = row.values else {
            self.skipped += 1;
            return Ok(None);
        };
        Ok(Some(Point { index, values, label, category }))
    }

    /// Checks that everything has been read, and that the key of categories was somewhere.
    fn end(&mut self) -> Result<()> {
        if let Some(labels) = &mut self.labels {
            labels.expect_end(&self.place)?;
        }
        match &mut self.color_by {
            Some(ColorBy::File(categories)) => categories.expect_end(&self.place),
            Some(ColorBy::Key(key)) if !self.category_seen && self.next > 0 => {
                let what =
                    format!("--color-by: no object has the key {key:?}, and no file that name");
                let hint =
                    "give a file of lines, or a key of the objects in the embeddings or labels";
                Err(failure(what).hint(hint).into())
            }
            _ => Ok(()),
        }
    }
}

/// Labels or categories: a line each, or an object a line.
struct Labels {
    lines: Inputs,
    place: String,
    objects: bool,
    number: u64,
}

impl Labels {
    fn open(path: &Path) -> Result<Self> {
        let ending = path.extension().unwrap_or_default();
        let objects = ["jsonl", "ndjson"].iter().any(|name| ending.eq_ignore_ascii_case(name));
        Ok(Self { lines: lines(path)?, place: place(path), objects, number: 0 })
    }

    /// The next label, and the other keys of its object.
    fn next(&mut self) -> Result<Option<(String, Map<String, Value>)>> {
        let Some(text) = line(&mut self.lines)? else { return Ok(None) };
        self.number += 1;
        if !self.objects {
            return Ok(Some((text, Map::new())));
        }
        let object =
            object(&text).with_context(|| format!("line {} of {}", self.number, self.place))?;
        Ok(Some((label(&object), object)))
    }

    /// The next label, where there has to be one for an embedding of `embeddings`.
    fn expect(&mut self, embeddings: &str) -> Result<(String, Map<String, Value>)> {
        let (lines, place) = (self.number, self.place.clone());
        let next = self.next()?;
        Ok(next.ok_or_else(|| {
            failure(format!("{place} has {lines} lines, and {embeddings} more embeddings"))
                .hint(IN_STEP)
        })?)
    }

    /// Checks that there are no more labels than embeddings.
    fn expect_end(&mut self, embeddings: &str) -> Result<()> {
        let rows = self.number;
        if self.next()?.is_none() {
            return Ok(());
        }
        let what =
            format!("{} has more lines than the {rows} embeddings of {embeddings}", self.place);
        Err(failure(what).hint(IN_STEP).into())
    }
}

/// A line of embeddings.
#[derive(Debug, Default)]
struct Row {
    /// `None` where an error stands in its place.
    values: Option<Vec<f32>>,
    others: Map<String, Value>,
}

impl Row {
    fn parse(text: &str) -> Result<Self> {
        let mut others = object(text)?;
        let values = match others.remove("embedding") {
            Some(Value::Array(values)) => Some(vector(&values)?),
            Some(_) => return Err(failure("expected an array of numbers as \"embedding\"").into()),
            None if others.get("error").is_some_and(Value::is_string) => None,
            None => return Err(no_vector(&others).into()),
        };
        Ok(Self { values, others })
    }
}

fn vector(values: &[Value]) -> Result<Vec<f32>, CliError> {
    if values.first().is_some_and(Value::is_array) {
        return Err(failure("expected one vector, got many")
            .hint("`embedkit embed --postprocess muvera` makes one of them"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "what becomes infinite is refused")]
    let number = |value: &Value| value.as_f64().map(|number| number as f32);
    let numbers: Option<Vec<_>> = values.iter().map(number).collect();
    numbers.ok_or_else(|| failure("expected an array of numbers as \"embedding\""))
}

fn no_vector(object: &Map<String, Value>) -> CliError {
    if object.contains_key("indices") {
        return failure("expected one vector, got weighted terms")
            .hint("a map is drawn of dense embeddings");
    }
    if object.contains_key("score") {
        return failure("expected one vector, got a score")
            .hint("a map is drawn of dense embeddings");
    }
    if ["dense", "sparse", "multi"].iter().any(|name| object.contains_key(*name)) {
        return failure("expected one vector, got several embeddings")
            .hint("`embedkit embed --outputs dense` gives one of them");
    }
    failure("\"embedding\" is not given")
}

fn object(text: &str) -> Result<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(failure("expected a JSON object").into()),
        Err(error) => {
            let text = error.to_string();
            let what = text.split(" at line ").next().unwrap_or(&text);
            Err(anyhow!("{what} (column {})", error.column()))
        }
    }
}

fn label(object: &Map<String, Value>) -> String {
    LABEL_KEYS.iter().find_map(|key| object.get(*key).and_then(plain)).unwrap_or_default()
}

/// A string, number or truth value in plain words.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The array in a file that is one.
fn array(path: &Path, place: &str) -> Result<Option<Array<BufReader<File>>>> {
    if !path.is_file() {
        return Ok(None);
    }
    let cannot = || format!("cannot read {place}");
    let mut file = File::open(path).with_context(cannot)?;
    let mut start = Vec::new();
    (&mut file).take(MAGIC.len() as u64).read_to_end(&mut start).with_context(cannot)?;
    if start != MAGIC {
        return Ok(None);
    }
    file.rewind().with_context(cannot)?;
    let length = file.metadata().with_context(cannot)?.len();
    Array::open(BufReader::with_capacity(1 << 16, file), length, place.to_owned()).map(Some)
}

fn lines(path: &Path) -> Result<Inputs> {
    let texts = AcceptedInputs {
        texts: true,
        images: false,
        query: QueryKey::Ignored,
        plain: InputKind::Text,
    };
    let source = if path == Path::new("-") {
        Source::Stdin(InputFormat::Lines)
    } else if path.is_dir() {
        return Err(failure(format!("{} is a folder", path.display())).into());
    } else {
        Source::File(PathBuf::from(path), InputFormat::Lines)
    };
    source.open(texts)
}

/// The next line.
fn line(lines: &mut Inputs) -> Result<Option<String>> {
    let Some(Item { input, .. }) = lines.next().transpose()? else { return Ok(None) };
    match input.map_err(|why| anyhow!(why))? {
        Input::Text(text) => Ok(Some(text.to_string())),
        other => Err(anyhow!("expected a line of text, got {}", other.kind())),
    }
}

fn place(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}
