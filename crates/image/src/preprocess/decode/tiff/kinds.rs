//! Interpretation of samples.

use super::{damaged, directory::Directory, unsupported};
use crate::preprocess::PreprocessError;

// Tags.
const COLOR_MAP: u16 = 320;
const YCBCR_COEFFICIENTS: u16 = 529;
const YCBCR_SUBSAMPLING: u16 = 530;
const REFERENCE_BLACK_WHITE: u16 = 532;

// Formats of samples.
pub(super) const UNSIGNED: u64 = 1;
const SIGNED: u64 = 2;
pub(super) const FLOAT: u64 = 3;

/// Interpretation of a pixel's samples.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pixels {
    /// 1, 2, 4 or 8 bits.
    Gray {
        is_inverted: bool,
    },
    GrayAlpha,
    Gray12,
    Gray16,
    GraySigned16,
    /// 32 bits, effectively signed.
    GrayInteger,
    GrayFloat,
    Palette {
        colours: Vec<[u8; 3]>,
        has_alpha: bool,
    },
    /// 8 or 16 bits, as the next.
    Rgb(Alpha),
    Cmyk,
    YCbCr(YCbCr),
    Lab,
}

/// The fourth sample of an RGB pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alpha {
    /// Missing or without meaning.
    None,
    Straight,
    /// Premultiplied.
    Premultiplied,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct YCbCr {
    /// Columns and rows of luma that share their chroma.
    pub(super) subsampling: (u32, u32),
    /// Weights of red, green and blue in luma.
    pub(super) luma: [f32; 3],
    /// Codes of black and white for the three samples.
    pub(super) reference: [f32; 6],
}

/// Tags that determine the interpretation of the samples.
pub(super) struct Kind<'a> {
    pub(super) photometric: u64,
    pub(super) samples: u64,
    pub(super) bits: u64,
    pub(super) extra: &'a [u64],
    pub(super) format: u64,
    pub(super) is_reversed: bool,
    pub(super) is_big_endian: bool,
    pub(super) are_planes_compressed: bool,
}

impl Kind<'_> {
    /// Interpretation of the combinations that Pillow supports.
    pub(super) fn pixels(
        &self,
        directory: &Directory<'_>,
    ) -> Result<Option<Pixels>, PreprocessError> {
        let reversible = matches!(
            (self.photometric, self.samples, self.bits),
            (0 | 1 | 3, 1, 1 | 2 | 4 | 8) | (2, 3, 8)
        ) || (self.photometric, self.samples, self.bits) == (1, 1, 16)
            && !self.is_big_endian;
        if self.is_reversed && (!reversible || self.format != UNSIGNED) {
            return Ok(None);
        }
        let pixels = match (self.photometric, self.samples, self.bits, self.extra) {
            _ if self.format != UNSIGNED => self.signed_or_float(),
            (0 | 1, 1, 1 | 2 | 4 | 8, []) => {
                Some(Pixels::Gray { is_inverted: self.photometric == 0 })
            }
            (6, 1, 8, []) => Some(Pixels::Gray { is_inverted: false }),
            (1, 1, 12, []) if !self.is_big_endian => Some(Pixels::Gray12),
            (1, 1, 16, []) => Some(Pixels::Gray16),
            // Not inverted, as in Pillow.
            (0, 1, 16, []) if !self.is_big_endian => Some(Pixels::Gray16),
            (1, 1, 32, []) if !self.is_big_endian => Some(Pixels::GrayInteger),
            (1, 2, 8, [2]) => Some(Pixels::GrayAlpha),
            (2, 3, 8 | 16, []) => Some(Pixels::Rgb(Alpha::None)),
            (2, 4, 8 | 16, []) => Some(Pixels::Rgb(self.unnamed_alpha())),
            (2, 4, 8, [999]) => Some(Pixels::Rgb(Alpha::Straight)), // Corel Draw 10
            (2, 4, 8 | 16, [first]) | (2, 5, 8, [first, 0]) | (2, 6, 8, [first, 0, 0]) => {
                alpha(*first).map(Pixels::Rgb)
            }
            (3, 1, 1 | 2 | 4 | 8, []) | (3, 2, 8, [0 | 2]) => {
                Some(Pixels::Palette { colours: palette(directory)?, has_alpha: self.extra == [2] })
            }
            (5, 4, 8 | 16, []) | (5, 5, 8, [0]) | (5, 6, 8, [0, 0]) => Some(Pixels::Cmyk),
            (6, 3, 8, []) => Some(Pixels::YCbCr(ycbcr(directory)?)),
            (8, 3, 8, []) => Some(Pixels::Lab),
            _ => None,
        };
        Ok(pixels)
    }

    fn signed_or_float(&self) -> Option<Pixels> {
        match (self.photometric, self.samples, self.bits, self.extra, self.format) {
            // The codes unchanged, as in Pillow.
            (1, 1, 8, [], SIGNED) => Some(Pixels::Gray { is_inverted: false }),
            (1, 1, 16, [], SIGNED) => Some(Pixels::GraySigned16),
            (1, 1, 32, [], SIGNED) => Some(Pixels::GrayInteger),
            (0 | 1, 1, 32, [], FLOAT) => Some(Pixels::GrayFloat),
            _ => None,
        }
    }

    /// A fourth sample without a tag is alpha; libtiff differs when it interleaves planes.
    fn unnamed_alpha(&self) -> Alpha {
        if self.are_planes_compressed { Alpha::Premultiplied } else { Alpha::Straight }
    }
}

fn alpha(extra: u64) -> Option<Alpha> {
    match extra {
        0 => Some(Alpha::None),
        1 => Some(Alpha::Premultiplied),
        2 => Some(Alpha::Straight),
        _ => None,
    }
}

/// Colours of the palette. The file lists all reds, then all greens, then all blues.
fn palette(directory: &Directory<'_>) -> Result<Vec<[u8; 3]>, PreprocessError> {
    let Some(values) = directory.integers(COLOR_MAP)? else {
        return Err(damaged("the palette is missing".to_owned()));
    };
    let count = values.len() / 3;
    if count > 256 {
        return Err(unsupported(format!("a palette of {count} colours")));
    }
    let high = |value: u64| (value / 256).min(255) as u8;
    // Missing colours are black, as in Pillow.
    let mut colours = vec![[0; 3]; 256];
    for (index, colour) in colours.iter_mut().enumerate().take(count) {
        *colour = [0, 1, 2].map(|channel| high(values[channel * count + index]));
    }
    Ok(colours)
}

fn ycbcr(directory: &Directory<'_>) -> Result<YCbCr, PreprocessError> {
    let subsampling = match directory.integers(YCBCR_SUBSAMPLING)?.as_deref() {
        None => (2, 2),
        Some(&[across @ (1 | 2 | 4), down @ (1 | 2 | 4), ..]) => (across as u32, down as u32),
        Some(other) => return Err(unsupported(format!("chroma subsampling {other:?}"))),
    };
    let floats = |tag| -> Result<Option<Vec<f32>>, PreprocessError> {
        let floats = directory.floats(tag)?;
        Ok(floats.map(|floats| floats.into_iter().map(|value| value as f32).collect()))
    };
    let wrong = |tag| damaged(format!("tag {tag} has too few values, or impossible ones"));
    let mut luma = [0.299, 0.587, 0.114];
    if let Some(values) = floats(YCBCR_COEFFICIENTS)? {
        luma = *values.first_chunk().ok_or_else(|| wrong(YCBCR_COEFFICIENTS))?;
    }
    let mut reference = [0.0, 255.0, 128.0, 255.0, 128.0, 255.0];
    if let Some(values) = floats(REFERENCE_BLACK_WHITE)? {
        reference = *values.first_chunk().ok_or_else(|| wrong(REFERENCE_BLACK_WHITE))?;
    }
    if luma[1] == 0.0 || !luma.iter().all(|value| value.is_finite()) {
        return Err(wrong(YCBCR_COEFFICIENTS));
    }
    if !reference.iter().all(|value| value.is_finite() && value.abs() < 1e9) {
        return Err(wrong(REFERENCE_BLACK_WHITE));
    }
    Ok(YCbCr { subsampling, luma, reference })
}
