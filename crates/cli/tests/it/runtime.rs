//! `runtime`: the library, there or not.

use std::fs;

use embedkit_testkit::runtime_library;

use crate::program::{Program, arg};

#[test]
fn without_a_library_the_status_is_1() {
    for command in ["status", "path"] {
        let outcome = Program::new(["runtime", command]).run();
        let outcome = outcome.failure(1, "no-such-library", Some("embedkit runtime install"));
        assert!(outcome.stdout.is_empty());
    }
}

#[test]
fn a_file_that_is_no_library_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("libonnxruntime.so");
    fs::write(&path, "not a library").unwrap();
    Program::new(["runtime", "status", "--onnxruntime", arg(&path)]).run().failure(
        1,
        arg(&path),
        Some("embedkit runtime install"),
    );
    let install = Program::new(["runtime", "install", "--from", arg(dir.path())]);
    assert_eq!(install.run().status, 1);
}

#[test]
fn offline_a_library_has_to_be_given() {
    Program::new(["runtime", "install"]).run().failure(1, "offline", Some("--from"));
}

#[test]
fn a_library_is_installed_and_found_again() {
    let Some(library) = runtime_library() else { return };
    let install =
        Program::new(["runtime", "install", "--from", arg(&library)]).var("ORT_DYLIB_PATH", "");
    let outcome = install.run();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let cache = install.cache();
    let run = |command: &str| {
        Program::new(["runtime", command, "--cache-dir", arg(&cache)])
            .var("ORT_DYLIB_PATH", "")
            .run()
            .silent_success()
    };
    let path = run("path").text().trim_end().to_owned();
    assert!(
        fs::canonicalize(&path).unwrap().starts_with(fs::canonicalize(&cache).unwrap()),
        "{path}"
    );
    let status = run("status");
    assert!(
        status.text().contains(&path) && status.text().contains("version  1."),
        "{}",
        status.text()
    );
}

#[test]
#[cfg(unix)]
fn a_library_that_others_could_have_written_is_not_opened() {
    use std::os::unix::fs::PermissionsExt;

    let Some(library) = runtime_library() else { return };
    let install =
        Program::new(["runtime", "install", "--from", arg(&library)]).var("ORT_DYLIB_PATH", "");
    assert_eq!(install.run().status, 0);
    let cache = install.cache();
    let installed = cache.join("onnxruntime").join(library.file_name().unwrap());
    let status = |named: &str| {
        Program::new(["runtime", "status", "--cache-dir", arg(&cache)])
            .var("ORT_DYLIB_PATH", named)
            .run()
    };
    let set = |mode| fs::set_permissions(&cache, fs::Permissions::from_mode(mode)).unwrap();
    let before = fs::metadata(&cache).unwrap().permissions().mode();
    set(0o777);
    let writable = "can be written by everybody (mode 0777)";
    let refused = status("").failure(1, writable, Some("chmod go-w"));
    assert!(refused.stdout.is_empty());
    assert_eq!(status(arg(&installed)).status, 0, "a file that is named is its user's business");
    set(before);
    status("").silent_success();
    // The same library, with a byte after its end: the loader would take it.
    let mut content = fs::read(&installed).unwrap();
    content.push(0);
    fs::write(&installed, content).unwrap();
    status("").failure(1, "is not what was installed", Some("embedkit runtime install"));
    // Nor is anything embedded with it, or another library taken instead.
    let embed = Program::new(["embed", "a text", "--cache-dir", arg(&cache)])
        .case("cls")
        .var("ORT_DYLIB_PATH", "")
        .run()
        .failure(1, "is not what was installed", Some("embedkit runtime install"));
    assert!(embed.stdout.is_empty());
}
