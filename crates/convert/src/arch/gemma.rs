//! Gemma 3 as an encoder (`embeddinggemma-*`): norms before and after each part, attention within a
//! window in most layers, and scaled embeddings.

use super::{Architecture, even_head_width, kv_heads, prefix, rope, windowed_layers};
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Activation, Attention, CausalLm, Embeddings, Encoder, Input, Layer, Linear, Mlp, Norm,
    NormKind, Positions, Residual, Rotary, ScoreBias, Table,
};
use crate::fields::Fields;

pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["gemma3_text"], describe };

/// Dimensions that all layers share.
struct Layers {
    width: usize,
    heads: usize,
    kv_heads: usize,
    head_width: usize,
    intermediate: usize,
    activation: Activation,
    epsilon: f32,
    bias: bool,
    /// Divisor of the scores.
    scale: f64,
    global: Sight,
    local: Sight,
}

/// Rotary positions and reach of one kind of layer.
struct Sight {
    rotary: Rotary,
    bias: ScoreBias,
}

fn describe(fields: &Fields, checkpoint: &Checkpoint) -> Result<Encoder, Error> {
    if let Some(value) = fields.get("attn_logit_softcapping") {
        return Err(fields.unsupported("attn_logit_softcapping", &value.to_string(), "null"));
    }
    let width = fields.width(&["hidden_size"])?;
    let layers = Layers::read(fields, width)?;
    let prefix = prefix(checkpoint, &["model.", "language_model.", ""], "embed_tokens.weight")?;
    let described = windowed(fields)?.into_iter().enumerate().map(|(index, windowed)| {
        let sight = if windowed { &layers.local } else { &layers.global };
        layers.layer(&format!("{prefix}layers.{index}."), sight)
    });
    let words = Table::new(format!("{prefix}embed_tokens"), fields.vocabulary()?, width);
    // With a soft cap logits are no longer a product.
    let capped = fields.get("final_logit_softcapping").is_some();
    let tied = fields.flag("tie_word_embeddings", true)?;
    let causal_lm = (!capped).then(|| CausalLm::new(tied, &words));
    Ok(Encoder {
        model_type: fields.model_type()?.to_owned(),
        width,
        input: Input::Tokens(Embeddings {
            words,
            scale: Some((width as f64).sqrt() as f32),
            types: None,
            positions: Positions::None,
            norm: None,
            projection: None,
        }),
        layers: described.collect(),
        final_norm: Some(norm(format!("{prefix}norm"), width, layers.epsilon)),
        pooled: None,
        masked_lm: None,
        classifier: None,
        causal_lm,
    })
}

/// Gemma's norm, whose weights are differences from one.
fn norm(name: String, width: usize, epsilon: f32) -> Norm {
    Norm { kind: NormKind::RmsPlusOne, ..Norm::rms(name, width, epsilon) }
}

/// For each layer, whether it sees a window only.
fn windowed(fields: &Fields) -> Result<Vec<bool>, Error> {
    let layers = fields.layers(&["num_hidden_layers"])?;
    if let Some(windowed) = windowed_layers(fields, layers)? {
        return Ok(windowed);
    }
    let names = &["sliding_window_pattern", "_sliding_window_pattern"];
    let every = fields.size_or(names, 1..=1024, 6)?;
    Ok((1..=layers).map(|layer| layer % every != 0).collect())
}

/// Reach of layers that see everything, and of those that see a window.
fn sights(fields: &Fields, head_width: usize) -> Result<[Sight; 2], Error> {
    let causal = !fields.flag("use_bidirectional_attention", false)?;
    let size = fields.size_or(&["sliding_window"], 1..=1 << 24, 4096)?;
    // A window counts the token itself; in both directions half of it lies on each side.
    let window = if causal { size - 1 } else { size / 2 };
    let parameters = fields.object("rope_parameters")?;
    let scaling = fields.object("rope_scaling")?;
    let rotary = |kind, scaling, names, default| -> Result<Rotary, Error> {
        let parameters = parameters.as_ref().map(|all| all.object(kind)).transpose()?.flatten();
        rope::from_parameters(fields, [parameters.as_ref(), scaling], head_width, names, default)
    };
    let bias = |window| ScoreBias { causal, window, ..ScoreBias::default() };
    // An older configuration scales the layers that see everything, and no others.
    let global = rotary("full_attention", scaling.as_ref(), &["rope_theta"], 1_000_000.0)?;
    let local = rotary("sliding_attention", None, &["rope_local_base_freq"], 10_000.0)?;
    Ok([
        Sight { rotary: global, bias: bias(None) },
        Sight { rotary: local, bias: bias(Some(window)) },
    ])
}

impl Layers {
    fn read(fields: &Fields, width: usize) -> Result<Self, Error> {
        let heads = fields.size_or(&["num_attention_heads"], 1..=1 << 12, 8)?;
        let kv_heads = kv_heads(fields, heads, 4)?;
        let head_width = even_head_width(fields, 256)?;
        let scale = fields.positive(&["query_pre_attn_scalar"])?.unwrap_or(256.0).sqrt();
        let [global, local] = sights(fields, head_width)?;
        Ok(Self {
            width,
            heads,
            kv_heads,
            head_width,
            intermediate: fields.intermediate(&["intermediate_size"])?,
            activation: fields.activation(&["hidden_activation"], "gelu_pytorch_tanh")?,
            epsilon: fields.epsilon(&["rms_norm_eps"], 1e-6)?,
            bias: fields.flag("attention_bias", false)?,
            scale,
            global,
            local,
        })
    }

    fn layer(&self, name: &str, sight: &Sight) -> Layer {
        let &Self { width, heads, kv_heads, head_width, intermediate, epsilon, .. } = self;
        let linear = |part: &str, from, to, bias| {
            Linear::new(format!("{name}{part}"), from, to).with_bias(bias)
        };
        let norm = |part: &str, width| norm(format!("{name}{part}"), width, epsilon);
        let project = |part, from, to| linear(part, from, to, self.bias);
        let (inner, kv_inner) = (heads * head_width, kv_heads * head_width);
        let between = |before, end| Residual {
            before: Some(norm(before, width)),
            end: Some(norm(end, width)),
            ..Residual::default()
        };
        Layer {
            attention: Attention {
                kv_heads,
                query_norm: Some(norm("self_attn.q_norm", head_width)),
                key_norm: Some(norm("self_attn.k_norm", head_width)),
                scale: self.scale,
                rotary: Some(sight.rotary.clone()),
                bias: sight.bias.clone(),
                ..Attention::new(
                    heads,
                    [
                        project("self_attn.q_proj", width, inner),
                        project("self_attn.k_proj", width, kv_inner),
                        project("self_attn.v_proj", width, kv_inner),
                        project("self_attn.o_proj", inner, width),
                    ],
                )
            },
            attention_residual: between("input_layernorm", "post_attention_layernorm"),
            mlp: Mlp::Gated {
                gate: linear("mlp.gate_proj", width, intermediate, false),
                activation: self.activation,
                up: linear("mlp.up_proj", width, intermediate, false),
                down: linear("mlp.down_proj", intermediate, width, false),
            },
            mlp_residual: between("pre_feedforward_layernorm", "post_feedforward_layernorm"),
        }
    }
}
