//! Models that come as one archive (tar.gz) from an address of their own.
//!
//! They are kept in `CACHE/archives/NAME-ADDRESS`, where `ADDRESS` stands for a hash of the address:
//! two organisations may use one name. FastEmbed keeps them in `CACHE/NAME` or `CACHE/fast-NAME`;
//! those are read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use embedkit_types::{ModelFiles, ModelSpec};

use crate::{
    Error, Event, Hub,
    digest::Hashing,
    error::DiskResult,
    http::{Client, is_loopback, shown},
    inspect::{Inspection, inspect},
    listing::ListedFile,
    names,
    needed::{missing, needed_files},
    pulled::{FetchedFile, Pulled},
    record::{Record, RecordedFile},
    staging::{self, Staged},
    transfer::fetch_alone,
    unpack::{Limits, unpack},
};

/// The record beside an unpacked archive.
const RECORD: &str = "embedkit.json";

/// The files of `spec` from an archive that was unpacked earlier, else the missing ones of the most
/// complete place.
pub(crate) fn find(hub: &Hub, spec: &ModelSpec, url: &str) -> Result<ModelFiles, Vec<String>> {
    let mut fewest = needed_files(spec).required;
    for place in places(hub, spec, url) {
        let Ok((root, found)) = inspect_place(spec, &place) else { continue };
        record_times(&place, &found.touched);
        if found.missing.is_empty() {
            return Ok(ModelFiles::in_dir(root, spec));
        }
        if found.missing.len() < fewest.len() {
            fewest = found.missing;
        }
    }
    Err(fewest)
}

/// Records the new times of files that were read because they were written to, so that they need not be
/// read the next time. A read-only cache stays as it is.
fn record_times(place: &Path, touched: &[RecordedFile]) {
    let Some(mut record) = read_record(place).filter(|_| !touched.is_empty()) else { return };
    let mut changed = false;
    for new in touched {
        if let Some(old) = record.files.iter_mut().find(|old| old.file.path == new.file.path) {
            old.clone_from(new);
            changed = true;
        }
    }
    if changed {
        let _ = staging::write(&place.join(RECORD), &record.to_json());
    }
}

/// The folder of the model's files in `place`, and their state.
fn inspect_place(spec: &ModelSpec, place: &Path) -> Result<(PathBuf, Inspection), Error> {
    let root = root(place)?;
    let found = inspect(spec, &root, read_record(place).as_ref())?;
    Ok((root, found))
}

/// The folder of the model's files and their record, from the first place that there is.
pub(crate) fn recorded(
    hub: &Hub,
    spec: &ModelSpec,
    url: &str,
) -> Option<(PathBuf, Option<Record>)> {
    let place = places(hub, spec, url).into_iter().find(|place| place.is_dir())?;
    Some((root(&place).ok()?, read_record(&place)))
}

/// Folders that may have the files of an archive.
fn places(hub: &Hub, spec: &ModelSpec, url: &str) -> Vec<PathBuf> {
    let name = last_part(&spec.id);
    let mut places = vec![hub.cache_dir.join("archives").join(folder_name(spec, url))];
    if names::file_path(name).is_ok() {
        places.push(hub.cache_dir.join(name));
        places.push(hub.cache_dir.join(format!("fast-{name}")));
    }
    places
}

/// Downloads and unpacks the archive; it becomes visible when the model is complete in it.
pub(crate) fn pull(hub: &Hub, spec: &ModelSpec, url: &str) -> Result<Pulled, Error> {
    if !is_secure(url) {
        return Err(Error::Name {
            kind: "address",
            name: shown(url),
            reason: "nothing vouches for an archive that does not come over HTTPS",
        });
    }
    let archives = hub.cache_dir.join("archives");
    let place = archives.join(folder_name(spec, url));
    fs::create_dir_all(&archives).or_disk("create", &archives)?;
    staging::sweep(&archives);
    let file = ListedFile { path: shown(url), size: None, digest: None, pinned: None };
    let staged = Staged::beside(&place)?;
    let (archive, hashed) = fetch_alone(hub, &Client::new(hub)?, &file, url, staged)?;
    hub.emit(Event::Finished { file: &file.path, size: hashed.size });

    let work = staging::work_dir(&archives)?;
    let unpacked = work.path().join("unpacked");
    fs::create_dir(&unpacked).or_disk("create", &unpacked)?;
    let files = unpack(archive.path(), &unpacked, Limits::MODEL).map_err(|error| match error {
        // The address says more than the temporary name of the file.
        Error::Archive { reason, .. } => Error::Archive { path: shown(url).into(), reason },
        error => error,
    })?;
    let top = root(&unpacked)?;
    let missing = missing(&top, needed_files(spec).required.iter().map(String::as_str))?;
    if !missing.is_empty() {
        return Err(Error::Missing {
            model: spec.id.to_string(),
            dir: shown(url).into(),
            missing,
            found: Vec::new(),
        });
    }
    // Recorded by the model's own names, without the archive's folder.
    let prefix = top.strip_prefix(&unpacked).ok().and_then(Path::to_str).unwrap_or_default();
    let files = below(prefix, files);
    agree_with_pins(spec, &files, url)?;
    let fetched =
        |recorded: &RecordedFile| FetchedFile { file: recorded.file.clone(), reused: false };
    let fetched = files.iter().map(fetched).collect();
    let record = Record { repository: shown(url), commit: hashed.sha256, files };
    staging::write(&unpacked.join(RECORD), &record.to_json())?;
    if inspect_place(spec, &place).is_ok_and(|(_, found)| !found.damaged.is_empty()) {
        quarantine(&place);
    }
    staging::publish_dir(&unpacked, &place, work.path())?;
    let files = find(hub, spec, url).map_err(|missing| Error::Missing {
        model: spec.id.to_string(),
        dir: place,
        missing,
        found: Vec::new(),
    })?;
    Ok(Pulled { files, commit: record.commit, fetched })
}

/// The files that lie below a folder of the archive, by their names there.
fn below(folder: &str, files: Vec<RecordedFile>) -> Vec<RecordedFile> {
    if folder.is_empty() {
        return files;
    }
    let named = |mut recorded: RecordedFile| {
        let path = recorded.file.path.strip_prefix(folder)?.strip_prefix('/')?.to_owned();
        recorded.file.path = path.into();
        Some(recorded)
    };
    files.into_iter().filter_map(named).collect()
}

/// An error unless the files are those that the model is pinned to.
fn agree_with_pins(spec: &ModelSpec, files: &[RecordedFile], url: &str) -> Result<(), Error> {
    for RecordedFile { file, .. } in files {
        if let Some(pin) = spec.pinned(&file.path)
            && pin != file
        {
            return Err(Error::Pin {
                file: file.path.to_string(),
                pinned: format!("{} bytes, sha256 {}", pin.size, pin.sha256),
                origin: shown(url),
                found: format!("{} bytes, sha256 {}", file.size, file.sha256),
            });
        }
    }
    Ok(())
}

/// Renames a folder with damaged files; only the last one is kept.
fn quarantine(place: &Path) {
    let Some(name) = place.file_name().and_then(|name| name.to_str()) else { return };
    let target = place.with_file_name(format!("{name}.damaged"));
    let _ = fs::remove_dir_all(&target);
    match fs::rename(place, &target) {
        Ok(()) => tracing::warn!(to = %target.display(), "a damaged model was moved aside"),
        Err(error) => tracing::warn!(
            model = %place.display(), %error, "a damaged model cannot be moved aside"
        ),
    }
}

/// The folder in which the model's files lie: that of the archive, or the only one in it.
fn root(place: &Path) -> Result<PathBuf, Error> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(place).or_disk("read", place)? {
        let entry = entry.or_disk("read", place)?;
        if entry.file_name() == RECORD {
            continue;
        }
        if !entry.file_type().or_disk("read", place)?.is_dir() {
            return Ok(place.into());
        }
        folders.push(entry.path());
    }
    match folders.as_slice() {
        [only] => Ok(only.clone()),
        _ => Ok(place.into()),
    }
}

fn read_record(place: &Path) -> Option<Record> {
    Record::read(&place.join(RECORD))
}

/// The name of the folder that an archive is unpacked into.
pub(crate) fn folder_name(spec: &ModelSpec, url: &str) -> String {
    let mut hashing = Hashing::new(None, None);
    hashing.update(url.as_bytes());
    let hash = hashing.finish().sha256;
    let name = last_part(&spec.id);
    let name: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    format!("{name}-{}", &hash[..16])
}

fn last_part(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

fn is_secure(url: &str) -> bool {
    let Ok(uri) = url.parse::<ureq::http::Uri>() else { return false };
    match uri.scheme_str() {
        Some("https") => true,
        Some("http") => uri.host().is_some_and(is_loopback),
        _ => false,
    }
}
