//! Reading the inputs: arguments, a file or standard input; an input a line or a JSON object a line.

mod accepted;
mod encoding;
mod folder;
mod json;

use std::{
    fs::{File, Metadata},
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use embedkit::{ImageInput, Input, InputKind};

use self::{accepted::plain, encoding::BYTE_ORDER_MARK};
use crate::{
    args::{InputArgs, InputFormat},
    report::{CliError, usage},
};

pub(crate) use self::accepted::{AcceptedInputs, QueryKey};

/// Longest line that is read: far more than any model takes, and a bound on what a file without line
/// ends can occupy.
const LONGEST_LINE: u64 = 64 << 20;

/// The path of an image.
pub(crate) fn image_path(input: &Input) -> Option<&Path> {
    match input {
        Input::Image(ImageInput::Path(path)) => Some(path),
        _ => None,
    }
}

/// The input's identity, compared with the output's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nothing but the command line.
    Arguments,
    Stdin,
    Files(Vec<PathBuf>),
}

/// Source of the inputs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Arguments(Vec<String>),
    File(PathBuf, InputFormat),
    /// The images in it.
    Folder(PathBuf),
    Stdin(InputFormat),
}

impl Source {
    /// Arguments, or `--input`, or standard input when it is not a terminal.
    ///
    /// # Errors
    /// Usage errors: arguments together with `--input`, or none of the three.
    pub(crate) fn choose(
        arguments: Vec<String>,
        args: &InputArgs,
        stdin_is_terminal: bool,
    ) -> Result<Self> {
        let file = args.input.as_deref();
        match (arguments.is_empty(), file) {
            (false, Some(_)) => Err(usage("inputs are given as arguments and with --input")
                .hint("leave one of the two out")
                .into()),
            (false, None) => Ok(Self::Arguments(arguments)),
            (true, None) if stdin_is_terminal => Err(usage("there is nothing to read")
                .hint("give texts as arguments, a file with --input FILE, or pipe them in")
                .into()),
            (true, Some(path)) if path.is_dir() => Ok(Self::Folder(path.to_owned())),
            (true, Some(path)) if path != Path::new("-") => {
                let implied = || {
                    let jsonl = path.extension().is_some_and(|extension| {
                        extension.eq_ignore_ascii_case("jsonl")
                            || extension.eq_ignore_ascii_case("ndjson")
                    });
                    if jsonl { InputFormat::Jsonl } else { InputFormat::Lines }
                };
                Ok(Self::File(path.to_owned(), args.input_format.unwrap_or_else(implied)))
            }
            (true, _) => Ok(Self::Stdin(args.input_format.unwrap_or(InputFormat::Lines))),
        }
    }

    /// True if each input says what it is.
    pub(crate) fn is_jsonl(&self) -> bool {
        matches!(self, Self::File(_, InputFormat::Jsonl) | Self::Stdin(InputFormat::Jsonl))
    }

    /// Begins to read.
    ///
    /// # Errors
    /// A file or folder cannot be opened; usage errors for images that nobody wants.
    pub(crate) fn open(self, accepted: AcceptedInputs) -> Result<Inputs> {
        Ok(match self {
            Self::Arguments(arguments) if accepted.plain == InputKind::Image => {
                let mut paths = Vec::with_capacity(arguments.len());
                for path in arguments.into_iter().map(PathBuf::from) {
                    if path.is_dir() {
                        paths.append(&mut folder::images(&path)?);
                    } else {
                        paths.push(path);
                    }
                }
                Inputs::images(paths)
            }
            Self::Arguments(texts) => {
                let texts: Vec<_> = texts.into_iter().map(Input::from).collect();
                Inputs::Listed(texts.into_iter())
            }
            Self::Folder(path) if !accepted.images => {
                let what = format!("{} is a folder", path.display());
                return Err(usage(format!("{what}, and the model takes no images")).into());
            }
            Self::Folder(path) => Inputs::images(folder::images(&path)?),
            Self::File(path, format) => {
                let place = path.display().to_string();
                let file = File::open(&path).with_context(|| format!("cannot read {place}"))?;
                let bytes = file.metadata().ok().filter(Metadata::is_file).map(|data| data.len());
                let lines = Lines::new(file, place, bytes, format, accepted);
                Inputs::Lines(lines.from(Origin::Files(vec![path])))
            }
            Self::Stdin(format) => {
                let place = "standard input".to_owned();
                let lines = Lines::new(io::stdin(), place, None, format, accepted);
                Inputs::Lines(lines.from(Origin::Stdin))
            }
        })
    }
}

/// One input as it was read.
#[derive(Debug, PartialEq)]
pub(crate) struct Item {
    /// The input, or what is wrong with it, with its line.
    pub(crate) input: Result<Input, String>,
    /// Bytes that were read up to here, for the progress bar.
    pub(crate) position: u64,
}

/// The inputs in their order; an error is one of reading, after which there is nothing more.
pub(crate) enum Inputs {
    Listed(std::vec::IntoIter<Input>),
    Lines(Lines),
}

impl Inputs {
    fn images(paths: Vec<PathBuf>) -> Self {
        let images: Vec<_> = paths.into_iter().map(Input::image).collect();
        Self::Listed(images.into_iter())
    }

    /// The file that is read.
    pub(crate) fn origin(&self) -> Origin {
        match self {
            Self::Listed(items) => {
                let images = items.as_slice().iter().filter_map(image_path);
                let images: Vec<_> = images.map(Path::to_path_buf).collect();
                if images.is_empty() { Origin::Arguments } else { Origin::Files(images) }
            }
            Self::Lines(lines) => lines.origin.clone(),
        }
    }

    /// True if the first line, which was read as a text, is JSON.
    pub(crate) fn begins_with_json(&self) -> bool {
        matches!(self, Self::Lines(Lines { json: true, .. }))
    }

    /// The extent of [`Item::position`], where it is known.
    pub(crate) fn bytes(&self) -> Option<u64> {
        match self {
            Self::Listed(_) => None,
            Self::Lines(lines) => lines.bytes,
        }
    }
}

impl Iterator for Inputs {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Listed(items) => {
                items.next().map(|input| Ok(Item { input: Ok(input), position: 0 }))
            }
            Self::Lines(lines) => lines.next(),
        }
    }
}

/// The lines of a file or stream.
pub(crate) struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    origin: Origin,
    place: String,
    bytes: Option<u64>,
    format: InputFormat,
    accepted: AcceptedInputs,
    longest: u64,
    line: Vec<u8>,
    number: u64,
    position: u64,
    /// True if the first line is JSON where a text was expected.
    json: bool,
    /// Reason for which nothing more is read.
    refused: Option<CliError>,
}

impl Lines {
    fn new(
        source: impl Read + Send + 'static,
        place: String,
        bytes: Option<u64>,
        format: InputFormat,
        accepted: AcceptedInputs,
    ) -> Self {
        Self {
            reader: BufReader::with_capacity(1 << 16, Box::new(source)),
            origin: Origin::Arguments,
            place,
            bytes,
            format,
            accepted,
            longest: LONGEST_LINE,
            line: Vec::new(),
            number: 0,
            position: 0,
            json: false,
            refused: None,
        }
    }

    fn from(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// Looks at the first line, and at what came with it, without waiting for more.
    fn look(&mut self) {
        let mut sample = self.line[..self.line.len().min(encoding::SAMPLE)].to_vec();
        let more = self.reader.buffer();
        sample.extend(&more[..more.len().min(encoding::SAMPLE - sample.len())]);
        self.refused = encoding::refuse(&sample, &self.place);
        self.json = self.format == InputFormat::Lines && json::begins(&self.line);
    }

    /// Reads the next line, without its end, into `self.line`. False at the end of the input; the
    /// inner result says whether the line is short enough.
    fn read(&mut self) -> io::Result<Option<Result<(), String>>> {
        self.line.clear();
        // Two more than allowed: the line's end may be CR LF.
        let limit = self.longest + 2 + BYTE_ORDER_MARK.len() as u64;
        let mut read = (&mut self.reader).take(limit).read_until(b'\n', &mut self.line)? as u64;
        if self.line.last() != Some(&b'\n') && read == limit {
            read += self.skip_line()?;
        }
        self.position += read;
        if self.number == 0 {
            self.look();
        }
        if self.number == 0 && self.line.starts_with(BYTE_ORDER_MARK) {
            self.line.drain(..BYTE_ORDER_MARK.len());
        }
        if self.line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            if self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
        }
        Ok(Some(if self.line.len() as u64 > self.longest {
            Err(format!("longer than {} bytes", self.longest))
        } else {
            Ok(())
        }))
    }

    /// Reads to the end of the line and forgets it. Returns the number of bytes.
    fn skip_line(&mut self) -> io::Result<u64> {
        let mut skipped = 0;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(skipped);
            }
            let end = available.iter().position(|&byte| byte == b'\n');
            let used = end.map_or(available.len(), |end| end + 1);
            self.reader.consume(used);
            skipped += used as u64;
            if end.is_some() {
                return Ok(skipped);
            }
        }
    }

    fn input(&self) -> Result<Input, String> {
        let line = std::str::from_utf8(&self.line)
            .map_err(|error| format!("not UTF-8 from byte {} on", error.valid_up_to() + 1))?;
        match self.format {
            InputFormat::Lines => Ok(plain(line, self.accepted.plain)),
            InputFormat::Jsonl => json::input(line, self.accepted),
        }
    }
}

/// Reads bytes as a file is read.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzzed(
    bytes: &[u8],
    format: InputFormat,
    accepted: AcceptedInputs,
) -> impl Iterator<Item = Result<Item>> {
    Lines::new(io::Cursor::new(bytes.to_vec()), "x".to_owned(), None, format, accepted)
}

impl Iterator for Lines {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if let Some(why) = self.refused.take() {
            return Some(Err(why.into()));
        }
        let short_enough = match read {
            Ok(None) => return None,
            Ok(Some(short_enough)) => short_enough,
            Err(error) => {
                let what = format!("cannot read {}", self.place);
                return Some(Err(anyhow::Error::new(error).context(what)));
            }
        };
        let input = short_enough
            .and_then(|()| self.input())
            .map_err(|why| format!("line {} of {}: {why}", self.number, self.place));
        Some(Ok(Item { input, position: self.position }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::OnError;

    const TEXTS: AcceptedInputs = AcceptedInputs {
        texts: true,
        images: false,
        query: QueryKey::Ignored,
        plain: InputKind::Text,
    };

    fn read(bytes: &[u8], format: InputFormat) -> Vec<Result<String, String>> {
        let source = io::Cursor::new(bytes.to_vec());
        let mut lines = Lines::new(source, "x".into(), None, format, TEXTS);
        lines.longest = 40;
        let text = |input| match input {
            Input::Text(text) => text.to_string(),
            other => panic!("{other:?}"),
        };
        lines.map(|item| item.unwrap().input.map(text)).collect()
    }

    fn lines(bytes: &[u8]) -> Vec<String> {
        read(bytes, InputFormat::Lines).into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn lines_end_at_line_feeds() {
        assert_eq!(lines(b""), [""; 0]);
        assert_eq!(lines(b"\n"), [""]);
        assert_eq!(lines(b"a\nb"), ["a", "b"]);
        assert_eq!(lines(b"a\nb\n"), ["a", "b"]);
        assert_eq!(lines(b"a\n\n\nb\n\n"), ["a", "", "", "b", ""]);
        assert_eq!(lines(b"a\r\nb\r\r\nc\rd\ne\r"), ["a", "b\r", "c\rd", "e\r"]);
        assert_eq!(lines(b" a \t\n"), [" a \t"]);
        assert_eq!(lines("a\u{2028}b\u{85}c\n".as_bytes()), ["a\u{2028}b\u{85}c"]);
        assert_eq!(lines(b"a\0b\n"), ["a\0b"]);
    }

    #[test]
    fn what_is_no_utf8_at_all_is_refused_as_a_whole() {
        let source = io::Cursor::new(b"\xFF\xFEa\0\n\0b\0".to_vec());
        let mut lines = Lines::new(source, "x".into(), None, InputFormat::Lines, TEXTS);
        let error = lines.next().unwrap().unwrap_err().to_string();
        assert_eq!(error, "x is UTF-16 text, and UTF-8 is read");
    }

    #[test]
    fn a_byte_order_mark_is_dropped_once() {
        assert_eq!(lines(b"\xEF\xBB\xBF"), [""; 0]);
        assert_eq!(lines(b"\xEF\xBB\xBF\n"), [""]);
        assert_eq!(lines(b"\xEF\xBB\xBFa\n\xEF\xBB\xBFb"), ["a", "\u{feff}b"]);
        assert_eq!(lines(b"\xEF\xBB\xBF\xEF\xBB\xBFa"), ["\u{feff}a"]);
        let json = read(b"\xEF\xBB\xBF{\"text\":\"a\"}\r\n\n", InputFormat::Jsonl);
        assert_eq!(json[0].as_deref(), Ok("a"));
        assert!(json[1].as_deref().unwrap_err().starts_with("line 2 of x: empty"));
    }

    #[test]
    fn invalid_utf8_names_its_line_and_the_rest_is_read() {
        let all = read(b"a\nb\xff\nc", InputFormat::Lines);
        assert_eq!(all[0].as_deref(), Ok("a"));
        assert_eq!(all[1].as_deref().unwrap_err(), "line 2 of x: not UTF-8 from byte 2 on");
        assert_eq!(all[2].as_deref(), Ok("c"));
    }

    #[test]
    fn a_line_has_a_longest_length() {
        let text =
            format!("\u{feff}{}\r\n{}\n{}\nend", "a".repeat(40), "b".repeat(41), "c".repeat(999));
        let all = read(text.as_bytes(), InputFormat::Lines);
        assert_eq!(all.len(), 4);
        assert_eq!(all[0].as_ref().unwrap().len(), 40);
        assert_eq!(all[1].as_deref().unwrap_err(), "line 2 of x: longer than 40 bytes");
        assert_eq!(all[2].as_deref().unwrap_err(), "line 3 of x: longer than 40 bytes");
        assert_eq!(all[3].as_deref(), Ok("end"));
    }

    #[test]
    fn the_source_is_arguments_or_a_file_or_a_pipe() {
        let args = |input: Option<&str>, input_format| InputArgs {
            input: input.map(PathBuf::from),
            input_format,
            image: false,
            on_error: OnError::Fail,
        };
        let text = || vec!["a".to_owned()];
        let lines = InputFormat::Lines;
        let jsonl = InputFormat::Jsonl;
        let choose = |texts, input, format, terminal| {
            Source::choose(texts, &args(input, format), terminal).ok()
        };
        assert_eq!(choose(text(), None, None, false), Some(Source::Arguments(text())));
        assert_eq!(choose(text(), Some("f"), None, true), None);
        assert_eq!(choose(vec![], None, None, true), None);
        assert_eq!(choose(vec![], None, None, false), Some(Source::Stdin(lines)));
        assert_eq!(choose(vec![], None, Some(jsonl), false), Some(Source::Stdin(jsonl)));
        assert_eq!(choose(vec![], Some("-"), None, true), Some(Source::Stdin(lines)));
        for (name, format, expected) in [
            ("f.txt", None, lines),
            ("f.JSONL", None, jsonl),
            ("f.ndjson", None, jsonl),
            ("f.jsonl", Some(lines), lines),
            ("f", Some(jsonl), jsonl),
        ] {
            let source = choose(vec![], Some(name), format, false);
            assert_eq!(source, Some(Source::File(name.into(), expected)));
        }
    }
}
