//! Rotary positions as configurations state them.

use crate::Error;
use crate::encoder::Rotary;
use crate::fields::{Fields, Names};

const SCALINGS: &str = "no scaling, ntk";

/// Rotary positions of an encoder: those in `rope_parameters`, as newer configurations have it, or θ
/// under one of `names`.
pub(super) fn rotary(
    fields: &Fields,
    head_width: usize,
    names: Names,
    default: f64,
) -> Result<Rotary, Error> {
    let parameters = fields.object("rope_parameters")?;
    from_parameters(fields, parameters.as_ref(), head_width, names, default)
}

/// Rotary positions of those layers to which `parameters` apply.
pub(super) fn from_parameters(
    fields: &Fields,
    parameters: Option<&Fields>,
    head_width: usize,
    names: Names,
    default: f64,
) -> Result<Rotary, Error> {
    let theta = match parameters.map(|own| own.positive(&["rope_theta"])).transpose()?.flatten() {
        Some(theta) => theta,
        None => fields.positive(names)?.unwrap_or(default),
    };
    let scaling = fields.object("rope_scaling")?;
    for scaling in [parameters, scaling.as_ref()].into_iter().flatten() {
        let kind = match scaling.text("rope_type")? {
            Some(kind) => Some(kind),
            None => scaling.text("type")?,
        };
        match kind {
            None | Some("default") => {}
            Some("ntk") => return ntk(scaling, theta, head_width),
            Some(other) => return Err(fields.unsupported("rope_scaling", other, SCALINGS)),
        }
    }
    Ok(Rotary::new(theta, head_width))
}

/// NTK-aware scaling by a constant factor, as in GTE: a larger θ and slower rotations.
fn ntk(scaling: &Fields, theta: f64, head_width: usize) -> Result<Rotary, Error> {
    let factor = scaling
        .positive(&["factor"])?
        .ok_or_else(|| scaling.wrong("rope_scaling", "has no factor"))?;
    if let Some(mixed) = scaling.get("mixed_b") {
        return Err(scaling.unsupported("mixed_b", &mixed.to_string(), "null"));
    }
    let divisor = factor.powf(2.0 / head_width as f64) as f32;
    let frequencies = Rotary::new(theta * factor, head_width).frequencies;
    Ok(Rotary { frequencies: frequencies.iter().map(|frequency| frequency / divisor).collect() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Sums of the bit patterns that PyTorch computes.
    #[test]
    fn frequencies_are_those_of_pytorch() {
        let bits = |rotary: Rotary| -> u64 {
            rotary.frequencies.iter().map(|number| u64::from(number.to_bits())).sum()
        };
        for (theta, head_width, expected) in
            [(1e4, 64, 32_348_573_512), (1.6e5, 64, 31_828_333_677)]
        {
            assert_eq!(bits(Rotary::new(theta, head_width)), expected, "{theta} {head_width}");
        }
        let fields = Fields::of(json!({"factor": 2.0, "type": "ntk"}));
        assert_eq!(bits(ntk(&fields, 5e5, 64).unwrap()), 31_476_055_281);
    }
}
