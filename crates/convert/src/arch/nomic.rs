//! `NomicBERT` (`nomic-embed-text-v1*` and `-v2-moe`): BERT's order of norms with rotary positions, and
//! gated feed-forward networks or, in some layers, a mixture of experts.

use super::{Architecture, even_heads, prefix, rope};
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Activation, Attention, Classifier, Embeddings, Encoder, Experts, Input, Layer, Linear,
    MaskedLm, Mlp, Norm, Pooling, Positions, Residual, Rotary, Table,
};
use crate::fields::Fields;

pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["nomic_bert"], describe };

const THETA: f64 = 1000.0;

/// Dimensions that all layers share.
struct Layers {
    width: usize,
    heads: usize,
    intermediate: usize,
    activation: Activation,
    gated: bool,
    epsilon: f32,
    attention_bias: bool,
    up_bias: bool,
    down_bias: bool,
    rotary: Rotary,
    experts: Option<Mixture>,
}

/// Layers with a mixture of experts.
struct Mixture {
    /// One layer of so many, the second first.
    every: usize,
    count: usize,
    chosen: usize,
}

fn describe(fields: &Fields, checkpoint: &Checkpoint) -> Result<Encoder, Error> {
    fields.refuse_flags(&["prenorm", "causal", "use_rms_norm", "rotary_emb_interleaved"])?;
    refuse_scaling(fields)?;
    let width = fields.width(&["n_embd", "hidden_size"])?;
    let heads = even_heads(fields, width)?;
    let (activation, gated) = activation(fields)?;
    // Configurations of the original have biases by default, those of transformers never.
    let bias = |field| fields.flag(field, fields.get("n_embd").is_some());
    let layers = Layers {
        width,
        heads,
        intermediate: fields.intermediate(&["n_inner", "intermediate_size"])?,
        activation,
        gated,
        epsilon: fields.epsilon(&["layer_norm_epsilon", "layer_norm_eps"], 1e-12)?,
        attention_bias: bias("qkv_proj_bias")?,
        up_bias: bias("mlp_fc1_bias")?,
        down_bias: bias("mlp_fc2_bias")?,
        rotary: rope::rotary(fields, width / heads, &["rotary_emb_base"], THETA)?,
        experts: mixture(fields)?,
    };
    let types = fields.token_types(2)?;
    let prefixes = ["bert.", "nomic_bert.", ""];
    let prefix = prefix(checkpoint, &prefixes, "embeddings.word_embeddings.weight")?;
    let table =
        |name, rows| Table::new(format!("{prefix}embeddings.{name}_embeddings"), rows, width);
    let norm = |name: &str| Norm::layer(name, width, layers.epsilon);
    Ok(Encoder {
        model_type: fields.model_type()?.to_owned(),
        width,
        input: Input::Tokens(Embeddings {
            words: table("word", fields.vocabulary()?),
            scale: None,
            types: (types > 0).then(|| table("token_type", types)),
            positions: Positions::None,
            norm: Some(norm(&format!("{prefix}emb_ln"))),
            projection: None,
        }),
        layers: (0..fields.layers(&["n_layer", "num_hidden_layers"])?)
            .map(|index| layers.layer(&format!("{prefix}encoder.layers.{index}."), index))
            .collect(),
        final_norm: None,
        pooled: None,
        causal_lm: None,
        masked_lm: Some(MaskedLm {
            dense: Linear::new("cls.predictions.transform.dense", width, width),
            activation,
            norm: norm("cls.predictions.transform.layer_norm"),
            decoder: (!fields.tied()?).then(|| "cls.predictions.decoder.weight".to_owned()),
            bias: ["cls.predictions.bias", "cls.predictions.decoder.bias"]
                .map(str::to_owned)
                .into(),
        }),
        classifier: Some(Classifier {
            pooling: Pooling::First,
            dense: Linear::new(format!("{prefix}pooler.dense"), width, width),
            activation: Activation::Tanh,
            norm: None,
            last: "classifier".to_owned(),
            labels: fields.labels()?,
        }),
    })
}

/// Activation of the feed-forward networks, and whether it gates a second product.
fn activation(fields: &Fields) -> Result<(Activation, bool), Error> {
    match fields.text("activation_function")? {
        None => Ok((fields.activation(&["hidden_act"], "silu")?, true)),
        Some("swiglu") => Ok((Activation::Silu, true)),
        Some("geglu") => Ok((Activation::Gelu, true)),
        Some("gelu") => Ok((Activation::Gelu, false)),
        Some(other) => Err(fields.unsupported("activation_function", other, "swiglu, geglu, gelu")),
    }
}

fn mixture(fields: &Fields) -> Result<Option<Mixture>, Error> {
    let every = fields.size_or(&["moe_every_n_layers"], 0..=1024, 0)?;
    if every == 0 {
        return Ok(None);
    }
    fields.refuse_flags(&["moe_normalize_expert_weights", "expert_choice_router"])?;
    if let Some(shared) = fields.get("num_shared_experts")
        && shared.as_u64() != Some(0)
    {
        return Err(fields.unsupported("num_shared_experts", &shared.to_string(), "0"));
    }
    let count = fields.size(&["num_experts"], 1..=1024)?;
    let chosen = fields.size(&["moe_top_k"], 1..=count)?;
    Ok(Some(Mixture { every, count, chosen }))
}

/// Rejects rotary positions of a part of the head, and θ that depends on the length.
fn refuse_scaling(fields: &Fields) -> Result<(), Error> {
    for (field, usual, supported) in
        [("rotary_emb_fraction", Some(1.0), "1.0"), ("rotary_scaling_factor", None, "null")]
    {
        if let Some(value) = fields.get(field)
            && value.as_f64() != usual
        {
            return Err(fields.unsupported(field, &value.to_string(), supported));
        }
    }
    Ok(())
}

impl Layers {
    fn layer(&self, name: &str, index: usize) -> Layer {
        let &Self { width, heads, epsilon, attention_bias, .. } = self;
        let linear = |part: &str, from, to| Linear::new(format!("{name}{part}"), from, to);
        let qkv =
            |index| linear("attn.Wqkv", width, width).with_bias(attention_bias).part(index, 3);
        let ends_with =
            |norm: &str| Residual::post_norm(Norm::layer(format!("{name}{norm}"), width, epsilon));
        let output = linear("attn.out_proj", width, width).with_bias(attention_bias);
        let attention = Attention::new(heads, [qkv(0), qkv(1), qkv(2), output]);
        Layer {
            attention: Attention { rotary: Some(self.rotary.clone()), ..attention },
            attention_residual: ends_with("norm1"),
            mlp: self.mlp(name, index),
            mlp_residual: ends_with("norm2"),
        }
    }

    fn mlp(&self, name: &str, index: usize) -> Mlp {
        let &Self { width, intermediate, activation, .. } = self;
        let linear = |part: &str, from, to, bias| {
            Linear::new(format!("{name}mlp.{part}"), from, to).with_bias(bias)
        };
        if let Some(mixture) = &self.experts
            && index % mixture.every == 1
        {
            return Mlp::Experts(Experts {
                router: linear("router.layer", width, mixture.count, false),
                up: format!("{name}mlp.experts.mlp.w1"),
                down: format!("{name}mlp.experts.mlp.w2"),
                bias: format!("{name}mlp.experts.bias"),
                count: mixture.count,
                chosen: mixture.chosen,
                width,
                intermediate,
                activation,
            });
        }
        let up = |part| linear(part, width, intermediate, self.up_bias);
        let down = linear("fc2", intermediate, width, self.down_bias);
        if self.gated {
            Mlp::Gated { gate: up("fc12"), activation, up: up("fc11"), down }
        } else {
            Mlp::Plain { up: up("fc1"), activation, down }
        }
    }
}
