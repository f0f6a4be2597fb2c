//! Encoders of images: `ViT` and `DINOv2`. The latter scales its branches and takes images of any size.

use super::{Architecture, prefix};
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Activation, Attention, Encoder, Input, Layer, Linear, Mlp, Norm, Patches, Pooled, Pooling,
    Residual, ScoreBias,
};
use crate::fields::Fields;

pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["vit", "dinov2"], describe };

/// Dimensions that all layers share.
struct Layers {
    width: usize,
    heads: usize,
    intermediate: usize,
    activation: Activation,
    epsilon: f32,
    qkv_bias: bool,
    dino: bool,
}

fn describe(fields: &Fields, checkpoint: &Checkpoint) -> Result<Encoder, Error> {
    fields.refuse_flags(&["use_swiglu_ffn"])?;
    let model_type = fields.model_type()?;
    let dino = model_type == "dinov2";
    let width = fields.width(&["hidden_size"])?;
    let layers = Layers {
        width,
        heads: fields.heads(&["num_attention_heads"], width)?,
        intermediate: if dino {
            width * fields.size_or(&["mlp_ratio"], 1..=64, 4)?
        } else {
            fields.intermediate(&["intermediate_size"])?
        },
        activation: fields.activation(&["hidden_act"], "gelu")?,
        epsilon: fields.epsilon(&["layer_norm_eps"], if dino { 1e-6 } else { 1e-12 })?,
        qkv_bias: fields.flag("qkv_bias", true)?,
        dino,
    };
    let prefixes = ["vit.", "dinov2.", ""];
    let prefix = prefix(checkpoint, &prefixes, "embeddings.cls_token")?;
    Ok(Encoder {
        model_type: model_type.to_owned(),
        width,
        input: Input::Pixels(patches(fields, prefix, width, dino)?),
        layers: (0..fields.layers(&["num_hidden_layers"])?)
            .map(|index| layers.layer(&format!("{prefix}encoder.layer.{index}.")))
            .collect(),
        final_norm: Some(Norm::layer(format!("{prefix}layernorm"), width, layers.epsilon)),
        pooled: Some(Pooled { pooling: Pooling::First, norm: None, projection: None }),
        masked_lm: None,
        classifier: None,
        causal_lm: None,
    })
}

fn patches(fields: &Fields, prefix: &str, width: usize, dino: bool) -> Result<Patches, Error> {
    let image = fields.size_or(&["image_size"], 1..=1 << 14, 224)?;
    let patch = fields.size_or(&["patch_size"], 1..=image, if dino { 14 } else { 16 })?;
    let places = (image / patch).pow(2) + 1;
    let name = |name| format!("{prefix}embeddings.{name}");
    Ok(Patches {
        projection: name("patch_embeddings.projection"),
        bias: true,
        channels: fields.size_or(&["num_channels"], 1..=64, 3)?,
        patch,
        image,
        width,
        class: Some((name("cls_token"), vec![1, 1, width])),
        positions: (name("position_embeddings"), vec![1, places, width]),
        any_size: dino,
        norm: None,
    })
}

impl Layers {
    fn layer(&self, name: &str) -> Layer {
        let &Self { width, heads, intermediate, activation, epsilon, qkv_bias, dino } = self;
        let linear = |part: &str, from, to| Linear::new(format!("{name}{part}"), from, to);
        let qkv = |part| linear(part, width, width).with_bias(qkv_bias);
        let norms = if dino { ["norm1", "norm2"] } else { ["layernorm_before", "layernorm_after"] };
        let mlp =
            if dino { ["mlp.fc1", "mlp.fc2"] } else { ["intermediate.dense", "output.dense"] };
        let [attention_residual, mlp_residual] = [0, 1].map(|part| Residual {
            before: Some(Norm::layer(format!("{name}{}", norms[part]), width, epsilon)),
            scale: dino.then(|| format!("{name}layer_scale{}.lambda1", part + 1)),
            ..Residual::default()
        });
        Layer {
            attention: Attention {
                bias: ScoreBias { unpadded: true, ..ScoreBias::default() },
                ..Attention::new(
                    heads,
                    [
                        qkv("attention.attention.query"),
                        qkv("attention.attention.key"),
                        qkv("attention.attention.value"),
                        linear("attention.output.dense", width, width),
                    ],
                )
            },
            attention_residual,
            mlp: Mlp::Plain {
                up: linear(mlp[0], width, intermediate),
                activation,
                down: linear(mlp[1], intermediate, width),
            },
            mlp_residual,
        }
    }
}
