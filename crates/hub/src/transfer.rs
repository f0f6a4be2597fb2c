//! The transfer of one file: continued where it broke off, hashed on the way, never trusted before
//! the hash is right.

use std::{
    io::{self, Read, Seek, Write},
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use ureq::http::{StatusCode, header};

use crate::{
    Error, Event, Hub,
    digest::{Digest, Hashed, Hashing, hash_file},
    error::DiskResult,
    http::{Answer, Client, Range, shown},
    listing::ListedFile,
    retry::Budget,
    staging::Staged,
};

/// The largest file that is taken from a server that does not say its size beforehand.
const LARGEST_UNKNOWN: u64 = 64 << 30;
/// Bytes a second below which a transfer counts as stalled.
const SLOWEST: u64 = 1024;

/// Transfers one file from `url` into `staged`, with none beside it: the content with its size and hash.
pub(crate) fn fetch_alone(
    hub: &Hub,
    client: &Client,
    file: &ListedFile,
    url: &str,
    staged: Staged,
) -> Result<(Staged, Hashed), Error> {
    let stop = AtomicBool::new(false);
    match Transfer::new(hub, client, file, url, &stop, staged).run()? {
        Some((staged, hashed, _)) => Ok((staged, hashed)),
        None => unreachable!("a transfer ends early only where `stop` is set"),
    }
}

/// The transfer of one file, over as many requests as it takes.
pub(crate) struct Transfer<'a> {
    hub: &'a Hub,
    client: &'a Client,
    file: &'a ListedFile,
    url: &'a str,
    stop: &'a AtomicBool,
    staged: Staged,
    digest: Option<Digest>,
    size: Option<u64>,
    /// The hash of the part that is here; `None` before the first byte.
    hashing: Option<Hashing>,
    /// The strong entity tag of the part that is here.
    validator: Option<String>,
}

impl<'a> Transfer<'a> {
    /// A transfer of `file` from `url` into `staged`, which ends early when `stop` is set.
    pub(crate) fn new(
        hub: &'a Hub,
        client: &'a Client,
        file: &'a ListedFile,
        url: &'a str,
        stop: &'a AtomicBool,
        staged: Staged,
    ) -> Self {
        Self {
            hub,
            client,
            file,
            url,
            stop,
            staged,
            digest: file.digest.clone(),
            size: file.size,
            hashing: None,
            validator: None,
        }
    }

    /// The content with its size and hash, and the hash that the server stated, if any; `None` when
    /// stopped.
    pub(crate) fn run(mut self) -> Result<Option<(Staged, Hashed, Option<Digest>)>, Error> {
        let hashed = self.until_done()?;
        Ok(hashed.map(|hashed| (self.staged, hashed, self.digest)))
    }

    fn until_done(&mut self) -> Result<Option<Hashed>, Error> {
        self.hub.emit(Event::Started { file: &self.file.path, size: self.size });
        let mut budget = Budget::new(self.hub);
        let mut second_try = false;
        loop {
            let error = match self.attempt() {
                Ok(true) => match self.finish() {
                    Ok(hashed) => return Ok(Some(hashed)),
                    Err(error) => error,
                },
                Ok(false) => return Ok(None),
                Err(error) => error,
            };
            let damaged = matches!(error, Error::Corrupt { .. });
            if damaged {
                // Wrong content is fetched once more, from the start: twice is no accident.
                if second_try {
                    return Err(error);
                }
                second_try = true;
                self.hashing = None;
                self.validator = None;
            }
            let here = self.hashing.as_ref().map_or(0, Hashing::size);
            if !budget.wait(self.hub, &self.file.path, &error, here, damaged) {
                return Err(error);
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
        }
    }

    /// One request. `false` when stopped.
    fn attempt(&mut self) -> Result<bool, Error> {
        let here = self.hashing.as_ref().map_or(0, Hashing::size);
        let range = match &self.validator {
            Some(validator) if here > 0 => Some(Range { start: here, validator }),
            _ => None,
        };
        let answer = self.client.get(self.url, range.as_ref())?;
        let asked = range.is_some();
        if !(asked && self.continues(&answer, here)) {
            if answer.status != StatusCode::OK {
                // A part that does not fit what is here: the next request asks for all of it.
                self.hashing = None;
                self.validator = None;
                return Err(Error::Transport {
                    url: shown(self.url),
                    source: "the transfer cannot be continued".into(),
                });
            }
            self.start_over(&answer)?;
        }
        self.receive(answer)
    }

    /// True if the answer is the rest of the part that is here.
    fn continues(&self, answer: &Answer, here: u64) -> bool {
        let total = |size: &str| self.size.is_none_or(|known| size.parse() == Ok(known));
        answer.status == StatusCode::PARTIAL_CONTENT
            && strong_tag(answer) == self.validator
            && answer.header(header::CONTENT_RANGE).is_some_and(|range| {
                let parts = range.trim().strip_prefix("bytes ").and_then(|r| r.split_once('/'));
                parts.is_some_and(|(span, size)| {
                    let start = span.split_once('-').and_then(|(start, _)| start.parse().ok());
                    start == Some(here) && (size == "*" || total(size))
                })
            })
    }

    fn start_over(&mut self, answer: &Answer) -> Result<(), Error> {
        let length = answer.header(header::CONTENT_LENGTH).and_then(|l| l.trim().parse().ok());
        let text = |name: &str| answer.first.get(name).and_then(|value| value.to_str().ok());
        if self.file.digest.is_none() {
            // The listing was silent, so the hub's own headers are asked. An entity tag of some
            // other server may look like a hash and be something else.
            let tag = text("x-linked-etag")
                .or_else(|| text("x-repo-commit").and_then(|_| text("etag")))
                .map(|tag| tag.trim_start_matches("W/").trim_matches('"'));
            self.digest = tag.and_then(Digest::parse);
            self.file.agrees(self.digest.as_ref(), self.url)?;
        }
        if self.file.size.is_none() {
            self.size = text("x-linked-size").and_then(|size| size.trim().parse().ok()).or(length);
        }
        if let (Some(size), Some(length)) = (self.size, length)
            && size != length
        {
            return Err(self.wrong_length(size, format!("{length} bytes announced")));
        }
        let file = self.staged.file();
        file.set_len(0).and_then(|()| file.rewind()).or_disk("write", self.staged.path())?;
        self.hashing = Some(Hashing::new(self.digest.as_ref(), self.size));
        self.validator = strong_tag(answer);
        Ok(())
    }

    fn receive(&mut self, answer: Answer) -> Result<bool, Error> {
        let mut body = answer.body.into_reader();
        let mut buffer = vec![0; 128 * 1024];
        let window = 2 * self.hub.timeouts.stall;
        let (mut since, mut in_window) = (Instant::now(), 0);
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let n = match body.read(&mut buffer) {
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.client.broken(self.url, error)),
            };
            let hashing = self.hashing.as_mut().expect("set by start_over or an earlier attempt");
            if n == 0 {
                let here = hashing.size();
                return match self.size {
                    Some(size) if here < size => Err(Error::Transport {
                        url: shown(self.url),
                        source: format!("it ended after {here} of {size} bytes").into(),
                    }),
                    _ => Ok(true),
                };
            }
            let limit = self.size.unwrap_or(LARGEST_UNKNOWN);
            if hashing.size() + n as u64 > limit {
                return Err(self.wrong_length(limit, "more".into()));
            }
            let file = self.staged.file();
            file.write_all(&buffer[..n]).or_disk("write", self.staged.path())?;
            hashing.update(&buffer[..n]);
            self.hub.emit(Event::Received { file: &self.file.path, bytes: hashing.size() });
            in_window += n as u64;
            let elapsed = since.elapsed();
            if elapsed >= window {
                if in_window < SLOWEST * elapsed.as_secs() {
                    return Err(Error::Timeout {
                        url: shown(self.url),
                        phase: "content",
                        limit: window,
                    });
                }
                (since, in_window) = (Instant::now(), 0);
            }
        }
    }

    fn finish(&mut self) -> Result<Hashed, Error> {
        let hashing = self.hashing.take().expect("set by start_over");
        let mut hashed = hashing.finish();
        if matches!(self.digest, Some(Digest::GitBlob(_))) && self.size.is_none() {
            // Git's hash begins with the size, which was not known before.
            self.staged.file().flush().or_disk("write", self.staged.path())?;
            hashed = hash_file(self.staged.path(), self.digest.as_ref())?;
        }
        hashed.check(&self.file.path, self.size, self.digest.as_ref())?;
        match (&self.file.pinned, &self.digest) {
            // Nobody but the pin knows the content, so it may as well have been damaged on the way.
            (Some(pin), None) => {
                let pin = Digest::Sha256(pin.sha256.to_string());
                hashed.check(&self.file.path, None, Some(&pin))?;
            }
            _ => {
                let content = Digest::Sha256(hashed.sha256.clone());
                self.file.agrees(Some(&content), self.url)?;
            }
        }
        Ok(hashed)
    }

    fn wrong_length(&self, size: u64, found: String) -> Error {
        Error::Corrupt { file: self.file.path.clone(), expected: format!("{size} bytes"), found }
    }
}

/// The entity tag of an answer, unless it is weak: then two different contents may share it.
fn strong_tag(answer: &Answer) -> Option<String> {
    let tag = answer.header(header::ETAG)?.trim();
    (!tag.starts_with("W/") && !tag.is_empty()).then(|| tag.to_owned())
}
