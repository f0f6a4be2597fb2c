//! Converts 8-bit values to tensor values with one table for each channel.

use super::config::Arithmetic;

/// Tensor value of each 8-bit value, for each channel.
#[derive(Clone)]
pub(super) struct Tables([[f32; 256]; 3]);

impl Tables {
    /// For 8-bit images, which the original multiplies in 64 bits and then rounds.
    pub(super) fn new(arithmetic: &Arithmetic) -> Self {
        Self::with(arithmetic, |value, factor| (f64::from(value) * factor) as f32)
    }

    /// For images padded with zeros, whose values the original multiplies in 32 bits.
    pub(super) fn padded(arithmetic: &Arithmetic) -> Self {
        Self::with(arithmetic, |value, factor| f32::from(value) * factor as f32)
    }

    fn with(arithmetic: &Arithmetic, rescaled: impl Fn(u8, f64) -> f32) -> Self {
        let value = |channel: usize, value: u8| {
            let rescaled = match arithmetic.rescale {
                Some(factor) => rescaled(value, factor),
                None => f32::from(value),
            };
            match arithmetic.normalize {
                Some(channels) => (rescaled - channels[channel].0) / channels[channel].1,
                None => rescaled,
            }
        };
        Self([0, 1, 2].map(|channel| std::array::from_fn(|v| value(channel, v as u8))))
    }

    /// Tensor values of a colour.
    pub(super) fn of(&self, colour: [u8; 3]) -> [f32; 3] {
        let [red, green, blue] = colour;
        [self.0[0][usize::from(red)], self.0[1][usize::from(green)], self.0[2][usize::from(blue)]]
    }

    /// Writes a row of pixels into a plane for each channel.
    pub(super) fn write(&self, pixels: &[u8], planes: [&mut [f32]; 3]) {
        let [reds, greens, blues] = planes;
        let planes = reds.iter_mut().zip(greens).zip(blues);
        for (&colour, ((red, green), blue)) in pixels.as_chunks().0.iter().zip(planes) {
            [*red, *green, *blue] = self.of(colour);
        }
    }
}
