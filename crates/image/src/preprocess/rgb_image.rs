//! A decoded image.

use std::{fmt, sync::Arc};

use super::PreprocessError;

/// A decoded image: 8 bits for each of red, green and blue. Clones share their pixels.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    width: u32,
    height: u32,
    pixels: Arc<Vec<u8>>,
}

impl RgbImage {
    /// An image of `pixels`: rows from the top, each with red, green and blue of every pixel, without gaps.
    ///
    /// # Errors
    ///
    /// [`PreprocessError::NoPixels`] if a side is 0, [`PreprocessError::WrongLength`] if there are not
    /// `3 * width * height` bytes.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self, PreprocessError> {
        if width == 0 || height == 0 {
            return Err(PreprocessError::NoPixels { width, height });
        }
        let expected = 3 * u128::from(width) * u128::from(height);
        if expected != pixels.len() as u128 {
            let expected = u64::try_from(expected).unwrap_or(u64::MAX);
            return Err(PreprocessError::WrongLength {
                width,
                height,
                expected,
                found: pixels.len(),
            });
        }
        Ok(Self { width, height, pixels: Arc::new(pixels) })
    }

    /// Columns, at least 1.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows, at least 1.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// `3 * width * height` bytes: rows from the top, red, green and blue of each pixel.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The pixels without a copy, unless a clone of the image shares them.
    #[must_use]
    pub fn into_pixels(self) -> Vec<u8> {
        Arc::unwrap_or_clone(self.pixels)
    }
}

impl fmt::Debug for RgbImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RgbImage")
            .field("width", &self.width)
            .field("height", &self.height)
            .finish_non_exhaustive()
    }
}
