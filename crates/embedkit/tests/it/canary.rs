//! The check of a model at its first use on a device other than the CPU, on a real one.

use std::fs;

use embedkit::{DEFAULT_MODEL, Device, LoadOptions, Model, TextEmbedding, resolve};
use embedkit_testkit::dense_case;

#[test]
fn a_device_is_checked_once_at_its_first_use() {
    let Some(options) = crate::options() else { return };
    if options.device == Device::Cpu {
        println!("skipped: the device of the tests is the CPU; EMBEDKIT_TEST_DEVICE names another");
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    let case = dense_case("mean-normalized");
    let options =
        LoadOptions { skip_canary: false, cache_dir: Some(cache.path().to_owned()), ..options };
    let records = || fs::read_dir(cache.path().join("devices")).map_or(0, Iterator::count);
    let model = Model::builder_for([case.spec.clone()]).unwrap().dir(&case.dir);
    model.options(options.clone()).open().unwrap();
    assert_eq!(records(), 1);
    // The typed model is the same one on the same device.
    TextEmbedding::from_files(&case.spec, &case.files(), &options).unwrap();
    assert_eq!(records(), 1);
}

#[test]
fn the_cpu_is_never_checked() {
    let Some(options) = crate::options() else { return };
    let cache = tempfile::tempdir().unwrap();
    let case = dense_case("mean-normalized");
    for device in [Device::Cpu, Device::Prefer(vec![Device::Cpu])] {
        let options = LoadOptions {
            device,
            skip_canary: false,
            provider_options: Vec::new(),
            cache_dir: Some(cache.path().to_owned()),
            ..options.clone()
        };
        let model = TextEmbedding::from_files(&case.spec, &case.files(), &options).unwrap();
        assert_eq!(model.device().unwrap(), "cpu");
    }
    assert!(!cache.path().join("devices").exists());
}

#[test]
fn a_built_in_model_has_its_published_values() {
    let found = resolve(DEFAULT_MODEL, &LoadOptions::default()).unwrap();
    let known = found.canonical().unwrap();
    assert_eq!((known.texts.len(), known.vectors.len()), (1, 1));
    let none = resolve("intfloat/e5-base-v2", &LoadOptions::default()).unwrap();
    assert!(none.canonical().is_none());
}
