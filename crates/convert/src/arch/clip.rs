//! CLIP and SigLIP: an encoder of text and one of images in a checkpoint, each with its way to the space
//! they share.

use super::Architecture;
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Activation, Attention, Embeddings, Encoder, Input, Layer, Linear, Mlp, Norm, Patches, Pooled,
    Pooling, Positions, Probe, Residual, ScoreBias, Table,
};
use crate::fields::Fields;

pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["clip", "siglip"], describe: describe_text };
pub(super) const IMAGES: Architecture =
    Architecture { model_types: &["clip", "siglip"], describe: describe_images };

/// Dimensions of one of the encoders.
struct Tower {
    width: usize,
    heads: usize,
    layers: usize,
    intermediate: usize,
    activation: Activation,
    epsilon: f32,
}

/// Sizes that a configuration leaves out.
struct Defaults {
    width: usize,
    heads: usize,
    intermediate: usize,
}

/// SigLIP's encoders, and CLIP's of images.
const BASE: Defaults = Defaults { width: 768, heads: 12, intermediate: 3072 };

fn describe_text(fields: &Fields, _: &Checkpoint) -> Result<Encoder, Error> {
    let own = section(fields, "text_config")?;
    let siglip = is_siglip(fields)?;
    let defaults =
        if siglip { BASE } else { Defaults { width: 512, heads: 8, intermediate: 2048 } };
    let tower = Tower::read(&own, &defaults, siglip)?;
    let width = tower.width;
    let table = |name, rows| Table::new(format!("text_model.embeddings.{name}"), rows, width);
    let (words, longest) = if siglip { (32_000, 64) } else { (49_408, 77) };
    let vocabulary = own.size_or(&["vocab_size"], 1..=1 << 24, words)?;
    let positions = own.size_or(&["max_position_embeddings"], 1..=1 << 20, longest)?;
    // SigLIP was trained with texts padded to the limit, and sees the padding.
    let bias = ScoreBias { unpadded: siglip, causal: !siglip, ..ScoreBias::default() };
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
        pooled: Some(if siglip {
            let shared = own.size_or(&["projection_size"], 1..=1 << 16, width)?;
            let projection = Some(Linear::new("text_model.head", width, shared));
            Pooled { pooling: Pooling::Last, norm: None, projection }
        } else {
            let projection = Some(tower.projection(fields, "text_projection")?);
            Pooled { pooling: end_of_text(&own)?, norm: None, projection }
        }),
        masked_lm: None,
        classifier: None,
        causal_lm: None,
    })
}

fn is_siglip(fields: &Fields) -> Result<bool, Error> {
    Ok(fields.model_type()? == "siglip")
}

/// The state that stands for a text in CLIP.
fn end_of_text(own: &Fields) -> Result<Pooling, Error> {
    Ok(match own.size_or(&["eos_token_id"], 0..=1 << 24, 49_407)? {
        // Older configurations have the wrong id; the end of a text has the largest.
        2 => Pooling::LargestId,
        id => Pooling::TokenId(id),
    })
}

fn describe_images(fields: &Fields, _: &Checkpoint) -> Result<Encoder, Error> {
    let own = section(fields, "vision_config")?;
    let siglip = is_siglip(fields)?;
    let tower = Tower::read(&own, &BASE, siglip)?;
    let width = tower.width;
    let image = own.size_or(&["image_size"], 1..=1 << 14, 224)?;
    let patch = own.size_or(&["patch_size"], 1..=image, if siglip { 16 } else { 32 })?;
    let name = |name| format!("vision_model.embeddings.{name}");
    let places = (image / patch).pow(2) + usize::from(!siglip);
    let bias = ScoreBias { unpadded: true, ..ScoreBias::default() };
    Ok(Encoder {
        model_type: fields.model_type()?.to_owned(),
        width,
        input: Input::Pixels(Patches {
            projection: name("patch_embedding"),
            bias: siglip,
            channels: own.size_or(&["num_channels"], 1..=64, 3)?,
            patch,
            image,
            width,
            class: (!siglip).then(|| (name("class_embedding"), vec![width])),
            positions: (name("position_embedding.weight"), vec![places, width]),
            any_size: false,
            // The original's spelling.
            norm: (!siglip).then(|| tower.norm("vision_model.pre_layrnorm")),
        }),
        layers: tower.layers("vision_model", &bias),
        final_norm: siglip.then(|| tower.norm("vision_model.post_layernorm")),
        pooled: if siglip {
            let head = own.flag("vision_use_head", true)?;
            let pooling = Pooling::Probe(Box::new(tower.probe("vision_model.head.")));
            head.then_some(Pooled { pooling, norm: None, projection: None })
        } else {
            Some(Pooled {
                pooling: Pooling::First,
                norm: Some(tower.norm("vision_model.post_layernorm")),
                projection: Some(tower.projection(fields, "visual_projection")?),
            })
        },
        masked_lm: None,
        classifier: None,
        causal_lm: None,
    })
}

fn section(fields: &Fields, name: &'static str) -> Result<Fields, Error> {
    fields.object(name)?.ok_or_else(|| fields.wrong(name, "is missing"))
}

impl Tower {
    fn read(own: &Fields, defaults: &Defaults, siglip: bool) -> Result<Self, Error> {
        let (activation, epsilon) =
            if siglip { ("gelu_pytorch_tanh", 1e-6) } else { ("quick_gelu", 1e-5) };
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
            activation: own.activation(&["hidden_act"], activation)?,
            epsilon: own.epsilon(&["layer_norm_eps"], epsilon)?,
        })
    }

    fn norm(&self, name: &str) -> Norm {
        Norm::layer(name, self.width, self.epsilon)
    }

    /// Projection to the space that CLIP's encoders share.
    fn projection(&self, fields: &Fields, name: &str) -> Result<Linear, Error> {
        let shared = fields.size_or(&["projection_dim"], 1..=1 << 16, 512)?;
        Ok(Linear::new(name, self.width, shared).with_bias(false))
    }

    fn mlp(&self, name: &str) -> Mlp {
        let &Self { width, intermediate, activation, .. } = self;
        Mlp::Plain {
            up: Linear::new(format!("{name}mlp.fc1"), width, intermediate),
            activation,
            down: Linear::new(format!("{name}mlp.fc2"), intermediate, width),
        }
    }

    /// SigLIP's pooling of an image.
    fn probe(&self, name: &str) -> Probe {
        let attention = |part: &str| format!("{name}attention.{part}");
        Probe {
            probe: format!("{name}probe"),
            projections: ["in_proj_weight", "in_proj_bias"].map(attention),
            output: Linear::new(attention("out_proj"), self.width, self.width),
            heads: self.heads,
            norm: self.norm(&format!("{name}layernorm")),
            mlp: self.mlp(name),
        }
    }

    fn layers(&self, prefix: &str, bias: &ScoreBias) -> Vec<Layer> {
        let &Self { width, heads, .. } = self;
        let layer = |index| {
            let name = |part: &str| format!("{prefix}.encoder.layers.{index}.{part}");
            let projections = ["q_proj", "k_proj", "v_proj", "out_proj"]
                .map(|part| Linear::new(name(&format!("self_attn.{part}")), width, width));
            Layer {
                attention: Attention { bias: bias.clone(), ..Attention::new(heads, projections) },
                attention_residual: Residual::pre_norm(Some(self.norm(&name("layer_norm1")))),
                mlp: self.mlp(&name("")),
                mlp_residual: Residual::pre_norm(Some(self.norm(&name("layer_norm2")))),
            }
        };
        (0..self.layers).map(layer).collect()
    }
}
