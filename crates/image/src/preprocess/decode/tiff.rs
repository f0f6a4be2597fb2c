//! The first image of TIFF files.

use std::{borrow::Cow, io::Cursor};

use image::metadata::Orientation as Turn;
use tiff::{
    ColorType, TiffError,
    decoder::{Decoder, DecodingResult, Limits},
    tags::Tag,
};

use super::{DecodeOptions, turned};
use crate::preprocess::{
    PreprocessError, RgbImage,
    colour::{self, high},
};

const FORMAT: &str = "tiff";

// What the numbers of a pixel may mean.
const WHITE_IS_ZERO: u16 = 0;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;
/// An extra channel that the others have been multiplied by.
const PREMULTIPLIED: u16 = 1;

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, PreprocessError> {
    options.limits.check_memory(2 * bytes.len() as u64)?;
    let (bytes, photometric) = readable(bytes);
    let mut decoder = Decoder::new(Cursor::new(&*bytes)).map_err(|error| failure(&error))?;
    let (width, height) = decoder.dimensions().map_err(|error| failure(&error))?;
    options.limits.check_pixels(width, height)?;
    let kind = decoder.colortype().map_err(|error| failure(&error))?;
    let samples = u64::from(kind.num_samples()) * u64::from(kind.bit_depth()).div_ceil(8);
    let needed = (2 * samples + 3) * u64::from(width) * u64::from(height);
    options.limits.check_memory(needed.saturating_add(2 * bytes.len() as u64))?;
    let left = usize::try_from(options.limits.max_memory).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = left;
    limits.intermediate_buffer_size = left;
    let mut decoder = decoder.with_limits(limits);

    let mut result = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut result).map_err(|error| failure(&error))?;
    if layout.planes > 1 {
        result = match result {
            DecodingResult::U8(planes) if planes.len() == layout.complete_len => {
                DecodingResult::U8(interleaved(&planes, layout.planes))
            }
            _ => return Err(unsupported("channels in planes of more than 8 bits")),
        };
    }
    let has_palette = photometric == Some(PALETTE);
    // The decoder turns these into their opposite, and Pillow does not.
    let is_inverted = photometric == Some(WHITE_IS_ZERO);
    let extra = decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples).ok().flatten();
    let is_premultiplied = extra.is_some_and(|extra| extra.first() == Some(&PREMULTIPLIED));
    let row = width as usize;
    let pixels = match (kind, result) {
        (ColorType::Gray(bits @ (1 | 2 | 4 | 8)), DecodingResult::U8(bytes)) if has_palette => {
            let palette = decoder.get_tag_u16_vec(Tag::ColorMap).map_err(|e| failure(&e))?;
            coloured(&unpacked(&bytes, row, bits), &palette)?
        }
        (ColorType::Gray(bits @ (1 | 2 | 4 | 8)), DecodingResult::U8(bytes)) => {
            let white = 255 / ((1u16 << bits) - 1) as u8;
            colour::gray(&unpacked(&bytes, row, bits), |v| v * white)
        }
        (ColorType::Gray(8), DecodingResult::I8(bytes)) => {
            colour::gray(&bytes, |&v| v.cast_unsigned())
        }
        (ColorType::Gray(16), DecodingResult::U16(samples)) => {
            let flip = if is_inverted { u16::MAX } else { 0 };
            colour::gray(&samples, |&v| options.gray16.to_u8(v ^ flip))
        }
        // Conversions with `as` stay within the limits and cut off what follows the point.
        (ColorType::Gray(16), DecodingResult::I16(samples)) => {
            colour::gray(&samples, |&v| v.clamp(0, 255) as u8)
        }
        (ColorType::Gray(32), DecodingResult::U32(samples)) => {
            colour::gray(&samples, |&v| v.cast_signed().clamp(0, 255) as u8)
        }
        (ColorType::Gray(32), DecodingResult::I32(samples)) => {
            colour::gray(&samples, |&v| v.clamp(0, 255) as u8)
        }
        (ColorType::Gray(32), DecodingResult::F32(samples)) => colour::gray(&samples, |&v| v as u8),
        (ColorType::CMYK(8), DecodingResult::U8(bytes)) => colour::from_cmyk(&bytes),
        (ColorType::Multiband { bit_depth: 8, num_samples: 2 }, DecodingResult::U8(bytes)) => {
            colour::gray_alpha(&bytes, options, |v| v)
        }
        (ColorType::RGB(8), DecodingResult::U8(bytes)) => bytes,
        (ColorType::RGBA(8), DecodingResult::U8(bytes)) => {
            with_alpha(bytes, is_premultiplied, options)
        }
        (ColorType::RGB(16), DecodingResult::U16(samples)) => {
            samples.iter().map(|&v| high(v)).collect()
        }
        (ColorType::RGBA(16), DecodingResult::U16(samples)) => {
            let samples: Vec<u8> = samples.iter().map(|&v| high(v)).collect();
            with_alpha(samples, is_premultiplied, options)
        }
        (kind, _) => return Err(unsupported(&format!("pixels of type {kind:?}"))),
    };
    let turn = decoder.find_tag_unsigned::<u8>(Tag::Orientation).ok().flatten();
    let turn = turn.and_then(Turn::from_exif).unwrap_or(Turn::NoTransforms);
    turned(RgbImage::new(width, height, pixels)?, turn)
}

/// What the decoder can read, and what the file says its numbers mean.
///
/// The decoder knows no palettes. It is told that the indices are greys: in a copy of the file, whose
/// tag it is.
fn readable(bytes: &[u8]) -> (Cow<'_, [u8]>, Option<u16>) {
    const TAG: u16 = 262;
    let is_big = bytes.first() == Some(&b'M');
    let two = |at: usize| -> Option<u16> {
        let two = *bytes.get(at..)?.first_chunk()?;
        Some(if is_big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    };
    let four = |at: usize| -> Option<usize> {
        let four = *bytes.get(at..)?.first_chunk()?;
        Some(if is_big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) } as usize)
    };
    let find = || {
        let is_classic = two(2)? == 42;
        let directory = four(4).filter(|_| is_classic)?;
        let mut entries = (0..usize::from(two(directory)?)).map(|n| directory + 2 + 12 * n);
        let entry = entries.find(|&entry| two(entry) == Some(TAG))?;
        Some((entry + 8, two(entry + 8)?))
    };
    let Some((at, photometric)) = find() else { return (Cow::Borrowed(bytes), None) };
    if photometric != PALETTE {
        return (Cow::Borrowed(bytes), Some(photometric));
    }
    let mut bytes = bytes.to_vec();
    let grays = if is_big { BLACK_IS_ZERO.to_be_bytes() } else { BLACK_IS_ZERO.to_le_bytes() };
    bytes[at..at + 2].copy_from_slice(&grays);
    (Cow::Owned(bytes), Some(photometric))
}

/// RGBA without its alpha, whose colours may have been multiplied by it.
fn with_alpha(mut samples: Vec<u8>, is_premultiplied: bool, options: &DecodeOptions) -> Vec<u8> {
    if is_premultiplied {
        for [colours @ .., alpha] in samples.as_chunks_mut::<4>().0 {
            for value in colours {
                let divided = (u16::from(*value) * 255).checked_div(u16::from(*alpha));
                *value = divided.unwrap_or(0).min(255) as u8;
            }
        }
    }
    colour::rgb_alpha(&samples, options, |v| v)
}

/// The first sample of every plane, then the second, and so on.
fn interleaved(samples: &[u8], planes: usize) -> Vec<u8> {
    let length = samples.len() / planes;
    (0..length).flat_map(|at| (0..planes).map(move |plane| samples[plane * length + at])).collect()
}

/// One byte for each sample of `bits`, of which rows of `width` begin at whole bytes.
fn unpacked(bytes: &[u8], width: usize, bits: u8) -> Vec<u8> {
    let in_byte = 8 / usize::from(bits);
    let row = |row: &[u8]| -> Vec<u8> {
        let sample = |at: usize| {
            let shift = 8 - bits as usize * (at % in_byte + 1);
            row[at / in_byte] >> shift & (0xff >> (8 - bits))
        };
        (0..width).map(sample).collect()
    };
    bytes.chunks_exact(width.div_ceil(in_byte)).flat_map(row).collect()
}

/// The palette's colours, of which a file lists all reds, then all greens, then all blues.
fn coloured(indices: &[u8], palette: &[u16]) -> Result<Vec<u8>, PreprocessError> {
    let count = palette.len() / 3;
    let mut pixels = Vec::with_capacity(3 * indices.len());
    for &index in indices {
        let index = usize::from(index);
        if index >= count {
            let reason = format!("index {index} in a palette of {count} colours");
            return Err(PreprocessError::Damaged { format: FORMAT, reason });
        }
        pixels.extend([0, 1, 2].map(|channel| high(palette[channel * count + index])));
    }
    Ok(pixels)
}

fn unsupported(what: &str) -> PreprocessError {
    PreprocessError::Unsupported { format: FORMAT, what: what.to_owned() }
}

fn failure(error: &TiffError) -> PreprocessError {
    match error {
        TiffError::UnsupportedError(what) => unsupported(&what.to_string()),
        error => PreprocessError::Damaged { format: FORMAT, reason: error.to_string() },
    }
}
