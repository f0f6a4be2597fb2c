//! The cache folder, and the models in it.

use std::{fs, path::Path};

use embedkit::{
    DEFAULT_MODEL,
    hub::{CacheState, Hub, needed_files},
    registry,
};
use embedkit_types::ModelSpec;

use super::check::{Check, Level};

/// Entries of the cache that are counted at most.
const MOST_ENTRIES: usize = 100_000;
/// Free space below which many models do not fit, in bytes.
const LITTLE_SPACE: u64 = 1 << 30;
/// Models that are named on the page.
const MOST_NAMED: usize = 6;

/// The folder: is it there, can it be written, how much is in it and beside it.
pub(super) fn folder(hub: &Hub) -> Check {
    let path = &hub.cache_dir;
    if path.exists() && !path.is_dir() {
        return Check::new("cache", Level::Problem, format!("{} is not a folder", path.display()))
            .advice(CHOOSE);
    }
    let mut found = path.display().to_string();
    match size(path) {
        Some((bytes, true)) => found.push_str(&format!(": {} in use", gigabytes(bytes))),
        Some((bytes, false)) => found.push_str(&format!(": more than {} in use", gigabytes(bytes))),
        None => found.push_str(": not there yet"),
    }
    let nearest = path.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("."));
    let free = free_space(nearest);
    if let Some(free) = free {
        found.push_str(&format!(", {} free", gigabytes(free)));
    }
    if !is_writable(nearest) {
        return Check::new("cache", Level::Problem, format!("{found}; it cannot be written"))
            .advice(CHOOSE);
    }
    if free.is_some_and(|free| free < LITTLE_SPACE) {
        return Check::new("cache", Level::Warning, found).advice(
            "most models do not fit: free space, or choose another folder with --cache-dir",
        );
    }
    Check::ok("cache", found)
}

const CHOOSE: &str = "choose a writable cache folder with EMBEDKIT_CACHE or --cache-dir";

fn gigabytes(bytes: u64) -> String {
    if bytes < 1_000_000_000 {
        format!("{:.0} MB", bytes as f64 / 1e6)
    } else {
        format!("{:.1} GB", bytes as f64 / 1e9)
    }
}

/// Bytes of the files below a folder, links not followed, and whether that is all; `None` without a folder.
fn size(path: &Path) -> Option<(u64, bool)> {
    let mut folders = vec![path.to_owned()];
    fs::read_dir(path).ok()?;
    let (mut bytes, mut entries) = (0, 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            entries += 1;
            if entries > MOST_ENTRIES {
                return Some((bytes, false));
            }
            // Of the entry itself: a link is not its target.
            match entry.metadata() {
                Ok(data) if data.is_dir() => folders.push(entry.path()),
                Ok(data) => bytes += data.len(),
                Err(_) => {}
            }
        }
    }
    Some((bytes, true))
}

#[cfg(unix)]
fn free_space(path: &Path) -> Option<u64> {
    let space = rustix::fs::statvfs(path).ok()?;
    space.f_bavail.checked_mul(space.f_frsize)
}

#[cfg(not(unix))]
fn free_space(_: &Path) -> Option<u64> {
    None
}

#[cfg(unix)]
fn is_writable(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn is_writable(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| !data.permissions().readonly())
}

/// Models in the caches.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) complete: Vec<&'static ModelSpec>,
    /// Ids, each with the files that are missing.
    incomplete: Vec<(&'static str, Vec<String>)>,
}

impl Stored {
    /// Looks for every built-in model.
    pub(super) fn find(hub: &Hub) -> Self {
        let mut stored = Self::default();
        for spec in registry::models().iter().filter(|spec| !needed_files(spec).required.is_empty())
        {
            match hub.state(spec) {
                CacheState::Complete(_) => stored.complete.push(spec),
                CacheState::Incomplete { missing } => stored.incomplete.push((&spec.id, missing)),
                _ => {}
            }
        }
        // Several models share a repository, and each needs its own files of it.
        let repos: Vec<_> = stored.complete.iter().map(|spec| &spec.source.repo).collect();
        stored.incomplete.retain(|(id, _)| {
            let specs = registry::find(id).unwrap_or_default();
            !specs.iter().any(|spec| repos.contains(&&spec.source.repo))
        });
        stored
    }

    /// The line about them.
    pub(super) fn check(&self, hub: &Hub) -> Check {
        let mut ids: Vec<&str> = self.complete.iter().map(|spec| &*spec.id).collect();
        ids.dedup();
        let found = match ids.len() {
            0 => "none on this machine yet".to_owned(),
            all if all <= MOST_NAMED => ids.join(", "),
            all => format!("{} and {} more", ids[..MOST_NAMED].join(", "), all - MOST_NAMED),
        };
        let others = hub.other_caches.iter().filter(|path| path.is_dir());
        let others: Vec<_> = others.map(|path| path.display().to_string()).collect();
        let found = match others.len() {
            0 => found,
            _ => format!("{found} (also looked in {})", others.join(" and ")),
        };
        match &*self.incomplete {
            [] => Check::ok("models", found),
            [(id, missing), others @ ..] => {
                let more = match others.len() {
                    0 => String::new(),
                    more => format!(" (and {more} more like this)"),
                };
                let what = format!("{found}; {id} lacks {}{more}", missing.join(", "));
                Check::new("models", Level::Warning, what)
                    .advice(format!("fetch the rest with `embedkit models pull {id}`"))
            }
        }
    }

    /// The model to try: the default one, else the smallest of texts.
    pub(super) fn to_try(&self) -> Option<&'static ModelSpec> {
        let text = |spec: &&ModelSpec| {
            embedkit::Model::builder_for([(*spec).clone()])
                .and_then(|model| model.capabilities())
                .is_ok_and(|known| known.takes(embedkit::InputKind::Text))
        };
        let rank = |spec: &&&ModelSpec| {
            let megabytes = spec.size_gb.map_or(u64::MAX, |size| (f64::from(size) * 1e3) as u64);
            (spec.id != DEFAULT_MODEL, megabytes)
        };
        self.complete.iter().filter(|spec| text(spec)).min_by_key(rank).copied()
    }
}
