//! Jina's BERT (`jina-embeddings-v2-*`): a bias that falls with the distance (`ALiBi`) in place of
//! positions, and gated feed-forward networks.

use super::bert::{LAYER, PostNorm, embeddings, masked_lm};
use super::prefix;
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Activation, Classifier, Distance, Encoder, Input, Layer, Linear, Mlp, Norm, Pooling, Positions,
    Residual, ScoreBias,
};
use crate::fields::Fields;

/// Describes a checkpoint whose `model_type` is BERT's.
pub(super) fn describe(fields: &Fields, checkpoint: &Checkpoint) -> Result<Encoder, Error> {
    let activation = match fields.text("feed_forward_type")?.unwrap_or("geglu") {
        "geglu" => Activation::Gelu,
        "reglu" => Activation::Relu,
        other => return Err(fields.unsupported("feed_forward_type", other, "geglu, reglu")),
    };
    let width = fields.width(&["hidden_size"])?;
    let heads = fields.heads(&["num_attention_heads"], width)?;
    let intermediate = fields.intermediate(&["intermediate_size"])?;
    let epsilon = fields.epsilon(&["layer_norm_eps"], 1e-12)?;
    let distance = Some(Distance::Linear { slopes: slopes(heads) });
    let layer = PostNorm {
        width,
        heads,
        intermediate,
        activation,
        epsilon,
        bias: ScoreBias { distance, ..ScoreBias::default() },
    };
    let prefix = prefix(checkpoint, &["bert.", ""], "embeddings.word_embeddings.weight")?;
    let mut embeddings = embeddings(fields, prefix, width, epsilon)?;
    embeddings.positions = Positions::None;
    let layers = fields.layers(&["num_hidden_layers"])?;
    let layers = (0..layers).map(|index| {
        let name = format!("{prefix}encoder.layer.{index}.");
        let described = layer.layer(&name, &LAYER);
        if has_qk_norms(checkpoint, prefix) {
            with_qk_norms(&name, described, &layer)
        } else {
            with_gate(&name, described, &layer)
        }
    });
    let layers = layers.collect();
    let hidden_act = fields.activation(&["hidden_act"], "gelu")?;
    Ok(Encoder {
        model_type: fields.model_type()?.to_owned(),
        width,
        input: Input::Tokens(embeddings),
        layers,
        final_norm: None,
        pooled: None,
        causal_lm: None,
        masked_lm: Some(masked_lm(fields, width, hidden_act, epsilon)?),
        classifier: Some(Classifier {
            pooling: Pooling::First,
            dense: Linear::new(format!("{prefix}pooler.dense"), width, width),
            activation: Activation::Tanh,
            norm: None,
            last: "classifier".to_owned(),
            labels: fields.labels()?,
        }),
    })
}

/// The layer with its feed-forward network in one part.
fn with_gate(name: &str, mut layer: Layer, dims: &PostNorm) -> Layer {
    let &PostNorm { width, intermediate, activation, epsilon, .. } = dims;
    let gated = |part| {
        Linear::new(format!("{name}mlp.gated_layers"), width, intermediate)
            .with_bias(false)
            .part(part, 2)
    };
    layer.mlp = Mlp::Gated {
        gate: gated(0),
        activation,
        up: gated(1),
        down: Linear::new(format!("{name}mlp.wo"), intermediate, width),
    };
    layer.mlp_residual =
        Residual::post_norm(Norm::layer(format!("{name}mlp.layernorm"), width, epsilon));
    layer
}

/// Recognises the second form (`jina-embeddings-v2-base-code`) by a tensor name.
fn has_qk_norms(checkpoint: &Checkpoint, prefix: &str) -> bool {
    checkpoint.find(&[format!("{prefix}encoder.layer.0.layer_norm_1.weight")]).is_ok()
}

/// The layer with norms of queries and keys, and one more of the attention.
fn with_qk_norms(name: &str, mut layer: Layer, dims: &PostNorm) -> Layer {
    let &PostNorm { width, intermediate, activation, epsilon, .. } = dims;
    let norm = |part: &str| Norm::layer(format!("{name}{part}"), width, epsilon);
    let gated = |part| {
        Linear::new(format!("{name}mlp.up_gated_layer"), width, intermediate)
            .with_bias(false)
            .part(part, 2)
    };
    layer.attention.query_norm = Some(norm("attention.self.layer_norm_q"));
    layer.attention.key_norm = Some(norm("attention.self.layer_norm_k"));
    layer.attention_residual = Residual {
        inner: layer.attention_residual.after,
        after: Some(norm("layer_norm_1")),
        ..Residual::default()
    };
    layer.mlp = Mlp::Gated {
        gate: gated(1),
        activation,
        up: gated(0),
        down: Linear::new(format!("{name}mlp.down_layer"), intermediate, width),
    };
    layer.mlp_residual = Residual::post_norm(norm("layer_norm_2"));
    layer
}

/// Slopes of the heads: powers of two from `2^(-8/n)` to `2^-8` for `n` heads. For another number those
/// of the power of two below, then every second one of the power above.
fn slopes(heads: usize) -> Vec<f32> {
    let powers = |count: usize| (1..=count).map(move |head| -8.0 * head as f64 / count as f64);
    let below = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    let rest = powers(2 * below).step_by(2).take(heads - below);
    powers(below).chain(rest).map(|power| power.exp2() as f32).collect()
}
