//! A lock for each repository, so that two processes do not download the same files. Nothing breaks
//! without it: files become visible by being renamed, and the last one wins with the same content.

use std::{
    fs::{self, File, TryLockError},
    thread,
    time::{Duration, Instant},
};

use crate::{Event, Hub};

/// Pause between attempts to lock.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest wait for a process that may be stuck.
const PATIENCE: Duration = Duration::from_secs(600);

/// A lock that is held until dropped; the system drops it with the process.
pub(crate) struct RepoLock {
    _file: Option<File>,
}

impl RepoLock {
    /// Waits for the lock of the folder `name`, or until `done` says that it is no longer needed. Where
    /// the file system has no locks, or the folder cannot be written, there is none.
    pub(crate) fn acquire(hub: &Hub, name: &str, model: &str, done: impl Fn() -> bool) -> Self {
        let dir = hub.cache_dir.join(".locks").join(name);
        let open = || {
            fs::create_dir_all(&dir).ok()?;
            File::options().create(true).append(true).open(dir.join("embedkit.lock")).ok()
        };
        let Some(file) = open() else { return Self { _file: None } };
        let start = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Self { _file: Some(file) },
                Err(TryLockError::Error(_)) => return Self { _file: None },
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        hub.emit(Event::Waiting { model });
                        told = true;
                    }
                    if done() || start.elapsed() > PATIENCE {
                        return Self { _file: None };
                    }
                    thread::sleep(PAUSE);
                }
            }
        }
    }
}
