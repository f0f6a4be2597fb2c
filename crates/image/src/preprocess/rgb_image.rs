//! A decoded image.

use std::{fmt, ops::Range, sync::Arc};

use image::{DynamicImage, metadata::Orientation as Turn};

use super::PreprocessError;

/// A decoded image: 8 bits for each of red, green and blue. Clones share their pixels.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    geometry: Geometry,
    pixels: Arc<Vec<u8>>,
}

/// Pixels of an image, and what they are of the original.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    columns: Axis,
    rows: Axis,
}

/// One axis of an image, which may have been decoded with fewer pixels.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Axis {
    original: u32,
    /// Divisor of the original number of pixels; the quotient is rounded up.
    reduction: u32,
    /// True where rounding completed the first pixel rather than the last.
    mirrored: bool,
}

impl Axis {
    fn pixels(self) -> u32 {
        self.original.div_ceil(self.reduction)
    }

    fn extent(self) -> Range<f64> {
        let length = f64::from(self.original) / f64::from(self.reduction);
        let start = if self.mirrored { f64::from(self.pixels()) - length } else { 0.0 };
        start..start + length
    }
}

impl Geometry {
    /// An image whose sides were divided by `reduction` and rounded up.
    pub(super) fn reduced((width, height): (u32, u32), reduction: u32) -> Self {
        let axis = |original| Axis { original, reduction, mirrored: false };
        Self { columns: axis(width), rows: axis(height) }
    }

    /// Columns and rows.
    pub(super) fn pixels(self) -> (u32, u32) {
        (self.columns.pixels(), self.rows.pixels())
    }

    /// Width and height of the original.
    pub(super) fn original(self) -> (u32, u32) {
        (self.columns.original, self.rows.original)
    }

    /// Columns and rows that the image covers, the last or the first of them perhaps in part.
    pub(super) fn extent(self) -> (Range<f64>, Range<f64>) {
        (self.columns.extent(), self.rows.extent())
    }

    fn turned(self, turn: Turn) -> Self {
        let Self { columns, rows } = self;
        let mirrored = |axis: Axis| Axis { mirrored: !axis.mirrored, ..axis };
        let (columns, rows) = match turn {
            Turn::NoTransforms => (columns, rows),
            Turn::FlipHorizontal => (mirrored(columns), rows),
            Turn::FlipVertical => (columns, mirrored(rows)),
            Turn::Rotate180 => (mirrored(columns), mirrored(rows)),
            Turn::Rotate90 => (mirrored(rows), columns),
            Turn::Rotate270 => (rows, mirrored(columns)),
            Turn::Rotate90FlipH => (rows, columns),
            Turn::Rotate270FlipH => (mirrored(rows), mirrored(columns)),
        };
        Self { columns, rows }
    }
}

impl RgbImage {
    /// An image of `pixels`: rows from the top, each with red, green and blue of every pixel, without gaps.
    ///
    /// # Errors
    ///
    /// [`PreprocessError::NoPixels`] if a side is 0, [`PreprocessError::WrongLength`] if there are not
    /// An image of `pixels`: rows from the top, each with red, green and blue of every pixel, without gaps.
    ///
    /// # Errors
    ///
    /// [`PreprocessError::NoPixels`] if a side is 0, [`PreprocessError::WrongLength`] if there are not
    /// `3 * width * height` bytes.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self, PreprocessError> {
        Self::with_geometry(Geometry::reduced((width, height), 1), pixels)
    }

    /// An image that may have fewer pixels than its original.
    pub(super) fn with_geometry(
        geometry: Geometry,
        pixels: Vec<u8>,
    ) -> Result<Self, PreprocessError> {
        let (width, height) = geometry.pixels();
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
        Ok(Self { geometry, pixels: Arc::new(pixels) })
    }

    /// Columns, at least 1.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.geometry.pixels().0
    }

    /// Rows, at least 1.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.geometry.pixels().1
    }

    /// Width and height of the image in its file. They are larger than those of the pixels if it was
    /// decoded by [`Jpeg::Scaled`](super::Jpeg::Scaled).
    #[must_use]
    pub fn original_size(&self) -> (u32, u32) {
        self.geometry.original()
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Rotates and mirrors the image.
    pub(super) fn turned(self, turn: Turn) -> Self {
        if turn == Turn::NoTransforms {
            return self;
        }
        let geometry = self.geometry.turned(turn);
        let buffer = image::RgbImage::from_raw(self.width(), self.height(), self.into_pixels());
        let mut image = DynamicImage::ImageRgb8(buffer.expect("as many pixels as the size says"));
        image.apply_orientation(turn);
        Self { geometry, pixels: Arc::new(image.into_bytes()) }
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
            .field("width", &self.width())
            .field("height", &self.height())
            .finish_non_exhaustive()
    }
}
