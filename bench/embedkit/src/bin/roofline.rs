//! The rate of a plain matrix product through ONNX Runtime: what no graph of matrix products can
//! beat on the same threads.

use std::{path::PathBuf, time::Instant};

use bench_contestant::{Error, Result, answer};
use ort::{session::Session, value::Tensor};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Load {
    /// A graph that multiplies its only input with a constant.
    graph: PathBuf,
    /// Shape of the input.
    shape: [usize; 2],
    onnxruntime: PathBuf,
    threads: usize,
}

struct Product {
    session: Session,
    input: Tensor<f32>,
}

impl Product {
    fn load(load: &Load) -> Result<Self> {
        let environment = ort::init_from(&load.onnxruntime)?.with_telemetry(false).build()?;
        // Everything else is at ONNX Runtime's own defaults, spinning threads included.
        let session = Session::builder(&environment)?
            .with_intra_threads(load.threads)
            .map_err(|error| Error::from(error.to_string()))?
            .commit_from_file(&load.graph)?;
        // Neither zeros nor denormals, whose products take another time.
        let values = (0..load.shape.iter().product()).map(|i: usize| (i % 13) as f32 * 0.1 - 0.6);
        let input = Tensor::from_array((load.shape, values.collect::<Vec<f32>>()))?;
        Ok(Self { session, input })
    }

    fn run(&mut self, repetitions: usize) -> Result<Vec<f64>> {
        let mut seconds = Vec::with_capacity(repetitions);
        for _ in 0..repetitions {
            let start = Instant::now();
            let outputs = self.session.run(ort::inputs![&self.input])?;
            seconds.push(start.elapsed().as_secs_f64());
            drop(outputs);
        }
        Ok(seconds)
    }
}

fn main() -> std::io::Result<()> {
    let mut product = None;
    answer(|request: &Value| match request["op"].as_str() {
        Some("load") => {
            product = Some(Product::load(&Load::deserialize(request)?)?);
            Ok(json!({}))
        }
        Some("matmul") => {
            let product = product.as_mut().ok_or("nothing is loaded")?;
            let repetitions = request["repetitions"].as_u64().ok_or("how many repetitions?")?;
            Ok(json!({"seconds": product.run(usize::try_from(repetitions)?)?}))
        }
        _ => Err(format!("there is no operation {}", request["op"]).into()),
    })
}
