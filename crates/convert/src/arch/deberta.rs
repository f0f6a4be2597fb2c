//! `DeBERTa` of versions 2 and 3: attention by content and relative position.

use std::sync::Arc;

use super::bert::{LayerNames, PostNorm, embeddings, masked_lm};
use super::{Architecture, prefix};
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Classifier, Disentangled, Encoder, Input, Linear, Norm, Pooling, Positions, ScoreBias, Table,
};
use crate::fields::Fields;

pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["deberta-v2"], describe };

const LAYER: LayerNames = LayerNames {
    query: "attention.self.query_proj",
    key: "attention.self.key_proj",
    value: "attention.self.value_proj",
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    output_norm: "output.LayerNorm",
};

fn describe(fields: &Fields, checkpoint: &Checkpoint) -> Result<Encoder, Error> {
    refuse_variants(fields)?;
    let width = fields.width(&["hidden_size"])?;
    let layer = PostNorm {
        width,
        heads: fields.heads(&["num_attention_heads"], width)?,
        intermediate: fields.intermediate(&["intermediate_size"])?,
        activation: fields.activation(&["hidden_act"], "gelu")?,
        epsilon: fields.epsilon(&["layer_norm_eps"], 1e-7)?,
        bias: ScoreBias::default(),
    };
    let prefix = prefix(checkpoint, &["deberta.", ""], "embeddings.word_embeddings.weight")?;
    let mut embeddings = embeddings(fields, prefix, width, layer.epsilon)?;
    if fields.token_types(0)? == 0 {
        embeddings.types = None;
    }
    if !fields.flag("position_biased_input", true)? {
        embeddings.positions = Positions::None;
    }
    let relative = Relative::read(fields, prefix, width, layer.epsilon)?;
    let layers = (0..fields.layers(&["num_hidden_layers"])?).map(|index| {
        let mut layer = layer.layer(&format!("{prefix}encoder.layer.{index}."), &LAYER);
        if let Some(relative) = &relative {
            let head_width = layer.attention.head_width as f64;
            layer.attention.scale = (head_width * relative.terms() as f64).sqrt();
            let name = format!("{prefix}encoder.layer.{index}.attention.self.");
            layer.attention.disentangled = Some(relative.of_layer(&name));
        }
        layer
    });
    let layers = layers.collect();
    Ok(Encoder {
        model_type: fields.model_type()?.to_owned(),
        width,
        input: Input::Tokens(embeddings),
        layers,
        final_norm: None,
        pooled: None,
        causal_lm: None,
        masked_lm: Some(masked_lm(fields, width, layer.activation, layer.epsilon)?),
        classifier: Some(Classifier {
            pooling: Pooling::First,
            dense: Linear::new("pooler.dense", width, width),
            activation: fields.activation(&["pooler_hidden_act"], "gelu")?,
            norm: None,
            last: "classifier".to_owned(),
            labels: fields.labels()?,
        }),
    })
}

fn refuse_variants(fields: &Fields) -> Result<(), Error> {
    if fields.size_or(&["conv_kernel_size"], 0..=1024, 0)? > 0 {
        let size = fields.size(&["conv_kernel_size"], 0..=1024)?.to_string();
        return Err(fields.unsupported("conv_kernel_size", &size, "0"));
    }
    for field in ["embedding_size", "attention_head_size", "pooler_hidden_size"] {
        let heads = fields.size_or(&["num_attention_heads"], 1..=1 << 12, 1)?;
        let width = fields.width(&["hidden_size"])?;
        let usual = if field == "attention_head_size" { width / heads } else { width };
        if let Some(value) = fields.get(field)
            && value.as_u64() != Some(usual as u64)
        {
            return Err(fields.unsupported(field, &value.to_string(), "that of the hidden size"));
        }
    }
    Ok(())
}

/// Relative positions, of which all layers share the table.
struct Relative {
    table: Table,
    norm: Option<Norm>,
    rows: Arc<[i64]>,
    /// Positions use the projections of the content.
    shared: bool,
    keys: bool,
    queries: bool,
}

impl Relative {
    fn read(
        fields: &Fields,
        prefix: &str,
        width: usize,
        epsilon: f32,
    ) -> Result<Option<Self>, Error> {
        if !fields.flag("relative_attention", false)? {
            return Ok(None);
        }
        let positive = |field| fields.get(field).and_then(serde_json::Value::as_i64).unwrap_or(-1);
        let farthest = if positive("max_relative_positions") < 1 {
            fields.positions(&["max_position_embeddings"])?
        } else {
            fields.positions(&["max_relative_positions"])?
        };
        let buckets =
            if positive("position_buckets") < 1 { None } else { Some(buckets(fields, farthest)?) };
        let span = buckets.unwrap_or(farthest);
        let norm = match fields.text("norm_rel_ebd")?.unwrap_or("none") {
            "none" => None,
            "layer_norm" => Some(Norm::layer(format!("{prefix}encoder.LayerNorm"), width, epsilon)),
            other => return Err(fields.unsupported("norm_rel_ebd", other, "none, layer_norm")),
        };
        let [keys, queries] = terms(fields)?;
        let table = format!("{prefix}encoder.rel_embeddings");
        Ok(Some(Self {
            table: Table::new(table, 2 * span, width),
            norm,
            rows: rows(buckets, farthest),
            shared: fields.flag("share_att_key", false)?,
            keys,
            queries,
        }))
    }

    /// Number of products in a score.
    fn terms(&self) -> usize {
        1 + usize::from(self.keys) + usize::from(self.queries)
    }

    fn of_layer(&self, name: &str) -> Disentangled {
        let projection = |shared, own| {
            let width = self.table.width;
            Linear::new(format!("{name}{}", if self.shared { shared } else { own }), width, width)
        };
        Disentangled {
            table: self.table.clone(),
            norm: self.norm.clone(),
            rows: Arc::clone(&self.rows),
            key: self.keys.then(|| projection("key_proj", "pos_key_proj")),
            query: self.queries.then(|| projection("query_proj", "pos_query_proj")),
        }
    }
}

/// Number of buckets: even, at least 4, and fewer than twice the distances that they hold, as the
/// logarithmic steps need it.
fn buckets(fields: &Fields, farthest: usize) -> Result<usize, Error> {
    let buckets = fields.size(&["position_buckets"], 4..=1 << 16)?;
    if buckets % 2 == 1 || farthest <= buckets / 2 + 1 {
        let reason = format!("is {buckets}, not an even number that suits {farthest} positions");
        return Err(fields.wrong("position_buckets", &reason));
    }
    Ok(buckets)
}

/// The terms of positions: their keys (`c2p`), and their queries (`p2c`).
fn terms(fields: &Fields) -> Result<[bool; 2], Error> {
    let field = "pos_att_type";
    let terms: Vec<&str> = match fields.get(field) {
        Some(serde_json::Value::String(terms)) => terms.split('|').collect(),
        _ => fields.texts(field)?.unwrap_or_default(),
    };
    match terms.iter().find(|term| !["c2p", "p2c"].contains(term)) {
        Some(other) => Err(fields.unsupported(field, other, "c2p, p2c")),
        None => Ok(["c2p", "p2c"].map(|term| terms.contains(&term))),
    }
}

/// Row of each distance in the table, as [`Disentangled::rows`] has them: up to the first at which both
/// directions have reached the table's end.
fn rows(buckets: Option<usize>, farthest: usize) -> Arc<[i64]> {
    let span = buckets.unwrap_or(farthest) as i64;
    let bucket = |distance| match buckets {
        Some(buckets) => log_bucket(distance, buckets as i64, farthest as i64),
        None => distance,
    };
    let end = (1..).find(|&distance| bucket(distance) >= span).unwrap_or(span);
    (-end..=end).map(|distance| (bucket(distance) + span).clamp(0, 2 * span - 1)).collect()
}

/// Bucket of a distance: itself up to half of the buckets, then logarithmic steps. Computed in f32 like
/// the original, because rounding up makes the last bit count.
fn log_bucket(distance: i64, buckets: i64, farthest: i64) -> i64 {
    let middle = buckets / 2;
    let far = distance.abs();
    if far <= middle {
        return distance;
    }
    let whole = ((farthest - 1) as f64 / middle as f64) as f32;
    let part = (far as f32 / middle as f32).ln() / whole.ln() * (middle - 1) as f32;
    (part.ceil() as i64 + middle) * distance.signum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums over distances that PyTorch computes: one row at another distance changes them.
    #[test]
    fn rows_change_where_pytorch_changes_them() {
        for (buckets, farthest, sum, squares) in [
            (256, 512, 55_438_201, 23_107_862_015),
            (32, 128, 468_845, 46_296_895),
            (512, 1024, 442_015_269, 368_114_662_399),
        ] {
            let rows = rows(Some(buckets), farthest);
            let reach = farthest as i64 + 1;
            let centre = rows.len() as i64 / 2;
            let row =
                |distance: i64| rows[(centre + distance).clamp(0, rows.len() as i64 - 1) as usize];
            let moment = |power| -> i64 {
                (-reach..=reach).map(|distance| row(distance) * distance.pow(power)).sum()
            };
            assert_eq!((moment(1), moment(2)), (sum, squares), "{buckets} buckets");
        }
    }

    #[test]
    fn without_buckets_every_distance_has_a_row() {
        assert_eq!(*rows(None, 3), [0, 1, 2, 3, 4, 5, 5]);
    }
}
