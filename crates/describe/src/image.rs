//! Image encoders of CLIP and SigLIP, with an ONNX file for images alone.

use embedkit_types::{GraphOutput, Image, ImagePooling, ModelSpec, Task};

use crate::{
    DescribeError, Description,
    checkpoint::{Config, graphs},
    document::Reader,
};

/// The file with the preprocessing.
pub(crate) const PREPROCESSOR: &str = "preprocessor_config.json";

/// Values of `model_type` and the output of a graph of the image encoder.
const OUTPUTS: [(&str, &str); 4] = [
    ("clip", "image_embeds"),
    ("clip_vision_model", "image_embeds"),
    ("siglip", "pooler_output"),
    ("siglip_vision_model", "pooler_output"),
];

/// The output of the image encoder of a model type that has one.
pub(crate) fn output(model_type: &str) -> Option<&'static str> {
    OUTPUTS.iter().find(|(known, _)| *known == model_type).map(|&(_, output)| output)
}

/// Describes the image encoder. Transformers does not scale its vectors to unit length.
pub(crate) fn describe(
    mut reader: Reader<'_>,
    encoder: &Config,
    output: &'static str,
) -> Result<Description, DescribeError> {
    let document = &encoder.document;
    reader.required(PREPROCESSOR, &document.file)?;
    let dim = match document.dim(&["projection_dim"])? {
        Some(dim) => dim,
        None => match document.inner("vision_config")? {
            Some(vision) => {
                vision.dim(&["hidden_size"])?.ok_or_else(|| vision.missing("hidden_size"))?
            }
            None => encoder.hidden()?,
        },
    };
    reader.note("dim", &dim.value, &dim.file);
    reader.note("output", &output, &document.file);
    let of_images =
        |graph: &String| graph.rsplit('/').next().is_some_and(|name| name.contains("vision"));
    let graphs: Vec<_> = graphs(&reader, encoder.folder()).into_iter().filter(of_images).collect();
    let Some(file) = graphs.first().cloned() else {
        return Err(reader.missing_file("onnx/vision_model.onnx", &document.file));
    };
    let task = Image {
        dim: dim.value,
        output: GraphOutput::Name(output.into()),
        pooling: ImagePooling::Flatten,
        normalize: false,
    };
    let spec = ModelSpec {
        id: reader.model.to_owned().into(),
        file: file.into(),
        task: Task::Image(task),
        ..ModelSpec::DEFAULT
    };
    Ok(Description { spec, facts: reader.facts, graphs, checkpoint: None })
}
