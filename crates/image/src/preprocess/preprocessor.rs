//! Converts images to tensors as a configuration says.

use std::{num::NonZeroUsize, path::Path};

use super::{
    PreprocessError, ResizeQuality, RgbImage, Tiles,
    arithmetic::Tables,
    config::{Frame, Plan, Sizing},
    geometry::Span,
    resize::{Pixels as Source, Target, resize_rows},
    tiles,
};

/// Converts images to tensors, compiled from a model's `preprocessor_config.json`.
///
/// Values are bit-equal to FastEmbed 0.9.1 with Pillow 12 for all of its processors:
/// `CLIPImageProcessor`, `SiglipImageProcessor`, `ConvNextFeatureExtractor`, `JinaCLIPImageProcessor`
/// and `Idefics3ImageProcessor`. As in FastEmbed, `do_resize`, `do_center_crop` and `do_normalize` are
/// off unless the file switches them on, even if other libraries read it differently.
#[derive(Clone)]
pub struct Preprocessor {
    plan: Plan,
    options: PreprocessOptions,
    tables: Box<Tables>,
    padded: Box<Tables>,
}

/// Options of preprocessing beside the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreprocessOptions {
    /// Closeness of resizing to Pillow.
    pub quality: ResizeQuality,
    /// Maximum pixels of one image's tensor and of each intermediate image, without cropped parts. The
    /// default is 2^26, a tensor of 805 MB.
    pub max_pixels: u64,
    /// Threads for one image, which share the rows of a large one. The default is 1: for several
    /// images, one thread for each image is faster.
    pub threads: NonZeroUsize,
}

impl Default for PreprocessOptions {
    fn default() -> Self {
        Self { quality: ResizeQuality::Exact, max_pixels: 1 << 26, threads: NonZeroUsize::MIN }
    }
}

impl std::fmt::Debug for Preprocessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Preprocessor")
            .field("output_size", &self.output_size())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Tensor of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    /// Channels, rows and columns: 3, height, width.
    pub shape: [usize; 3],
    /// Values in that order: the plane of red, then green, then blue, each row by row.
    pub values: Vec<f32>,
}

impl Preprocessor {
    /// Reads a `preprocessor_config.json`.
    ///
    /// # Errors
    ///
    /// [`PreprocessError::ConfigFile`] with the path and the reason.
    pub fn from_file(path: &Path) -> Result<Self, PreprocessError> {
        /// Maximum size of the file in bytes; such files have some hundred.
        const LIMIT: u64 = 1 << 20;
        let read = || {
            let about = std::fs::metadata(path).map_err(PreprocessError::Read)?;
            if !about.is_file() {
                return Err(PreprocessError::NotAFile);
            }
            if about.len() > LIMIT {
                return Err(PreprocessError::TooMuchMemory { needed: about.len(), limit: LIMIT });
            }
            Self::from_json(&std::fs::read(path).map_err(PreprocessError::Read)?)
        };
        read().map_err(|source| PreprocessError::ConfigFile {
            path: path.to_owned(),
            source: source.into(),
        })
    }

    /// Compiles the content of a `preprocessor_config.json`.
    ///
    /// # Errors
    ///
    /// [`PreprocessError::Json`], [`PreprocessError::UnknownPreprocessor`],
    /// [`PreprocessError::MissingKey`] or [`PreprocessError::WrongValue`].
    pub fn from_json(config: &[u8]) -> Result<Self, PreprocessError> {
        let plan = Plan::from_json(config)?;
        let tables = Box::new(Tables::new(&plan.arithmetic));
        let padded = Box::new(Tables::padded(&plan.arithmetic));
        Ok(Self { plan, options: PreprocessOptions::default(), tables, padded })
    }

    /// Sets the options.
    #[must_use]
    pub fn with_options(mut self, options: PreprocessOptions) -> Self {
        self.options = options;
        self
    }

    /// Height and width of the tensors, if they are the same for every image. With tiles, the size of
    /// one tile.
    #[must_use]
    pub fn output_size(&self) -> Option<(usize, usize)> {
        let (height, width) = match (self.plan.tiles, self.plan.frame, self.plan.resize) {
            (Some(tiling), _, _) => (tiling.side, tiling.side),
            (_, Frame::Crop { width, height }, _) => (height, width),
            (_, Frame::Square { side, .. }, _) => (side, side),
            (_, Frame::None, Some((Sizing::Exact { width, height }, _))) => (height, width),
            _ => return None,
        };
        Some((height as usize, width as usize))
    }

    /// Returns `true` if images are cut into tiles, which needs [`tiles`](Self::tiles) instead of
    /// [`apply`](Self::apply).
    #[must_use]
    pub fn makes_tiles(&self) -> bool {
        self.plan.tiles.is_some()
    }

    /// Height and width of an image's tensor.
    ///
    /// # Errors
    ///
    /// [`PreprocessError::OutputTooLarge`], or [`PreprocessError::WrongKind`] if the configuration
    /// makes tiles.
    pub fn size_of(&self, image: &RgbImage) -> Result<(usize, usize), PreprocessError> {
        self.layout(image).map(|(_, rows, columns)| (rows.length, columns.length))
    }

    /// Converts an image to a tensor.
    ///
    /// # Errors
    ///
    /// See [`size_of`](Self::size_of) and [`resize`](super::resize()).
    pub fn apply(&self, image: &RgbImage) -> Result<Pixels, PreprocessError> {
        let (height, width) = self.size_of(image)?;
        let mut values = vec![0.0; 3 * height * width];
        self.apply_into(image, &mut values)?;
        Ok(Pixels { shape: [3, height, width], values })
    }

    /// Writes an image's tensor, `3 * height * width` values, into its part of a batch.
    ///
    /// # Errors
    ///
    /// See [`apply`](Self::apply); [`PreprocessError::WrongBuffer`] if the length of the part
    /// contradicts [`size_of`](Self::size_of).
    pub fn apply_into(&self, image: &RgbImage, out: &mut [f32]) -> Result<(), PreprocessError> {
        let ((width, height), rows, columns) = self.layout(image)?;
        let expected = 3 * rows.length * columns.length;
        if out.len() != expected {
            return Err(PreprocessError::WrongBuffer {
                height: rows.length,
                width: columns.length,
                expected,
                found: out.len(),
            });
        }
        let is_padded = rows.is_padded() || columns.is_padded();
        // A crop padded with zeros is already floating point before it is rescaled.
        let tables = match self.plan.frame {
            Frame::Crop { .. } if is_padded => &self.padded,
            _ => &self.tables,
        };
        let mut planes = Planes::new(out, columns.length);
        if is_padded {
            planes.fill(tables.of(self.plan.frame.fill()));
        }
        let target = Target {
            width,
            height,
            columns: columns.window,
            rows: rows.window,
            // Without a resize the size stays and no filter is used.
            filter: self.plan.resize.map_or(super::Filter::Nearest, |(_, filter)| filter),
            quality: self.options.quality,
            threads: self.options.threads,
        };
        let across = columns.at..columns.at + target.columns.len();
        resize_rows(Source::of(image), &target, &mut |y, row| {
            tables.write(row, planes.row(rows.at + y, across.clone()));
        })
    }

    /// Cuts an image into tiles.
    ///
    /// # Errors
    ///
    /// [`PreprocessError::WrongKind`] if the configuration makes no tiles; see also
    /// [`resize`](super::resize()).
    pub fn tiles(&self, image: &RgbImage) -> Result<Tiles, PreprocessError> {
        let Some(tiling) = self.plan.tiles else {
            return Err(PreprocessError::WrongKind { makes_tiles: false });
        };
        tiles::cut(image, self.plan.resize, tiling, self.options, &self.tables)
    }

    /// Width and height of the resized image, and the placement of its rows and columns.
    fn layout(&self, image: &RgbImage) -> Result<((u32, u32), Span, Span), PreprocessError> {
        if self.plan.tiles.is_some() {
            return Err(PreprocessError::WrongKind { makes_tiles: true });
        }
        let size = (image.width(), image.height());
        let size = self.plan.resize.map_or(size, |(sizing, _)| sizing.of(size.0, size.1));
        let (rows, columns) = self.plan.frame.spans(size);
        self.options.check("a tensor", columns.length as u64, rows.length as u64)?;
        Ok((size, rows, columns))
    }
}

impl PreprocessOptions {
    pub(super) fn check(
        self,
        what: &'static str,
        width: u64,
        height: u64,
    ) -> Result<(), PreprocessError> {
        let limit = self.max_pixels;
        if width.saturating_mul(height) > limit {
            return Err(PreprocessError::OutputTooLarge { what, width, height, limit });
        }
        Ok(())
    }
}

/// Three planes of a tensor.
pub(super) struct Planes<'a> {
    planes: [&'a mut [f32]; 3],
    width: usize,
}

impl<'a> Planes<'a> {
    /// Splits a tensor of three planes with rows of `width` values.
    pub(super) fn new(values: &'a mut [f32], width: usize) -> Self {
        let (red, rest) = values.split_at_mut(values.len() / 3);
        let (green, blue) = rest.split_at_mut(rest.len() / 2);
        Self { planes: [red, green, blue], width }
    }

    fn fill(&mut self, colour: [f32; 3]) {
        self.planes.iter_mut().zip(colour).for_each(|(plane, value)| plane.fill(value));
    }

    /// Some columns of a row in each plane.
    pub(super) fn row(&mut self, y: usize, columns: std::ops::Range<usize>) -> [&mut [f32]; 3] {
        let start = y * self.width;
        self.planes.each_mut().map(|plane| &mut plane[start + columns.start..start + columns.end])
    }
}
