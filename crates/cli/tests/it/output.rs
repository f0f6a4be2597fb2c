//! Files of results: complete under their name, or not there.

use std::fs;

use crate::program::{Program, arg, file, names};

#[test]
fn a_new_file_takes_the_place_of_the_old_one() {
    for (format, name) in [("jsonl", "out.jsonl"), ("npy", "out.npy")] {
        let (dir, output) = file(name, "earlier");
        let run = || {
            let args = ["--format", format, "--output", arg(&output)];
            Program::embed(args).stdin("a\nb\n").run().silent_success()
        };
        run();
        let new = fs::read(&output).unwrap();
        assert!(new.len() > 32 && !new.starts_with(b"earlier"));
        assert_eq!(names(dir.path()), [name]);
        fs::remove_file(&output).unwrap();
        run();
        assert_eq!(fs::read(&output).unwrap(), new);
        assert_eq!(names(dir.path()), [name]);
    }
}

#[test]
fn a_run_that_fails_keeps_the_old_file_and_whole_records_beside_it() {
    let (dir, output) = file("out.jsonl", "earlier");
    let run = |content: &[u8]| {
        let args = ["--output", arg(&output), "--batch-size", "1"];
        Program::embed(args).stdin(content).run()
    };
    // Nothing was written: nothing is left.
    run(b"\xff\n").failure(1, "line 1", None);
    assert_eq!(names(dir.path()), ["out.jsonl"]);
    let outcome = run(b"a\nb\n\xff\nc\n");
    let names = names(dir.path());
    assert_eq!(names.len(), 2);
    let kept = format!("the records already written stay in {}", arg(&dir.path().join(&names[1])));
    outcome.failure(1, "line 3", Some(&kept));
    assert_eq!(fs::read(&output).unwrap(), b"earlier");
    let part = fs::read_to_string(dir.path().join(&names[1])).unwrap();
    assert!(part.lines().count() == 2 && part.ends_with("}\n"), "{part}");
}

#[cfg(unix)]
mod unix {
    use std::{
        io::{Read as _, Write as _},
        os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
        path::Path,
        process::Command,
    };

    use super::*;
    use crate::program::{Outcome, read_npy};

    #[test]
    fn links_and_permissions_stay() {
        let (dir, output) = file("real.jsonl", "earlier");
        fs::set_permissions(&output, fs::Permissions::from_mode(0o640)).unwrap();
        let link = dir.path().join("link");
        symlink("real.jsonl", &link).unwrap();
        Program::embed(["a", "--output", arg(&link)]).run().silent_success();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("real.jsonl"));
        assert!(fs::read(&output).unwrap().starts_with(b"{"));
        assert_eq!(fs::metadata(&output).unwrap().mode() & 0o777, 0o640);
        // A link that leads nowhere yet, and a new file under the process's mask.
        symlink("new.jsonl", dir.path().join("other")).unwrap();
        Program::embed(["a", "--output", arg(&dir.path().join("other"))])
            .script(r#"umask 027; exec "$@""#)
            .run()
            .silent_success();
        assert_eq!(names(dir.path()), ["link", "new.jsonl", "other", "real.jsonl"]);
        assert_eq!(fs::metadata(dir.path().join("new.jsonl")).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn the_input_is_not_overwritten_under_whatever_name() {
        let (dir, path) = file("texts", "a\n");
        let at = |name: &str| dir.path().join(name);
        fs::hard_link(&path, at("hard")).unwrap();
        symlink("texts", at("soft")).unwrap();
        let refused = |program: Program| {
            program.run().failure(2, "both input and output", Some("another file"));
            assert_eq!(fs::read(&path).unwrap(), b"a\n");
        };
        for output in ["texts", "hard", "soft"] {
            for command in ["embed", "search"] {
                let query = (command == "search").then_some("q");
                let program = Program::new([command]).args(query).case("static");
                refused(program.args(["--input", arg(&path), "--output", arg(&at(output))]));
            }
            let read = Program::embed(["--output", arg(&at(output))]).var("FILE", &path);
            refused(read.script(r#"exec "$@" < "$FILE""#));
        }
        let appended =
            |args: &[&str], script| Program::embed(args).var("FILE", &path).script(script).run();
        for outcome in [
            appended(&["--input", arg(&path)], r#"exec "$@" >> "$FILE""#),
            appended(&[], r#"exec "$@" < "$FILE" >> "$FILE""#),
        ] {
            outcome.failure(2, "the file behind standard output is both", Some("another file"));
        }
        // Two that only look the same.
        let _ = appended(&[], r#"exec "$@" < /dev/null > /dev/null"#).silent_success();
        assert_eq!(fs::read(&path).unwrap(), b"a\n");
    }

    #[test]
    fn an_image_is_not_overwritten() {
        let (dir, path) = file("a.png", "an image");
        for input in [&path, dir.path()] {
            let program = Program::new(["embed", "--model", "Qdrant/clip-ViT-B-32-vision"]);
            let program = program.args([arg(input), "--output", arg(&path)]);
            program.run().failure(2, "both input and output", Some("another file"));
        }
        assert_eq!(fs::read(&path).unwrap(), b"an image");
    }

    #[test]
    fn pipes_and_descriptors_are_written_as_they_are() {
        let text = Program::embed(["a"]).run().silent_success().stdout;
        for path in ["/dev/stdout", "/dev/fd/1"] {
            let outcome = Program::embed(["a", "--output", path]).run().silent_success();
            assert_eq!(outcome.stdout, text, "{path}");
        }
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for format in ["jsonl", "npy"] {
            let args = ["a", "--format", format, "--output", arg(&pipe)];
            let child = Program::embed(args).start();
            let mut read = Vec::new();
            fs::File::open(&pipe).unwrap().read_to_end(&mut read).unwrap();
            Outcome::of(child).silent_success();
            match format {
                "npy" => assert_eq!(read_npy(&read).0, (1, 8)),
                _ => assert_eq!(read, text),
            }
        }
        assert_eq!(names(dir.path()), ["pipe"]);
    }

    #[test]
    fn a_disk_that_is_full_leaves_whole_records() {
        let texts = "hello world\n".repeat(5000);
        for format in ["jsonl", "npy"] {
            let (dir, output) = file("out", "earlier");
            let args = ["--format", format, "--output", arg(&output)];
            // 100 blocks of 512 bytes; some shells count in 1024.
            let program = Program::embed(args)
                .stdin(&texts)
                .script(r#"trap "" XFSZ; ulimit -f 100; exec "$@""#);
            program.run().failure(1, "cannot write ", Some("the records already written stay in "));
            assert_eq!(fs::read(&output).unwrap(), b"earlier");
            let names = names(dir.path());
            assert_eq!(names.len(), 2);
            let mut part = fs::read(dir.path().join(&names[1])).unwrap();
            assert!(part.len() > 30_000);
            if format == "npy" {
                part[0] = 0x93;
                assert!(read_npy(&part).0.0 > 100);
            } else {
                let part = String::from_utf8(part).unwrap();
                assert!(part.ends_with("}\n"));
                for (index, line) in part.lines().enumerate() {
                    let record: serde_json::Value = serde_json::from_str(line).unwrap();
                    assert_eq!(record["index"], index);
                }
            }
        }
    }

    #[test]
    fn of_two_runs_at_once_each_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("out.jsonl");
        let slow = Program::embed(["--output", arg(&output)]).open_stdin();
        let mut child = slow.start();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all("hello world\n".repeat(3000).as_bytes()).unwrap();
        while names(dir.path()).is_empty() {
            std::thread::yield_now();
        }
        Program::embed(["a", "--output", arg(&output)]).run().silent_success();
        assert_eq!(fs::read_to_string(&output).unwrap().lines().count(), 1);
        drop(stdin);
        Outcome::of(child).silent_success();
        assert_eq!(fs::read_to_string(&output).unwrap().lines().count(), 3000);
        assert_eq!(names(dir.path()), ["out.jsonl"]);
    }
}
