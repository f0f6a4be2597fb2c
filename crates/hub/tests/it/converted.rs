//! Graphs that are made from a model's files: once, whole, and again where the files change.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use embedkit_hub::{Conversion, Error, Event, Hub};
use embedkit_types::{ModelSpec, Source};

use embedkit_testkit::hub::{Repo, Server};

use crate::{hub, nothing_unfinished, spec, tree};

/// The description of a folder of the user's own.
pub(crate) fn local() -> ModelSpec {
    ModelSpec { source: Source::DEFAULT, ..spec() }
}

/// Converts `weights` of a folder by writing its content twice; the number counts conversions.
fn convert(hub: &Hub, spec: &ModelSpec, root: &Path, recipe: &str, made: &Cell<u32>) -> PathBuf {
    let inputs = ["weights".to_owned()];
    let conversion = Conversion { spec, root, inputs: &inputs, recipe, file: "model.onnx" };
    let weights = fs::read_to_string(root.join("weights")).unwrap();
    let make = |path: &Path, written: &mut dyn FnMut(u64, u64)| -> Result<(), Error> {
        made.set(made.get() + 1);
        fs::write(path, format!("{weights}{weights}")).unwrap();
        written(3, 6);
        fs::write(path.with_extension("onnx_data"), "data").unwrap();
        Ok(())
    };
    let path = hub.converted(&conversion, make).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{weights}{weights}"));
    assert!(path.with_extension("onnx_data").is_file());
    path
}

#[test]
fn a_graph_is_made_once_for_the_same_files_and_recipe() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (hub, made) = (Hub::new(cache.path()), Cell::new(0));
    let root = dir.path().join("my model");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("weights"), "one").unwrap();
    let first = convert(&hub, &local(), &root, "hidden-1", &made);
    assert!(first.starts_with(cache.path().join("converted")));
    let name = first.parent().unwrap().file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("mymodel-hidden-1-"), "{name}");
    assert_eq!(convert(&hub, &local(), &root, "hidden-1", &made), first);
    assert_eq!(made.get(), 1);
    nothing_unfinished(cache.path());

    let other = convert(&hub, &local(), &root, "hidden-2", &made);
    assert_ne!(other, first, "another version of the maker");
    fs::write(root.join("weights"), "two").unwrap();
    let changed = convert(&hub, &local(), &root, "hidden-1", &made);
    assert_ne!(changed, first, "other weights");
    assert_eq!(made.get(), 3);
    assert_eq!(tree(&root), ["weights"], "the user's folder stays as it is");
}

#[test]
fn whoever_waits_hears_of_the_bytes() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(dir.path().join("weights"), "one").unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let hub = Hub::new(cache.path()).with_progress(Arc::new(move |event| {
        hears.lock().unwrap().push(match event {
            Event::Converting { .. } => (0, 0),
            Event::Writing { bytes, size, .. } => (bytes, size),
            Event::Converted { .. } => (9, 9),
            other => panic!("{other:?}"),
        });
    }));
    for _ in 0..2 {
        convert(&hub, &local(), dir.path(), "x", &Cell::new(0));
    }
    assert_eq!(*heard.lock().unwrap(), [(0, 0), (3, 6), (9, 9)]);
}

#[test]
fn a_graph_that_was_cut_off_is_made_again() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (hub, made) = (Hub::new(cache.path()), Cell::new(0));
    fs::write(dir.path().join("weights"), "one").unwrap();
    let path = convert(&hub, &local(), dir.path(), "x", &made);
    let data = path.with_extension("onnx_data");
    for (round, damage) in [
        |path: &Path, _: &Path| fs::write(path, "o").unwrap(),
        |_: &Path, data: &Path| fs::remove_file(data).unwrap(),
        |path: &Path, _: &Path| fs::remove_file(path.with_file_name("converted.json")).unwrap(),
        |path: &Path, _: &Path| fs::write(path.with_file_name("converted.json"), "[").unwrap(),
    ]
    .into_iter()
    .enumerate()
    {
        damage(&path, &data);
        assert_eq!(convert(&hub, &local(), dir.path(), "x", &made), path);
        assert_eq!(made.get(), round as u32 + 2);
    }
    nothing_unfinished(cache.path());
}

#[test]
fn a_failure_leaves_nothing() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let hub = Hub::new(cache.path());
    fs::write(dir.path().join("weights"), "one").unwrap();
    let spec = local();
    let convert = |name: &str| {
        let (root, inputs) = (dir.path(), &[name.to_owned()]);
        let conversion = Conversion { spec: &spec, root, inputs, recipe: "x", file: "model.onnx" };
        let fail = |path: &Path, _: &mut dyn FnMut(u64, u64)| {
            fs::write(path, "half").unwrap();
            Err(Error::NoCacheDir)
        };
        hub.converted(&conversion, fail).unwrap_err()
    };
    let error = convert("weights");
    assert!(matches!(error, Error::NoCacheDir));
    assert!(tree(&cache.path().join("converted")).is_empty());
    for (name, named) in [("gone", true), ("../weights", false)] {
        let error = convert(name);
        assert_eq!(matches!(error, Error::Disk { .. }), named, "{error}");
    }
}

#[test]
fn a_repositorys_graph_lies_beside_its_files() {
    let (mut repo, cache) = (Repo::sample(), tempfile::tempdir().unwrap());
    repo.files.insert("weights".into(), b"small".to_vec());
    let served = repo.clone();
    let server = Server::start(move |request| served.reply(request));
    let hub = hub(cache.path(), &server);
    let snapshot = hub.snapshot("Org/Model", None).unwrap();
    hub.fetch(&snapshot, &["weights".to_owned()], 1000).unwrap();
    let source = Source { revision: Some(repo.commit.clone().into()), ..spec().source };
    let spec = ModelSpec { source, ..spec() };
    let root = cache.path().join("models--Org--Model/snapshots").join(&repo.commit);
    let made = Cell::new(0);
    let path = convert(&hub, &spec, &root, "hidden-1", &made);
    let beside = cache.path().join("models--Org--Model/embedkit/converted");
    assert_eq!(path.parent().unwrap().parent().unwrap(), beside);
    // The same content elsewhere is the same graph: its hash counts, not its place or time.
    let blob = fs::canonicalize(root.join("weights")).unwrap();
    let file = fs::File::options().write(true).open(&blob).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(convert(&hub, &spec, &root, "hidden-1", &made), path);
    assert_eq!(made.get(), 1);
}
