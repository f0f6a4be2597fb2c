//! Encoders of T5 (`sentence-t5-*`, `gtr-t5-*`), mT5 and umT5: norms by the root mean square, scores
//! that are not scaled and have a learned bias by distance, and no other biases.

use super::{Architecture, prefix};
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Activation, Attention, Distance, Embeddings, Encoder, Input, Layer, Linear, Mlp, Norm,
    Positions, Residual, ScoreBias, Table,
};
use crate::fields::Fields;

pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["t5", "mt5", "umt5"], describe };

/// Dimensions that all layers share.
struct Layers {
    width: usize,
    heads: usize,
    head_width: usize,
    intermediate: usize,
    activation: Activation,
    gated: bool,
    epsilon: f32,
    buckets: usize,
    farthest: usize,
    /// Each layer has a bias of its own; else all have that of the first.
    own_bias: bool,
}

fn describe(fields: &Fields, checkpoint: &Checkpoint) -> Result<Encoder, Error> {
    fields.refuse_flags(&["is_decoder"])?;
    let model_type = fields.model_type()?;
    let width = fields.width(&["d_model"])?;
    let (activation, gated) = feed_forward(fields)?;
    // Half of the buckets hold one distance each, so that there must be four.
    let buckets = fields.size_or(&["relative_attention_num_buckets"], 4..=1 << 12, 32)?;
    let layers = Layers {
        width,
        heads: fields.size(&["num_heads"], 1..=1 << 12)?,
        head_width: fields.size(&["d_kv"], 1..=1 << 12)?,
        intermediate: fields.intermediate(&["d_ff"])?,
        activation,
        gated,
        epsilon: fields.epsilon(&["layer_norm_epsilon"], 1e-6)?,
        buckets,
        farthest: fields.size_or(
            &["relative_attention_max_distance"],
            buckets / 2..=1 << 20,
            128.max(buckets / 2),
        )?,
        own_bias: model_type == "umt5",
    };
    let words = prefix(checkpoint, &["shared", "encoder.embed_tokens"], ".weight")?;
    Ok(Encoder {
        model_type: model_type.to_owned(),
        width,
        input: Input::Tokens(Embeddings {
            words: Table::new(words, fields.vocabulary()?, width),
            scale: None,
            types: None,
            positions: Positions::None,
            norm: None,
            projection: None,
        }),
        layers: (0..fields.layers(&["num_layers"])?).map(|index| layers.layer(index)).collect(),
        final_norm: Some(Norm::rms("encoder.final_layer_norm", width, layers.epsilon)),
        pooled: None,
        masked_lm: None,
        classifier: None,
        causal_lm: None,
    })
}

/// Activation of the feed-forward networks, and whether it gates a second product.
fn feed_forward(fields: &Fields) -> Result<(Activation, bool), Error> {
    match fields.text("feed_forward_proj")?.unwrap_or("relu") {
        "relu" => Ok((Activation::Relu, false)),
        "gelu" => Ok((Activation::Gelu, false)),
        // The original means the approximation here.
        "gated-gelu" => Ok((Activation::GeluTanh, true)),
        "gated-silu" => Ok((Activation::Silu, true)),
        "gated-relu" => Ok((Activation::Relu, true)),
        other => Err(fields.unsupported(
            "feed_forward_proj",
            other,
            "relu, gelu, gated-gelu, gated-silu, gated-relu",
        )),
    }
}

impl Layers {
    fn layer(&self, index: usize) -> Layer {
        let &Self { width, heads, head_width, intermediate, activation, epsilon, .. } = self;
        let block = |part: &str| format!("encoder.block.{index}.layer.{part}");
        let linear = |part, from, to| Linear::new(block(part), from, to).with_bias(false);
        let pre_norm = |part| Residual::pre_norm(Some(Norm::rms(block(part), width, epsilon)));
        let inner = heads * head_width;
        let owner = if self.own_bias { index } else { 0 };
        let table = format!("encoder.block.{owner}.layer.0.SelfAttention.relative_attention_bias");
        let distance = Distance::Buckets {
            table: Table::new(table, self.buckets, heads),
            farthest: self.farthest,
        };
        let up = |part| linear(part, width, intermediate);
        let down = linear("1.DenseReluDense.wo", intermediate, width);
        Layer {
            attention: Attention {
                scale: 1.0,
                bias: ScoreBias { distance: Some(distance), ..ScoreBias::default() },
                ..Attention::new(
                    heads,
                    [
                        linear("0.SelfAttention.q", width, inner),
                        linear("0.SelfAttention.k", width, inner),
                        linear("0.SelfAttention.v", width, inner),
                        linear("0.SelfAttention.o", inner, width),
                    ],
                )
            },
            attention_residual: pre_norm("0.layer_norm"),
            mlp: if self.gated {
                let (gate, up) = (up("1.DenseReluDense.wi_0"), up("1.DenseReluDense.wi_1"));
                Mlp::Gated { gate, activation, up, down }
            } else {
                Mlp::Plain { up: up("1.DenseReluDense.wi"), activation, down }
            },
            mlp_residual: pre_norm("1.layer_norm"),
        }
    }
}
