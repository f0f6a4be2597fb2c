//! Converts images to tensors as a configuration says.

use std::{num::NonZeroUsize, path::Path};

use super::{
    DecodeOptions, ImageInput, PreprocessError, ResizeQuality, RgbImage, Tiles,
    arithmetic::Tables,
    config::{Frame, Plan, Sizing},
    decode::{self, decode_for, jpeg},
    geometry::Span,
    resize::{Pixels as Source, Stream, Target, resize_rows},
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

    /// Decodes an image for [`apply`](Self::apply) or [`tiles`](Self::tiles) of this preprocessor. Pixels
    /// that its resize does not need are left out with [`Jpeg::Scaled`](super::Jpeg::Scaled).
    ///
    /// # Errors
    ///
    /// See [`decode`](super::decode()).
    pub fn decode(
        &self,
        input: &ImageInput,
        options: &DecodeOptions,
    ) -> Result<RgbImage, PreprocessError> {
        decode_for(input, options, &|width, height| self.resized(width, height))
    }

    /// Decodes an image and converts it to a tensor. The result is that of [`decode`](Self::decode) and
    /// [`apply`](Self::apply), but a JPEG file is resized while it is decoded, without all of its pixels
    /// in memory.
    ///
    /// # Errors
    ///
    /// See [`decode`](Self::decode) and [`apply`](Self::apply).
    pub fn read(
        &self,
        input: &ImageInput,
        options: &DecodeOptions,
    ) -> Result<Pixels, PreprocessError> {
        let failed = |error| decode::located(input, error);
        let content;
        let bytes = match input {
            ImageInput::Path(path) => {
                content = decode::read(path, options.limits).map_err(failed)?;
                &content
            }
            ImageInput::Bytes(bytes) => bytes,
            ImageInput::Decoded(image) => return self.apply(image),
        };
        let resized = |width, height| self.resized(width, height);
        if !bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            let image = decode::decode_bytes(bytes, options, &resized).map_err(failed)?;
            return self.apply(&image);
        }
        let file = jpeg::File::open(bytes, options, &resized).map_err(failed)?;
        let geometry = file.geometry();
        let stream = if file.is_turned() {
            None
        } else {
            let layout = self.layout(geometry.original())?;
            Stream::new(geometry, &layout.target)?.map(|stream| (stream, layout))
        };
        let Some((mut stream, layout)) = stream else {
            return self.apply(&file.decode().map_err(failed)?);
        };
        file.decode_rows(&mut |rows| stream.push(rows)).map_err(failed)?;
        let (height, width) = layout.size();
        let mut values = vec![0.0; 3 * height * width];
        self.fill(layout, &mut values, |_, each| {
            stream.finish(each);
            Ok(())
        })?;
        Ok(Pixels { shape: [3, height, width], values })
    }

    fn resized(&self, width: u32, height: u32) -> Option<(u32, u32)> {
        self.plan.resize.map(|(sizing, _)| sizing.of(width, height))
    }

    /// Height and width of an image's tensor.
    ///
    /// # Errors
    ///
    /// [`PreprocessError::OutputTooLarge`], or [`PreprocessError::WrongKind`] if the configuration
    /// makes tiles.
    pub fn size_of(&self, image: &RgbImage) -> Result<(usize, usize), PreprocessError> {
        self.layout(image.original_size()).map(|layout| layout.size())
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
        let layout = self.layout(image.original_size())?;
        let (height, width) = layout.size();
        let expected = 3 * height * width;
        if out.len() != expected {
            let found = out.len();
            return Err(PreprocessError::WrongBuffer { height, width, expected, found });
        }
        self.fill(layout, out, |target, each| resize_rows(Source::of(image), target, each))
    }

    /// Writes a tensor of the rows that `resize` passes.
    fn fill(
        &self,
        layout: Layout,
        out: &mut [f32],
        resize: impl FnOnce(&Target, &mut dyn FnMut(usize, &[u8])) -> Result<(), PreprocessError>,
    ) -> Result<(), PreprocessError> {
        let Layout { target, rows, columns } = layout;
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
        let across = columns.at..columns.at + target.columns.len();
        resize(&target, &mut |y, row| {
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

    /// Resize and placement of an image of this size.
    fn layout(&self, original: (u32, u32)) -> Result<Layout, PreprocessError> {
        if self.plan.tiles.is_some() {
            return Err(PreprocessError::WrongKind { makes_tiles: true });
        }
        let (width, height) = self.resized(original.0, original.1).unwrap_or(original);
        let (rows, columns) = self.plan.frame.spans((width, height));
        self.options.check("a tensor", columns.length as u64, rows.length as u64)?;
        let target = Target {
            width,
            height,
            columns: columns.window.clone(),
            rows: rows.window.clone(),
            // Without a resize the size stays and no filter is used.
            filter: self.plan.resize.map_or(super::Filter::Nearest, |(_, filter)| filter),
            quality: self.options.quality,
            threads: self.options.threads,
        };
        Ok(Layout { target, rows, columns })
    }
}

/// Resize of an image, and the placement of its rows and columns.
struct Layout {
    target: Target,
    rows: Span,
    columns: Span,
}

impl Layout {
    /// Height and width of the tensor.
    fn size(&self) -> (usize, usize) {
        (self.rows.length, self.columns.length)
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
