//! Modules behind the encoder that become layers: `Dense` and `Normalize`.

use embedkit_types::{Activation, DenseLayer, Layer};
use serde_json::Value;

use crate::{
    DescribeError,
    document::{DIMS, Document, Origin, Reader},
    modules::{self, Module},
};

/// Input and output of modules that follow a pooling.
pub(crate) const SENTENCE: &str = "sentence_embedding";
/// Input and output of modules that take the vectors of tokens.
pub(crate) const TOKENS: &str = "token_embeddings";

/// Layers of a chain, with the dimension behind them.
pub(crate) struct Layers {
    pub(crate) dim: Origin,
    pub(crate) list: Vec<Layer>,
    /// Files with weights.
    pub(crate) files: Vec<String>,
    /// Features that the modules take and give.
    features: &'static str,
}

impl Layers {
    pub(crate) fn new(dim: Origin, features: &'static str) -> Self {
        Self { dim, list: Vec::new(), files: Vec::new(), features }
    }

    /// Adds a `Normalize`.
    pub(crate) fn normalize(
        &mut self,
        reader: &Reader<'_>,
        module: &Module,
    ) -> Result<(), DescribeError> {
        if let Some(document) = reader.document(&module.file("config.json"))? {
            // Without a name it is that of a pooled vector.
            self.check_names(&document, SENTENCE)?;
        }
        self.list.push(Layer::Normalize);
        Ok(())
    }

    /// Adds a `Dense`.
    pub(crate) fn dense(
        &mut self,
        reader: &mut Reader<'_>,
        module: &Module,
    ) -> Result<(), DescribeError> {
        let document = reader.required(&module.file("config.json"), modules::FILE)?;
        // PyLate names no features; its layers are for tokens.
        self.check_names(&document, self.features)?;
        let size = |field| document.size(field, DIMS)?.ok_or_else(|| document.missing(field));
        let (width, dim) = (size("in_features")?, size("out_features")?);
        if width != self.dim.value {
            return Err(document.contradiction("in_features", &width, &self.dim));
        }
        if document.flag("use_residual")? == Some(true) {
            return Err(document.unsupported("use_residual", &true, "false"));
        }
        // The default is that of the module.
        let activation = activation(&document, "activation_function")?.unwrap_or(Activation::Tanh);
        let bias = document.flag("bias")?.unwrap_or(true);
        let file = module.file("model.safetensors");
        if !reader.has(&file) {
            let pickled = module.file("pytorch_model.bin");
            if reader.has(&pickled) {
                let supported =
                    "model.safetensors; save the model again with sentence-transformers";
                return Err(reader.unsupported(&pickled, "", "a pickled file", supported));
            }
            return Err(reader.missing_file(&file, &document.file));
        }
        let shown = format!("dense {width} to {dim}, {}", activation.name());
        reader.note("layers", &shown, &document.file);
        let layer = DenseLayer { file: file.clone().into(), dim, bias, activation };
        self.list.push(Layer::Dense(layer));
        self.files.push(file);
        let (file, field) = (document.file.clone(), "out_features".to_owned());
        self.dim = Origin { file, field, value: dim };
        Ok(())
    }

    /// Takes the last scaling to unit length out, which is a field of its own.
    pub(crate) fn take_normalize(&mut self) -> bool {
        let before = self.list.len();
        while self.list.last() == Some(&Layer::Normalize) {
            self.list.pop();
        }
        self.list.len() < before
    }

    fn check_names(&self, document: &Document, default: &str) -> Result<(), DescribeError> {
        let input = document.text("module_input_name")?.unwrap_or(default);
        let output = document.text("module_output_name")?.unwrap_or(input);
        for (field, found) in [("module_input_name", input), ("module_output_name", output)] {
            if found != self.features {
                return Err(document.unsupported(field, &found, self.features));
            }
        }
        Ok(())
    }
}

/// The function with the name of a class of PyTorch; `None` where the field is absent.
pub(crate) fn activation(
    document: &Document,
    field: &str,
) -> Result<Option<Activation>, DescribeError> {
    let Some(name) = document.text(field)? else { return Ok(None) };
    let class = name.rsplit('.').next().unwrap_or_default();
    let known = CLASSES.iter().find(|(known, _)| name.starts_with("torch.nn.") && *known == class);
    known.map(|&(_, activation)| Some(activation)).ok_or_else(|| {
        let names = CLASSES.map(|(name, _)| name).join(", ");
        document.unsupported(field, &name, &format!("of torch.nn {names}"))
    })
}

const CLASSES: [(&str, Activation); 6] = [
    ("Identity", Activation::Identity),
    ("Tanh", Activation::Tanh),
    ("ReLU", Activation::Relu),
    ("GELU", Activation::Gelu),
    ("Sigmoid", Activation::Sigmoid),
    ("SiLU", Activation::Silu),
];

/// The dimensions of a tensor in a safetensors file, from its header; `None` without such a tensor.
pub(crate) fn tensor_shape(
    reader: &Reader<'_>,
    file: &str,
    names: &[&str],
) -> Result<Option<Vec<usize>>, DescribeError> {
    /// Bytes before the header, which have its length.
    const PREFIX: usize = 8;
    /// Most bytes of a header; one tensor takes about a hundred.
    const MOST: usize = 4 << 20;
    let length = reader.start(file, PREFIX)?.unwrap_or_default();
    let length = <[u8; PREFIX]>::try_from(length.as_slice()).map(u64::from_le_bytes);
    let length = length.ok().and_then(|length| usize::try_from(length).ok());
    let Some(length) = length.filter(|&length| length <= MOST) else {
        let expected = format!("a header of at most {MOST} bytes");
        return Err(reader.wrong(file, "", &expected, &Value::from("another file")));
    };
    let start = reader.start(file, PREFIX + length)?.unwrap_or_default();
    let header = serde_json::from_slice(start.get(PREFIX..).unwrap_or_default());
    let header = header.map_err(|source| DescribeError::Json {
        model: reader.model.to_owned(),
        file: file.to_owned(),
        source,
    })?;
    let header = reader.object(file, "", header)?;
    for name in names {
        let Some(tensor) = header.inner(name)? else { continue };
        let shape = tensor.list("shape")?.ok_or_else(|| tensor.missing("shape"))?;
        let dims = shape.iter().map(|dim| dim.as_u64().and_then(|dim| usize::try_from(dim).ok()));
        let dims: Option<Vec<usize>> = dims.collect();
        return match dims {
            Some(dims) => Ok(Some(dims)),
            None => Err(tensor.wrong("shape", "a list of sizes", &Value::Array(shape.to_vec()))),
        };
    }
    Ok(None)
}
