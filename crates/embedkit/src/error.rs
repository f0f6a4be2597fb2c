//! Errors of the hub as those of the library.

use embedkit_hub::Error as Hub;
use embedkit_types::{Error, ErrorKind, Hint};

/// An error of the hub as one of the library.
pub(crate) fn of_hub(error: Hub) -> Error {
    let kind = match &error {
        Hub::NotFound { .. }
        | Hub::NoFile { .. }
        | Hub::Missing { .. }
        | Hub::NoSource { .. }
        | Hub::NoPip { .. }
        | Hub::NoLibrary { .. } => ErrorKind::NotFound,
        Hub::Offline { .. } => ErrorKind::Offline,
        Hub::Corrupt { .. } | Hub::Pin { .. } | Hub::Archive { .. } => ErrorKind::Damaged,
        Hub::Name { .. } | Hub::NoCacheDir | Hub::Certificates { .. } => ErrorKind::InvalidInput,
        Hub::Disk { .. } => ErrorKind::Runtime,
        _ => ErrorKind::Download,
    };
    let hint = error.hint().map(|hint| Hint::Advice(hint.into()));
    Error::new(kind, error).with_hint(hint)
}
