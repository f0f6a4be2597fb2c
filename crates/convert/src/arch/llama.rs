//! Llama and its kin (Mistral, Qwen2, Qwen3) as encoders and rerankers: root mean square norms before each part,
//! rotary positions, heads that share keys and values, gated feed-forward networks. Attention is causal
//! unless the configuration says otherwise.

use super::{Architecture, even_head_width, kv_heads, prefix, rope, windowed_layers};
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Activation, Attention, CausalLm, Embeddings, Encoder, Input, Layer, Linear, Mlp, Norm,
    Positions, Residual, Rotary, ScoreBias, Table,
};
use crate::fields::Fields;

pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["llama", "mistral", "qwen2", "qwen3"], describe };

/// Dimensions that all layers share.
struct Layers {
    width: usize,
    heads: usize,
    kv_heads: usize,
    head_width: usize,
    intermediate: usize,
    activation: Activation,
    epsilon: f32,
    rotary: Rotary,
    /// Biases of the queries, keys and values, of the output, and of the feed-forward network.
    qkv_bias: bool,
    output_bias: bool,
    mlp_bias: bool,
    /// Queries and keys are normalised.
    qk_norm: bool,
}

fn describe(fields: &Fields, checkpoint: &Checkpoint) -> Result<Encoder, Error> {
    let model_type = fields.model_type()?;
    let width = fields.width(&["hidden_size"])?;
    let layers = Layers::read(fields, model_type, width)?;
    let prefix = prefix(checkpoint, &["model.", ""], "embed_tokens.weight")?;
    let described = biases(fields, model_type)?.into_iter().enumerate();
    let described = described
        .map(|(index, bias)| layers.layer(&format!("{prefix}layers.{index}."), bias))
        .collect();
    let words = Table::new(format!("{prefix}embed_tokens"), fields.vocabulary()?, width);
    let causal_lm = CausalLm::new(fields.flag("tie_word_embeddings", false)?, &words);
    Ok(Encoder {
        model_type: model_type.to_owned(),
        width,
        input: Input::Tokens(Embeddings {
            words,
            scale: None,
            types: None,
            positions: Positions::None,
            norm: None,
            projection: None,
        }),
        layers: described,
        final_norm: Some(Norm::rms(format!("{prefix}norm"), width, layers.epsilon)),
        pooled: None,
        masked_lm: None,
        classifier: None,
        causal_lm: Some(causal_lm),
    })
}

impl Layers {
    fn read(fields: &Fields, model_type: &str, width: usize) -> Result<Self, Error> {
        let heads = fields.size(&["num_attention_heads"], 1..=1 << 12)?;
        let kv_heads = kv_heads(fields, heads, heads)?;
        let usual = if model_type == "qwen3" { 128 } else { width / heads };
        let head_width = even_head_width(fields, usual)?;
        let attention_bias = fields.flag("attention_bias", false)?;
        let qwen2 = model_type == "qwen2";
        Ok(Self {
            width,
            heads,
            kv_heads,
            head_width,
            intermediate: fields.intermediate(&["intermediate_size"])?,
            activation: fields.activation(&["hidden_act"], "silu")?,
            epsilon: fields.epsilon(&["rms_norm_eps"], 1e-6)?,
            rotary: rope::rotary(fields, head_width, &["rope_theta"], 10_000.0)?,
            qkv_bias: qwen2 || attention_bias,
            output_bias: !qwen2 && attention_bias,
            mlp_bias: fields.flag("mlp_bias", false)?,
            qk_norm: model_type == "qwen3",
        })
    }

    fn layer(&self, name: &str, bias: ScoreBias) -> Layer {
        let &Self { width, heads, kv_heads, head_width, intermediate, epsilon, .. } = self;
        let linear = |part: &str, from, to, bias| {
            Linear::new(format!("{name}{part}"), from, to).with_bias(bias)
        };
        let norm = |part: &str, width| Norm::rms(format!("{name}{part}"), width, epsilon);
        let qkv = |part, heads| linear(part, width, heads * head_width, self.qkv_bias);
        let qk_norm = |part| self.qk_norm.then(|| norm(part, head_width));
        let mlp = |part, from, to| linear(part, from, to, self.mlp_bias);
        Layer {
            attention: Attention {
                kv_heads,
                rotary: Some(self.rotary.clone()),
                query_norm: qk_norm("self_attn.q_norm"),
                key_norm: qk_norm("self_attn.k_norm"),
                bias,
                ..Attention::new(
                    heads,
                    [
                        qkv("self_attn.q_proj", heads),
                        qkv("self_attn.k_proj", kv_heads),
                        qkv("self_attn.v_proj", kv_heads),
                        linear("self_attn.o_proj", heads * head_width, width, self.output_bias),
                    ],
                )
            },
            attention_residual: Residual::pre_norm(Some(norm("input_layernorm", width))),
            mlp: Mlp::Gated {
                gate: mlp("mlp.gate_proj", width, intermediate),
                activation: self.activation,
                up: mlp("mlp.up_proj", width, intermediate),
                down: mlp("mlp.down_proj", intermediate, width),
            },
            mlp_residual: Residual::pre_norm(Some(norm("post_attention_layernorm", width))),
        }
    }
}

/// Bias of each layer's scores: direction and window.
fn biases(fields: &Fields, model_type: &str) -> Result<Vec<ScoreBias>, Error> {
    let layers = fields.layers(&["num_hidden_layers"])?;
    let causal =
        fields.flag("is_causal", true)? && !fields.flag("use_bidirectional_attention", false)?;
    let full = ScoreBias { causal, ..ScoreBias::default() };
    let windows = model_type == "mistral"
        || model_type.starts_with("qwen") && fields.flag("use_sliding_window", false)?;
    if !windows || fields.get("sliding_window").is_none() {
        return Ok(vec![full; layers]);
    }
    if !causal {
        return Err(fields.unsupported("is_causal", "false with a window", "true"));
    }
    // The window counts the token itself.
    let window = fields.size(&["sliding_window"], 1..=1 << 24)? - 1;
    let windowed = ScoreBias { window: Some(window), ..full.clone() };
    let first = if model_type == "mistral" { 0 } else { 28 };
    let first = fields.size_or(&["max_window_layers"], 0..=1024, first)?;
    let bias = |windowed_layer| if windowed_layer { windowed.clone() } else { full.clone() };
    Ok(match windowed_layers(fields, layers)? {
        Some(windowed) => windowed.into_iter().map(bias).collect(),
        None => (0..layers).map(|layer| bias(layer >= first)).collect(),
    })
}
