//! Converts the samples of a segment to RGB.

use super::{
    kinds::{Alpha, Pixels},
    lab,
    page::Page,
    ycbcr,
};
use crate::preprocess::{
    DecodeOptions, Gray16,
    colour::{self, high},
};

/// Converts `rows` rows at the segment's full width to RGB. Rows start at whole bytes, samples are
/// little-endian.
pub(super) fn to_rgb(page: &Page<'_>, bytes: &[u8], rows: u32, options: &DecodeOptions) -> Vec<u8> {
    let width = page.segments.width as usize;
    let two = || bytes.as_chunks::<2>().0.iter().map(|&bytes| u16::from_le_bytes(bytes));
    let four = || bytes.as_chunks::<4>().0.iter().map(|&bytes| u32::from_le_bytes(bytes));
    // `as` saturates and truncates.
    match &page.pixels {
        Pixels::Gray { is_inverted } => {
            let white = 255 / ((1u16 << page.bits) - 1) as u8;
            let flip = if *is_inverted { 255 } else { 0 };
            colour::gray(&unpacked(bytes, width, page.bits), |v| (v * white) ^ flip)
        }
        Pixels::GrayAlpha => colour::gray_alpha(bytes, options, |v| v),
        Pixels::Gray12 => colour::gray(&twelve(bytes, width), |&v| match options.gray16 {
            Gray16::Clip => v.min(255) as u8,
            Gray16::HighByte => (v >> 4) as u8,
        }),
        Pixels::Gray16 => gray(two().map(|v| options.gray16.to_u8(v))),
        Pixels::GraySigned16 => gray(two().map(|v| v.cast_signed().clamp(0, 255) as u8)),
        Pixels::GrayInteger => gray(four().map(|v| v.cast_signed().clamp(0, 255) as u8)),
        Pixels::GrayFloat => gray(four().map(|v| f32::from_bits(v) as u8)),
        Pixels::Palette { colours, has_alpha: false } => {
            let step = page.samples as usize;
            let indices = unpacked(bytes, width * step, page.bits);
            indices.iter().step_by(step).flat_map(|&index| colours[usize::from(index)]).collect()
        }
        Pixels::Palette { colours, has_alpha: true } => {
            let pixel = |&[index, alpha]: &[u8; 2]| {
                let [red, green, blue] = colours[usize::from(index)];
                [red, green, blue, alpha]
            };
            let pixels: Vec<u8> = bytes.as_chunks().0.iter().flat_map(pixel).collect();
            colour::rgb_alpha(&pixels, options, |v| v)
        }
        Pixels::Rgb(alpha) => rgb(eight(page, bytes), page.samples as usize, *alpha, options),
        Pixels::Cmyk => {
            let step = page.samples as usize;
            colour::from_cmyk(&first::<4>(eight(page, bytes), step))
        }
        Pixels::YCbCr(kind) if page.has_blocks() => {
            ycbcr::from_blocks(kind, bytes, page.segments.width, rows)
        }
        Pixels::YCbCr(kind) => ycbcr::from_pixels(kind, bytes),
        Pixels::Lab => lab::to_rgb(bytes),
    }
}

fn gray(levels: impl Iterator<Item = u8>) -> Vec<u8> {
    levels.flat_map(|level| [level; 3]).collect()
}

/// 8-bit samples, or the high bytes of 16-bit samples.
fn eight(page: &Page<'_>, bytes: &[u8]) -> Vec<u8> {
    match page.bits {
        16 => bytes.as_chunks().0.iter().map(|&two| high(u16::from_le_bytes(two))).collect(),
        _ => bytes.to_vec(),
    }
}

/// The first `N` of every `step` samples.
fn first<const N: usize>(samples: Vec<u8>, step: usize) -> Vec<u8> {
    if step == N {
        return samples;
    }
    samples.chunks_exact(step).flat_map(|pixel| &pixel[..N]).copied().collect()
}

fn rgb(samples: Vec<u8>, step: usize, alpha: Alpha, options: &DecodeOptions) -> Vec<u8> {
    if alpha == Alpha::None {
        return first::<3>(samples, step);
    }
    let mut samples = first::<4>(samples, step);
    if alpha == Alpha::Premultiplied {
        for [colours @ .., alpha] in samples.as_chunks_mut::<4>().0 {
            for value in colours {
                let divided = (u16::from(*value) * 255).checked_div(u16::from(*alpha));
                *value = divided.unwrap_or(0).min(255) as u8;
            }
        }
    }
    colour::rgb_alpha(&samples, options, |v| v)
}

/// One byte for each sample of `bits`; rows of `width` samples start at whole bytes.
fn unpacked(bytes: &[u8], width: usize, bits: u32) -> Vec<u8> {
    if bits == 8 {
        return bytes.to_vec();
    }
    let bits = bits as usize;
    let in_byte = 8 / bits;
    let row = |row: &[u8]| -> Vec<u8> {
        let sample = |at: usize| {
            let shift = 8 - bits * (at % in_byte + 1);
            row[at / in_byte] >> shift & (0xff >> (8 - bits))
        };
        (0..width).map(sample).collect()
    };
    bytes.chunks_exact(width.div_ceil(in_byte)).flat_map(row).collect()
}

/// 12-bit samples, two in three bytes; rows of `width` samples start at whole bytes.
fn twelve(bytes: &[u8], width: usize) -> Vec<u16> {
    let row = |row: &[u8]| -> Vec<u16> {
        let sample = |at: usize| {
            let [high, low] = [row[at * 3 / 2], row[at * 3 / 2 + 1]].map(u16::from);
            if at.is_multiple_of(2) { high << 4 | low >> 4 } else { (high & 15) << 8 | low }
        };
        (0..width).map(sample).collect()
    };
    bytes.chunks_exact((width * 12).div_ceil(8)).flat_map(row).collect()
}
