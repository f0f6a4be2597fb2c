//! Rotary positions as configurations state them.

use std::f32::consts::TAU;
use std::f64::consts::PI;

use crate::Error;
use crate::encoder::Rotary;
use crate::fields::{Fields, Names};

/// Values of `rope_type` that are known, for messages.
const SCALINGS: &str = "no scaling, linear, dynamic, yarn, llama3, ntk";

/// Rotary positions of an encoder: those in `rope_parameters`, as newer configurations have it, or θ
/// under one of `names` with `rope_scaling`.
pub(super) fn rotary(
    fields: &Fields,
    head_width: usize,
    names: Names,
    default: f64,
) -> Result<Rotary, Error> {
    let parameters = fields.object("rope_parameters")?;
    let scaling = fields.object("rope_scaling")?;
    let found = [parameters.as_ref(), scaling.as_ref()];
    from_parameters(fields, found, head_width, names, default)
}

/// Rotary positions of those layers to which `parameters`, those of newer and of older configurations, apply.
pub(super) fn from_parameters(
    fields: &Fields,
    parameters: [Option<&Fields>; 2],
    head_width: usize,
    names: Names,
    default: f64,
) -> Result<Rotary, Error> {
    let newer = parameters[0];
    let theta = match newer.map(|own| own.positive(&["rope_theta"])).transpose()?.flatten() {
        Some(theta) => theta,
        None => fields.positive(names)?.unwrap_or(default),
    };
    for holder in parameters.into_iter().flatten().chain([fields]) {
        refuse_partial(holder)?;
    }
    for scaling in parameters.into_iter().flatten() {
        let kind = match scaling.text("rope_type")? {
            Some(kind) => Some(kind),
            None => scaling.text("type")?,
        };
        let scaled = Scaled { fields, scaling, theta, head_width };
        return match kind {
            None | Some("default") => continue,
            Some("linear") => scaled.linear(),
            // The scaling begins behind the positions of the model, and the limit on tokens is before.
            Some("dynamic") => scaled.factor().map(|_| Rotary::new(theta, head_width)),
            Some("yarn") => scaled.yarn(),
            Some("llama3") => scaled.llama3(),
            Some("ntk") => scaled.ntk(),
            Some(other) => Err(fields.unsupported("rope_scaling", other, SCALINGS)),
        };
    }
    Ok(Rotary::new(theta, head_width))
}

/// Refuses rotations of a part of the head.
fn refuse_partial(fields: &Fields) -> Result<(), Error> {
    match fields.positive(&["partial_rotary_factor"])? {
        Some(part) if part != 1.0 => {
            Err(fields.unsupported("partial_rotary_factor", &part.to_string(), "1"))
        }
        _ => Ok(()),
    }
}

/// Frequencies that are scaled for texts longer than those of the pretraining, by the formulas of Transformers
/// 5, in f32 as there.
struct Scaled<'a> {
    fields: &'a Fields,
    scaling: &'a Fields,
    theta: f64,
    head_width: usize,
}

impl Scaled<'_> {
    fn unscaled(&self) -> Rotary {
        Rotary::new(self.theta, self.head_width)
    }

    /// Multiple of the original length.
    fn factor(&self) -> Result<f64, Error> {
        self.needed(&["factor"])
    }

    fn needed(&self, name: Names) -> Result<f64, Error> {
        let reason = || self.scaling.wrong("rope_scaling", &format!("has no {}", name[0]));
        self.scaling.positive(name)?.ok_or_else(reason)
    }

    /// Positions of the pretraining.
    fn original_positions(&self) -> Result<f64, Error> {
        const NAMES: Names = &["original_max_position_embeddings"];
        for fields in [self.fields, self.scaling] {
            if let Some(positions) = fields.positive(NAMES)? {
                return Ok(positions);
            }
        }
        Ok(self.fields.positions(&["max_position_embeddings"])? as f64)
    }

    /// Slower rotations by a constant factor.
    fn linear(&self) -> Result<Rotary, Error> {
        let factor = self.factor()? as f32;
        Ok(self.unscaled().map(|frequency| frequency / factor))
    }

    /// NTK-aware scaling by a constant factor, as in GTE: a larger θ and slower rotations.
    fn ntk(&self) -> Result<Rotary, Error> {
        let factor = self.factor()?;
        if let Some(mixed) = self.scaling.get("mixed_b") {
            return Err(self.scaling.unsupported("mixed_b", &mixed.to_string(), "null"));
        }
        let divisor = factor.powf(2.0 / self.head_width as f64) as f32;
        let rotary = Rotary::new(self.theta * factor, self.head_width);
        Ok(rotary.map(|frequency| frequency / divisor))
    }

    /// Llama 3.1: long waves are stretched, short ones are not, and those between are blended.
    fn llama3(&self) -> Result<Rotary, Error> {
        let factor = self.factor()? as f32;
        let low = self.needed(&["low_freq_factor"])?;
        let high = self.needed(&["high_freq_factor"])?;
        if low >= high {
            let reason = format!("is {high}, expected more than low_freq_factor, {low}");
            return Err(self.scaling.wrong("high_freq_factor", &reason));
        }
        let positions = self.original_positions()?;
        let (longest, shortest) = ((positions / low) as f32, (positions / high) as f32);
        let (low, range) = (low as f32, (high - low) as f32);
        Ok(self.unscaled().map(|frequency| {
            let wavelength = TAU / frequency;
            if wavelength > longest {
                return frequency / factor;
            }
            if wavelength < shortest {
                return frequency;
            }
            let smooth = (positions as f32 / wavelength - low) / range;
            (1.0 - smooth) * frequency / factor + smooth * frequency
        }))
    }

    /// `YaRN`: fast rotations stay, slow ones are stretched, with a ramp between them, and the scores grow
    /// by a constant.
    fn yarn(&self) -> Result<Rotary, Error> {
        let Self { scaling, theta, .. } = *self;
        if theta <= 1.0 {
            return Err(scaling.wrong("rope_theta", &format!("is {theta}, expected more than 1")));
        }
        let factor = self.factor()?;
        let positions = self.original_positions()?;
        let dim = self.head_width as f64;
        let pair_of =
            |rotations: f64| dim * (positions / (rotations * 2.0 * PI)).ln() / (2.0 * theta.ln());
        let fast = scaling.positive(&["beta_fast"])?.unwrap_or(32.0);
        let slow = scaling.positive(&["beta_slow"])?.unwrap_or(1.0);
        let (mut first, mut last) = (pair_of(fast), pair_of(slow));
        if scaling.flag("truncate", true)? {
            (first, last) = (first.floor(), last.ceil());
        }
        (first, last) = (first.max(0.0), last.min(dim - 1.0));
        if first == last {
            last += 0.001;
        }
        let (first, width) = (first as f32, (last - first) as f32);
        let mut pair = 0.0;
        let mut rotary = self.unscaled().map(|frequency| {
            let kept = 1.0 - ((pair - first) / width).clamp(0.0, 1.0);
            pair += 1.0;
            let stretched = 1.0 / (factor as f32 * (1.0 / frequency));
            stretched * (1.0 - kept) + frequency * kept
        });
        rotary.scale = self.yarn_scale(factor)? as f32;
        Ok(rotary)
    }

    /// Factor of cosines and sines.
    fn yarn_scale(&self, factor: f64) -> Result<f64, Error> {
        if let Some(stated) = self.scaling.positive(&["attention_factor"])? {
            return Ok(stated);
        }
        let scale =
            |weight: f64| if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 };
        let weight = |name| self.scaling.positive(name);
        Ok(match (weight(&["mscale"])?, weight(&["mscale_all_dim"])?) {
            (Some(one), Some(all)) => scale(one) / scale(all),
            _ => scale(1.0),
        })
    }
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
        let fields = Fields::of(json!({"rope_scaling": {"factor": 2.0, "type": "ntk"}}));
        let ntk = rotary(&fields, 64, &["rope_theta"], 5e5).unwrap();
        assert_eq!(bits(ntk), 31_476_055_281);
    }
}
