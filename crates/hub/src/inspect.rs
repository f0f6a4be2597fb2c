//! The state of a model's files in a cache: complete, changed, damaged or missing.

use std::{fs, path::Path};

use embedkit_types::{FileDigest, ModelSpec};

use crate::{
    Error,
    digest::hash_file,
    names,
    needed::needed_files,
    record::{Record, RecordedFile, modified, same_time},
};

/// Files below a folder that differ from their record and their pins.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    /// Required files that are not there, and damaged or unpinned content under any name.
    pub(crate) missing: Vec<String>,
    /// Files with other content than the recorded one.
    pub(crate) damaged: Vec<String>,
    /// Files with the right content and another time of change than the recorded one.
    pub(crate) touched: Vec<RecordedFile>,
}

/// Compares the files of a model below `root` with their record and pins.
///
/// # Errors
/// [`Error::Name`] for a name that must not become a path.
pub(crate) fn inspect(
    spec: &ModelSpec,
    root: &Path,
    record: Option<&Record>,
) -> Result<Inspection, Error> {
    inspect_files(needed_files(spec).iter(), |name| spec.pinned(name), root, record)
}

/// Compares files below `root`, each with true if it is required, with their record and pins.
///
/// # Errors
/// [`Error::Name`] for a name that must not become a path.
pub(crate) fn inspect_files<'a>(
    files: impl Iterator<Item = (&'a str, bool)>,
    pinned: impl Fn(&str) -> Option<&'a FileDigest>,
    root: &Path,
    record: Option<&Record>,
) -> Result<Inspection, Error> {
    let mut found = Inspection::default();
    for (name, required) in files {
        let path = root.join(names::file_path(name)?);
        let recorded = record.and_then(|record| record.file(name));
        match Condition::of(name, &path, recorded, pinned(name)) {
            Condition::Intact => {}
            Condition::Touched(file) => found.touched.push(file),
            Condition::Missing if !required => {}
            Condition::Missing | Condition::NotPinned => found.missing.push(name.into()),
            Condition::Damaged => {
                found.missing.push(name.into());
                found.damaged.push(name.into());
            }
        }
    }
    Ok(found)
}

/// The state of one file.
#[derive(Debug, PartialEq, Eq)]
enum Condition {
    Missing,
    /// Size and time are the recorded ones, or nothing is known to compare with.
    Intact,
    /// Written to since it was recorded, or never recorded, and still with the right content.
    Touched(RecordedFile),
    /// Other content than the recorded one.
    Damaged,
    /// Other content than the pinned one, which does not mean that it was changed.
    NotPinned,
}

impl Condition {
    /// Looks at the file `path`, which the repository calls `name`. It is read only where it changed
    /// since it was recorded, or where nothing but a pin is known of it.
    fn of(
        name: &str,
        path: &Path,
        recorded: Option<&RecordedFile>,
        pinned: Option<&FileDigest>,
    ) -> Self {
        let Ok(meta) = fs::metadata(path) else { return Self::Missing };
        if !meta.is_file() {
            return Self::Missing;
        }
        let (expected, other) = match (recorded, pinned) {
            (Some(RecordedFile { file, .. }), Some(pin)) if file.sha256 != pin.sha256 => {
                return Self::NotPinned;
            }
            (Some(recorded), _) => (&recorded.file, Self::Damaged),
            (None, Some(pin)) => (pin, Self::NotPinned),
            (None, None) => return Self::Intact,
        };
        if meta.len() != expected.size {
            return other;
        }
        let now = modified(&meta);
        let known = match recorded {
            Some(file) => file.modified.zip(now).is_some_and(|(then, now)| same_time(then, now)),
            // The hub's tools name content by its hash.
            None => blob_name(path).is_some_and(|name| name == expected.sha256),
        };
        if known {
            return Self::Intact;
        }
        match hash_file(path, None) {
            Ok(hashed) if hashed.sha256 == expected.sha256 => {
                Self::Touched(RecordedFile { file: hashed.of(name), modified: now })
            }
            Ok(_) => other,
            Err(_) => Self::Missing,
        }
    }
}

/// The name of the file that a link leads to: for the hub's tools, the hash of its content.
pub(crate) fn blob_name(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        time::{Duration, SystemTime},
    };

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    // `printf hello | sha256sum`
    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn hello() -> FileDigest {
        FileDigest { path: "f".into(), size: 5, sha256: HELLO.into() }
    }

    #[test]
    fn only_what_changed_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let of = |recorded: Option<&RecordedFile>| Condition::of("f", &path, recorded, None);
        assert_eq!(of(None), Condition::Missing);
        fs::write(&path, "hello").unwrap();
        assert_eq!(of(None), Condition::Intact);
        let time = modified(&fs::metadata(&path).unwrap());
        let right = |modified| RecordedFile { file: hello(), modified };
        assert_eq!(of(Some(&right(time))), Condition::Intact);
        let seconds = time.map(|time| time / SECOND * SECOND);
        assert_eq!(of(Some(&right(seconds))), Condition::Intact);
        for old in [None, time.map(|time| time - 3 * SECOND)] {
            assert_eq!(of(Some(&right(old))), Condition::Touched(right(time)));
        }
        fs::write(&path, "HELLO").unwrap();
        assert_eq!(of(Some(&right(None))), Condition::Damaged);
        // With the time as it was, only `verify` would notice.
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_nanos(time.unwrap())).unwrap();
        assert_eq!(of(Some(&right(time))), Condition::Intact);
        fs::write(&path, "hell").unwrap();
        assert_eq!(of(Some(&right(time))), Condition::Damaged);
    }

    #[test]
    fn pins_stand_above_the_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "hello").unwrap();
        let pin =
            |sha256: &str, size| FileDigest { sha256: sha256.to_owned().into(), size, ..hello() };
        let of = |pin: &FileDigest| Condition::of("f", &path, None, Some(pin));
        assert!(matches!(of(&pin(HELLO, 5)), Condition::Touched(_)));
        assert_eq!(of(&pin(HELLO, 6)), Condition::NotPinned);
        assert_eq!(of(&pin(&"0".repeat(64), 5)), Condition::NotPinned);
        let time = modified(&fs::metadata(&path).unwrap());
        let recorded = RecordedFile { file: hello(), modified: time };
        let both = |pin: &FileDigest| Condition::of("f", &path, Some(&recorded), Some(pin));
        assert_eq!(both(&pin(HELLO, 5)), Condition::Intact);
        assert_eq!(both(&pin(&"0".repeat(64), 5)), Condition::NotPinned);
    }
}
