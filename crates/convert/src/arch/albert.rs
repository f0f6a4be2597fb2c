//! ALBERT: BERT with narrow embeddings, and layers that share their weights.

use super::bert::{LayerNames, PostNorm, embeddings};
use super::{Architecture, prefix};
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Activation, Classifier, Encoder, Input, Layer, Linear, MaskedLm, Norm, Pooling, ScoreBias,
};
use crate::fields::Fields;

pub(super) const ARCHITECTURE: Architecture = Architecture { model_types: &["albert"], describe };

const LAYER: LayerNames = LayerNames {
    query: "attention.query",
    key: "attention.key",
    value: "attention.value",
    attention_output: "attention.dense",
    attention_norm: "attention.LayerNorm",
    up: "ffn",
    down: "ffn_output",
    output_norm: "full_layer_layer_norm",
};

fn describe(fields: &Fields, checkpoint: &Checkpoint) -> Result<Encoder, Error> {
    fields.refuse_other("position_embedding_type", "absolute")?;
    let width = fields.width(&["hidden_size"])?;
    let narrow = fields.width(&["embedding_size"])?;
    let layer = PostNorm {
        width,
        heads: fields.heads(&["num_attention_heads"], width)?,
        intermediate: fields.intermediate(&["intermediate_size"])?,
        activation: fields.activation(&["hidden_act"], "gelu_new")?,
        epsilon: fields.epsilon(&["layer_norm_eps"], 1e-12)?,
        bias: ScoreBias::default(),
    };
    let prefix = prefix(checkpoint, &["albert.", ""], "embeddings.word_embeddings.weight")?;
    let mut embeddings = embeddings(fields, prefix, narrow, layer.epsilon)?;
    let projection = format!("{prefix}encoder.embedding_hidden_mapping_in");
    embeddings.projection = Some(Linear::new(projection, narrow, width));
    Ok(Encoder {
        model_type: fields.model_type()?.to_owned(),
        width,
        input: Input::Tokens(embeddings),
        layers: layers(fields, prefix, &layer)?,
        final_norm: None,
        pooled: None,
        causal_lm: None,
        masked_lm: Some(MaskedLm {
            dense: Linear::new("predictions.dense", width, narrow),
            activation: layer.activation,
            norm: Norm::layer("predictions.LayerNorm", narrow, layer.epsilon),
            decoder: (!fields.tied()?).then(|| "predictions.decoder.weight".to_owned()),
            bias: ["predictions.bias", "predictions.decoder.bias"].map(str::to_owned).into(),
        }),
        classifier: Some(Classifier {
            pooling: Pooling::First,
            dense: Linear::new(format!("{prefix}pooler"), width, width),
            activation: Activation::Tanh,
            norm: None,
            last: "classifier".to_owned(),
            labels: fields.labels()?,
        }),
    })
}

/// The layers of a group follow each other, as often as the group has its turn; groups have their turns
/// in stretches of equal length.
fn layers(fields: &Fields, prefix: &str, layer: &PostNorm) -> Result<Vec<Layer>, Error> {
    let turns = fields.layers(&["num_hidden_layers"])?;
    let groups = fields.size_or(&["num_hidden_groups"], 1..=turns, 1)?;
    let each = fields.size_or(&["inner_group_num"], 1..=64, 1)?;
    let described = (0..turns).flat_map(|turn| {
        // Divided like the original, which counts when the quotient is not whole.
        let group = (turn as f64 / (turns as f64 / groups as f64)) as usize;
        (0..each).map(move |inner| {
            let name =
                format!("{prefix}encoder.albert_layer_groups.{group}.albert_layers.{inner}.");
            layer.layer(&name, &LAYER)
        })
    });
    Ok(described.collect())
}
