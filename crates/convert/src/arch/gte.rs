//! GTE (`gte-*-v1.5`, `gte-multilingual-*`, `snowflake-arctic-embed-m-v2.0`): BERT's order of norms with
//! rotary positions and gated feed-forward networks.

use super::{Architecture, even_heads, prefix, rope};
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Activation, Attention, Classifier, Embeddings, Encoder, Input, Layer, Linear, MaskedLm, Mlp,
    Norm, Pooling, Positions, Residual, Rotary, Table,
};
use crate::fields::Fields;

pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["new", "gte"], describe };

const THETA: f64 = 160_000.0;

/// Dimensions that all layers share.
struct Layers {
    width: usize,
    heads: usize,
    intermediate: usize,
    activation: Activation,
    epsilon: f32,
    /// Queries, keys and values lie in one tensor.
    packed: bool,
    rotary: Rotary,
}

fn describe(fields: &Fields, checkpoint: &Checkpoint) -> Result<Encoder, Error> {
    fields.refuse_other("position_embedding_type", "rope")?;
    fields.refuse_other("layer_norm_type", "layer_norm")?;
    fields.refuse_flags(&["logn_attention_scale"])?;
    let width = fields.width(&["hidden_size"])?;
    let heads = even_heads(fields, width)?;
    let layers = Layers {
        width,
        heads,
        intermediate: fields.intermediate(&["intermediate_size"])?,
        activation: fields.activation(&["hidden_act"], "gelu")?,
        epsilon: fields.epsilon(&["layer_norm_eps"], 1e-12)?,
        packed: fields.flag("pack_qkv", true)?,
        rotary: rope::rotary(fields, width / heads, &["rope_theta"], THETA)?,
    };
    let types = fields.token_types(1)?;
    let prefix = prefix(checkpoint, &["new.", "gte.", ""], "embeddings.word_embeddings.weight")?;
    let table =
        |name, rows| Table::new(format!("{prefix}embeddings.{name}_embeddings"), rows, width);
    let norm = |name: &str| Norm::layer(name, width, layers.epsilon);
    Ok(Encoder {
        model_type: fields.model_type()?.to_owned(),
        width,
        input: Input::Tokens(Embeddings {
            words: table("word", fields.vocabulary()?),
            scale: None,
            types: (types > 0).then(|| table("token_type", types)),
            positions: Positions::None,
            norm: Some(norm(&format!("{prefix}embeddings.LayerNorm"))),
            projection: None,
        }),
        layers: (0..fields.layers(&["num_hidden_layers"])?)
            .map(|index| layers.layer(&format!("{prefix}encoder.layer.{index}.")))
            .collect(),
        final_norm: None,
        pooled: None,
        causal_lm: None,
        masked_lm: Some(MaskedLm {
            dense: Linear::new("lm_head.dense", width, width),
            activation: layers.activation,
            norm: norm("lm_head.norm"),
            decoder: (!fields.tied()?).then(|| "lm_head.decoder.weight".to_owned()),
            bias: vec!["lm_head.decoder.bias".to_owned()],
        }),
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

impl Layers {
    fn layer(&self, name: &str) -> Layer {
        let &Self { width, heads, intermediate, activation, epsilon, packed, ref rotary } = self;
        let linear = |part: &str, from, to| Linear::new(format!("{name}{part}"), from, to);
        let projection = |index: usize| {
            if packed {
                linear("attention.qkv_proj", width, width).part(index, 3)
            } else {
                linear(
                    ["attention.q_proj", "attention.k_proj", "attention.v_proj"][index],
                    width,
                    width,
                )
            }
        };
        let ends_with =
            |norm: &str| Residual::post_norm(Norm::layer(format!("{name}{norm}"), width, epsilon));
        let gated =
            |index| linear("mlp.up_gate_proj", width, intermediate).with_bias(false).part(index, 2);
        let output = linear("attention.o_proj", width, width);
        let attention =
            Attention::new(heads, [projection(0), projection(1), projection(2), output]);
        Layer {
            attention: Attention { rotary: Some(rotary.clone()), ..attention },
            attention_residual: ends_with("attn_ln"),
            mlp: Mlp::Gated {
                gate: gated(1),
                activation,
                up: gated(0),
                down: linear("mlp.down_proj", intermediate, width),
            },
            mlp_residual: ends_with("mlp_ln"),
        }
    }
}
