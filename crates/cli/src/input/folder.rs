//! The images of a folder.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// Endings of the names of files that can be decoded.
const ENDINGS: [&str; 9] = ["bmp", "gif", "jfif", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// The images of a folder, not of those within it, sorted by name. Hidden files are none.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn images(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let name = entry.with_context(cannot)?.file_name();
        let path = folder.join(&name);
        if is_image(&name) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn is_image(name: &OsStr) -> bool {
    let ending = Path::new(name).extension().and_then(OsStr::to_str);
    let known = |ending: &str| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending));
    ending.is_some_and(known) && !name.as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_their_names_and_sorted() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.PNG", "a.jpeg", "c.txt", ".hidden.png", "10.tiff", "2.webp", "png"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("folder.png")).unwrap();
        let found = images(dir.path()).unwrap();
        let names: Vec<_> =
            found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["10.tiff", "2.webp", "a.jpeg", "b.PNG"]);
        let error = images(&dir.path().join("none")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read "), "{error}");
    }
}
