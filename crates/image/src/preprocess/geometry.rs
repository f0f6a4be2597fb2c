//! Sizes and windows: placement of a resized image in a tensor.

use std::ops::Range;

use super::config::{Frame, Sizing};

/// One axis of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// Pixels of the resized image that are needed.
    pub(super) window: Range<usize>,
    /// Position of the first of them in the result.
    pub(super) at: usize,
    /// Length of the result.
    pub(super) length: usize,
}

impl Span {
    fn whole(length: usize) -> Self {
        Self { window: 0..length, at: 0, length }
    }

    /// Returns `true` if the image does not fill the result.
    pub(super) fn is_padded(&self) -> bool {
        self.window.len() < self.length
    }

    /// Centres `length` pixels of `from`, or all of them with the odd padding pixel before the image.
    fn center(from: usize, length: usize) -> Self {
        if from < length {
            return Self { window: 0..from, at: (length - from).div_ceil(2), length };
        }
        let start = (from - length) / 2;
        Self { window: start..start + length, at: 0, length }
    }

    /// Centres `length` pixels of `from`, rounding half a pixel to even, or places all of them first.
    fn square(from: usize, length: usize) -> Self {
        if from <= length {
            return Self { window: 0..from, at: 0, length };
        }
        let double = from - length;
        let start = double / 2 + usize::from(double % 4 == 3);
        Self { window: start..start + length, at: 0, length }
    }
}

impl Frame {
    /// Rows and columns of the result for a resized image of this size.
    pub(super) fn spans(self, (width, height): (u32, u32)) -> (Span, Span) {
        let (columns, rows) = (width as usize, height as usize);
        match self {
            Self::None => (Span::whole(rows), Span::whole(columns)),
            Self::Crop { width, height } => {
                (Span::center(rows, height as usize), Span::center(columns, width as usize))
            }
            Self::Square { side, .. } => {
                (Span::square(rows, side as usize), Span::square(columns, side as usize))
            }
        }
    }

    /// Padding colour.
    pub(super) fn fill(self) -> [u8; 3] {
        match self {
            Self::None | Self::Crop { .. } => [0; 3],
            Self::Square { fill, .. } => fill,
        }
    }
}

impl Sizing {
    /// Target width and height for an image of `width` by `height` pixels. Sides that overflow are
    /// clamped and rejected later.
    pub(super) fn of(self, width: u32, height: u32) -> (u32, u32) {
        match self {
            Self::Exact { width, height } => (width, height),
            Self::ShortestEdge(edge) => {
                let (short, long) = (width.min(height), width.max(height));
                // Exact product, one rounding of the quotient.
                let product = u64::from(edge) * u64::from(long);
                let other = (product as f64 / f64::from(short)) as u32;
                if width <= height { (edge, other) } else { (other, edge) }
            }
            Self::LongestEdge(edge) => {
                let ratio = f64::from(width) / f64::from(height);
                let long = f64::from(edge);
                let (width, height) = if width >= height {
                    (edge, (long / ratio) as u32)
                } else {
                    ((long * ratio) as u32, edge)
                };
                // Even, and at least one pixel for a very narrow image.
                let even = |side: u32| side.saturating_add(side % 2).max(1);
                (even(width), even(height))
            }
        }
    }
}

/// Multiples of `side` close to the size of an image of `width` by `height` pixels, not smaller along
/// the longer edge.
pub(super) fn multiples(width: u32, height: u32, side: u32) -> (u32, u32) {
    let ratio = f64::from(width) / f64::from(height);
    let up = |pixels: u32| pixels.div_ceil(side).saturating_mul(side);
    if width >= height {
        let width = up(width);
        (width, up((f64::from(width) / ratio) as u32))
    } else {
        let height = up(height);
        (up((f64::from(height) * ratio) as u32), height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_a_square_are_rounded_to_even() {
        let start = |from| Span::square(from, 224).window.start;
        assert_eq!([224, 225, 226, 227, 228, 229, 230, 231].map(start), [0, 0, 1, 2, 2, 2, 3, 4]);
    }

    #[test]
    fn a_crop_of_a_smaller_image_has_the_odd_zero_before_it() {
        let padded = Span { window: 0..37, at: 6, length: 48 };
        assert_eq!(Span::center(37, 48), padded);
        assert!(padded.is_padded());
        assert_eq!(Span::center(51, 48), Span { window: 1..49, at: 0, length: 48 });
    }

    #[test]
    fn edges_are_cut_off_and_not_rounded() {
        assert_eq!(Sizing::ShortestEdge(224).of(640, 427), (335, 224));
        assert_eq!(Sizing::ShortestEdge(224).of(427, 640), (224, 335));
        assert_eq!(Sizing::ShortestEdge(224).of(1, 5000), (224, 1_120_000));
        assert_eq!(Sizing::LongestEdge(2048).of(640, 427), (2048, 1366));
        assert_eq!(Sizing::LongestEdge(2048).of(1, 5000), (1, 2048));
        assert_eq!(Sizing::LongestEdge(47).of(10, 10), (48, 48));
    }
}
