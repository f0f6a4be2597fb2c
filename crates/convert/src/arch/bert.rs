//! BERT, RoBERTa, XLM-RoBERTa and CamemBERT. The others than BERT count positions past the padding and
//! have other names for their heads.

use super::{Architecture, flash, jina_bert, prefix};
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Activation, Attention, Classifier, Embeddings, Encoder, Input, Layer, Linear, MaskedLm, Mlp,
    Norm, Pooling, Positions, Residual, ScoreBias, Table,
};
use crate::fields::Fields;

pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["bert", "roberta", "xlm-roberta", "camembert"], describe };

/// Names of the tensors in one layer.
pub(super) struct LayerNames {
    pub(super) query: &'static str,
    pub(super) key: &'static str,
    pub(super) value: &'static str,
    pub(super) attention_output: &'static str,
    pub(super) attention_norm: &'static str,
    pub(super) up: &'static str,
    pub(super) down: &'static str,
    pub(super) output_norm: &'static str,
}

pub(super) const LAYER: LayerNames = LayerNames {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    output_norm: "output.LayerNorm",
};

/// Dimensions of a layer in which attention and feed-forward network each end with a norm.
pub(super) struct PostNorm {
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) intermediate: usize,
    pub(super) activation: Activation,
    pub(super) epsilon: f32,
    pub(super) bias: ScoreBias,
}

impl PostNorm {
    /// The layer whose tensors begin with `prefix`.
    pub(super) fn layer(&self, prefix: &str, names: &LayerNames) -> Layer {
        let &Self { width, heads, intermediate, activation, epsilon, .. } = self;
        let linear = |name, from, to| Linear::new(format!("{prefix}{name}"), from, to);
        let ends_with =
            |name| Residual::post_norm(Norm::layer(format!("{prefix}{name}"), width, epsilon));
        let projections = [names.query, names.key, names.value, names.attention_output];
        let attention = Attention::new(heads, projections.map(|name| linear(name, width, width)));
        Layer {
            attention: Attention { bias: self.bias.clone(), ..attention },
            attention_residual: ends_with(names.attention_norm),
            mlp: Mlp::Plain {
                up: linear(names.up, width, intermediate),
                activation,
                down: linear(names.down, intermediate, width),
            },
            mlp_residual: ends_with(names.output_norm),
        }
    }
}

fn describe(fields: &Fields, checkpoint: &Checkpoint) -> Result<Encoder, Error> {
    fields.refuse_decoders()?;
    let positions = fields.text("position_embedding_type")?;
    match fields.model_type()? {
        "bert" if positions == Some("alibi") => return jina_bert::describe(fields, checkpoint),
        "xlm-roberta" if flash::recognise(checkpoint) => {
            return flash::describe(fields, checkpoint);
        }
        _ => {}
    }
    fields.refuse_other("position_embedding_type", "absolute")?;
    let model_type = fields.model_type()?;
    let bert = model_type == "bert";
    let width = fields.width(&["hidden_size"])?;
    let layer = PostNorm {
        width,
        heads: fields.heads(&["num_attention_heads"], width)?,
        intermediate: fields.intermediate(&["intermediate_size"])?,
        activation: fields.activation(&["hidden_act"], "gelu")?,
        epsilon: fields.epsilon(&["layer_norm_eps"], 1e-12)?,
        bias: ScoreBias::default(),
    };
    let prefixes = if bert { ["bert.", ""] } else { ["roberta.", ""] };
    let prefix = prefix(checkpoint, &prefixes, "embeddings.word_embeddings.weight")?;
    let mut embeddings = embeddings(fields, prefix, width, layer.epsilon)?;
    if !bert {
        embeddings.positions = past_padding(fields, embeddings.positions)?;
    }
    Ok(Encoder {
        model_type: model_type.to_owned(),
        width,
        input: Input::Tokens(embeddings),
        layers: (0..fields.layers(&["num_hidden_layers"])?)
            .map(|index| layer.layer(&format!("{prefix}encoder.layer.{index}."), &LAYER))
            .collect(),
        final_norm: None,
        pooled: None,
        causal_lm: None,
        masked_lm: Some(if bert {
            masked_lm(fields, width, layer.activation, layer.epsilon)?
        } else {
            roberta_lm(fields, width, layer.epsilon)?
        }),
        classifier: Some(if bert {
            Classifier {
                pooling: Pooling::First,
                dense: Linear::new(format!("{prefix}pooler.dense"), width, width),
                activation: Activation::Tanh,
                norm: None,
                last: "classifier".to_owned(),
                labels: fields.labels()?,
            }
        } else {
            roberta_classifier(fields, width)?
        }),
    })
}

/// Words, token types and positions as BERT has them, under their usual names.
pub(super) fn embeddings(
    fields: &Fields,
    prefix: &str,
    width: usize,
    epsilon: f32,
) -> Result<Embeddings, Error> {
    let table =
        |name, rows| Table::new(format!("{prefix}embeddings.{name}_embeddings"), rows, width);
    let types = fields.token_types(2)?;
    let positions = fields.positions(&["max_position_embeddings"])?;
    Ok(Embeddings {
        words: table("word", fields.vocabulary()?),
        scale: None,
        types: (types > 0).then(|| table("token_type", types)),
        positions: Positions::Absolute(table("position", positions)),
        norm: Some(Norm::layer(format!("{prefix}embeddings.LayerNorm"), width, epsilon)),
        projection: None,
    })
}

/// The same positions, counted as RoBERTa does.
pub(super) fn past_padding(fields: &Fields, positions: Positions) -> Result<Positions, Error> {
    let Positions::Absolute(table) = positions else { return Ok(positions) };
    let padding = fields.size_or(&["pad_token_id"], 0..=table.rows - 1, 1)?;
    Ok(Positions::PastPadding { table, padding })
}

/// BERT's head, with the encoder's activation.
pub(super) fn masked_lm(
    fields: &Fields,
    width: usize,
    activation: Activation,
    epsilon: f32,
) -> Result<MaskedLm, Error> {
    let decoder = "cls.predictions.decoder";
    Ok(MaskedLm {
        dense: Linear::new("cls.predictions.transform.dense", width, width),
        activation,
        norm: Norm::layer("cls.predictions.transform.LayerNorm", width, epsilon),
        decoder: (!fields.tied()?).then(|| format!("{decoder}.weight")),
        // The bias belongs to the head and to its last layer; a checkpoint may have either name.
        bias: ["cls.predictions", decoder].map(|name| format!("{name}.bias")).into(),
    })
}

/// RoBERTa's head, always with GELU.
pub(super) fn roberta_lm(fields: &Fields, width: usize, epsilon: f32) -> Result<MaskedLm, Error> {
    let decoder = "lm_head.decoder";
    Ok(MaskedLm {
        dense: Linear::new("lm_head.dense", width, width),
        activation: Activation::Gelu,
        norm: Norm::layer("lm_head.layer_norm", width, epsilon),
        decoder: (!fields.tied()?).then(|| format!("{decoder}.weight")),
        bias: ["lm_head", decoder].map(|name| format!("{name}.bias")).into(),
    })
}

pub(super) fn roberta_classifier(fields: &Fields, width: usize) -> Result<Classifier, Error> {
    Ok(Classifier {
        pooling: Pooling::First,
        dense: Linear::new("classifier.dense", width, width),
        activation: Activation::Tanh,
        norm: None,
        last: "classifier.out_proj".to_owned(),
        labels: fields.labels()?,
    })
}
