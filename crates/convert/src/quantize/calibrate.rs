//! Calibration: the magnitude of each channel of each activation, measured on random tokens.
//!
//! Some channels of a transformer are an order of magnitude larger than the others, for any text. A
//! row's scale follows its largest channel, so the others lose precision. Dividing such channels by a
//! smoothing factor and multiplying the matrix's rows by it moves part of the range into the weights,
//! which have a scale per column (Xiao et al. 2022, "SmoothQuant"). Random tokens show the same
//! channels as text and need neither tokenizer nor corpus.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use embedkit_core::onnx::fusion::{Activation, Graph, Plan, Port, Product};
use embedkit_core::onnx::operators::ActivationRange;
use embedkit_core::onnx::{Input, Session, Values};
use embedkit_core::pipeline::Workload;
use embedkit_types::{Device, GraphOutput, LoadOptions};

/// ONNX's number for i64.
const INT64: u64 = 7;
/// Rows and tokens of each run. Rows begin and end with the lowest ids, where vocabularies have their
/// special tokens.
const RUNS: [(usize, usize); 6] = [(256, 4), (64, 8), (32, 16), (16, 32), (8, 64), (4, 128)];
/// Minimum ratio of the largest channel to the median for smoothing.
const SPREAD: f32 = 3.0;
/// Lower bound of a channel, as a share of the median. A channel that was small by chance must not
/// become large.
const LEAST: f32 = 0.05;

/// Upper bound of measured channels in all activations together; real models have some hundred
/// thousand. A small file could ask for more than memory holds.
const MAX_CHANNELS: u64 = 1 << 26;

/// Activations whose channels are measured: those with an unknown range.
pub(super) fn measured<'p, 'a>(plan: &'p Plan<'a>) -> Vec<&'p Activation<'a>> {
    plan.activations.iter().filter(|activation| is_measured(activation)).collect()
}

pub(super) fn is_measured(activation: &Activation<'_>) -> bool {
    activation.range == ActivationRange::Symmetric
}

/// Inputs for the calibration runs.
pub(super) struct Feed<'a> {
    inputs: &'a [Port<'a>],
    vocabulary: u64,
}

impl<'a> Feed<'a> {
    /// Reads the inputs of the graph. The error is the reason why it cannot be calibrated: inputs other
    /// than tokens, or too many channels.
    pub(super) fn new(graph: &'a Graph<'_>, plan: &Plan<'_>) -> Result<Self, String> {
        for input in &graph.inputs {
            let known = ["input_ids", "attention_mask", "token_type_ids", "position_ids"];
            if !known.contains(&input.name) {
                return Err(format!(
                    "the graph takes `{}`, which is not a token input",
                    input.name
                ));
            }
            if input.element != INT64 || input.rank != Some(2) {
                return Err(format!("`{}` is not a matrix of 64-bit integers", input.name));
            }
        }
        let channels: u64 = measured(plan).iter().map(|activation| activation.width).sum();
        if MAX_CHANNELS < channels {
            return Err(format!("it has {channels} channels, expected at most {MAX_CHANNELS}"));
        }
        let table = graph.nodes.iter().find_map(|node| {
            let &[table, indices] = node.inputs.as_slice() else { return None };
            (node.is("Gather") && indices == "input_ids").then(|| graph.tensors.get(table))?
        });
        match table.and_then(|table| table.dims.first()) {
            Some(&vocabulary) if 0 < vocabulary => Ok(Self { inputs: &graph.inputs, vocabulary }),
            _ => Err("no table is looked up by `input_ids`".to_owned()),
        }
    }

    /// Runs the graph at `path` and returns the maximum over all runs for each of the `width` numbers
    /// of its output `ranges`.
    pub(super) fn run(
        &self,
        path: &Path,
        ranges: &str,
        width: usize,
        load: &LoadOptions,
    ) -> Result<Vec<f32>, embedkit_core::Error> {
        let load = LoadOptions { device: Device::Cpu, lazy: false, ..load.clone() };
        let session = Session::open(path, &load)?;
        let output = session.output(&GraphOutput::Name(ranges.to_owned().into()))?;
        let mut largest = vec![0f32; width];
        let mut random = Random(1);
        for (run, (rows, length)) in RUNS.into_iter().enumerate() {
            let tensors: Vec<_> = self
                .inputs
                .iter()
                .map(|input| (input.name, self.values(input.name, rows, length, &mut random)))
                .collect();
            let shape = [rows, length];
            let inputs: Vec<_> = tensors
                .iter()
                .map(|(name, values)| Input { name, shape: &shape, values: Values::I64(values) })
                .collect();
            let done = session.run(Workload::Single, &inputs, &[output], |views| {
                for (largest, &value) in largest.iter_mut().zip(views[0].values) {
                    *largest = if value.is_nan() { value } else { largest.max(value) };
                }
            });
            match done {
                Ok(()) => {}
                // The sequence exceeds the model's positions; shorter rows have shown its channels.
                Err(_) if 0 < run => break,
                Err(error) => return Err(error),
            }
        }
        Ok(largest)
    }

    fn values(&self, name: &str, rows: usize, length: usize, random: &mut Random) -> Vec<i64> {
        let value = |row: usize, column: usize, random: &mut Random| match name {
            "attention_mask" => 1,
            "token_type_ids" => 0,
            "position_ids" => column as u64,
            _ if column == 0 => row as u64 % self.vocabulary,
            _ if column + 1 == length => (row as u64 + 1) % self.vocabulary,
            _ => random.next() % self.vocabulary,
        };
        (0..rows * length).map(|at| value(at / length, at % length, random).cast_signed()).collect()
    }
}

/// Largest magnitude in each row of the matrices, computed once even if several products share one.
#[derive(Default)]
pub(super) struct RowMaxima<'a>(BTreeMap<(&'a str, bool), Option<Vec<f32>>>);

impl<'a> RowMaxima<'a> {
    /// Returns `None` unless the tensor holds as many f32 as its shape says.
    fn of(&mut self, graph: &Graph<'_>, product: &Product<'a>) -> Option<&[f32]> {
        let maxima = self.0.entry((product.matrix, product.transposed)).or_insert_with(|| {
            let matrix = product.matrix_of(graph)?;
            let largest = |row: &[f32]| row.iter().fold(0f32, |largest, x| largest.max(x.abs()));
            Some(matrix.chunks(product.columns as usize).map(largest).collect())
        });
        maxima.as_deref()
    }
}

/// Smoothing factors that balance an activation's channels and the rows of its matrices: the square
/// root of their ratio. `None` if no channel stands out.
pub(super) fn factors<'a>(
    graph: &Graph<'_>,
    plan: &Plan<'a>,
    activation: &Activation<'_>,
    channels: &[f32],
    maxima: &mut RowMaxima<'a>,
) -> Option<Vec<f32>> {
    let typical = median(channels);
    let largest = channels.iter().fold(0f32, |largest, &channel| largest.max(channel));
    if typical <= 0.0 || largest < SPREAD * typical {
        return None;
    }
    let mut rows = vec![0f32; channels.len()];
    let mut seen = BTreeSet::new();
    for at in &activation.products {
        let product = plan.products.get(at)?;
        if seen.insert((product.matrix, product.transposed)) {
            for (row, &largest) in rows.iter_mut().zip(maxima.of(graph, product)?) {
                *row = row.max(largest);
            }
        }
    }
    let least = LEAST * median(&rows);
    if least <= 0.0 {
        return None;
    }
    let factor =
        |(channel, row): (&f32, &f32)| (channel.max(LEAST * typical) / row.max(least)).sqrt();
    Some(channels.iter().zip(&rows).map(factor).collect())
}

fn median(numbers: &[f32]) -> f32 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// Knuth's linear congruential generator (MMIX), seeded: the same tokens in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}
