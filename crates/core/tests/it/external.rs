//! Weights in files of their own: those in the model's folder are read, and no others, whatever the
//! version of the runtime.

use std::fs;
use std::path::{Path, PathBuf};

use embedkit_core::Error;
use embedkit_core::onnx::{Input, Session, Values};
use embedkit_core::pipeline::Workload;
use embedkit_testkit::runtime_library;
use embedkit_types::{GraphOutput, LoadOptions};

use super::operators::{F32, field, int};

/// Where a graph has the tensor that is elsewhere.
#[derive(Debug, Clone, Copy)]
enum Place {
    Initializer,
    Constant,
    Branch,
}

/// `y = x + w` with two numbers `w` that are in a file.
fn graph(location: &str, place: Place) -> Vec<u8> {
    let text = |number: u64, text: &str| field(number, text.as_bytes());
    let entry = |key: &str, value: &str| field(13, &[text(1, key), text(2, value)].concat());
    let data = [entry("location", location), entry("offset", "0"), entry("length", "8")].concat();
    let w = [int(1, 2), int(2, F32), text(8, "w"), data, int(14, 1)].concat();
    let port = |name: &str| {
        let kind = field(1, &[int(1, F32), field(2, &field(1, &int(1, 2)))].concat());
        [text(1, name), field(2, &kind)].concat()
    };
    let value = field(5, &[text(1, "value"), field(5, &w), int(20, 4)].concat());
    let constant = field(1, &[text(2, "w"), text(4, "Constant"), value].concat());
    let weight = match place {
        Place::Initializer => field(5, &w),
        Place::Constant => constant,
        Place::Branch => {
            let output = field(12, &port("w"));
            let branch = [constant, text(2, "b"), output].concat();
            let branch = |name| field(5, &[text(1, name), field(6, &branch), int(20, 5)].concat());
            let branches = [branch("then_branch"), branch("else_branch")].concat();
            let node = [text(1, "c"), text(2, "w"), text(4, "If"), branches].concat();
            let condition = [int(2, 9), text(8, "c"), field(9, &[1])].concat();
            [field(5, &condition), field(1, &node)].concat()
        }
    };
    let add = field(1, &[text(1, "x"), text(1, "w"), text(2, "y"), text(4, "Add")].concat());
    let ports = [field(11, &port("x")), field(12, &port("y"))].concat();
    let graph = [weight, add, text(2, "g"), ports].concat();
    [int(1, 8), field(7, &graph), field(8, &int(2, 17))].concat()
}

fn run(library: &Path, model: &Path) -> Result<Vec<f32>, Error> {
    let load = LoadOptions { onnxruntime: Some(library.to_owned()), ..LoadOptions::default() };
    let session = Session::open(model, &load)?;
    let output = session.output(&GraphOutput::Index(0))?;
    let input = Input { name: "x", shape: &[2], values: Values::F32(&[1.0, 2.0]) };
    session.run(Workload::Single, &[input], &[output], |views| views[0].values.to_vec())
}

/// A folder `model` with weights in it, beside a file that is somebody's secret.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("model/below")).unwrap();
    let numbers = [10f32, 20.0].map(f32::to_le_bytes).concat();
    for file in ["secret", "model/w", "model/below/w"] {
        fs::write(dir.path().join(file), &numbers).unwrap();
    }
    let model = dir.path().join("model/model.onnx");
    (dir, model)
}

#[test]
fn weights_in_the_model_folder_are_read() {
    let Some(library) = runtime_library() else { return };
    let (_dir, model) = folder();
    for location in ["w", "below/w"] {
        fs::write(&model, graph(location, Place::Initializer)).unwrap();
        assert_eq!(run(&library, &model).unwrap(), [11.0, 22.0], "{location}");
    }
}

/// A graph with such weights, wherever it has them, is an error of ours.
fn refused(library: &Path, model: &Path, location: &str) {
    for place in [Place::Initializer, Place::Constant, Place::Branch] {
        fs::write(model, graph(location, place)).unwrap();
        let error = run(library, model).unwrap_err();
        let what = format!("{place:?}, {location}: {error}");
        assert!(matches!(&error, Error::ExternalData { name, .. } if name == location), "{what}");
        assert!(error.hint().is_some_and(|hint| hint.to_string().contains("folder")), "{what}");
    }
}

#[test]
fn weights_elsewhere_are_refused_before_the_runtime_opens_them() {
    let Some(library) = runtime_library() else { return };
    let (dir, model) = folder();
    let absolute = dir.path().join("secret");
    for location in ["../secret", absolute.to_str().unwrap(), "below/../../secret"] {
        refused(&library, &model, location);
    }
}

#[cfg(unix)]
#[test]
fn weights_behind_a_link_out_of_the_folder_are_refused() {
    let Some(library) = runtime_library() else { return };
    let (_dir, model) = folder();
    std::os::unix::fs::symlink("../secret", model.with_file_name("link")).unwrap();
    refused(&library, &model, "link");
}

#[test]
fn weights_that_are_not_there_are_named() {
    let Some(library) = runtime_library() else { return };
    let (_dir, model) = folder();
    fs::write(&model, graph("absent", Place::Initializer)).unwrap();
    let error = run(&library, &model).unwrap_err();
    let absent = model.with_file_name("absent");
    assert!(matches!(&error, Error::Read { path, .. } if *path == absent), "{error}");
}

/// The hub's cache: a snapshot of links to a folder of blobs.
#[cfg(unix)]
#[test]
fn weights_in_the_folder_that_the_links_of_the_model_lead_to_are_read() {
    use std::os::unix::fs::symlink;
    let Some(library) = runtime_library() else { return };
    let (dir, _) = folder();
    let [blobs, snapshot] = ["blobs", "snapshots/commit/onnx"].map(|name| dir.path().join(name));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(blobs.join("1"), graph("w.data", Place::Initializer)).unwrap();
    fs::copy(dir.path().join("secret"), blobs.join("2")).unwrap();
    for (name, blob) in [("model.onnx", "1"), ("w.data", "2")] {
        symlink(Path::new("../../../blobs").join(blob), snapshot.join(name)).unwrap();
    }
    assert_eq!(run(&library, &snapshot.join("model.onnx")).unwrap(), [11.0, 22.0]);
}
