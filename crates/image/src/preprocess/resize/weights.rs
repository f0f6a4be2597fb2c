//! Resampling weights along one axis.

use std::{f64::consts::PI, ops::Range};

use super::{Extent, Filter};

/// Fraction bits of integer weights; accumulators of 8-bit pixels fit into 32 bits.
pub(super) const PRECISION: u32 = 22;

/// Weights of a range of output pixels along one axis.
pub(super) struct Weights {
    /// First input pixel of each output pixel.
    starts: Vec<usize>,
    /// End of each output pixel's weights in `values`.
    ends: Vec<usize>,
    values: Vec<i32>,
}

impl Weights {
    /// Weights of the output pixels in `window` for an axis of `from` pixels, of which `extent` is resized
    /// to `to` pixels.
    ///
    /// Computed in `f64` in the order of Pillow's `precompute_coeffs`, which determines the last bit.
    pub(super) fn new(
        filter: Filter,
        from: usize,
        extent: Extent,
        to: usize,
        window: Range<usize>,
    ) -> Self {
        let scale = extent.length() / to as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let shrink = 1.0 / stretch;
        let count = window.len();
        let mut weights = Self {
            starts: Vec::with_capacity(count),
            ends: Vec::with_capacity(count),
            values: Vec::new(),
        };
        let mut exact = Vec::new();
        for i in window {
            let center = extent.start + (i as f64 + 0.5) * scale;
            // Conversions truncate, and negative values become 0.
            let start = (center - support + 0.5) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            exact.clear();
            exact.extend((start..end).map(|x| filter.weight((x as f64 - center + 0.5) * shrink)));
            let sum: f64 = exact.iter().sum();
            if sum != 0.0 {
                exact.iter_mut().for_each(|weight| *weight /= sum);
            }
            weights.starts.push(start);
            weights.values.extend(exact.iter().map(|&weight| to_integer(weight)));
            weights.ends.push(weights.values.len());
        }
        weights
    }

    /// Number of output pixels.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// First input pixel of an output pixel, and its weights, at least one.
    pub(super) fn of(&self, output: usize) -> (usize, &[i32]) {
        let begin = if output == 0 { 0 } else { self.ends[output - 1] };
        (self.starts[output], &self.values[begin..self.ends[output]])
    }

    /// Range of input pixels that all output pixels need.
    pub(super) fn input(&self) -> Range<usize> {
        let start = self.starts.first().copied().unwrap_or(0);
        let last = self.len().saturating_sub(1);
        let end = self.starts.get(last).map_or(0, |start| start + self.of(last).1.len());
        start..end
    }

    /// The same weights for an input that starts at pixel `first`.
    pub(super) fn relative_to(mut self, first: usize) -> Self {
        self.starts.iter_mut().for_each(|start| *start -= first);
        self
    }
}

fn to_integer(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION);
    (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

impl Filter {
    /// Support of the filter to each side, in pixels of the smaller image.
    pub(super) fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0, // has no weights
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        match self {
            Self::Nearest => 1.0,
            Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Hamming => hamming(x.abs()),
            Self::Bicubic => bicubic(x.abs()),
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * PI;
    x.sin() / x
}

fn hamming(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    if x >= 1.0 {
        return 0.0;
    }
    let x = x * PI;
    // Pillow has these constants in 32 bits.
    x.sin() / x * (f64::from(0.54f32) + f64::from(0.46f32) * x.cos())
}

/// Keys' cubic convolution with a = -0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}
