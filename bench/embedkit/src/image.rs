//! Images to one vector, and to the tensor that a model takes.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use bench_contestant::{Contestant, Each, Load, Result, lines, no_operation};
use embedkit_core::registry;
use embedkit_image::{
    DecodeOptions, ImageEmbedding, ImageInput, Jpeg, PreprocessOptions, Preprocessor,
    ResizeQuality, decode,
};
use embedkit_types::{ModelFiles, TaskKind};
use serde_json::{Value, json};

pub(crate) struct Image {
    model: ImageEmbedding,
    config: PathBuf,
}

impl Image {
    pub(crate) fn open(load: &Load) -> Result<Self> {
        let mut spec = registry::find_task("Qdrant/resnet50-onnx", TaskKind::Image)?.clone();
        spec.file = "model.onnx".into();
        let files = ModelFiles::in_dir(&load.model, &spec);
        let model = ImageEmbedding::from_files(&spec, &files, &crate::options::read(load)?)?;
        Ok(Self { model, config: load.model.join("preprocessor_config.json") })
    }

    /// Each image from its pixels to the tensor, in turn, on this thread.
    fn preprocess(&self, request: &Value) -> Result<Value> {
        let quality =
            if request["quality"] == "fast" { ResizeQuality::Fast } else { ResizeQuality::Exact };
        let options = PreprocessOptions { quality, ..PreprocessOptions::default() };
        let preprocessor = Preprocessor::from_file(&self.config)?.with_options(options);
        let inputs = request["inputs"].as_str().ok_or("which images?")?;
        let mut to = request["to"].as_str().map(File::create).transpose()?.map(BufWriter::new);
        let mut seconds = Vec::new();
        for path in lines(Path::new(inputs))? {
            let image = decode(&ImageInput::Path(path.into()), &DecodeOptions::default())?;
            let start = Instant::now();
            let pixels = preprocessor.apply(&image)?;
            seconds.push(start.elapsed().as_secs_f64());
            if let Some(to) = &mut to {
                let bytes: Vec<u8> = pixels.values.iter().flat_map(|x| x.to_le_bytes()).collect();
                to.write_all(&bytes)?;
            }
        }
        if let Some(mut to) = to {
            to.flush()?;
        }
        Ok(json!({"seconds": seconds}))
    }
}

/// Each file to its tensor, in turn, on this thread.
fn files(request: &Value) -> Result<Value> {
    let text = |key: &str| request[key].as_str().ok_or(format!("which {key}?"));
    let preprocessor = Preprocessor::from_file(Path::new(text("config")?))?;
    let jpeg = if request["scaled"] == true { Jpeg::Scaled } else { Jpeg::Full };
    let options = DecodeOptions { jpeg, ..DecodeOptions::default() };
    let mut to = request["to"].as_str().map(File::create).transpose()?.map(BufWriter::new);
    let mut seconds = Vec::new();
    for path in lines(Path::new(text("inputs")?))? {
        let start = Instant::now();
        let pixels = preprocessor.read(&ImageInput::Path(path.into()), &options)?;
        seconds.push(start.elapsed().as_secs_f64());
        if let Some(to) = &mut to {
            let bytes: Vec<u8> = pixels.values.iter().flat_map(|x| x.to_le_bytes()).collect();
            to.write_all(&bytes)?;
        }
    }
    if let Some(mut to) = to {
        to.flush()?;
    }
    Ok(json!({"seconds": seconds}))
}

impl Contestant for Image {
    fn embed(
        &self,
        inputs: &mut (dyn Iterator<Item = String> + Send),
        _batch: Option<usize>,
        each: &mut Each<'_>,
    ) -> Result<()> {
        for vector in self.model.embed(inputs.map(PathBuf::from)) {
            each(&vector?);
        }
        Ok(())
    }

    fn other(&self, request: &Value) -> Result<Value> {
        match request["op"].as_str() {
            Some("preprocess") => self.preprocess(request),
            Some("files") => files(request),
            _ => Err(no_operation(request)),
        }
    }
}
