//! The floor: the loop that anybody would write around ONNX Runtime and a tokenizer. Texts as they
//! come, so many at a time, padded to the longest; the mean of the token vectors, at unit length.

use std::sync::{Mutex, PoisonError};

use bench_contestant::{Contestant, Each, Error, Load, Result, serve};
use ort::{session::Session, value::Tensor};
use tokenizers::{PaddingParams, Tokenizer, TruncationParams};

/// Tokens of the longest text that the model takes.
const LONGEST: usize = 512;
/// Texts in a batch, where nobody says how many.
const BATCH: usize = 32;

/// Running needs exclusive access, so that several callers wait for each other.
struct Plain {
    tokenizer: Tokenizer,
    session: Mutex<Session>,
}

impl Plain {
    fn open(load: &Load) -> Result<Self> {
        let environment = ort::init_from(&load.onnxruntime)?.with_telemetry(false).build()?;
        let session = Session::builder(&environment)?
            .with_intra_threads(load.threads)
            .map_err(|error| Error::from(error.to_string()))?
            .commit_from_file(load.model.join("model.onnx"))?;
        let mut tokenizer = Tokenizer::from_file(load.model.join("tokenizer.json"))?;
        let truncation = TruncationParams { max_length: LONGEST, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation))?;
        tokenizer.with_padding(Some(PaddingParams::default()));
        Ok(Self { tokenizer, session: Mutex::new(session) })
    }

    fn run(&self, texts: Vec<String>, each: &mut Each<'_>) -> Result<()> {
        let encodings = self.tokenizer.encode_batch(texts, true)?;
        let (rows, longest) = (encodings.len(), encodings.first().map_or(0, |one| one.len()));
        let input = |take: fn(&tokenizers::Encoding) -> &[u32]| {
            let numbers =
                encodings.iter().flat_map(|one| take(one).iter().map(|&id| i64::from(id)));
            Tensor::from_array(([rows, longest], numbers.collect::<Vec<i64>>()))
        };
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(ort::inputs![
            "input_ids" => input(|one| one.get_ids())?,
            "attention_mask" => input(|one| one.get_attention_mask())?,
            "token_type_ids" => input(|one| one.get_type_ids())?,
        ])?;
        let (shape, hidden) = outputs["last_hidden_state"].try_extract_tensor::<f32>()?;
        let width = usize::try_from(*shape.last().ok_or("the output has no shape")?)?;
        for (encoding, tokens) in encodings.iter().zip(hidden.chunks_exact(longest * width)) {
            let mut mean = vec![0.0_f32; width];
            let mask = encoding.get_attention_mask();
            for (token, _) in tokens.chunks_exact(width).zip(mask).filter(|(_, mask)| **mask == 1) {
                mean.iter_mut().zip(token).for_each(|(sum, x)| *sum += x);
            }
            let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
            mean.iter_mut().for_each(|x| *x /= length);
            each(&mean);
        }
        Ok(())
    }
}

impl Contestant for Plain {
    fn embed(
        &self,
        inputs: &mut (dyn Iterator<Item = String> + Send),
        batch: Option<usize>,
        each: &mut Each<'_>,
    ) -> Result<()> {
        let batch = batch.unwrap_or(BATCH);
        loop {
            let texts: Vec<String> = (&mut *inputs).take(batch).collect();
            if texts.is_empty() {
                return Ok(());
            }
            self.run(texts, each)?;
        }
    }

    fn query(&self, text: &str) -> Result<Vec<f32>> {
        let mut found = Vec::new();
        self.run(vec![text.to_owned()], &mut |vector| found = vector.to_vec())?;
        Ok(found)
    }
}

fn main() -> std::io::Result<()> {
    serve(|load| Ok(Box::new(Plain::open(load)?)))
}
