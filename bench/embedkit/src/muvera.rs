//! MUVERA, with and without threads.

use std::{fs, num::NonZeroUsize, path::PathBuf, time::Instant};

use bench_contestant::{Contestant, Each, Load, Result, no_operation};
use embedkit_postprocess::{Form, Muvera, MuveraOptions};
use embedkit_types::MultiVector;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Sizes {
    dim: usize,
    k_sim: u32,
    dim_proj: usize,
    /// `document` or `query`.
    form: String,
    /// Little-endian f32: inputs one after another, each of so many vectors.
    vectors: PathBuf,
    rows: usize,
}

pub(crate) struct Encoders {
    double: Muvera,
    single: Muvera<f32>,
    form: Form,
    inputs: Vec<MultiVector>,
    threads: NonZeroUsize,
}

impl Encoders {
    pub(crate) fn open(load: &Load) -> Result<Self> {
        let sizes = Sizes::deserialize(&load.options)?;
        let options = MuveraOptions {
            k_sim: sizes.k_sim,
            dim_proj: sizes.dim_proj,
            ..MuveraOptions::default()
        };
        let bytes = fs::read(&sizes.vectors)?;
        let numbers: Vec<f32> =
            bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        let inputs = numbers.chunks_exact(sizes.rows * sizes.dim);
        Ok(Self {
            double: Muvera::new(sizes.dim, options.clone())?,
            single: Muvera::new_f32(sizes.dim, options)?,
            form: if sizes.form == "query" { Form::QUERY } else { Form::DOCUMENT },
            inputs: inputs
                .map(|input| MultiVector::new(input.to_vec(), sizes.dim))
                .collect::<std::result::Result<_, _>>()?,
            threads: NonZeroUsize::new(load.threads).ok_or("no threads")?,
        })
    }

    /// Encodes all inputs; the seconds that it took.
    fn encode(&self, single: bool) -> Result<f64> {
        let start = Instant::now();
        let lone = self.threads == NonZeroUsize::MIN;
        match (single, lone) {
            (false, true) => {
                for input in &self.inputs {
                    std::hint::black_box(self.double.process(input, self.form)?);
                }
            }
            (true, true) => {
                for input in &self.inputs {
                    std::hint::black_box(self.single.process(input, self.form)?);
                }
            }
            (false, false) => {
                let all = self.double.process_batch(&self.inputs, self.form, Some(self.threads))?;
                std::hint::black_box(all);
            }
            (true, false) => {
                let all = self.single.process_batch(&self.inputs, self.form, Some(self.threads))?;
                std::hint::black_box(all);
            }
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

impl Contestant for Encoders {
    fn embed(
        &self,
        _: &mut (dyn Iterator<Item = String> + Send),
        _: Option<usize>,
        _: &mut Each<'_>,
    ) -> Result<()> {
        Err("vectors are encoded by the operation `encode`".into())
    }

    fn other(&self, request: &Value) -> Result<Value> {
        match request["op"].as_str() {
            Some("encode") => Ok(json!({"seconds": self.encode(request["single"] == true)?})),
            // The first encodings, to be compared.
            Some("save") => {
                let count = usize::try_from(request["count"].as_u64().ok_or("how many?")?)?;
                let inputs = self.inputs.get(..count).ok_or("there are not so many inputs")?;
                let encodings = self.double.process_batch(inputs, self.form, None)?.concat();
                let bytes: Vec<u8> = encodings.iter().flat_map(|x| x.to_le_bytes()).collect();
                fs::write(request["to"].as_str().ok_or("where to?")?, bytes)?;
                Ok(json!({}))
            }
            _ => Err(no_operation(request)),
        }
    }
}
