//! CLIP: an encoder of text and one of images in a checkpoint, each with a projection to the space they
//! share.

use super::Architecture;
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Activation, Attention, Embeddings, Encoder, Input, Layer, Linear, Mlp, Norm, Patches, Pooled,
    Pooling, Positions, Residual, ScoreBias, Table,
};
use crate::fields::Fields;

pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["clip"], describe: describe_text };
pub(super) const IMAGES: Architecture =
    Architecture { model_types: &["clip"], describe: describe_images };

/// Dimensions of one of the encoders.
struct Tower {
    width: usize,
    heads: usize,
    layers: usize,
    intermediate: usize,
    activation: Activation,
    epsilon: f32,
    /// Width of the space that both share.
    shared: usize,
}

/// Sizes that a configuration leaves out.
struct Defaults {
    width: usize,
    heads: usize,
    intermediate: usize,
}

fn describe_text(fields: &Fields, _: &Checkpoint) -> Result<Encoder, Error> {
    let own = section(fields, "text_config")?;
    let defaults = Defaults { width: 512, heads: 8, intermediate: 2048 };
    let tower = Tower::read(fields, &own, &defaults)?;
    let width = tower.width;
    let table = |name, rows| Table::new(format!("text_model.embeddings.{name}"), rows, width);
    let vocabulary = own.size_or(&["vocab_size"], 1..=1 << 24, 49_408)?;
    let positions = own.size_or(&["max_position_embeddings"], 1..=1 << 20, 77)?;
    let pooling = match own.size_or(&["eos_token_id"], 0..=1 << 24, 49_407)? {
        // Older configurations have the wrong id; the end of a text has the largest.
        2 => Pooling::LargestId,
        id => Pooling::TokenId(id),
    };
    let bias = ScoreBias { causal: true, ..ScoreBias::default() };
    Ok(Encoder {
        model_type: fields.model_type()?.to_owned(),
        width,
        input: Input::Tokens(Embeddings {
            words: table("token_embedding", vocabulary),
            scale: None,
            types: None,
            positions: Positions::Absolute(table("position_embedding", positions)),
            norm: None,
            projection: None,
        }),
        layers: tower.layers("text_model", &bias),
        final_norm: Some(tower.norm("text_model.final_layer_norm")),
        pooled: Some(Pooled {
            pooling,
            norm: None,
            projection: Some(tower.projection("text_projection")),
        }),
        masked_lm: None,
        classifier: None,
    })
}

fn describe_images(fields: &Fields, _: &Checkpoint) -> Result<Encoder, Error> {
    let own = section(fields, "vision_config")?;
    let defaults = Defaults { width: 768, heads: 12, intermediate: 3072 };
    let tower = Tower::read(fields, &own, &defaults)?;
    let width = tower.width;
    let image = own.size_or(&["image_size"], 1..=1 << 14, 224)?;
    let patch = own.size_or(&["patch_size"], 1..=image, 32)?;
    let name = |name| format!("vision_model.embeddings.{name}");
    let places = (image / patch).pow(2) + 1;
    let bias = ScoreBias { unpadded: true, ..ScoreBias::default() };
    Ok(Encoder {
        model_type: fields.model_type()?.to_owned(),
        width,
        input: Input::Pixels(Patches {
            projection: name("patch_embedding"),
            bias: false,
            channels: own.size_or(&["num_channels"], 1..=64, 3)?,
            patch,
            image,
            width,
            class: (name("class_embedding"), vec![width]),
            positions: (name("position_embedding.weight"), vec![places, width]),
            any_size: false,
            // The original's spelling.
            norm: Some(tower.norm("vision_model.pre_layrnorm")),
        }),
        layers: tower.layers("vision_model", &bias),
        final_norm: None,
        pooled: Some(Pooled {
            pooling: Pooling::First,
            norm: Some(tower.norm("vision_model.post_layernorm")),
            projection: Some(tower.projection("visual_projection")),
        }),
        masked_lm: None,
        classifier: None,
    })
}

fn section(fields: &Fields, name: &'static str) -> Result<Fields, Error> {
    fields.object(name)?.ok_or_else(|| fields.wrong(name, "is missing"))
}

impl Tower {
    fn read(fields: &Fields, own: &Fields, defaults: &Defaults) -> Result<Self, Error> {
        let width = own.size_or(&["hidden_size"], 1..=1 << 16, defaults.width)?;
        let heads = own.size_or(&["num_attention_heads"], 1..=1 << 12, defaults.heads)?;
        if !width.is_multiple_of(heads) {
            let reason = format!("is {heads}, which does not divide the width {width}");
            return Err(own.wrong("num_attention_heads", &reason));
        }
        Ok(Self {
            width,
            heads,
            layers: own.size_or(&["num_hidden_layers"], 1..=1024, 12)?,
            intermediate: own.size_or(
                &["intermediate_size"],
                1..=1 << 20,
                defaults.intermediate,
            )?,
            activation: own.activation(&["hidden_act"], "quick_gelu")?,
            epsilon: own.epsilon(&["layer_norm_eps"], 1e-5)?,
            shared: fields.size_or(&["projection_dim"], 1..=1 << 16, 512)?,
        })
    }

    fn norm(&self, name: &str) -> Norm {
        Norm::layer(name, self.width, self.epsilon)
    }

    fn projection(&self, name: &str) -> Linear {
        Linear::new(name, self.width, self.shared).with_bias(false)
    }

    fn layers(&self, prefix: &str, bias: &ScoreBias) -> Vec<Layer> {
        let &Self { width, heads, intermediate, activation, .. } = self;
        let layer = |index| {
            let name = |part: &str| format!("{prefix}.encoder.layers.{index}.{part}");
            let projections = ["q_proj", "k_proj", "v_proj", "out_proj"]
                .map(|part| Linear::new(name(&format!("self_attn.{part}")), width, width));
            Layer {
                attention: Attention { bias: bias.clone(), ..Attention::new(heads, projections) },
                attention_residual: Residual::pre_norm(Some(self.norm(&name("layer_norm1")))),
                mlp: Mlp::Plain {
                    up: Linear::new(name("mlp.fc1"), width, intermediate),
                    activation,
                    down: Linear::new(name("mlp.fc2"), intermediate, width),
                },
                mlp_residual: Residual::pre_norm(Some(self.norm(&name("layer_norm2")))),
            }
        };
        (0..self.layers).map(layer).collect()
    }
}
