//! JPEG, by zune-jpeg.

use image::metadata::Orientation as Turn;
use zune_jpeg::{
    JpegDecoder,
    errors::DecodeErrors,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use super::{DecodeOptions, Orientation, turned};
use crate::preprocess::{PreprocessError, RgbImage, colour};

const FORMAT: &str = "jpeg";

/// Bytes for a pixel: coefficients of a progressive file in 16 bits for four channels, and the
/// result.
const BYTES_PER_PIXEL: u64 = 4 * 2 + 3;

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, PreprocessError> {
    // The decoder's own limits on sides come before ours and could only be lower.
    let lenient = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), lenient);
    decoder.decode_headers().map_err(|error| failure(&error))?;
    let (width, height) = decoder.dimensions().expect("the headers were decoded");
    let (width, height) = (width as u32, height as u32); // 16 bits in the file
    options.limits.check_pixels(width, height)?;
    let needed = BYTES_PER_PIXEL * u64::from(width) * u64::from(height);
    options.limits.check_memory(needed.saturating_add(bytes.len() as u64))?;
    if !is_complete(bytes) {
        // The decoder would fill what is missing with grey.
        return Err(PreprocessError::Damaged {
            format: FORMAT,
            reason: "the file ends before the image".to_owned(),
        });
    }

    let space = match decoder.input_colorspace().expect("the headers were decoded") {
        space @ (ColorSpace::Luma | ColorSpace::CMYK) => space,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(lenient.jpeg_set_out_colorspace(space));
    let samples = decoder.decode().map_err(|error| failure(&error))?;
    let pixels = match space {
        ColorSpace::Luma => colour::gray(&samples, |&v| v),
        // Stored inverted, as Adobe's programs do and Pillow takes for granted.
        ColorSpace::CMYK => {
            let inks: Vec<u8> = samples.iter().map(|light| 255 - light).collect();
            colour::from_cmyk(&inks)
        }
        _ => samples,
    };
    let turn = match (options.orientation, decoder.exif()) {
        (Orientation::Apply, Some(exif)) => Turn::from_exif_chunk(exif),
        _ => None,
    };
    turned(RgbImage::new(width, height, pixels)?, turn.unwrap_or(Turn::NoTransforms))
}

/// Whether the file has an end-of-image marker after its first scan begins. The one in a preview
/// within the header does not count.
fn is_complete(bytes: &[u8]) -> bool {
    let mut at = 2; // after the start-of-image marker
    loop {
        let Some(&[0xff, marker]) = bytes.get(at..at + 2) else { return false };
        match marker {
            0xff => at += 1, // padding
            0xda => break,   // start of scan
            0x01 | 0xd0..=0xd8 => at += 2,
            _ => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
            }
        }
    }
    bytes[at..].windows(2).any(|pair| pair == [0xff, 0xd9])
}

fn failure(error: &DecodeErrors) -> PreprocessError {
    match error {
        DecodeErrors::Unsupported(what) => {
            PreprocessError::Unsupported { format: FORMAT, what: format!("{what:?}") }
        }
        error => PreprocessError::Damaged { format: FORMAT, reason: format!("{error:?}") },
    }
}
