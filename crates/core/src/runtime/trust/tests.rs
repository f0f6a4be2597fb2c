//! Caches that others could have written, and libraries that are not what was installed. Nothing here
//! is a library, so that whatever were opened would fail in another way.

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use embedkit_types::{
    Hint,
    cache::{runtime_dir, runtime_library_name, runtime_record_name},
};
use tempfile::TempDir;

use super::relative_entries;
use crate::{
    Error,
    runtime::{Origin, Refusal, RuntimeError, find_installed},
};

struct Cache {
    _dir: TempDir,
    root: PathBuf,
}

impl Cache {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("cache");
        let cache = Self { _dir: dir, root };
        fs::create_dir_all(runtime_dir(&cache.root)).unwrap();
        fs::write(cache.library(), "library").unwrap();
        cache.record(&format!(r#"{{"sha256": "{}"}}"#, sha256(&cache.library())));
        for path in [cache.root.clone(), runtime_dir(&cache.root)] {
            mode(&path, 0o755);
        }
        mode(&cache.library(), 0o644);
        cache
    }

    fn library(&self) -> PathBuf {
        runtime_dir(&self.root).join(runtime_library_name())
    }

    fn record_file(&self) -> PathBuf {
        self.library().with_file_name(runtime_record_name())
    }

    fn record(&self, text: &str) {
        fs::write(self.record_file(), text).unwrap();
        mode(&self.record_file(), 0o644);
    }

    /// The verdict: `Ok` where it would be opened.
    fn check(&self) -> Result<(), Refusal> {
        super::check(&self.library(), Origin::Installed, Some(&self.root))
    }
}

fn sha256(path: &Path) -> String {
    use sha2::Digest;

    let hash = sha2::Sha256::digest(fs::read(path).unwrap());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn writable(result: Result<(), Refusal>, expect: &Path, by: Option<u32>) {
    match result {
        Err(Refusal::Writable { path, group, .. }) => {
            assert_eq!((path.as_path(), group), (expect, by));
        }
        other => panic!("{} can be written, and the answer is {other:?}", expect.display()),
    }
}

#[test]
fn what_everybody_can_write_is_refused() {
    let cache = Cache::new();
    assert_eq!(cache.check(), Ok(()));
    let dir = runtime_dir(&cache.root);
    let above = cache.root.parent().unwrap().to_owned();
    for path in [cache.library(), cache.record_file(), dir.clone(), cache.root.clone(), above] {
        let before = fs::metadata(&path).unwrap().permissions();
        mode(&path, before.mode() | 0o002);
        writable(cache.check(), &path, None);
        fs::set_permissions(&path, before).unwrap();
        assert_eq!(cache.check(), Ok(()), "{}", path.display());
    }
    // In a folder such as /tmp nobody can exchange what is ours, but put something beside it.
    mode(&cache.root, 0o1777);
    assert_eq!(cache.check(), Ok(()));
    mode(&cache.root, 0o755);
    mode(&dir, 0o1777);
    writable(cache.check(), &dir, None);
}

#[test]
fn what_a_group_with_others_can_write_is_refused() {
    let cache = Cache::new();
    // No user has it, and no file knows it.
    const GROUP: u32 = 54_321;
    if chown(cache.library(), None, Some(GROUP)).is_err() {
        println!("skipped: only root may give files to a group that it is not in");
        return;
    }
    assert_eq!(cache.check(), Ok(()), "that can read it");
    mode(&cache.library(), 0o664);
    writable(cache.check(), &cache.library(), Some(GROUP));
}

#[test]
fn what_belongs_to_others_is_refused() {
    const OTHER: u32 = 54_321;
    let user = fs::metadata(Cache::new().library()).unwrap().uid();
    let cache = Cache::new();
    for path in [cache.library(), cache.record_file(), runtime_dir(&cache.root), cache.root.clone()]
    {
        if chown(&path, Some(OTHER), None).is_err() {
            println!("skipped: only root may give files away");
            return;
        }
        let refused = Refusal::Owner { path: path.clone(), owner: OTHER, user };
        assert_eq!(cache.check(), Err(refused));
        chown(&path, Some(user), None).unwrap();
    }
    assert_eq!(cache.check(), Ok(()));
    // A folder above that belongs to another user is that user's, as in many containers.
    chown(cache.root.parent().unwrap(), Some(OTHER), None).unwrap();
    assert_eq!(cache.check(), Ok(()));
}

#[test]
fn links_are_followed_to_where_they_lead() {
    let cache = Cache::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = elsewhere.path().canonicalize().unwrap();
    let real = elsewhere.join("real.so");
    fs::rename(cache.library(), &real).unwrap();
    symlink(&real, cache.library()).unwrap();
    assert_eq!(cache.check(), Ok(()));
    mode(&elsewhere, 0o777);
    writable(cache.check(), &elsewhere, None);
    mode(&elsewhere, 0o755);
    // The cache itself may be a link, from a place where everybody could turn it.
    let open = elsewhere.join("open");
    fs::create_dir(&open).unwrap();
    let link = open.join("cache");
    symlink(&cache.root, &link).unwrap();
    let through = runtime_dir(&link).join(runtime_library_name());
    let check = || super::check(&through, Origin::Installed, Some(&link));
    assert_eq!(check(), Ok(()));
    mode(&open, 0o777);
    writable(check(), &open, None);
}

#[test]
fn providers_beside_it_are_looked_at() {
    let cache = Cache::new();
    let stem = runtime_library_name().rsplit_once('.').unwrap();
    let provider = cache.library().with_file_name(format!("{}_providers_cuda.{}", stem.0, stem.1));
    fs::write(&provider, "one").unwrap();
    mode(&provider, 0o644);
    assert_eq!(cache.check(), Ok(()), "its user put it there");
    mode(&provider, 0o666);
    writable(cache.check(), &provider, None);
    mode(&provider, 0o644);
    let name = provider.file_name().unwrap().to_str().unwrap();
    let entry = |path: &Path, name: &str| {
        format!(r#"{{"name": "{name}", "size": 3, "sha256": "{}"}}"#, sha256(path))
    };
    let library = entry(&cache.library(), runtime_library_name());
    cache.record(&format!(r#"{{"files": [{library}, {}]}}"#, entry(&provider, name)));
    assert_eq!(cache.check(), Ok(()));
    fs::write(&provider, "two").unwrap();
    let changed = cache.check();
    assert!(
        matches!(&changed, Err(Refusal::Changed { path, .. }) if *path == provider),
        "{changed:?}"
    );
}

#[test]
fn content_is_compared_whenever_it_may_be_another() {
    let cache = Cache::new();
    assert_eq!(cache.check(), Ok(()));
    let noted = fs::read_to_string(cache.record_file()).unwrap();
    for key in ["modified", "changed", "inode"] {
        assert!(noted.contains(key), "{noted}");
    }
    let refused = |what: &str| {
        let result = cache.check();
        assert!(matches!(result, Err(Refusal::Changed { .. })), "{what}: {result:?}");
    };
    let time = fs::metadata(cache.library()).unwrap().modified().unwrap();
    let set_time =
        |time| File::options().write(true).open(cache.library()).unwrap().set_modified(time);
    fs::write(cache.library(), "LIBRARY").unwrap();
    refused("other content, other time");
    set_time(time).unwrap();
    refused("other content of the same size and time, in the same file");
    fs::write(cache.library(), "library and more").unwrap();
    refused("another size");
    // The same content in another file, at another time.
    let copy = cache.library().with_extension("copy");
    fs::write(&copy, "library").unwrap();
    mode(&copy, 0o644);
    fs::rename(&copy, cache.library()).unwrap();
    set_time(time + Duration::from_secs(9)).unwrap();
    assert_eq!(cache.check(), Ok(()));
    let renewed = fs::read_to_string(cache.record_file()).unwrap();
    assert_ne!(renewed, noted, "the new times are noted");
    assert_eq!(cache.check(), Ok(()));
    assert_eq!(fs::read_to_string(cache.record_file()).unwrap(), renewed, "nothing to note");
    // Another file of the same size and time.
    fs::write(&copy, "LIBRARY").unwrap();
    mode(&copy, 0o644);
    let file = File::options().write(true).open(&copy).unwrap();
    file.set_modified(fs::metadata(cache.library()).unwrap().modified().unwrap()).unwrap();
    fs::rename(&copy, cache.library()).unwrap();
    refused("another file");
}

#[test]
fn without_a_record_nothing_is_opened() {
    let cache = Cache::new();
    for text in ["", "{", "[]", "{}", r#"{"sha256": 7}"#, r#"{"files": [{"name": "x"}]}"#] {
        cache.record(text);
        let result = cache.check();
        assert!(matches!(result, Err(Refusal::Record { .. })), "{text:?}: {result:?}");
    }
    fs::remove_file(cache.record_file()).unwrap();
    assert!(matches!(cache.check(), Err(Refusal::Record { .. })));
}

#[test]
fn the_search_ends_with_one_error_that_says_what_to_do() {
    let cache = Cache::new();
    // It may be opened, which fails, since it is none.
    let error = find_installed(&cache.root).unwrap_err();
    let cause = error.downcast_ref();
    assert!(matches!(cause, Some(Error::Runtime(RuntimeError::NotFound { .. }))), "{error:?}");
    mode(&cache.root, 0o777);
    let error = find_installed(&cache.root).unwrap_err();
    let cause = error.downcast_ref();
    assert!(matches!(cause, Some(Error::Runtime(RuntimeError::Refused { .. }))), "{error:?}");
    let text = error.to_string();
    let expect = format!("{} can be written by everybody (mode 0777)", cache.root.display());
    assert!(text.ends_with(&expect), "{text}");
    let first = Some(format!("run `chmod go-w {}`", cache.root.display()));
    assert_eq!(error.hint(), Some(&Hint::ReinstallRuntime { first, installed: true }));
}

#[test]
fn a_named_library_is_its_users_business() {
    let cache = Cache::new();
    mode(&cache.library(), 0o666);
    for origin in [Origin::Option, Origin::Variable] {
        assert_eq!(super::check(&cache.library(), origin, Some(&cache.root)), Ok(()));
    }
    for origin in [Origin::Executable, Origin::Python] {
        writable(super::check(&cache.library(), origin, None), &cache.library(), None);
    }
}

#[test]
fn search_paths_that_lead_to_the_current_folder() {
    let relative = |text: &str| relative_entries(OsStr::new(text));
    assert_eq!(relative("/usr/lib:/opt/lib"), Vec::<PathBuf>::new());
    assert_eq!(relative(""), Vec::<PathBuf>::new());
    assert_eq!(relative("/usr/lib:"), [PathBuf::new()]);
    assert_eq!(relative(":/usr/lib;lib"), [PathBuf::new(), PathBuf::from("lib")]);
    assert_eq!(relative("."), [PathBuf::from(".")]);
}
