//! One id for an encoder of texts and one of images.

use std::{fs, path::Path};

use embedkit::{Input, InputKind, Model, ModelSpec, OutputKind, QueueOptions, Role, TaskKind};
use embedkit_testkit::{dense_case, image_case, picture};

use crate::{open, options};

/// Descriptions of both encoders, which have the same id and different graphs.
fn specs() -> [ModelSpec; 2] {
    [dense_case("mean-normalized").spec, image_case("jina").spec].map(|spec| {
        let file = format!("{}.onnx", spec.task.name()).into();
        ModelSpec { id: "two".into(), file, ..spec }
    })
}

/// Puts the files of an encoder into a folder.
fn install(spec: &ModelSpec, dir: &Path) {
    let (from, graph) = match spec.task.kind() {
        TaskKind::Image => (image_case("jina").dir.clone(), image_case("jina").files().model),
        _ => {
            let case = dense_case("mean-normalized");
            (case.dir.clone(), case.files().model)
        }
    };
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            fs::copy(&path, dir.join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::copy(graph, dir.join(&*spec.file)).unwrap();
}

#[test]
fn the_kind_of_an_input_decides() {
    let Some(options) = options() else { return };
    let dir = tempfile::tempdir().unwrap();
    let specs = specs();
    specs.iter().for_each(|spec| install(spec, dir.path()));
    let builder = Model::builder_for(specs.clone()).unwrap();
    let model = builder.dir(dir.path()).options(options).open().unwrap();
    assert_eq!(model.capabilities().inputs, [InputKind::Text, InputKind::Image]);
    assert_eq!(model.capabilities().outputs, [OutputKind::Dense]);
    let [texts, images] = specs.each_ref().map(|spec| open(spec, dir.path()).unwrap());
    let image = || Input::image(picture("wide.png"));
    let inputs = [image(), "a".into(), "b".into(), image(), Input::pair("a", "b"), "a".into()];
    let results: Vec<_> = model.embed(Role::Document, inputs.clone()).collect();
    assert_eq!(results.len(), inputs.len());
    let fit = || inputs.iter().filter(|input| input.kind() != InputKind::Pair).cloned();
    let submitted = model.submit(Role::Document, fit(), QueueOptions::BULK).unwrap();
    let submitted: Vec<_> = submitted.map(Result::unwrap).collect();
    let embedded = results.iter().filter_map(|result| result.as_ref().ok());
    assert!(submitted.iter().eq(embedded));
    for (input, result) in inputs.into_iter().zip(results) {
        let alone = match input.kind() {
            InputKind::Text => texts.embed_one(Role::Document, input),
            InputKind::Image => images.embed_one(Role::Document, input),
            _ => {
                let error = result.unwrap_err().to_string();
                assert!(error.starts_with("two takes texts and images, not pairs"), "{error}");
                continue;
            }
        };
        assert_eq!(result.unwrap(), alone.unwrap());
    }
}

#[test]
fn only_the_encoder_that_is_needed_is_opened() {
    let Some(options) = options() else { return };
    let dir = tempfile::tempdir().unwrap();
    let specs = specs();
    install(&specs[1], dir.path());
    let builder = Model::builder_for(specs).unwrap();
    let model = builder.dir(dir.path()).options(options).open().unwrap();
    model.document(Input::image(picture("wide.png"))).unwrap();
    // An encoder that cannot be opened ends the stream, behind what came before it.
    let image = || Input::image(picture("wide.png"));
    let results: Vec<_> = model.embed(Role::Raw, [image(), "a".into(), image()]).collect();
    assert!(matches!(&results[..], [Ok(_), Err(_)]), "{results:?}");
}
