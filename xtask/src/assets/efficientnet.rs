//! EfficientNet-Lite0 as ONNX graphs, from the weights in its package.
//!
//! The network is the lite form of Tan and Le ("EfficientNet", 2019): no squeeze and excitation, and
//! ReLU6 throughout. Padding is TensorFlow's `SAME`, batch normalisation has an epsilon of 0.001. Two
//! graphs are written: `model.onnx` gives the 1280 features before the classifier, `logits.onnx` the
//! scores of the 1000 ImageNet classes.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};
use embedkit_convert::onnx::{Attribute, BATCH, Dim, FLOAT, Graph, Port, Value, encode};

use super::torch::{self, Tensor};

/// Input height and width of the network.
const SIDE: usize = 224;
const EPSILON: f32 = 1e-3;

/// Preprocessing of the authors; mean and deviation are 127 and 128 of 255.
const PREPROCESSOR: &str = r#"{
  "image_processor_type": "CLIPImageProcessor",
  "do_resize": true,
  "size": {"shortest_edge": 256},
  "resample": 3,
  "do_center_crop": true,
  "crop_size": 224,
  "do_rescale": true,
  "rescale_factor": 0.00392156862745098,
  "do_normalize": true,
  "image_mean": [0.4980392156862745, 0.4980392156862745, 0.4980392156862745],
  "image_std": [0.5019607843137255, 0.5019607843137255, 0.5019607843137255]
}
"#;

/// Groups of blocks: number, stride of the first, and expansion.
struct Stage {
    blocks: usize,
    stride: usize,
    expansion: usize,
}

const fn stage(blocks: usize, stride: usize, expansion: usize) -> Stage {
    Stage { blocks, stride, expansion }
}

const STAGES: [Stage; 7] = [
    stage(1, 1, 1),
    stage(2, 2, 6),
    stage(2, 2, 6),
    stage(3, 2, 6),
    stage(3, 1, 6),
    stage(4, 2, 6),
    stage(1, 1, 6),
];

/// Output of a graph.
#[derive(Clone, Copy, PartialEq)]
enum Head {
    Features,
    Classes,
}

/// Writes both graphs and the preprocessing configuration beside the weights.
pub(super) fn convert(weights: &Path, folder: &Path) -> Result<()> {
    let bytes =
        fs::read(weights).with_context(|| format!("could not read {}", weights.display()))?;
    let tensors = torch::read(&bytes).with_context(|| format!("reading {}", weights.display()))?;
    for (name, head) in [("logits.onnx", Head::Classes), ("model.onnx", Head::Features)] {
        let graph = Network::new(&tensors).build(head)?;
        write(&folder.join(name), &encode(&graph))?;
    }
    write(&folder.join("preprocessor_config.json"), PREPROCESSOR.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("could not write {}", path.display()))
}

/// Builder of the graph, with the side length of its last value.
struct Network<'a> {
    tensors: &'a BTreeMap<String, Tensor>,
    graph: Graph,
    side: usize,
}

impl<'a> Network<'a> {
    fn new(tensors: &'a BTreeMap<String, Tensor>) -> Self {
        Self { tensors, graph: Graph::default(), side: SIDE }
    }

    fn build(mut self, head: Head) -> Result<Graph> {
        let side = || Dim::Fixed(SIDE);
        let shape = vec![BATCH, Dim::Fixed(3), side(), side()];
        let mut x = "pixel_values".to_owned();
        self.graph.inputs.push(Port { name: x.clone(), element: FLOAT, shape });
        x = self.convolution(&x, "_conv_stem", 2, 1)?;
        x = self.normalised(&x, "_bn0")?;
        x = self.relu6(&x);
        let mut number = 0;
        for stage in &STAGES {
            for place in 0..stage.blocks {
                let stride = if place == 0 { stage.stride } else { 1 };
                let y = self.block(&x, &format!("_blocks.{number}."), stride, stage.expansion)?;
                x = if place == 0 { y } else { self.graph.add_with("Add", &[&y, &x], &[]) };
                number += 1;
            }
        }
        x = self.convolution(&x, "_conv_head", 1, 1)?;
        x = self.normalised(&x, "_bn1")?;
        x = self.relu6(&x);
        x = self.graph.add_with("GlobalAveragePool", &[&x], &[]);
        let axis = [("axis", Attribute::Int(1))];
        let features = self.tensor("_conv_head.weight", 4)?.shape[0];
        let (name, width) = match head {
            Head::Features => {
                self.graph.add_named("Flatten", &[&x], &axis, "image_embeds");
                ("image_embeds", features)
            }
            Head::Classes => {
                x = self.graph.add_with("Flatten", &[&x], &axis);
                let (weight, bias) = (self.weight("_fc.weight", 2)?, self.weight("_fc.bias", 1)?);
                let rows_are_classes = [("transB", Attribute::Int(1))];
                self.graph.add_named("Gemm", &[&x, &weight, &bias], &rows_are_classes, "logits");
                ("logits", self.tensor("_fc.bias", 1)?.shape[0])
            }
        };
        let shape = vec![BATCH, Dim::Fixed(width)];
        self.graph.output = Port { name: name.to_owned(), element: FLOAT, shape };
        Ok(self.graph)
    }

    /// Expand, depthwise convolution, project.
    fn block(&mut self, x: &str, prefix: &str, stride: usize, expansion: usize) -> Result<Value> {
        let mut x = x.to_owned();
        if expansion > 1 {
            x = self.convolution(&x, &format!("{prefix}_expand_conv"), 1, 1)?;
            x = self.normalised(&x, &format!("{prefix}_bn0"))?;
            x = self.relu6(&x);
        }
        let filter = format!("{prefix}_depthwise_conv");
        let channels = self.tensor(&format!("{filter}.weight"), 4)?.shape[0];
        x = self.convolution(&x, &filter, stride, channels)?;
        x = self.normalised(&x, &format!("{prefix}_bn1"))?;
        x = self.relu6(&x);
        x = self.convolution(&x, &format!("{prefix}_project_conv"), 1, 1)?;
        self.normalised(&x, &format!("{prefix}_bn2"))
    }

    /// Pads to `ceil(side / stride)` positions, the odd pixel at the end.
    fn convolution(&mut self, x: &str, name: &str, stride: usize, groups: usize) -> Result<Value> {
        let name = format!("{name}.weight");
        let kernel = self.tensor(&name, 4)?.shape[2];
        let positions = self.side.div_ceil(stride);
        let padding = ((positions - 1) * stride + kernel).saturating_sub(self.side);
        let (before, after) = (padding / 2, padding - padding / 2);
        self.side = positions;
        let weight = self.weight(&name, 4)?;
        let ints = |numbers: &[usize]| -> Vec<i64> {
            numbers.iter().map(|&number| number.cast_signed() as i64).collect()
        };
        let attributes = [
            ("group", Attribute::Int(groups.cast_signed() as i64)),
            ("kernel_shape", Attribute::Ints(&ints(&[kernel, kernel]))),
            ("pads", Attribute::Ints(&ints(&[before, before, after, after]))),
            ("strides", Attribute::Ints(&ints(&[stride, stride]))),
        ];
        Ok(self.graph.add_with("Conv", &[x, &weight], &attributes))
    }

    fn normalised(&mut self, x: &str, name: &str) -> Result<Value> {
        let mut part = |part: &str| self.weight(&format!("{name}.{part}"), 1);
        let (scale, shift) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let inputs = [x, &scale, &shift, &mean, &variance];
        let epsilon = [("epsilon", Attribute::Float(EPSILON))];
        Ok(self.graph.add_with("BatchNormalization", &inputs, &epsilon))
    }

    fn relu6(&mut self, x: &str) -> Value {
        let (low, high) = (self.graph.float(0.0), self.graph.float(6.0));
        self.graph.add_with("Clip", &[x, &low, &high], &[])
    }

    fn tensor(&self, name: &str, rank: usize) -> Result<&'a Tensor> {
        let tensor = self.tensors.get(name).with_context(|| format!("there is no {name}"))?;
        ensure!(tensor.shape.len() == rank, "{name} has the shape {:?}", tensor.shape);
        Ok(tensor)
    }

    fn weight(&mut self, name: &str, rank: usize) -> Result<Value> {
        let tensor = self.tensor(name, rank)?;
        let shape: Vec<u64> = tensor.shape.iter().map(|&size| size as u64).collect();
        Ok(self.graph.floats(name, &shape, &tensor.values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_that_are_missing_are_named() {
        let error = Network::new(&BTreeMap::new()).build(Head::Features).map(|_| ());
        assert_eq!(error.expect_err("no weights").to_string(), "there is no _conv_stem.weight");
        let wrong = Tensor { shape: vec![3], values: vec![0.0; 3] };
        let tensors = BTreeMap::from([("_conv_stem.weight".to_owned(), wrong)]);
        let error = Network::new(&tensors).build(Head::Features).map(|_| ());
        let error = error.expect_err("no kernel").to_string();
        assert_eq!(error, "_conv_stem.weight has the shape [3]");
    }
}
