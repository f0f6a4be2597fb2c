//! Disks that are full, folders that must not be written or vanish, and what killed processes left.

use std::{
    fs::{self, File},
    time::{Duration, SystemTime},
};

use embedkit_hub::Error;

use embedkit_testkit::hub::{Repo, Server};

use crate::{check, hub, nothing_unfinished, spec, tree};

#[test]
fn a_folder_that_vanishes_during_a_download() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let (served, blobs) = (repo.clone(), cache.path().join("models--Org--Model/blobs"));
    let server = Server::start(move |request| {
        if request.path.starts_with("/cdn/onnx/model.onnx?") && request.earlier == 0 {
            // The other files come at the same time, so it may take more than once.
            while fs::remove_dir_all(&blobs).is_err() && blobs.exists() {}
        }
        served.reply(request)
    });
    let hub = hub(cache.path(), &server);
    let error = hub.files(&spec()).unwrap_err();
    assert!(matches!(error, Error::Disk { .. }), "{error:?}");
    assert_eq!(hub.cached(&spec()), None);
    check(&repo, cache.path(), &hub.files(&spec()).unwrap());
}

#[test]
fn what_killed_processes_left_is_removed() {
    let (repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    let served = repo.clone();
    let server = Server::start(move |request| served.reply(request));
    let hub = hub(cache.path(), &server);
    hub.files(&spec()).unwrap();
    let dir = cache.path().join("models--Org--Model");
    let snapshot = format!("snapshots/{}", repo.commit);
    let onnx = format!("{snapshot}/onnx");
    let folders = ["blobs", "refs", "embedkit", snapshot.as_str(), onnx.as_str()];
    let old = SystemTime::now() - Duration::from_secs(7200);
    for folder in folders {
        let left = dir.join(folder).join("x.embedkit-1-0123456789abcdef.incomplete");
        File::create(left).unwrap().set_modified(old).unwrap();
    }
    // One that another process is still writing, and one of another tool.
    let fresh = dir.join("blobs/y.embedkit-2-0123456789abcdef.incomplete");
    File::create(&fresh).unwrap();
    let foreign = dir.join("blobs/z.incomplete");
    File::create(&foreign).unwrap().set_modified(old).unwrap();
    hub.pull(&spec()).unwrap();
    assert!(fresh.is_file() && foreign.is_file());
    fs::remove_file(fresh).unwrap();
    fs::remove_file(foreign).unwrap();
    nothing_unfinished(cache.path());
}

/// Tests with a disk and a user of their own: this test program again, in namespaces where it has both.
#[cfg(target_os = "linux")]
mod namespaces {
    use std::{
        env,
        path::Path,
        process::{Command, Stdio},
    };

    use embedkit_hub::Hub;

    use super::*;

    const CACHE: &str = "EMBEDKIT_TEST_DISK";
    const KIND: &str = "EMBEDKIT_TEST_DISK_KIND";

    /// Not a test by itself: a download that fails for lack of what [`KIND`] says.
    #[test]
    fn child() {
        let (Some(cache), Ok(kind)) = (env::var_os(CACHE), env::var(KIND)) else { return };
        let cache = Path::new(&cache);
        let hub = Hub::from_env(Some(cache.into()), false).unwrap();
        let error = hub.files(&spec()).unwrap_err();
        let Error::Disk { source, .. } = &error else { panic!("{error:?}") };
        assert_eq!(format!("{:?}", source.kind()), kind, "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.to_string().contains("EMBEDKIT_CACHE")));
        assert_eq!(hub.cached(&spec()), None);
        nothing_unfinished(cache);
        let visible = |name: &String| name.contains("snapshots/") || name.contains("refs/");
        assert!(!tree(cache).iter().any(visible), "{:?}", tree(cache));
        if kind == "StorageFull" {
            let mut mount = Command::new("mount");
            assert!(mount.args(["-o", "remount,size=8m"]).arg(cache).status().unwrap().success());
            check(&Repo::sample(), cache, &hub.files(&spec()).unwrap());
        }
    }

    /// Runs `script` in new namespaces, with the cache as `$1`; `None` where there are none for us.
    fn unshare(options: &[&str], script: &str, cache: &Path) -> Option<bool> {
        let mut command = Command::new("unshare");
        command.args(options).args(["sh", "-c", script, "sh"]).arg(cache);
        Some(command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?.success())
    }

    fn run_child(options: &[&str], before: &str, cache: &Path, kind: &str) {
        let repo = Repo::sample();
        let server = Server::start(move |request| repo.reply(request));
        let script = format!("{before} exec \"$2\" disk::namespaces::child --exact");
        let mut command = Command::new("unshare");
        command.args(options).args(["sh", "-c", &script, "sh"]).arg(cache);
        command.arg(env::current_exe().unwrap());
        command.env(CACHE, cache).env(KIND, kind).env("HF_ENDPOINT", server.url());
        command.env("HF_HOME", cache.join("nobody-elses")).env_remove("HF_HUB_CACHE");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}{output:?}");
    }

    const MOUNT: &str = "mount -t tmpfs -o size=200k tmpfs \"$1\" &&";

    #[test]
    fn a_full_disk() {
        let cache = tempfile::tempdir().unwrap();
        let options = ["--user", "--map-root-user", "--mount"];
        if unshare(&options, &format!("{MOUNT} true"), cache.path()) != Some(true) {
            eprintln!("skipped: a small disk cannot be mounted here");
            return;
        }
        run_child(&options, MOUNT, cache.path(), "StorageFull");
    }

    #[test]
    fn a_folder_that_must_not_be_written() {
        use std::os::unix::fs::PermissionsExt as _;
        let cache = tempfile::tempdir().unwrap();
        let mode = |mode| fs::set_permissions(cache.path(), fs::Permissions::from_mode(mode));
        mode(0o555).unwrap();
        // Root may write anywhere, but not from within.
        if unshare(&["--user"], "! mkdir \"$1/x\"", cache.path()) == Some(true) {
            run_child(&["--user"], "", cache.path(), "PermissionDenied");
        } else {
            eprintln!("skipped: there is no way here to have fewer rights");
        }
        mode(0o755).unwrap();
    }
}
