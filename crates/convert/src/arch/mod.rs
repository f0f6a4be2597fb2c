//! Architectures, each described as an [`Encoder`] from its configuration and tensor names.
//!
//! To add one:
//!
//! 1. Write a module with `pub(super) const ARCHITECTURE: Architecture`. Its function reads the
//!    dimensions from [`Fields`], refuses every entry that changes the computation in a way that is not
//!    modelled, finds the prefix of the tensor names with [`prefix`], and returns an [`Encoder`]. It
//!    neither reads a weight nor touches the graph.
//! 2. Add it to [`ALL`]; the list of supported model types in messages follows.
//! 3. Where the form of a part is new (an activation, a bias of the scores, a feed-forward network), add
//!    a variant in [`encoder`](crate::encoder) and its arm in [`network`](crate::network); the compiler
//!    names the places.
//! 4. Add a tiny checkpoint in `tests/data/make.py`, with outputs of the original implementation, and
//!    its name to `CHECKPOINTS` in `tests/golden.rs`.

mod albert;
mod bert;
mod clip;
mod deberta;
mod distilbert;
mod electra;
mod flash;
mod gemma;
mod gte;
mod jina_bert;
mod llama;
mod modernbert;
mod mpnet;
mod nomic;
mod rope;
mod t5;
mod vit;

use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::Encoder;
use crate::fields::{Fields, Names};
use crate::options::Head;

/// A family of checkpoints that one module describes.
pub(crate) struct Architecture {
    /// Values of `model_type`.
    model_types: &'static [&'static str],
    /// Describes a checkpoint.
    pub(crate) describe: fn(&Fields, &Checkpoint) -> Result<Encoder, Error>,
}

/// Every architecture.
const ALL: [Architecture; 14] = [
    bert::ARCHITECTURE,
    distilbert::ARCHITECTURE,
    mpnet::ARCHITECTURE,
    modernbert::ARCHITECTURE,
    gte::ARCHITECTURE,
    nomic::ARCHITECTURE,
    albert::ARCHITECTURE,
    electra::ARCHITECTURE,
    deberta::ARCHITECTURE,
    llama::ARCHITECTURE,
    flash::ARCHITECTURE,
    gemma::ARCHITECTURE,
    t5::ARCHITECTURE,
    clip::ARCHITECTURE,
];

/// Encoders of images; [`ALL`] has their hidden states, too, where a checkpoint has no other encoder.
const IMAGES: [Architecture; 2] = [clip::IMAGES, vit::ARCHITECTURE];

impl Architecture {
    /// The architecture that a configuration names, for a head.
    pub(crate) fn of(fields: &Fields, head: Head) -> Result<Self, Error> {
        let model_type = fields.model_type()?;
        let named = |this: &Self| this.model_types.contains(&model_type);
        let known = || ALL.iter().chain(&IMAGES[1..]).flat_map(|this| this.model_types).copied();
        if !known().any(|known| known == model_type) {
            let known: Vec<_> = known().collect();
            return Err(fields.unsupported("model_type", model_type, known.join(", ")));
        }
        let images = head == Head::Image;
        let found = if images { IMAGES.into_iter().find(named) } else { None };
        found
            .or_else(|| ALL.into_iter().chain(IMAGES).find(named))
            .ok_or_else(|| Error::NoHead { model_type: model_type.to_owned(), head })
    }
}

/// Prefix of the encoder's tensors: a model with a head stores them under the name of its base model,
/// an encoder saved alone does not. `tensor` is one that every encoder has.
fn prefix<'a>(
    checkpoint: &Checkpoint,
    prefixes: &[&'a str],
    tensor: &str,
) -> Result<&'a str, Error> {
    let names: Vec<_> = prefixes.iter().map(|prefix| format!("{prefix}{tensor}")).collect();
    let (found, _) = checkpoint.find(&names)?;
    let found = names.iter().zip(prefixes).find(|(name, _)| *name == found);
    Ok(found.map_or("", |(_, prefix)| prefix))
}

/// Heads of an even width, as rotary positions need it.
fn even_heads(fields: &Fields, width: usize) -> Result<usize, Error> {
    let names: Names = &["num_attention_heads", "n_head"];
    let heads = fields.heads(names, width)?;
    if (width / heads) % 2 == 1 {
        let reason = format!("is {heads}, which leaves heads of an odd width, {}", width / heads);
        return Err(fields.wrong(names[0], &reason));
    }
    Ok(heads)
}

/// For each layer, whether its attention has a window, where the configuration lists them.
fn windowed_layers(fields: &Fields, layers: usize) -> Result<Option<Vec<bool>>, Error> {
    let field = "layer_types";
    let Some(types) = fields.texts(field)? else { return Ok(None) };
    if types.len() != layers {
        let reason = format!("has {} entries for {layers} layers", types.len());
        return Err(fields.wrong(field, &reason));
    }
    let windowed = types.into_iter().map(|kind| match kind {
        "full_attention" => Ok(false),
        "sliding_attention" => Ok(true),
        other => Err(fields.unsupported(field, other, "full_attention, sliding_attention")),
    });
    windowed.collect::<Result<_, _>>().map(Some)
}

/// Heads of keys and values, a divisor of the heads of queries.
fn kv_heads(fields: &Fields, heads: usize, default: usize) -> Result<usize, Error> {
    let field = "num_key_value_heads";
    let kv_heads = fields.size_or(&["num_key_value_heads"], 1..=heads, default)?;
    if !heads.is_multiple_of(kv_heads) {
        let reason = format!("is {kv_heads}, which does not divide the {heads} heads");
        return Err(fields.wrong(field, &reason));
    }
    Ok(kv_heads)
}

/// Width of a head, which need not be the width of the model divided by the heads.
fn even_head_width(fields: &Fields, default: usize) -> Result<usize, Error> {
    let width = fields.size_or(&["head_dim"], 1..=1 << 16, default)?;
    if width == 0 || !width.is_multiple_of(2) {
        let reason = format!("is {width}, and rotary positions need an even width");
        return Err(fields.wrong("head_dim", &reason));
    }
    Ok(width)
}
