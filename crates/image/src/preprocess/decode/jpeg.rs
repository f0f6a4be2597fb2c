//! JPEG, by the decoder that Pillow uses, so that pixels are bit-equal.

mod header;
pub(super) mod libjpeg;

use image::metadata::Orientation as Turn;

use self::libjpeg::{AtEnd, Failure, Reader, Space};
use super::{
    options::{DecodeOptions, Orientation},
    orientation::{self, turned},
};
use crate::preprocess::{PreprocessError, RgbImage, colour};

const FORMAT: &str = "jpeg";

/// Bytes for a pixel: 16-bit coefficients of a progressive file with four channels, and the result.
const BYTES_PER_PIXEL: u64 = 4 * 2 + 3;

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, PreprocessError> {
    let header = header::read(bytes)?;
    let (width, height) = (u32::from(header.width), u32::from(header.height));
    options.limits.check_pixels(width, height)?;
    let needed = BYTES_PER_PIXEL * u64::from(width) * u64::from(height);
    options.limits.check_memory(needed.saturating_add(bytes.len() as u64))?;

    let failure = |failure| self::failure(failure, options);
    let memory = options.limits.max_memory - bytes.len() as u64;
    let reader = Reader::new(memory, AtEnd::Fail).map_err(failure)?;
    let (reader, frame) = reader.read_header(bytes).map_err(failure)?;
    if (frame.width, frame.height, frame.components) != (width, height, header.components) {
        return Err(damaged("there are two frame headers, which contradict each other"));
    }
    let pixels = match header.components {
        1 => colour::gray(&reader.decode(Space::Gray).map_err(failure)?, |&v| v),
        3 => reader.decode(Space::Rgb).map_err(failure)?,
        _ => {
            let mut inks = reader.decode(Space::Cmyk).map_err(failure)?;
            // Stored inverted, as Adobe's programs do and Pillow assumes.
            inks.iter_mut().for_each(|ink| *ink = 255 - *ink);
            colour::from_cmyk(&inks)
        }
    };
    let turn = match options.orientation {
        Orientation::Ignore => Turn::NoTransforms,
        Orientation::Apply => orientation::of(header.exif.as_deref(), header.xmp),
    };
    turned(RgbImage::new(width, height, pixels)?, turn)
}

fn damaged(reason: &str) -> PreprocessError {
    PreprocessError::Damaged { format: FORMAT, reason: reason.to_owned() }
}

fn unsupported(what: String) -> PreprocessError {
    PreprocessError::Unsupported { format: FORMAT, what }
}

fn failure(failure: Failure, options: &DecodeOptions) -> PreprocessError {
    match failure {
        Failure::Unsupported(what) => unsupported(what),
        Failure::Damaged(reason) => PreprocessError::Damaged { format: FORMAT, reason },
        Failure::Memory => {
            let limit = options.limits.max_memory;
            PreprocessError::TooMuchMemory { needed: limit.saturating_add(1), limit }
        }
    }
}
