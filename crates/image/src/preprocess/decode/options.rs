//! Options of decoding, and their limits.

use crate::preprocess::PreprocessError;

/// Options of decoding. The default gives the pixels that FastEmbed gets from Pillow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Limits on size and memory.
    pub limits: DecodeLimits,
    /// Handling of the EXIF orientation.
    pub orientation: Orientation,
    /// Handling of transparency.
    pub transparency: Transparency,
    /// Handling of 16-bit grey.
    pub gray16: Gray16,
    /// Size at which JPEG is decoded.
    pub jpeg: Jpeg,
}

/// Limits of decoding. Larger images are an error before they are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Maximum number of pixels. The default, 178 956 970, is Pillow's limit for decompression bombs.
    pub max_pixels: u64,
    /// Maximum bytes for one image: the file, the decoded samples, and the decoder's own memory as far
    /// as it is known in advance. The default is 2 GiB.
    pub max_memory: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_pixels: 178_956_970, max_memory: 2 << 30 }
    }
}

/// Handling of the EXIF orientation that cameras write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Orientation {
    /// Ignores it, as FastEmbed does: photographs of turned cameras stay turned. The orientation of TIFF
    /// files is part of the format and always applied, as in Pillow.
    #[default]
    Ignore,
    /// Rotates and mirrors the image as the file says.
    Apply,
}

/// Handling of transparency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transparency {
    /// Drops it, as FastEmbed does: transparent pixels show their hidden colour.
    #[default]
    Drop,
    /// Composites the image over a background of this colour.
    Composite([u8; 3]),
}

/// Handling of images with one 16-bit channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Gray16 {
    /// Clips values at 255, as Pillow does: most such images become white.
    #[default]
    Clip,
    /// Keeps the high byte, as for every other 16-bit image.
    HighByte,
}

/// Size at which JPEG files are decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Jpeg {
    /// The size of the image, as in FastEmbed.
    #[default]
    Full,
    /// A half, a quarter or an eighth of it, the smallest with at least twice the width and height that
    /// the image is resized to, by an inverse cosine transform of fewer coefficients.
    ///
    /// Faster for large photographs. The pixels are those of Pillow's `Image.draft`. Sizes and crops are
    /// computed from the whole image, so they stay. Resized pixels of photographs differ by up to 16 of
    /// 255 levels, and by 0.2 to 1.3 on average.
    ///
    /// Models and [`Preprocessor::decode`](crate::Preprocessor::decode) know what they resize to;
    /// [`decode`](crate::decode()) does not and ignores this.
    Scaled,
}

impl DecodeLimits {
    /// Checks the dimensions of an image.
    pub(super) fn check_pixels(self, width: u32, height: u32) -> Result<(), PreprocessError> {
        if width == 0 || height == 0 {
            return Err(PreprocessError::NoPixels { width, height });
        }
        let limit = self.max_pixels;
        if u64::from(width) * u64::from(height) > limit {
            return Err(PreprocessError::TooManyPixels { width, height, limit });
        }
        Ok(())
    }

    /// Checks the bytes that an image needs.
    pub(super) fn check_memory(self, needed: u64) -> Result<(), PreprocessError> {
        let limit = self.max_memory;
        if needed > limit {
            return Err(PreprocessError::TooMuchMemory { needed, limit });
        }
        Ok(())
    }

    /// Limits for a decoder of the `image` crate, with the memory left beside the file itself.
    pub(super) fn for_decoder(self, bytes: &[u8]) -> image::Limits {
        let mut limits = image::Limits::no_limits();
        limits.max_alloc = Some(self.max_memory.saturating_sub(bytes.len() as u64));
        limits
    }
}
