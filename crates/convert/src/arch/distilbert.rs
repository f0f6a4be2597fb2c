//! `DistilBERT`: BERT's layers under other names, without token types.

use super::bert::{LayerNames, PostNorm};
use super::{Architecture, prefix};
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Activation, Classifier, Embeddings, Encoder, Input, Linear, MaskedLm, Norm, Pooling, Positions,
    ScoreBias, Table,
};
use crate::fields::Fields;

pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["distilbert"], describe };

const LAYER: LayerNames = LayerNames {
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    attention_output: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    up: "ffn.lin1",
    down: "ffn.lin2",
    output_norm: "output_layer_norm",
};
/// A constant of the implementation.
const EPSILON: f32 = 1e-12;

fn describe(fields: &Fields, checkpoint: &Checkpoint) -> Result<Encoder, Error> {
    fields.refuse_decoders()?;
    fields.refuse_other("position_embedding_type", "absolute")?;
    let width = fields.width(&["dim"])?;
    let layer = PostNorm {
        width,
        heads: fields.heads(&["n_heads"], width)?,
        intermediate: fields.intermediate(&["hidden_dim"])?,
        activation: fields.activation(&["activation"], "gelu")?,
        epsilon: EPSILON,
        bias: ScoreBias::default(),
    };
    let layers = fields.layers(&["n_layers"])?;
    let vocabulary = fields.vocabulary()?;
    let positions = fields.positions(&["max_position_embeddings"])?;
    let prefix = prefix(checkpoint, &["distilbert.", ""], "embeddings.word_embeddings.weight")?;
    let table =
        |name, rows| Table::new(format!("{prefix}embeddings.{name}_embeddings"), rows, width);
    Ok(Encoder {
        model_type: fields.model_type()?.to_owned(),
        width,
        input: Input::Tokens(Embeddings {
            words: table("word", vocabulary),
            scale: None,
            types: None,
            positions: Positions::Absolute(table("position", positions)),
            norm: Some(Norm::layer(format!("{prefix}embeddings.LayerNorm"), width, EPSILON)),
            projection: None,
        }),
        layers: (0..layers)
            .map(|index| layer.layer(&format!("{prefix}transformer.layer.{index}."), &LAYER))
            .collect(),
        final_norm: None,
        pooled: None,
        causal_lm: None,
        masked_lm: Some(MaskedLm {
            dense: Linear::new("vocab_transform", width, width),
            activation: layer.activation,
            norm: Norm::layer("vocab_layer_norm", width, EPSILON),
            decoder: (!fields.tied()?).then(|| "vocab_projector.weight".to_owned()),
            bias: vec!["vocab_projector.bias".to_owned()],
        }),
        classifier: Some(Classifier {
            pooling: Pooling::First,
            dense: Linear::new("pre_classifier", width, width),
            activation: Activation::Relu,
            norm: None,
            last: "classifier".to_owned(),
            labels: fields.labels()?,
        }),
    })
}
