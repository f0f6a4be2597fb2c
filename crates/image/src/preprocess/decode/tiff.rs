//! The first image of TIFF files.

use std::io::Cursor;

use image::metadata::Orientation as Turn;
use tiff::{
    ColorType, TiffError,
    decoder::{Decoder, DecodingResult, Limits},
    tags::Tag,
};

use super::{DecodeOptions, turned};
use crate::preprocess::{Gray16, PreprocessError, RgbImage, colour};

const FORMAT: &str = "tiff";

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, PreprocessError> {
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(|error| failure(&error))?;
    let (width, height) = decoder.dimensions().map_err(|error| failure(&error))?;
    options.limits.check_pixels(width, height)?;
    let colour = decoder.colortype().map_err(|error| failure(&error))?;
    let samples = u64::from(colour.num_samples()) * u64::from(colour.bit_depth()).div_ceil(8);
    let needed = (samples + 3) * u64::from(width) * u64::from(height);
    options.limits.check_memory(needed.saturating_add(bytes.len() as u64))?;
    let left = usize::try_from(options.limits.max_memory).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = left;
    limits.intermediate_buffer_size = left;
    let mut decoder = decoder.with_limits(limits);

    let mut result = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut result).map_err(|error| failure(&error))?;
    if layout.planes > 1 {
        return Err(unsupported("channels in planes"));
    }
    let palette = match colour {
        ColorType::Palette(_) => {
            Some(decoder.get_tag_u16_vec(Tag::ColorMap).map_err(|error| failure(&error))?)
        }
        _ => None,
    };
    let row = width as usize;
    let pixels = match (colour, result) {
        (ColorType::Gray(bits @ (1 | 2 | 4 | 8)), DecodingResult::U8(bytes)) => {
            let white = 255 / ((1u16 << bits) - 1) as u8;
            colour::gray(&unpacked(&bytes, row, bits), |v| v * white)
        }
        (ColorType::Gray(8), DecodingResult::I8(bytes)) => {
            colour::gray(&bytes, |&v| v.cast_unsigned())
        }
        (ColorType::Gray(16), DecodingResult::U16(samples)) => match options.gray16 {
            Gray16::Clip => colour::gray(&samples, |&v| v.min(255) as u8),
            Gray16::HighByte => colour::gray(&samples, |&v| high(v)),
        },
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
        (ColorType::Palette(bits @ (1 | 2 | 4 | 8)), DecodingResult::U8(bytes)) => {
            coloured(&unpacked(&bytes, row, bits), &palette.unwrap_or_default())?
        }
        (ColorType::CMYK(8), DecodingResult::U8(bytes)) => colour::from_cmyk(&bytes),
        (ColorType::Multiband { bit_depth: 8, num_samples: 2 }, DecodingResult::U8(bytes)) => {
            colour::gray_alpha(&bytes, options, |v| v)
        }
        (ColorType::RGB(8), DecodingResult::U8(bytes)) => bytes,
        (ColorType::RGBA(8), DecodingResult::U8(bytes)) => {
            colour::rgb_alpha(&bytes, options, |v| v)
        }
        (ColorType::RGB(16), DecodingResult::U16(samples)) => {
            samples.iter().map(|&v| high(v)).collect()
        }
        (ColorType::RGBA(16), DecodingResult::U16(samples)) => {
            colour::rgb_alpha(&samples, options, high)
        }
        (colour, _) => return Err(unsupported(&format!("pixels of type {colour:?}"))),
    };
    let turn = decoder.find_tag_unsigned::<u8>(Tag::Orientation).ok().flatten();
    let turn = turn.and_then(Turn::from_exif).unwrap_or(Turn::NoTransforms);
    turned(RgbImage::new(width, height, pixels)?, turn)
}

fn high(value: u16) -> u8 {
    (value >> 8) as u8
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
