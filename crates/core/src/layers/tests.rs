//! Layers against numbers by hand and of a mathematical library.

use std::{borrow::Cow, fs};

use safetensors::serialize;

use super::*;

/// A tensor of a file.
struct Stored(Dtype, Vec<usize>, Vec<u8>);

impl safetensors::View for &Stored {
    fn dtype(&self) -> Dtype {
        self.0
    }
    fn shape(&self) -> &[usize] {
        &self.1
    }
    fn data(&self) -> Cow<'_, [u8]> {
        self.2.as_slice().into()
    }
    fn data_len(&self) -> usize {
        self.2.len()
    }
}

fn single(shape: &[usize], values: &[f32]) -> Stored {
    Stored(Dtype::F32, shape.to_vec(), values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

fn halves(shape: &[usize], values: &[f32]) -> Stored {
    let bytes = values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
    Stored(Dtype::F16, shape.to_vec(), bytes)
}

fn brains(shape: &[usize], values: &[f32]) -> Stored {
    let bytes = values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
    Stored(Dtype::BF16, shape.to_vec(), bytes)
}

/// A layer of two numbers from three.
fn dense(activation: Activation) -> DenseLayer {
    DenseLayer { file: "2_Dense/model.safetensors".into(), dim: 2, bias: true, activation }
}

fn open(tensors: &[(&str, Stored)], layers: &[Layer]) -> Result<Layers, Error> {
    let folder = tempfile::tempdir().unwrap();
    let files = ModelFiles::new(folder.path(), folder.path().join("model.onnx"));
    fs::create_dir(folder.path().join("2_Dense")).unwrap();
    let bytes = serialize(tensors.iter().map(|(name, tensor)| (*name, tensor)), None).unwrap();
    fs::write(folder.path().join("2_Dense/model.safetensors"), bytes).unwrap();
    Layers::open(&files, layers)
}

const WEIGHT: [f32; 6] = [1.0, -2.0, 0.5, 0.0, 1.0, 2.0];

fn both(store: impl Fn(&[usize], &[f32]) -> Stored) -> [(&'static str, Stored); 2] {
    [("linear.weight", store(&[2, 3], &WEIGHT)), ("linear.bias", store(&[2], &[0.25, -1.0]))]
}

#[test]
fn a_linear_layer_multiplies_and_adds_in_every_type() {
    for tensors in [both(single), both(halves), both(brains)] {
        let layers = open(&tensors, &[Layer::Dense(dense(Activation::Identity))]).unwrap();
        // 2 - 6 + 2 + 0.25 and 3 + 8 - 1
        assert_eq!(layers.apply(vec![2.0, 3.0, 4.0]).unwrap(), [-1.75, 10.0]);
        let error = layers.apply(vec![2.0, 3.0]).unwrap_err().to_string();
        assert!(
            error.contains("expected vectors of dimension 3") && error.ends_with("got 2"),
            "{error}"
        );
    }
}

#[test]
fn a_long_row_is_summed_whole() {
    let weight: Vec<f32> = (1..=19_u8).map(f32::from).collect();
    let layer = DenseLayer { dim: 1, bias: false, ..dense(Activation::Identity) };
    let layers = open(&[("linear.weight", single(&[1, 19], &weight))], &[Layer::Dense(layer)]);
    let vector = (1..=19_u8).map(f64::from).collect();
    assert_eq!(layers.unwrap().apply(vector).unwrap(), [2470.0]); // the sum of squares
}

#[test]
fn layers_follow_each_other() {
    let square = [("linear.weight", single(&[2, 2], &[0.0, 1.0, 1.0, 0.0]))];
    let dense = Layer::Dense(DenseLayer { bias: false, ..dense(Activation::Identity) });
    let layers = open(&square, &[Layer::Normalize, dense.clone(), dense]).unwrap();
    assert_eq!(layers.apply(vec![3.0, 4.0]).unwrap(), [0.6, 0.8]);
}

#[test]
fn activations_are_by_their_formulas() {
    // Of -1.5 and 0.75 in f64, by another library's exponential, hyperbolic and error functions.
    for (activation, expected) in [
        (Activation::Identity, [-1.5, 0.75]),
        (Activation::Tanh, [-0.905_148_253_644_866_4, 0.635_148_952_387_287_3]),
        (Activation::Relu, [0.0, 0.75]),
        (Activation::Gelu, [-0.100_210_801_903_287_13, 0.580_029_485_717_348_8]),
        (Activation::Sigmoid, [0.182_425_523_806_356_35, 0.679_178_699_175_392_9]),
        (Activation::Silu, [-0.273_638_285_709_534_5, 0.509_384_024_381_544_7]),
    ] {
        for (x, expected) in [-1.5, 0.75].into_iter().zip(expected) {
            let found = activate(activation, x);
            assert!((found - expected).abs() < 1e-14, "{activation:?} of {x}: {found}");
        }
        assert!(activate(activation, f64::NAN).is_nan(), "{activation:?}");
    }
}

#[test]
fn damage_names_the_file_and_the_tensor() {
    let fails = |tensors: &[(&str, Stored)], layer: DenseLayer, part: &str| {
        let error = open(tensors, &[Layer::Dense(layer)]).unwrap_err().to_string();
        assert!(error.contains("model.safetensors") && error.contains(part), "{error}");
    };
    let layer = || dense(Activation::Tanh);
    fails(&[("kernel", single(&[2, 3], &WEIGHT))], layer(), "no tensor `linear.weight`");
    fails(&[("weight", single(&[2, 3], &WEIGHT))], layer(), "no tensor `bias`");
    fails(&both(single)[..1], layer(), "no tensor `linear.bias`");
    fails(&[("linear.weight", single(&[6], &WEIGHT))], layer(), "expected shape [2, width]");
    fails(&both(single), DenseLayer { dim: 4, ..layer() }, "expected shape [4, width], got [2, 3]");
    let long = [("linear.weight", single(&[2, 3], &WEIGHT)), ("linear.bias", single(&[1], &[0.0]))];
    fails(&long, layer(), "`linear.bias`: expected shape [2], got [1]");
    let whole = Stored(Dtype::I8, vec![2, 3], vec![0; 6]);
    let plain = DenseLayer { bias: false, ..layer() };
    fails(&[("linear.weight", whole)], plain, "expected type F32, F16 or BF16, got I8");
    let missing = DenseLayer { file: "3_Dense/model.safetensors".into(), ..layer() };
    fails(&both(single), missing, "cannot read");
    let error = open(&both(single), &[Layer::Dense(layer()), Layer::Dense(layer())]).unwrap_err();
    assert!(error.to_string().contains("expected vectors of dimension 3"), "{error}");
}
