//! Functions for fuzzers, and for tests with the inputs in `tests/corpus`.
//!
//! Each function takes the bytes that a stranger could have written, and panics where what comes of
//! them breaks a promise. Compiled for tests and by cargo-fuzz only.

use std::{env, fs, io::Write as _, path::Path};

use crate::{
    digest::Digest,
    listing, names,
    record::{Record, RecordedFile},
    staging::work_dir,
    unpack::{Limits, unpack, unpack_tar},
    wheel::Wheel,
};

/// Small enough that a bomb does not slow the search down.
const LIMITS: Limits = Limits { entries: 64, bytes: 1 << 20, ratio: 100, always: 1 << 16 };

/// An archive, compressed and bare: nothing is written outside of the folder, no more than the limits
/// allow, and what is reported is what is there.
///
/// # Panics
/// If that does not hold.
pub fn archive(data: &[u8]) {
    let work = work_dir(&env::temp_dir()).expect("the folder for temporary files is writable");
    let packed = work.path().join("a.tar.gz");
    fs::write(&packed, data).expect("it is writable");
    for bare in [false, true] {
        let dir = work.path().join(if bare { "bare" } else { "packed" });
        let target = dir.join("in").join("ner");
        fs::create_dir_all(&target).expect("it is writable");
        let result = if bare {
            unpack_tar(data, data.len() as u64, &packed, &target, LIMITS)
        } else {
            unpack(&packed, &target, LIMITS)
        };
        let outside = [&dir, &dir.join("in")].map(|dir| fs::read_dir(dir).map(Iterator::count));
        assert!(outside.iter().all(|count| matches!(count, Ok(1))), "written outside: {outside:?}");
        let (files, bytes) = count(&target);
        assert!(files <= LIMITS.entries && bytes <= LIMITS.bytes, "{files} files, {bytes} bytes");
        for RecordedFile { file, .. } in result.iter().flatten() {
            let path = target.join(names::file_path(&file.path).expect("it was checked"));
            let size = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
            assert_eq!(size.map(|meta| meta.len()), Some(file.size), "{}", file.path);
        }
    }
}

/// Number and size of the files below `dir`, which holds nothing but files and folders.
fn count(dir: &Path) -> (usize, u64) {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(dir).expect("it was just made").flatten() {
        let meta = fs::symlink_metadata(entry.path()).expect("it was just made");
        if meta.is_dir() {
            let below = count(&entry.path());
            files += below.0;
            bytes += below.1;
        } else {
            assert!(meta.is_file(), "{} is a {:?}", entry.path().display(), meta.file_type());
            files += 1;
            bytes += meta.len();
        }
    }
    (files, bytes)
}

/// The hub's answer to the question which files there are: its commit and hashes become names of
/// files.
///
/// # Panics
/// If one of them could leave its folder.
pub fn listing(data: &[u8]) {
    let Ok(listing) = listing::parse(data) else { return };
    assert!(names::is_commit(&listing.commit));
    assert!(names::file_path(&listing.commit).is_ok());
    for digest in listing.files.iter().filter_map(|file| file.digest.as_ref()) {
        let length = match digest {
            Digest::Sha256(_) => 64,
            Digest::GitBlob(_) => 40,
        };
        assert!(names::is_hex(digest.hex(), length) && names::file_path(digest.hex()).is_ok());
    }
}

/// The record beside a snapshot: what was read is written again as the same.
///
/// # Panics
/// If it is not.
pub fn record(data: &[u8]) {
    let Some(record) = Record::parse(data) else { return };
    let again = Record::parse(&record.to_json());
    assert_eq!(again.as_ref(), Some(&record));
    for RecordedFile { file, .. } in &record.files {
        // The first one of a name counts, whatever it says.
        assert!(record.file(&file.path).is_some());
        let _ = Digest::parse(&file.sha256);
    }
}

/// The list of a wheel's files, in a wheel with one library: what is unpacked is that library, where it
/// was asked for, with the hash that the list states.
///
/// # Panics
/// If it is not.
pub fn wheel_record(data: &[u8]) {
    const LIBRARY: &[u8] = b"a library";
    let work = work_dir(&env::temp_dir()).expect("the folder for temporary files is writable");
    let path = work.path().join("a-1-py3-none-any.whl");
    let mut zip = zip::ZipWriter::new(fs::File::create(&path).expect("it is writable"));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in [("pkg/lib.so", LIBRARY), ("a-1.dist-info/RECORD", data)] {
        zip.start_file(name, stored).expect("it is writable");
        zip.write_all(content).expect("it is writable");
    }
    zip.finish().expect("it is writable");
    let Ok(mut wheel) = Wheel::open(&path, None) else { return };
    let members: Vec<String> = wheel.members().map(String::from).collect();
    for (number, member) in members.iter().take(64).enumerate() {
        let target = work.path().join("out").join(number.to_string());
        match wheel.extract(member, None, &target) {
            Ok(done) if member == "pkg/lib.so" => {
                assert_eq!(fs::read(&done.path).expect("it was unpacked"), LIBRARY);
                let hash = crate::digest::hash_file(&target, None).expect("it was unpacked").sha256;
                assert_eq!(done.sha256, hash);
            }
            Ok(_) => assert_eq!(member, "a-1.dist-info/RECORD", "it is not in the wheel"),
            Err(_) => assert!(!target.exists()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(folder: &str, target: fn(&[u8])) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
        let mut count = 0;
        for entry in fs::read_dir(dir).unwrap() {
            target(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 3, "{folder} has {count} inputs");
    }

    #[test]
    fn archives() {
        each("archive", archive);
    }

    #[test]
    fn listings() {
        each("listing", listing);
    }

    #[test]
    fn records() {
        each("record", record);
    }

    #[test]
    fn lists_of_wheels() {
        each("wheel_record", wheel_record);
    }
}
