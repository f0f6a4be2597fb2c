//! Output: determinism, weight files, and paths that cannot be written.

use std::fs;

use super::onnx::Model;
use super::{Draft, data};
use crate::{ConvertOptions, Error, Head, convert, convert_within};

#[test]
fn the_same_input_gives_the_same_bytes() {
    let out = tempfile::tempdir().unwrap();
    let options = ConvertOptions { head: Head::MaskedLm, ..ConvertOptions::default() };
    let [first, second] = ["a.onnx", "b.onnx"].map(|name| {
        let path = out.path().join(name);
        convert(&data("mpnet-mlm"), &path, &options).unwrap();
        fs::read(path).unwrap()
    });
    assert!(first == second);
}

/// Tensors are transposed, widened and named as the graph needs.
#[test]
fn weights_are_stored_as_f32_in_the_order_of_the_product() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("model.onnx");
    convert(&data("bert-plain"), &path, &ConvertOptions::default()).unwrap();
    let model = Model::read(&fs::read(&path).unwrap());
    let draft = Draft::of("bert-plain");
    let name = "encoder.layer.1.intermediate.dense.weight";
    let source = &draft.tensors[name];
    assert_eq!((source.dtype.as_str(), source.shape.as_slice()), ("F16", [12, 8].as_slice()));
    let stored = &model.tensors[&format!("{name}.transposed")];
    assert_eq!((stored.element, stored.dims.as_slice()), (1, [8, 12].as_slice()));
    let source = source.bytes.as_chunks().0;
    let stored = stored.raw.as_chunks().0;
    for (row, column) in [(0, 0), (0, 7), (11, 0), (5, 3), (11, 7)] {
        let expected = half::f16::from_le_bytes(source[row * 8 + column]).to_f32();
        assert_eq!(f32::from_le_bytes(stored[column * 12 + row]), expected);
    }
}

/// Compares matrices wider than one pass of the transposition with the plain definition.
#[test]
fn large_matrices_are_transposed() {
    let mut draft = Draft::of("bert-plain");
    let (rows, columns) = (131, 8);
    draft.config["intermediate_size"] = rows.into();
    for layer in 0..2 {
        for (name, shape) in
            [("intermediate.dense", [rows, columns]), ("output.dense", [columns, rows])]
        {
            let name = format!("encoder.layer.{layer}.{name}.weight");
            let tensor = draft.tensors.get_mut(&name).unwrap();
            tensor.dtype = "F32".to_owned();
            tensor.shape = shape.to_vec();
            tensor.bytes = (0..rows * columns).flat_map(|i| (i as f32).to_le_bytes()).collect();
        }
        let bias = draft.tensors.get_mut(&format!("encoder.layer.{layer}.intermediate.dense.bias"));
        let bias = bias.unwrap();
        bias.shape = vec![rows];
        bias.bytes = vec![0; 2 * rows as usize];
    }
    draft.convert(Head::Hidden).unwrap();
    let model = Model::read(&fs::read(draft.dir().join("out.onnx")).unwrap());
    let stored = &model.tensors["encoder.layer.0.output.dense.weight.transposed"];
    assert_eq!(stored.dims, [rows, columns]);
    for (place, number) in stored.raw.as_chunks().0.iter().enumerate() {
        let (row, column) = (place as u64 / columns, place as u64 % columns);
        assert_eq!(f32::from_le_bytes(*number), (column * rows + row) as f32);
    }
}

/// The graph transposes a matrix that is too large for memory.
#[test]
fn huge_matrices_are_left_to_the_runtime() {
    let mut draft = Draft::of("bert-classifier");
    let labels = (1 << 20) + 1;
    draft.config["id2label"] = serde_json::Value::Null;
    for (name, shape) in [("classifier.weight", vec![labels, 8]), ("classifier.bias", vec![labels])]
    {
        let tensor = draft.tensors.get_mut(name).unwrap();
        tensor.bytes = vec![1; 2 * shape.iter().product::<u64>() as usize];
        tensor.shape = shape;
    }
    draft.convert(Head::Classifier).unwrap();
    let model = Model::read(&fs::read(draft.dir().join("out.onnx")).unwrap());
    let stored = &model.tensors["classifier.weight"];
    assert_eq!(
        (stored.dims.as_slice(), stored.raw.len()),
        ([labels, 8].as_slice(), 4 * 8 * labels as usize)
    );
    let turned = model.operators.iter().filter(|operator| *operator == "Transpose").count();
    assert_eq!(turned, 2 * 4 + 1, "four in each layer, and this one");
}

#[test]
fn models_beyond_the_limit_get_a_file_of_weights() {
    let out = tempfile::tempdir().unwrap();
    let options = ConvertOptions::default();
    let [one, two] = ["one.onnx", "two.onnx"].map(|name| out.path().join(name));
    let whole = convert(&data("bert-mlm"), &one, &options).unwrap();
    let inline = Model::read(&fs::read(&one).unwrap());

    // The limit is the largest size that fits into one file.
    let done =
        convert_within(&data("bert-mlm"), &two, &options, whole.bytes, &mut |_, _| {}).unwrap();
    assert_eq!(done.external_data, None);
    let done =
        convert_within(&data("bert-mlm"), &two, &options, whole.bytes - 1, &mut |_, _| {}).unwrap();
    let file = out.path().join("two.onnx_data");
    assert_eq!(done.external_data.as_ref(), Some(&file));
    let numbers = fs::read(file).unwrap();
    assert_eq!(done.bytes, (fs::read(&two).unwrap().len() + numbers.len()) as u64);
    let external = Model::read(&fs::read(&two).unwrap());
    assert_eq!(external.operators, inline.operators);
    let mut moved = 0;
    for (name, tensor) in &external.tensors {
        let same = &inline.tensors[name];
        assert_eq!((&tensor.dims, tensor.element), (&same.dims, same.element));
        if tensor.external.is_empty() {
            assert_eq!(tensor.raw, same.raw);
        } else {
            assert_eq!(tensor.external["location"], "two.onnx_data");
            let [offset, length] =
                ["offset", "length"].map(|key| tensor.external[key].parse::<usize>().unwrap());
            assert_eq!(offset % 4096, 0);
            assert_eq!(numbers[offset..offset + length], same.raw);
            moved += length;
        }
    }
    assert!(moved > 4 * 1000, "the weights are outside, not only a few of them: {moved} bytes");
    let names: Vec<_> =
        fs::read_dir(out.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "no temporary file stays: {names:?}");
}

#[test]
fn paths_that_are_no_place_for_a_file_are_refused() {
    let draft = Draft::of("bert-plain");
    draft.convert(Head::Hidden).unwrap();
    let options = ConvertOptions::default();
    let to = |path: &str| convert(draft.dir(), &draft.dir().join(path), &options).unwrap_err();
    let weights = fs::read(draft.weights()).unwrap();

    fs::create_dir(draft.dir().join("folder")).unwrap();
    assert!(matches!(to("folder"), Error::Output { reason: "it is a folder", .. }));
    assert!(matches!(to(".."), Error::Output { reason: "it does not name a file", .. }));
    assert!(matches!(to("folder/../model.safetensors"), Error::Output { .. }));
    assert!(matches!(to("config.json"), Error::Output { .. }));
    let error = to("nowhere/model.onnx");
    assert!(matches!(&error, Error::Write { path, .. } if path.ends_with("nowhere/model.onnx")));
    assert_eq!(error.hint().unwrap().to_string(), "create the folder first");
    assert_eq!(fs::read(draft.weights()).unwrap(), weights);
}

/// A failed conversion leaves an existing file and nothing beside it.
#[test]
fn failures_leave_the_old_file() {
    let mut draft = Draft::of("bert-plain");
    let out = draft.dir().join("out.onnx");
    fs::write(&out, "old").unwrap();
    draft.tensors.remove("encoder.layer.1.output.dense.bias");
    draft.convert(Head::Hidden).unwrap_err();
    assert_eq!(fs::read(&out).unwrap(), b"old");
    assert_eq!(fs::read_dir(draft.dir()).unwrap().count(), 3);
}

#[test]
fn progress_ends_with_all_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    let options = ConvertOptions::default();
    for limit in [u64::MAX, 1000] {
        let mut told = Vec::new();
        let done = convert_within(&data("bert-mlm"), &path, &options, limit, &mut |done, all| {
            told.push((done, all));
        });
        let bytes = done.unwrap().bytes;
        assert!(told.is_sorted() && told.iter().all(|(_, all)| *all == bytes), "{told:?}");
        assert_eq!(told.last(), Some(&(bytes, bytes)));
    }
}
