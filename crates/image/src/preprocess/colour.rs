//! Converts every pixel format to 8-bit RGB, with Pillow's arithmetic.

use image::DynamicImage;

use super::{DecodeOptions, Gray16, PreprocessError, RgbImage, Transparency};

/// Converts to 8-bit RGB.
///
/// 16-bit samples lose their low byte, except 16-bit grey without alpha: Pillow clips it at 255, and
/// [`Gray16::HighByte`] repairs that.
pub(super) fn to_rgb(
    image: DynamicImage,
    options: &DecodeOptions,
) -> Result<RgbImage, PreprocessError> {
    let (width, height) = (image.width(), image.height());
    let pixels = match image {
        DynamicImage::ImageRgb8(image) => image.into_raw(),
        DynamicImage::ImageLuma8(image) => gray(image.as_raw(), |&v| v),
        DynamicImage::ImageLumaA8(image) => gray_alpha(image.as_raw(), options, |v| v),
        DynamicImage::ImageRgba8(image) => rgb_alpha(image.as_raw(), options, |v| v),
        DynamicImage::ImageLuma16(image) => gray(image.as_raw(), |&v| options.gray16.to_u8(v)),
        DynamicImage::ImageLumaA16(image) => gray_alpha(image.as_raw(), options, high),
        DynamicImage::ImageRgb16(image) => image.as_raw().iter().map(|&v| high(v)).collect(),
        DynamicImage::ImageRgba16(image) => rgb_alpha(image.as_raw(), options, high),
        // Float colours from 0 to 1, which Pillow does not support.
        DynamicImage::ImageRgba32F(_) => rgb_alpha(image.into_rgba8().as_raw(), options, |v| v),
        other => other.into_rgb8().into_raw(),
    };
    RgbImage::new(width, height, pixels)
}

/// Converts with [`DecodeOptions::default`]: drops alpha, clips 16-bit grey, and keeps the high byte of
/// 16-bit colours.
impl TryFrom<DynamicImage> for RgbImage {
    type Error = PreprocessError;

    fn try_from(image: DynamicImage) -> Result<Self, Self::Error> {
        to_rgb(image, &DecodeOptions::default())
    }
}

/// The high byte.
pub(super) fn high(value: u16) -> u8 {
    (value >> 8) as u8
}

impl Gray16 {
    pub(super) fn to_u8(self, value: u16) -> u8 {
        match self {
            Self::Clip => value.min(255) as u8,
            Self::HighByte => high(value),
        }
    }
}

/// Converts grey to three equal channels.
pub(super) fn gray<T>(samples: &[T], to_u8: impl Fn(&T) -> u8) -> Vec<u8> {
    samples.iter().flat_map(|sample| [to_u8(sample); 3]).collect()
}

/// Converts grey with alpha.
pub(super) fn gray_alpha<T: Copy>(
    samples: &[T],
    options: &DecodeOptions,
    to_u8: impl Fn(T) -> u8,
) -> Vec<u8> {
    let pixel = |[v, a]: &[T; 2]| over([to_u8(*v); 3], to_u8(*a), options.transparency);
    samples.as_chunks().0.iter().flat_map(pixel).collect()
}

/// Converts red, green, blue and alpha.
pub(super) fn rgb_alpha<T: Copy>(
    samples: &[T],
    options: &DecodeOptions,
    to_u8: impl Fn(T) -> u8,
) -> Vec<u8> {
    let pixel = |[r, g, b, a]: &[T; 4]| {
        over([to_u8(*r), to_u8(*g), to_u8(*b)], to_u8(*a), options.transparency)
    };
    samples.as_chunks().0.iter().flat_map(pixel).collect()
}

/// Composites a pixel over the background, if any.
fn over(colour: [u8; 3], alpha: u8, transparency: Transparency) -> [u8; 3] {
    let Transparency::Composite(background) = transparency else { return colour };
    let alpha = u32::from(alpha);
    let mut mixed = colour;
    for (value, background) in mixed.iter_mut().zip(background) {
        let sum = u32::from(*value) * alpha + u32::from(background) * (255 - alpha);
        *value = ((sum + 127) / 255) as u8;
    }
    mixed
}

/// Converts CMYK, where 255 is full ink, to RGB.
pub(super) fn from_cmyk(samples: &[u8]) -> Vec<u8> {
    let pixel = |&[c, m, y, k]: &[u8; 4]| {
        let light = 255 - k;
        [c, m, y].map(|ink| light.saturating_sub(product(ink, light)))
    };
    samples.as_chunks().0.iter().flat_map(pixel).collect()
}

/// `a * b / 255`, rounded.
fn product(a: u8, b: u8) -> u8 {
    let t = u32::from(a) * u32::from(b) + 128;
    (((t >> 8) + t) >> 8) as u8
}
