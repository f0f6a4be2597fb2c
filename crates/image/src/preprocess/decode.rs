//! Decodes image files to pixels.
//!
//! The first bytes of a file decide its format, never its name. Sizes are checked before a decoder
//! allocates memory for the pixels.

mod bmp;
mod gif;
pub(super) mod jpeg;
mod options;
mod orientation;
mod others;
mod tiff;
mod webp;

use std::{
    fs::File,
    io::{Cursor, Read},
    path::Path,
};

use image::{
    DynamicImage, ImageDecoder, ImageError,
    codecs::{png::PngDecoder, webp::WebPDecoder},
    metadata::Orientation as Turn,
};

use super::{ImageInput, PreprocessError, RgbImage, colour};

pub use options::{DecodeLimits, DecodeOptions, Gray16, Jpeg, Orientation, Transparency};

/// Width and height that an image of some width and height is resized to, or `None` if it is not.
pub(super) type Resized<'a> = &'a dyn Fn(u32, u32) -> Option<(u32, u32)>;

/// Decodes an image to 8-bit RGB. Animations and files with several pages give the first one.
///
/// Supports PNG, JPEG, WebP, GIF, BMP and TIFF, with any file name.
///
/// # Errors
///
/// [`PreprocessError::File`] with the path and the reason, or the reason itself if there is no
/// path: [`PreprocessError::UnknownFormat`], [`PreprocessError::UnsupportedFormat`],
/// [`PreprocessError::Damaged`], [`PreprocessError::Unsupported`], [`PreprocessError::TooManyPixels`],
/// [`PreprocessError::TooMuchMemory`] or [`PreprocessError::NoPixels`].
pub fn decode(input: &ImageInput, options: &DecodeOptions) -> Result<RgbImage, PreprocessError> {
    decode_for(input, options, &|_, _| None)
}

/// Decodes an image that is then resized.
pub(super) fn decode_for(
    input: &ImageInput,
    options: &DecodeOptions,
    resized: Resized<'_>,
) -> Result<RgbImage, PreprocessError> {
    let decoded = match input {
        ImageInput::Path(path) => {
            read(path, options.limits).and_then(|bytes| decode_bytes(&bytes, options, resized))
        }
        ImageInput::Bytes(bytes) => decode_bytes(bytes, options, resized),
        ImageInput::Decoded(image) => Ok(image.clone()),
    };
    decoded.map_err(|error| located(input, error))
}

/// Adds the path of the input, if it has one.
pub(super) fn located(input: &ImageInput, error: PreprocessError) -> PreprocessError {
    match input {
        ImageInput::Path(path) => {
            PreprocessError::File { path: path.clone(), source: error.into() }
        }
        _ => error,
    }
}

/// Reads a regular file. Pipes and devices are rejected, as they may never end.
pub(super) fn read(path: &Path, limits: DecodeLimits) -> Result<Vec<u8>, PreprocessError> {
    let about = std::fs::metadata(path).map_err(PreprocessError::Read)?;
    if !about.is_file() {
        return Err(PreprocessError::NotAFile);
    }
    limits.check_memory(about.len())?;
    let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or_default());
    let file = File::open(path).map_err(PreprocessError::Read)?;
    // The file may have grown since.
    file.take(limits.max_memory).read_to_end(&mut bytes).map_err(PreprocessError::Read)?;
    Ok(bytes)
}

pub(super) fn decode_bytes(
    bytes: &[u8],
    options: &DecodeOptions,
    resized: Resized<'_>,
) -> Result<RgbImage, PreprocessError> {
    let file = Cursor::new(bytes);
    let limits = options.limits;
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => {
            let limits = limits.for_decoder(bytes);
            let decoder = PngDecoder::with_limits(file, limits).map_err(|e| failure("png", &e))?;
            let has_gray16 = bytes.get(24..26) == Some(&[16, 0]); // bits and kind of colour
            decode_with("png", decoder, bytes, options, |image| match image {
                // 16-bit grey with a transparent value is still 16-bit grey.
                DynamicImage::ImageLumaA16(image) if has_gray16 => {
                    let (width, height) = image.dimensions();
                    let to_u8 = |value| options.gray16.to_u8(value);
                    let pixels = colour::gray_alpha(image.as_raw(), options, to_u8);
                    RgbImage::new(width, height, pixels)
                }
                image => colour::to_rgb(image, options),
            })
        }
        [0xff, 0xd8, 0xff, ..] => jpeg::File::open(bytes, options, resized)?.decode(),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            limits.check_memory(2 * bytes.len() as u64)?;
            let file = Cursor::new(webp::unblended(bytes));
            let decoder = WebPDecoder::new(file).map_err(|e| failure("webp", &e))?;
            decode_with("webp", decoder, bytes, options, |image| colour::to_rgb(image, options))
        }
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => gif::decode(bytes, options),
        [b'B', b'M', ..] => bmp::decode(bytes, options),
        [b'I', b'I', 42 | 43, 0, ..]
        | [b'I', b'I', 0, 42, ..]
        | [b'M', b'M', 0, 42 | 43, ..]
        | [b'M', b'M', 42, 0, ..] => tiff::decode(bytes, options),
        _ if bmp::is_dib(bytes) => bmp::decode(bytes, options),
        _ => Err(match others::name(bytes) {
            Some(found) => PreprocessError::UnsupportedFormat { found },
            None => PreprocessError::UnknownFormat,
        }),
    }
}

fn decode_with(
    format: &'static str,
    mut decoder: impl ImageDecoder,
    bytes: &[u8],
    options: &DecodeOptions,
    to_rgb: impl FnOnce(DynamicImage) -> Result<RgbImage, PreprocessError>,
) -> Result<RgbImage, PreprocessError> {
    let (width, height) = decoder.dimensions();
    options.limits.check_pixels(width, height)?;
    // The decoded samples and the RGB copy.
    let samples = decoder.total_bytes().saturating_add(3 * u64::from(width) * u64::from(height));
    options.limits.check_memory(samples.saturating_add(bytes.len() as u64))?;
    decoder.set_limits(options.limits.for_decoder(bytes)).map_err(|e| failure(format, &e))?;
    let turn = match options.orientation {
        Orientation::Ignore => Turn::NoTransforms,
        Orientation::Apply => {
            let exif = decoder.exif_metadata().map_err(|e| failure(format, &e))?;
            let xmp = decoder.xmp_metadata().map_err(|e| failure(format, &e))?;
            orientation::of(exif.as_deref(), xmp.as_deref())
        }
    };
    let image = DynamicImage::from_decoder(decoder).map_err(|e| failure(format, &e))?;
    Ok(to_rgb(image)?.turned(turn))
}

/// Converts an error of the `image` crate.
fn failure(format: &'static str, error: &ImageError) -> PreprocessError {
    match error {
        ImageError::Unsupported(error) => {
            PreprocessError::Unsupported { format, what: error.to_string() }
        }
        error => PreprocessError::Damaged { format, reason: error.to_string() },
    }
}
