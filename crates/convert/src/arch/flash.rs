//! The form of XLM-RoBERTa that Jina trains with flash attention: `jina-embeddings-v3` with rotary
//! positions and an adapter (`LoRA`) for each task, and models with absolute positions and without adapters.

use super::bert::{past_padding, roberta_lm};
use super::{Architecture, even_heads, prefix, rope};
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Activation, Adapters, Attention, Classifier, Embeddings, Encoder, Input, Layer, Linear, Mlp,
    Norm, Pooling, Positions, Residual, Rotary, Table,
};
use crate::fields::Fields;

/// Checkpoints that transformers saves; those of the original say `xlm-roberta`.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["jina_embeddings_v3"], describe };

const PREFIXES: [&str; 2] = ["roberta.", ""];
/// A tensor of the first layer, by which the form is known.
const MARK: &str = "encoder.layers.0.norm1.weight";

/// Dimensions that all layers share.
struct Layers {
    width: usize,
    heads: usize,
    intermediate: usize,
    activation: Activation,
    epsilon: f32,
    rotary: Option<Rotary>,
    adapters: Option<Adapters>,
}

/// Recognises the form by a tensor name.
pub(super) fn recognise(checkpoint: &Checkpoint) -> bool {
    checkpoint.find(&PREFIXES.map(|prefix| format!("{prefix}{MARK}"))).is_ok()
}

pub(super) fn describe(fields: &Fields, checkpoint: &Checkpoint) -> Result<Encoder, Error> {
    let width = fields.width(&["hidden_size"])?;
    let heads = even_heads(fields, width)?;
    let positions = fields.text("position_embedding_type")?;
    if let Some(other) = positions.filter(|kind| !["absolute", "rotary"].contains(kind)) {
        return Err(fields.unsupported("position_embedding_type", other, "absolute, rotary"));
    }
    let prefix = prefix(checkpoint, &PREFIXES, MARK)?;
    let rotary = positions == Some("rotary") || fields.model_type()? != "xlm-roberta";
    let rotary = rotary
        .then(|| rope::rotary(fields, width / heads, &["rotary_emb_base"], 20_000.0))
        .transpose()?;
    let layers = Layers {
        width,
        heads,
        intermediate: fields.intermediate(&["intermediate_size"])?,
        activation: fields.activation(&["hidden_act"], "gelu")?,
        epsilon: fields.epsilon(&["layer_norm_eps"], 1e-5)?,
        rotary,
        adapters: adapters(fields, checkpoint, prefix)?,
    };
    Ok(Encoder {
        model_type: fields.model_type()?.to_owned(),
        width,
        input: Input::Tokens(layers.embeddings(fields, prefix)?),
        layers: (0..fields.layers(&["num_hidden_layers"])?)
            .map(|index| layers.layer(&format!("{prefix}encoder.layers.{index}.")))
            .collect(),
        final_norm: None,
        pooled: None,
        causal_lm: None,
        masked_lm: Some(roberta_lm(fields, width, layers.epsilon)?),
        classifier: Some(Classifier {
            pooling: Pooling::First,
            dense: Linear::new("classifier.dense", width, width),
            activation: Activation::Tanh,
            norm: None,
            last: "classifier.out_proj".to_owned(),
            labels: fields.labels()?,
        }),
    })
}

/// Adapters of all tables and linear layers, if the checkpoint has any.
fn adapters(
    fields: &Fields,
    checkpoint: &Checkpoint,
    prefix: &str,
) -> Result<Option<Adapters>, Error> {
    let adapted = format!("{prefix}encoder.layers.0.mixer.Wqkv.{}", Adapters::ORIGINAL);
    if checkpoint.find(&[adapted]).is_err() {
        return Ok(None);
    }
    let tasks = fields.texts("lora_adaptations")?.map_or(0, |tasks| tasks.len());
    if tasks == 0 {
        return Err(fields.wrong("lora_adaptations", "names no task, and the weights have some"));
    }
    let rank = fields.size(&["lora_rank"], 1..=1 << 16)?;
    let alpha = fields.positive(&["lora_alpha"])?.unwrap_or(1.0);
    Ok(Some(Adapters { tasks, rank, scale: (alpha / rank as f64) as f32 }))
}

impl Layers {
    fn embeddings(&self, fields: &Fields, prefix: &str) -> Result<Embeddings, Error> {
        let table = |name, rows| Table {
            adapters: self.adapters,
            ..Table::new(format!("{prefix}embeddings.{name}_embeddings"), rows, self.width)
        };
        let types = fields.token_types(1)?;
        let positions = match self.rotary {
            Some(_) => Positions::None,
            None => {
                let rows = fields.positions(&["max_position_embeddings"])?;
                past_padding(fields, Positions::Absolute(table("position", rows)))?
            }
        };
        Ok(Embeddings {
            words: table("word", fields.vocabulary()?),
            scale: None,
            types: (types > 0).then(|| table("token_type", types)),
            positions,
            norm: Some(Norm::layer(format!("{prefix}emb_ln"), self.width, self.epsilon)),
            projection: None,
        })
    }

    fn layer(&self, name: &str) -> Layer {
        let &Self { width, heads, intermediate, activation, epsilon, adapters, .. } = self;
        let linear = |part: &str, from, to| Linear {
            adapters,
            ..Linear::new(format!("{name}{part}"), from, to)
        };
        let qkv = |index| linear("mixer.Wqkv", width, width).part(index, 3);
        let ends_with =
            |norm: &str| Residual::post_norm(Norm::layer(format!("{name}{norm}"), width, epsilon));
        let output = linear("mixer.out_proj", width, width);
        Layer {
            attention: Attention {
                rotary: self.rotary.clone(),
                ..Attention::new(heads, [qkv(0), qkv(1), qkv(2), output])
            },
            attention_residual: ends_with("norm1"),
            mlp: Mlp::Plain {
                up: linear("mlp.fc1", width, intermediate),
                activation,
                down: linear("mlp.fc2", intermediate, width),
            },
            mlp_residual: ends_with("norm2"),
        }
    }
}
