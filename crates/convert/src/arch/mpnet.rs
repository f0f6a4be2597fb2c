//! `MPNet`: positions as in RoBERTa, and a bias by distance that all layers share.

use super::bert::{LayerNames, PostNorm, roberta_classifier, roberta_lm};
use super::{Architecture, prefix};
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{Distance, Embeddings, Encoder, Input, Norm, Positions, ScoreBias, Table};
use crate::fields::Fields;

pub(super) const ARCHITECTURE: Architecture = Architecture { model_types: &["mpnet"], describe };

const LAYER: LayerNames = LayerNames {
    query: "attention.attn.q",
    key: "attention.attn.k",
    value: "attention.attn.v",
    attention_output: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    output_norm: "output.LayerNorm",
};
/// The original sorts distances into so many buckets, whatever the configuration says.
const BUCKETS: usize = 32;
/// A constant of the original.
const FARTHEST: usize = 128;
/// Positions always count from here, whatever the padding id.
const PADDING: usize = 1;

fn describe(fields: &Fields, checkpoint: &Checkpoint) -> Result<Encoder, Error> {
    fields.refuse_decoders()?;
    fields.refuse_other("position_embedding_type", "absolute")?;
    let width = fields.width(&["hidden_size"])?;
    let heads = fields.heads(&["num_attention_heads"], width)?;
    let positions = fields.positions(&["max_position_embeddings"])?;
    refuse_other_buckets(fields)?;
    let prefix = prefix(checkpoint, &["mpnet.", ""], "embeddings.word_embeddings.weight")?;
    let buckets = Table::new(format!("{prefix}encoder.relative_attention_bias"), BUCKETS, heads);
    let layer = PostNorm {
        width,
        heads,
        intermediate: fields.intermediate(&["intermediate_size"])?,
        activation: fields.activation(&["hidden_act"], "gelu")?,
        epsilon: fields.epsilon(&["layer_norm_eps"], 1e-12)?,
        bias: ScoreBias {
            distance: Some(Distance::Buckets { table: buckets, farthest: FARTHEST }),
            ..ScoreBias::default()
        },
    };
    let table =
        |name, rows| Table::new(format!("{prefix}embeddings.{name}_embeddings"), rows, width);
    let norm = format!("{prefix}embeddings.LayerNorm");
    Ok(Encoder {
        model_type: fields.model_type()?.to_owned(),
        width,
        input: Input::Tokens(Embeddings {
            words: table("word", fields.vocabulary()?),
            scale: None,
            types: None,
            positions: Positions::PastPadding {
                table: table("position", positions),
                padding: PADDING,
            },
            norm: Some(Norm::layer(norm, width, layer.epsilon)),
            projection: None,
        }),
        layers: (0..fields.layers(&["num_hidden_layers"])?)
            .map(|index| layer.layer(&format!("{prefix}encoder.layer.{index}."), &LAYER))
            .collect(),
        final_norm: None,
        pooled: None,
        masked_lm: Some(roberta_lm(fields, width, layer.epsilon)?),
        classifier: Some(roberta_classifier(fields, width)?),
        causal_lm: None,
    })
}

fn refuse_other_buckets(fields: &Fields) -> Result<(), Error> {
    let field = "relative_attention_num_buckets";
    match fields.get(field) {
        Some(other) if other.as_u64() != Some(BUCKETS as u64) => {
            Err(fields.unsupported(field, &other.to_string(), "32"))
        }
        _ => Ok(()),
    }
}
