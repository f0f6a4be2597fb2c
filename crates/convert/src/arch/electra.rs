//! ELECTRA: BERT with embeddings that may be narrower, and heads of its own.

use super::bert::{LAYER, PostNorm, embeddings, roberta_classifier};
use super::{Architecture, prefix};
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{Activation, Classifier, Encoder, Input, Linear, MaskedLm, Norm, ScoreBias};
use crate::fields::Fields;

pub(super) const ARCHITECTURE: Architecture = Architecture { model_types: &["electra"], describe };

fn describe(fields: &Fields, checkpoint: &Checkpoint) -> Result<Encoder, Error> {
    fields.refuse_decoders()?;
    fields.refuse_other("position_embedding_type", "absolute")?;
    let width = fields.width(&["hidden_size"])?;
    let narrow = fields.size_or(&["embedding_size"], 1..=1 << 16, width)?;
    let layer = PostNorm {
        width,
        heads: fields.heads(&["num_attention_heads"], width)?,
        intermediate: fields.intermediate(&["intermediate_size"])?,
        activation: fields.activation(&["hidden_act"], "gelu")?,
        epsilon: fields.epsilon(&["layer_norm_eps"], 1e-12)?,
        bias: ScoreBias::default(),
    };
    let prefix = prefix(checkpoint, &["electra.", ""], "embeddings.word_embeddings.weight")?;
    let mut embeddings = embeddings(fields, prefix, narrow, layer.epsilon)?;
    if narrow != width {
        let projection = format!("{prefix}embeddings_project");
        embeddings.projection = Some(Linear::new(projection, narrow, width));
    }
    Ok(Encoder {
        model_type: fields.model_type()?.to_owned(),
        width,
        input: Input::Tokens(embeddings),
        layers: (0..fields.layers(&["num_hidden_layers"])?)
            .map(|index| layer.layer(&format!("{prefix}encoder.layer.{index}."), &LAYER))
            .collect(),
        final_norm: None,
        pooled: None,
        causal_lm: None,
        masked_lm: Some(MaskedLm {
            dense: Linear::new("generator_predictions.dense", width, narrow),
            activation: Activation::Gelu,
            norm: Norm::layer("generator_predictions.LayerNorm", narrow, layer.epsilon),
            decoder: (!fields.tied()?).then(|| "generator_lm_head.weight".to_owned()),
            bias: vec!["generator_lm_head.bias".to_owned()],
        }),
        // RoBERTa's, but for the activation.
        classifier: Some(Classifier {
            activation: Activation::Gelu,
            ..roberta_classifier(fields, width)?
        }),
    })
}
