//! `ModernBERT`: norms before each part, rotary positions, gated feed-forward networks, and attention
//! within a window in most layers.

use super::{Architecture, even_heads, prefix, rope, windowed_layers};
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Activation, Attention, Classifier, Embeddings, Encoder, Input, Layer, Linear, MaskedLm, Mlp,
    Norm, Pooling, Positions, Residual, Rotary, ScoreBias, Table,
};
use crate::fields::{Fields, Names};

pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["modernbert"], describe };

const LOCAL_THETA: Names = &["local_rope_theta"];

/// Dimensions that all layers share.
struct Layers {
    width: usize,
    heads: usize,
    intermediate: usize,
    activation: Activation,
    attention_bias: bool,
    mlp_bias: bool,
}

/// Rotary positions and reach of one kind of layer.
struct Sight {
    rotary: Rotary,
    bias: ScoreBias,
}

fn describe(fields: &Fields, checkpoint: &Checkpoint) -> Result<Encoder, Error> {
    let width = fields.width(&["hidden_size"])?;
    let layers = Layers {
        width,
        heads: even_heads(fields, width)?,
        intermediate: fields.intermediate(&["intermediate_size"])?,
        activation: fields.activation(&["hidden_activation"], "gelu")?,
        attention_bias: fields.flag("attention_bias", false)?,
        mlp_bias: fields.flag("mlp_bias", false)?,
    };
    let prefix = prefix(checkpoint, &["model.", ""], "embeddings.tok_embeddings.weight")?;
    let (epsilon, norm_bias) =
        (fields.epsilon(&["norm_eps"], 1e-5)?, fields.flag("norm_bias", false)?);
    let norm = |name: String| Norm::layer(name, width, epsilon).with_bias(norm_bias);
    let [global, local] = sights(fields, width / layers.heads)?;
    let described = windowed(fields)?.into_iter().enumerate().map(|(index, windowed)| {
        let name = format!("{prefix}layers.{index}.");
        // The first layer gets its input from the norm of the embeddings.
        let before = (index > 0).then(|| norm(format!("{name}attn_norm")));
        let mlp_norm = norm(format!("{name}mlp_norm"));
        layers.layer(&name, if windowed { &local } else { &global }, before, mlp_norm)
    });
    Ok(Encoder {
        model_type: fields.model_type()?.to_owned(),
        width,
        input: Input::Tokens(Embeddings {
            words: Table::new(
                format!("{prefix}embeddings.tok_embeddings"),
                fields.vocabulary()?,
                width,
            ),
            scale: None,
            types: None,
            positions: Positions::None,
            norm: Some(norm(format!("{prefix}embeddings.norm"))),
            projection: None,
        }),
        layers: described.collect(),
        final_norm: Some(norm(format!("{prefix}final_norm"))),
        pooled: None,
        masked_lm: Some(masked_lm(fields, width, norm("head.norm".to_owned()))?),
        classifier: Some(classifier(fields, width, norm("head.norm".to_owned()))?),
        causal_lm: None,
    })
}

impl Layers {
    fn layer(&self, name: &str, sight: &Sight, before: Option<Norm>, mlp_norm: Norm) -> Layer {
        let &Self { width, heads, intermediate, activation, attention_bias, mlp_bias } = self;
        let qkv = |part| {
            Linear::new(format!("{name}attn.Wqkv"), width, width)
                .with_bias(attention_bias)
                .part(part, 3)
        };
        let gated = |part| {
            Linear::new(format!("{name}mlp.Wi"), width, intermediate)
                .with_bias(mlp_bias)
                .part(part, 2)
        };
        let output = Linear::new(format!("{name}attn.Wo"), width, width).with_bias(attention_bias);
        let attention = Attention::new(heads, [qkv(0), qkv(1), qkv(2), output]);
        Layer {
            attention: Attention {
                rotary: Some(sight.rotary.clone()),
                bias: sight.bias.clone(),
                ..attention
            },
            attention_residual: Residual::pre_norm(before),
            mlp: Mlp::Gated {
                gate: gated(0),
                activation,
                up: gated(1),
                down: Linear::new(format!("{name}mlp.Wo"), intermediate, width).with_bias(mlp_bias),
            },
            mlp_residual: Residual::pre_norm(Some(mlp_norm)),
        }
    }
}

/// Rotary positions and reach of layers that see everything, and of those that see a window.
fn sights(fields: &Fields, head_width: usize) -> Result<[Sight; 2], Error> {
    let parameters = fields.object("rope_parameters")?;
    let scaling = fields.object("rope_scaling")?;
    let rotary = |kind, names, default| -> Result<Rotary, Error> {
        let parameters = parameters.as_ref().map(|all| all.object(kind)).transpose()?.flatten();
        let parameters = [parameters.as_ref(), scaling.as_ref()];
        rope::from_parameters(fields, parameters, head_width, names, default)
    };
    // Without a θ of their own, layers with a window have that of the others.
    let local =
        if fields.is_null("local_rope_theta") { &["global_rope_theta"] } else { LOCAL_THETA };
    let window = fields.size_or(&["local_attention"], 1..=1 << 20, 128)? / 2;
    Ok([
        Sight {
            rotary: rotary("full_attention", &["global_rope_theta"], 160_000.0)?,
            bias: ScoreBias::default(),
        },
        Sight {
            rotary: rotary("sliding_attention", local, 10_000.0)?,
            bias: ScoreBias { window: Some(window), ..ScoreBias::default() },
        },
    ])
}

/// For each layer, whether it sees a window only.
fn windowed(fields: &Fields) -> Result<Vec<bool>, Error> {
    let layers = fields.layers(&["num_hidden_layers"])?;
    if let Some(windowed) = windowed_layers(fields, layers)? {
        return Ok(windowed);
    }
    let every = fields.size_or(&["global_attn_every_n_layers"], 1..=1024, 3)?;
    Ok((0..layers).map(|layer| layer % every != 0).collect())
}

fn head(fields: &Fields, width: usize) -> Result<(Linear, Activation), Error> {
    let dense =
        Linear::new("head.dense", width, width).with_bias(fields.flag("classifier_bias", false)?);
    Ok((dense, fields.activation(&["classifier_activation"], "gelu")?))
}

fn masked_lm(fields: &Fields, width: usize, norm: Norm) -> Result<MaskedLm, Error> {
    let (dense, activation) = head(fields, width)?;
    let bias = fields.flag("decoder_bias", true)?.then(|| "decoder.bias".to_owned());
    Ok(MaskedLm {
        dense,
        activation,
        norm,
        decoder: (!fields.tied()?).then(|| "decoder.weight".to_owned()),
        bias: bias.into_iter().collect(),
    })
}

fn classifier(fields: &Fields, width: usize, norm: Norm) -> Result<Classifier, Error> {
    let (dense, activation) = head(fields, width)?;
    let pooling = match fields.text("classifier_pooling")?.unwrap_or("cls") {
        "cls" => Pooling::First,
        "mean" => Pooling::Mean,
        other => return Err(fields.unsupported("classifier_pooling", other, "cls, mean")),
    };
    Ok(Classifier {
        pooling,
        dense,
        activation,
        norm: Some(norm),
        last: "classifier".to_owned(),
        labels: fields.labels()?,
    })
}
