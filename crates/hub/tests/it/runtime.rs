//! ONNX Runtime from packages, files and folders. The libraries here are a few bytes that begin as
//! libraries do; pip is a script.

use std::{
    env,
    ffi::OsString,
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use embedkit_hub::{
    Error, Event,
    pip::Pip,
    runtime::{InstallOptions, Installed, Verified, install_with, installed},
    wheel::Wheel,
};
use embedkit_types::cache::{runtime_dir, runtime_library_name};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use embedkit_testkit::hub::sha256;

use crate::nothing_unfinished;

#[cfg(target_os = "macos")]
const LIBRARY: &[u8] = b"\xcf\xfa\xed\xfe the library VERS_7.8.9\0";
#[cfg(not(target_os = "macos"))]
const LIBRARY: &[u8] = b"\x7fELF the library VERS_7.8.9\0";

#[cfg(target_os = "macos")]
const NAMES: [&str; 2] = ["libonnxruntime.7.8.9.dylib", "libonnxruntime_providers_shared.dylib"];
#[cfg(not(target_os = "macos"))]
const NAMES: [&str; 2] = ["libonnxruntime.so.7.8.9", "libonnxruntime_providers_shared.so"];

/// A wheel with a library, a provider, and files that nobody asked for.
fn wheel(dir: &Path, name: &str, spoil: impl Fn(&str, &mut Vec<u8>)) -> PathBuf {
    let path = dir.join(name);
    let mut zip = ZipWriter::new(fs::File::create(&path).unwrap());
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let members = [
        (format!("onnxruntime/capi/{}", NAMES[0]), LIBRARY.to_vec()),
        (format!("onnxruntime/capi/{}", NAMES[1]), b"provider".to_vec()),
        ("onnxruntime/capi/onnxruntime_pybind11_state.so".into(), b"python".to_vec()),
        ("onnxruntime/__init__.py".into(), b"raise SystemExit".to_vec()),
    ];
    let mut record = String::new();
    for (name, content) in members {
        record += &format!("{name},sha256={},{}\n", base64(&sha256(&content)), content.len());
        let mut content = content;
        spoil(&name, &mut content);
        zip.start_file(name, options).unwrap();
        zip.write_all(&content).unwrap();
    }
    record += "onnxruntime-7.8.9.dist-info/RECORD,,\n";
    zip.start_file("onnxruntime-7.8.9.dist-info/RECORD", options).unwrap();
    zip.write_all(record.as_bytes()).unwrap();
    zip.finish().unwrap();
    path
}

/// Hexadecimal digits as base64 with `-` and `_`.
fn base64(hex: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: String = hex.chars().map(|c| format!("{:04b}", c.to_digit(16).unwrap())).collect();
    let mut out = String::new();
    for group in bits.as_bytes().chunks(6) {
        let mut text = std::str::from_utf8(group).unwrap().to_owned();
        while text.len() < 6 {
            text.push('0');
        }
        out.push(DIGITS[usize::from_str_radix(&text, 2).unwrap()].into());
    }
    out
}

fn script(dir: &Path, body: &str) -> Vec<OsString> {
    let path = dir.join("pip-script");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    // Started through the shell: a file that was just written may still count as being written.
    vec!["/bin/sh".into(), path.into()]
}

fn from(path: impl Into<PathBuf>) -> InstallOptions {
    InstallOptions { from: Some(path.into()), ..InstallOptions::default() }
}

fn no_pip() -> Result<Pip, Error> {
    panic!("pip was asked for")
}

fn check(cache: &Path, installed: &Installed) {
    let library = runtime_dir(cache).join(runtime_library_name());
    assert_eq!(installed.library, library);
    assert_eq!(fs::read(&library).unwrap(), LIBRARY);
    assert_eq!(installed.sha256, sha256(LIBRARY));
    assert_eq!(installed.version.as_deref(), Some("7.8.9"));
    assert_eq!(installed.providers, [NAMES[1]]);
    assert_eq!(fs::read(library.with_file_name(NAMES[1])).unwrap(), b"provider");
    assert_eq!(self::installed(cache).as_ref(), Some(installed));
    nothing_unfinished(cache);
    let mut expect = vec![runtime_library_name(), NAMES[1], "runtime.json"];
    expect.sort_unstable();
    assert_eq!(crate::tree(&runtime_dir(cache)), expect);
}

#[test]
fn through_pip() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wheel = wheel(dir.path(), "onnxruntime-7.8.9-cp313-cp313-any.whl", |_, _| {});
    let log = dir.path().join("log");
    let pip = script(
        dir.path(),
        &format!(
            r#"[ "$1" = --version ] && exit 0
echo "$@" >> '{}'
while [ "$1" != --dest ]; do shift; done
cp '{}' "$2/""#,
            log.display(),
            wheel.display()
        ),
    );
    let options = InstallOptions { version: "7.8.9".into(), ..InstallOptions::default() };
    let done = install_with(&options, cache.path(), || Pip::at(pip.clone())).unwrap();
    check(cache.path(), &done);
    assert_eq!(done.verified, Verified::Package);
    assert_eq!(done.origin, "onnxruntime-7.8.9-cp313-cp313-any.whl");
    let asked = fs::read_to_string(&log).unwrap();
    assert_eq!(asked.lines().count(), 1);
    for part in ["download --no-deps --only-binary=:all:", "--no-input", "onnxruntime==7.8.9"] {
        assert!(asked.contains(part), "{asked}");
    }
    let gpu = InstallOptions { gpu: true, ..options };
    install_with(&gpu, cache.path(), || Pip::at(pip)).unwrap();
    assert!(fs::read_to_string(&log).unwrap().contains("onnxruntime-gpu==7.8.9"));
}

#[test]
fn a_pip_that_can_reports_its_progress() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wheel = wheel(dir.path(), "onnxruntime-7.8.9-cp313-cp313-any.whl", |_, _| {});
    let body = |version: &str| {
        format!(
            r#"[ "$1" = --version ] && echo 'pip {version} from here' && exit 0
case "$*" in *--progress-bar=raw*) echo 'Progress 5 of 10'; echo 'Progress 10 of 10';; esac
while [ "$1" != --dest ]; do shift; done
cp '{}' "$2/""#,
            wheel.display()
        )
    };
    let options = InstallOptions { version: "7.8.9".into(), ..InstallOptions::default() };
    for (version, expected) in [("24.1.2", &[5, 10][..]), ("23.3", &[])] {
        let pip = script(dir.path(), &body(version));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let received = Arc::clone(&seen);
        let on_event = Arc::new(move |event: Event<'_>| {
            if let Event::Received { file: "onnxruntime==7.8.9", bytes } = event {
                received.lock().unwrap().push(bytes);
            }
        });
        let pip = || Ok(Pip::at(pip)?.with_progress(on_event));
        check(cache.path(), &install_with(&options, cache.path(), pip).unwrap());
        assert_eq!(*seen.lock().unwrap(), expected, "pip {version}");
    }
}

#[test]
fn a_pip_that_fails() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let install = |body: &str| {
        let options = InstallOptions { version: "7.8.9".into(), ..InstallOptions::default() };
        let pip = script(dir.path(), body);
        install_with(&options, cache.path(), || Pip::at(pip)).unwrap_err()
    };
    let error = install(
        "[ \"$1\" = --version ] && exit 0\necho noise\necho 'ERROR: No matching distribution' >&2\nexit 1",
    );
    let text = error.to_string();
    assert_eq!(text, "pip could not fetch onnxruntime==7.8.9: ERROR: No matching distribution");
    assert_eq!(error.hint(), Some(embedkit_types::Hint::InstallPip));
    assert!(matches!(install("exit 1"), Error::NoPip { .. }));
    assert!(matches!(install("exit 0"), Error::Pip { .. }), "success without a wheel");
    assert_eq!(installed(cache.path()), None);
    nothing_unfinished(cache.path());
}

#[test]
fn another_version_of_python_helps_out() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wheel = wheel(dir.path(), "onnxruntime-7.8.9-cp313-cp313-any.whl", |_, _| {});
    let pip = script(
        dir.path(),
        &format!(
            r#"[ "$1" = --version ] && exit 0
case "$*" in *--python-version*) ;; *) echo 'ERROR: none' >&2; exit 1;; esac
while [ "$1" != --dest ]; do shift; done
cp '{}' "$2/""#,
            wheel.display()
        ),
    );
    let options = InstallOptions { version: "7.8.9".into(), ..InstallOptions::default() };
    check(cache.path(), &install_with(&options, cache.path(), || Pip::at(pip)).unwrap());
}

#[test]
fn from_a_wheel_a_file_and_folders() {
    let dir = tempfile::tempdir().unwrap();
    let wheel = wheel(dir.path(), "onnxruntime-7.8.9-cp313-cp313-any.whl", |_, _| {});
    let site = dir.path().join("venv/lib/python3.13/site-packages");
    let capi = site.join("onnxruntime/capi");
    fs::create_dir_all(&capi).unwrap();
    fs::write(capi.join(NAMES[0]), LIBRARY).unwrap();
    fs::write(capi.join(NAMES[1]), "provider").unwrap();
    fs::write(capi.join("onnxruntime_pybind11_state.so"), "python").unwrap();
    let link = dir.path().join("a-link.so");
    symlink(capi.join(NAMES[0]), &link).unwrap();
    let places = [
        wheel,
        capi.join(NAMES[0]),
        link,
        capi.clone(),
        site.join("onnxruntime"),
        site,
        dir.path().join("venv"),
    ];
    for place in places {
        let cache = tempfile::tempdir().unwrap();
        check(cache.path(), &install_with(&from(&place), cache.path(), no_pip).unwrap());
    }
}

#[test]
fn places_without_a_library() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let install = |path: &Path| install_with(&from(path), cache.path(), no_pip).unwrap_err();
    assert!(matches!(install(dir.path()), Error::NoLibrary { .. }));
    assert!(matches!(install(&dir.path().join("absent")), Error::Disk { .. }));
    let text = dir.path().join("libonnxruntime.so");
    fs::write(&text, "a text").unwrap();
    assert!(matches!(install(&text), Error::NoLibrary { .. }));
    let broken = dir.path().join("broken.whl");
    fs::write(&broken, "PK\x03\x04 no zip").unwrap();
    assert!(matches!(install(&broken), Error::Archive { .. }));
    assert_eq!(installed(cache.path()), None);
    nothing_unfinished(cache.path());
}

#[test]
fn a_wheel_that_was_altered() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let good = wheel(dir.path(), "onnxruntime-7.8.9-cp313-cp313-any.whl", |_, _| {});
    let before = install_with(&from(&good), cache.path(), no_pip).unwrap();
    let bad = wheel(dir.path(), "onnxruntime-7.8.9-cp312-cp312-any.whl", |name, content| {
        if name.ends_with(NAMES[0]) {
            content[9] ^= 1;
        }
    });
    let error = install_with(&from(&bad), cache.path(), no_pip).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    check(cache.path(), &before);
}

#[test]
fn a_second_install_replaces_the_first() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wheel = wheel(dir.path(), "onnxruntime-7.8.9-cp313-cp313-any.whl", |_, _| {});
    install_with(&from(&wheel), cache.path(), no_pip).unwrap();
    let bare = dir.path().join("bare").join(runtime_library_name());
    fs::create_dir(bare.parent().unwrap()).unwrap();
    fs::write(&bare, [LIBRARY, b"more"].concat()).unwrap();
    let second = install_with(&from(&bare), cache.path(), no_pip).unwrap();
    assert!(second.providers.is_empty());
    assert_eq!(second.verified, Verified::No);
    assert_eq!(installed(cache.path()), Some(second.clone()));
    assert!(!second.library.with_file_name(NAMES[1]).exists(), "providers of the first are gone");
    // A library that was changed afterwards is not the one that was installed.
    fs::write(&second.library, "shorter").unwrap();
    assert_eq!(installed(cache.path()), None);
    let mut other = [LIBRARY, b"more"].concat();
    *other.last_mut().unwrap() ^= 1;
    fs::write(&second.library, &other).unwrap();
    assert_eq!(installed(cache.path()), None, "as long as it was");
    fs::copy(&bare, &second.library).unwrap();
    assert_eq!(installed(cache.path()), Some(second), "the same content at another time");
}

#[test]
fn members_of_wheels() {
    let dir = tempfile::tempdir().unwrap();
    let path = wheel(dir.path(), "onnxruntime-7.8.9-cp313-cp313-any.whl", |_, _| {});
    let whole = sha256(&fs::read(&path).unwrap());
    assert!(matches!(Wheel::open(&path, Some(&"0".repeat(64))), Err(Error::Corrupt { .. })));
    let mut wheel = Wheel::open(&path, Some(&whole)).unwrap();
    let member = "onnxruntime/__init__.py";
    assert!(wheel.members().any(|name| name == member));
    let target = dir.path().join("out/init.py");
    let out = wheel.extract(member, Some(&sha256(b"raise SystemExit")), &target).unwrap();
    assert_eq!((out.size, fs::read(&target).unwrap().as_slice()), (16, &b"raise SystemExit"[..]));
    let other = dir.path().join("out/other.py");
    assert!(matches!(
        wheel.extract(member, Some(&"0".repeat(64)), &other),
        Err(Error::Corrupt { .. })
    ));
    assert!(matches!(wheel.extract("absent", None, &other), Err(Error::Archive { .. })));
    assert!(matches!(wheel.extract("../evil", None, &other), Err(Error::Name { .. })));
    assert_eq!(crate::tree(&dir.path().join("out")), ["init.py"]);
}

#[test]
fn nobody_else_can_write_what_is_installed() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wheel = wheel(dir.path(), "onnxruntime-7.8.9-cp313-cp313-any.whl", |_, _| {});
    let bare = dir.path().join("bare").join(NAMES[0]);
    fs::create_dir(bare.parent().unwrap()).unwrap();
    fs::write(&bare, LIBRARY).unwrap();
    // As a careless earlier installation left it, and where everybody may write by default.
    let root = cache.path().join("cache");
    let place = runtime_dir(&root);
    fs::create_dir_all(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
    for from in [&wheel, &bare] {
        let status = child("install", cache.path())
            .env(FROM, from)
            .env("EMBEDKIT_CACHE", &root)
            .status()
            .unwrap();
        assert!(status.success());
        let files = crate::tree(&place).into_iter().map(|name| place.join(name));
        for path in files.chain([place.clone()]) {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o022, 0, "{} has mode {mode:o}", path.display());
        }
    }
    // A cache that is made on the way.
    let new = cache.path().join("new").join("cache");
    let mut install = child("install", cache.path());
    assert!(install.env(FROM, &wheel).env("EMBEDKIT_CACHE", &new).status().unwrap().success());
    let mode = fs::metadata(&new).unwrap().permissions().mode();
    assert_eq!(mode & 0o022, 0, "{mode:o}");
}

/// Tells a process that is started by a test what to do.
const DO: &str = "EMBEDKIT_TEST_RUNTIME_DO";
const FROM: &str = "EMBEDKIT_TEST_RUNTIME_FROM";

/// This program once more, in another folder, and with a mask that lets everybody write.
fn child(what: &str, dir: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "umask 0; exec \"$0\" \"$@\""]).arg(env::current_exe().unwrap());
    command.args(["runtime::started_by_a_test", "--exact", "--quiet"]);
    command.current_dir(dir).env(DO, what).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

#[test]
fn started_by_a_test() {
    let cache = || PathBuf::from(env::var_os("EMBEDKIT_CACHE").unwrap());
    match env::var(DO).as_deref() {
        Ok("install") => {
            let from = from(env::var_os(FROM).unwrap());
            install_with(&from, &cache(), no_pip).unwrap();
        }
        Ok("fetch") => {
            // The index is switched off, so that this is as far as it goes; relative, as users give it.
            let error =
                embedkit_hub::runtime::install(&InstallOptions::default(), Path::new("kit"));
            let error = error.unwrap_err();
            assert!(matches!(error, Error::Pip { .. }), "{error}");
        }
        Ok("take") => {
            let options = InstallOptions { version: "7.8.9".into(), ..InstallOptions::default() };
            let done = embedkit_hub::runtime::install(&options, Path::new("kit")).unwrap();
            assert_eq!(done.version.as_deref(), Some("7.8.9"));
        }
        _ => {}
    }
}

/// A folder as one may unpack it: whatever of it is run leaves a mark.
fn trap(dir: &Path) -> PathBuf {
    let mark = dir.join("mark");
    let python = format!("open({:?}, 'a').write(__file__ + '\\n')\n", mark.to_str().unwrap());
    for name in ["pip.py", "sitecustomize.py", "usercustomize.py", "runpy.py", "platform.py"] {
        fs::write(dir.join(name), &python).unwrap();
    }
    for package in ["pip", "encodings", "pip/_internal"] {
        fs::create_dir(dir.join(package)).unwrap();
        for name in ["__init__.py", "__main__.py"] {
            fs::write(dir.join(package).join(name), &python).unwrap();
        }
    }
    for name in ["python3", "python", "py", "pip3"] {
        let program = dir.join(name);
        fs::write(&program, format!("#!/bin/sh\necho {name} >> '{}'\n", mark.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    mark
}

#[test]
fn nothing_of_the_current_folder_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let mark = trap(dir.path());
    let search = env::var_os("PATH").unwrap_or_default();
    // The trap is one: from this folder, pip is another.
    let sprung = |command: &mut Command| {
        let _ =
            command.current_dir(dir.path()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let sprung = mark.exists();
        let _ = fs::remove_file(&mark);
        sprung
    };
    let there = Command::new("python3").args(["-c", "import pip"]).current_dir("/").output();
    if !there.is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no python3 with pip");
        return;
    }
    assert!(sprung(Command::new("python3").args(["-m", "pip", "--version"])));
    let with_relative_entries = |place: &str| {
        let entries =
            [place.into(), PathBuf::from(".")].into_iter().chain(env::split_paths(&search));
        env::join_paths(entries).unwrap()
    };
    let by_path = with_relative_entries("");
    assert!(sprung(Command::new("/bin/sh").args(["-c", "python3"]).env("PATH", &by_path)));
    for path in [&search, &by_path] {
        let output = child("fetch", dir.path())
            .env("PATH", path)
            .env("PIP_NO_INDEX", "1")
            .env_remove("PIP_FIND_LINKS")
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let marks = fs::read_to_string(&mark).unwrap_or_default();
        assert_eq!(marks, "", "something of the current folder was run");
    }
}

#[test]
fn the_users_settings_still_count() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("wheels")).unwrap();
    let name = "onnxruntime-7.8.9-py3-none-any.whl";
    let made = wheel(&dir.path().join("wheels"), name, |_, _| {});
    // pip reads what the package says of itself.
    let mut zip =
        ZipWriter::new_append(fs::File::options().read(true).write(true).open(&made).unwrap())
            .unwrap();
    for (name, text) in [
        ("METADATA", "Metadata-Version: 2.1\nName: onnxruntime\nVersion: 7.8.9\n"),
        ("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
    ] {
        let name = format!("onnxruntime-7.8.9.dist-info/{name}");
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    let there = Command::new("python3").args(["-m", "pip", "--version"]).current_dir("/").output();
    if !there.is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no python3 with pip");
        return;
    }
    let output = child("take", dir.path())
        .env("PIP_NO_INDEX", "1")
        .env("PIP_FIND_LINKS", "wheels") // relative to where the user is
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(runtime_dir(&dir.path().join("kit")).join(runtime_library_name()).is_file());
}
