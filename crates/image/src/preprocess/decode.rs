//! Files to pixels.
//!
//! The format is told by a file's first bytes, never by its name. Sizes are checked before a decoder
//! allocates anything for the pixels.

mod bmp;
mod gif;
mod jpeg;
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

/// How files are decoded. The default gives the pixels that FastEmbed gets from Pillow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecodeOptions {
    /// What an image may cost.
    pub limits: DecodeLimits,
    /// What is done with the orientation that cameras write into EXIF data.
    pub orientation: Orientation,
    /// What is done with transparency.
    pub transparency: Transparency,
    /// What is done with grey of 16 bits.
    pub gray16: Gray16,
}

/// What decoding an image may cost. Larger images are an error before they are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The most pixels. The default, 178 956 970, is where Pillow refuses an image as a bomb.
    pub max_pixels: u64,
    /// The most bytes for one image: the file, the decoded samples, and what the decoder needs in
    /// between as far as that can be told in advance. By default 2 GiB.
    pub max_memory: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_pixels: 178_956_970, max_memory: 2 << 30 }
    }
}

/// What is done with the orientation in EXIF data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Orientation {
    /// Nothing, as FastEmbed does: photographs of turned cameras stay turned. TIFF files are the
    /// exception, in Pillow as here: their orientation is part of the format and always applied.
    #[default]
    Ignore,
    /// The image is turned and mirrored as the file says.
    Apply,
}

/// What is done with transparency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transparency {
    /// It is dropped, as FastEmbed does: transparent pixels show the colour that they hide.
    #[default]
    Drop,
    /// The image is laid over a background of this colour.
    Composite([u8; 3]),
}

/// What is done with images of one channel of 16 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Gray16 {
    /// Values above 255 become 255, as Pillow does: most such images become white.
    #[default]
    Clip,
    /// The high byte is kept, as with every other image of 16 bits.
    HighByte,
}

/// Decodes an image to 8-bit RGB. Of animations and files with several pages it takes the first.
///
/// PNG, JPEG, WebP, GIF, BMP and TIFF are read, whatever the file is called.
///
/// # Errors
///
/// [`PreprocessError::File`] with the path and the reason, or the reason itself where there is no
/// path: [`PreprocessError::UnknownFormat`], [`PreprocessError::UnsupportedFormat`],
/// [`PreprocessError::Damaged`], [`PreprocessError::Unsupported`], [`PreprocessError::TooManyPixels`],
/// [`PreprocessError::TooMuchMemory`] or [`PreprocessError::NoPixels`].
pub fn decode(input: &ImageInput, options: &DecodeOptions) -> Result<RgbImage, PreprocessError> {
    match input {
        ImageInput::Path(path) => read(path, options.limits)
            .and_then(|bytes| decode_bytes(&bytes, options))
            .map_err(|source| PreprocessError::File { path: path.clone(), source: source.into() }),
        ImageInput::Bytes(bytes) => decode_bytes(bytes, options),
        ImageInput::Decoded(image) => Ok(image.clone()),
    }
}

/// The content of a regular file. Pipes and devices are refused, as they may never end.
fn read(path: &Path, limits: DecodeLimits) -> Result<Vec<u8>, PreprocessError> {
    let about = std::fs::metadata(path).map_err(PreprocessError::Read)?;
    if !about.is_file() {
        return Err(PreprocessError::NotAFile);
    }
    limits.check_memory(about.len())?;
    let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or_default());
    let file = File::open(path).map_err(PreprocessError::Read)?;
    // It may have grown since.
    file.take(limits.max_memory).read_to_end(&mut bytes).map_err(PreprocessError::Read)?;
    Ok(bytes)
}

fn decode_bytes(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, PreprocessError> {
    let file = Cursor::new(bytes);
    let limits = options.limits;
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => {
            let limits = limits.of_decoder(bytes);
            let decoder = PngDecoder::with_limits(file, limits).map_err(|e| failure("png", &e))?;
            let has_gray16 = bytes.get(24..26) == Some(&[16, 0]); // bits and kind of colour
            decode_with("png", decoder, bytes, options, |image| match image {
                // Grey that is transparent where it has a certain value is no less grey.
                DynamicImage::ImageLumaA16(image) if has_gray16 => {
                    let (width, height) = image.dimensions();
                    let to_u8 = |value| options.gray16.to_u8(value);
                    let pixels = colour::gray_alpha(image.as_raw(), options, to_u8);
                    RgbImage::new(width, height, pixels)
                }
                image => colour::to_rgb(image, options),
            })
        }
        [0xff, 0xd8, 0xff, ..] => jpeg::decode(bytes, options),
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
    // The samples, and the same again for what becomes of them.
    let samples = decoder.total_bytes().saturating_add(3 * u64::from(width) * u64::from(height));
    options.limits.check_memory(samples.saturating_add(bytes.len() as u64))?;
    decoder.set_limits(options.limits.of_decoder(bytes)).map_err(|e| failure(format, &e))?;
    let turn = match options.orientation {
        Orientation::Ignore => Turn::NoTransforms,
        Orientation::Apply => {
            let exif = decoder.exif_metadata().map_err(|e| failure(format, &e))?;
            let xmp = decoder.xmp_metadata().map_err(|e| failure(format, &e))?;
            orientation::of(exif.as_deref(), xmp.as_deref())
        }
    };
    let image = DynamicImage::from_decoder(decoder).map_err(|e| failure(format, &e))?;
    turned(to_rgb(image)?, turn)
}

/// The image as the orientation says.
fn turned(image: RgbImage, turn: Turn) -> Result<RgbImage, PreprocessError> {
    if turn == Turn::NoTransforms {
        return Ok(image);
    }
    let (width, height) = (image.width(), image.height());
    let buffer = image::RgbImage::from_raw(width, height, image.into_pixels());
    let mut image = DynamicImage::ImageRgb8(buffer.expect("as many pixels as the size says"));
    image.apply_orientation(turn);
    RgbImage::new(image.width(), image.height(), image.into_bytes())
}

impl DecodeLimits {
    fn check_pixels(self, width: u32, height: u32) -> Result<(), PreprocessError> {
        if width == 0 || height == 0 {
            return Err(PreprocessError::NoPixels { width, height });
        }
        let limit = self.max_pixels;
        if u64::from(width) * u64::from(height) > limit {
            return Err(PreprocessError::TooManyPixels { width, height, limit });
        }
        Ok(())
    }

    fn check_memory(self, needed: u64) -> Result<(), PreprocessError> {
        let limit = self.max_memory;
        if needed > limit {
            return Err(PreprocessError::TooMuchMemory { needed, limit });
        }
        Ok(())
    }

    /// What is left for a decoder beside the file itself.
    fn of_decoder(self, bytes: &[u8]) -> image::Limits {
        let mut limits = image::Limits::no_limits();
        limits.max_alloc = Some(self.max_memory.saturating_sub(bytes.len() as u64));
        limits
    }
}

/// What a decoder of the `image` crate says, as an error of ours.
fn failure(format: &'static str, error: &ImageError) -> PreprocessError {
    match error {
        ImageError::Unsupported(error) => {
            PreprocessError::Unsupported { format, what: error.to_string() }
        }
        error => PreprocessError::Damaged { format, reason: error.to_string() },
    }
}
