//! Resizing with the pixels of Pillow 12.
//!
//! Resizing is separable: a horizontal pass, then a vertical one, each only if its side changes. A pass
//! rounds to 8 bits, so the order affects the result. Weights are fixed-point integers with 22 fraction
//! bits.
//!
//! Images more than a hundred times as high as wide that become lower are resized vertically first.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod fast;
mod nearest;
mod passes;
mod weights;

use std::{num::NonZeroUsize, ops::Range};

use self::weights::Weights;
use super::{PreprocessError, RgbImage, rgb_image::Geometry};

/// Resampling filters of Pillow, with their numbers in configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    /// 0: nearest neighbour.
    Nearest,
    /// 1: Lanczos with three lobes.
    Lanczos,
    /// 2: bilinear (a triangle).
    Bilinear,
    /// 3: bicubic convolution with a = -0.5, also called Catmull-Rom.
    Bicubic,
    /// 4: box, the mean of the covered input pixels.
    Box,
    /// 5: Hamming, a triangle sharpened by a Hamming window.
    Hamming,
}

/// Closeness of resizing to Pillow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ResizeQuality {
    /// The same pixels as Pillow 12.
    #[default]
    Exact,
    /// Uses `fast_image_resize`, with 16-bit weights and the passes in Pillow's order.
    ///
    /// Differences on noise with hard edges of 3000 random sizes: bilinear, bicubic and Lanczos differ
    /// by at most 2 levels in 0.8 % of the values, Hamming by 1 level in 0.2 %. The box filter differs
    /// in 0.4 %, and there by up to 128, as a pixel on the border of two boxes falls into the other.
    /// Photographs differ in 0.1 to 1 %. Nearest has no weights and is identical.
    ///
    /// With AVX2 the exact path is as fast or faster, so this one is for other processors.
    Fast,
}

/// Maximum side before and after resizing.
const MAX_SIDE: u32 = 1 << 24;

/// Resizes an image to `width` by `height` pixels.
///
/// # Errors
///
/// [`PreprocessError::ZeroTarget`] if a side would be 0, [`PreprocessError::OutputTooLarge`] if a side
/// exceeds 16 777 216 or the result 2^31 pixels.
pub fn resize(
    image: &RgbImage,
    width: u32,
    height: u32,
    filter: Filter,
    quality: ResizeQuality,
) -> Result<RgbImage, PreprocessError> {
    const LIMIT: u64 = 1 << 31;
    let pixels = u64::from(width) * u64::from(height);
    if pixels > LIMIT {
        return Err(PreprocessError::OutputTooLarge {
            what: "a resized image",
            width: width.into(),
            height: height.into(),
            limit: LIMIT,
        });
    }
    let target = Target::whole(width, height, filter, quality);
    let mut resized = Vec::with_capacity(3 * pixels as usize);
    resize_rows(Pixels::of(image), &target, &mut |_, row| resized.extend_from_slice(row))?;
    RgbImage::new(width, height, resized)
}

/// Borrowed pixels.
#[derive(Clone, Copy)]
pub(super) struct Pixels<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Part of the columns and rows that the image covers.
    pub(super) extent: (Extent, Extent),
    /// Interleaved red, green and blue, rows from the top.
    pub(super) bytes: &'a [u8],
}

/// Range of an axis, in pixels: all of them, or less where the image covers one in part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extent {
    pub(super) start: f64,
    pub(super) end: f64,
}

impl Extent {
    pub(super) fn whole(pixels: usize) -> Self {
        Self { start: 0.0, end: pixels as f64 }
    }

    pub(super) fn length(self) -> f64 {
        self.end - self.start
    }
}

fn extent_of(geometry: Geometry) -> (Extent, Extent) {
    let (columns, rows) = geometry.extent();
    let extent = |range: Range<f64>| Extent { start: range.start, end: range.end };
    (extent(columns), extent(rows))
}

impl<'a> Pixels<'a> {
    pub(super) fn of(image: &'a RgbImage) -> Self {
        let (width, height) = (image.width() as usize, image.height() as usize);
        Self { width, height, extent: extent_of(image.geometry()), bytes: image.pixels() }
    }

    pub(super) fn new(width: usize, height: usize, bytes: &'a [u8]) -> Self {
        Self { width, height, extent: (Extent::whole(width), Extent::whole(height)), bytes }
    }

    pub(super) fn row(&self, y: usize) -> &'a [u8] {
        &self.bytes[3 * self.width * y..][..3 * self.width]
    }
}

/// Target size, and the needed part of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Needed columns of the resized image.
    pub(super) columns: Range<usize>,
    /// Needed rows of the resized image.
    pub(super) rows: Range<usize>,
    pub(super) filter: Filter,
    pub(super) quality: ResizeQuality,
    /// Instruction set of the exact horizontal pass.
    pub(super) threads: NonZeroUsize,
}

impl Target {
    pub(super) fn whole(width: u32, height: u32, filter: Filter, quality: ResizeQuality) -> Self {
        let (columns, rows) = (0..width as usize, 0..height as usize);
        Self { width, height, columns, rows, filter, quality, threads: NonZeroUsize::MIN }
    }

    /// Checks the sides of this target and of an image.
    fn check(&self, columns: usize, rows: usize) -> Result<(), PreprocessError> {
        let (width, height) = (self.width as usize, self.height as usize);
        if width == 0 || height == 0 {
            return Err(PreprocessError::ZeroTarget { width: self.width, height: self.height });
        }
        let longest = width.max(height).max(columns).max(rows);
        if longest > MAX_SIDE as usize && (width, height) != (columns, rows) {
            return Err(PreprocessError::OutputTooLarge {
                what: "a resize with a side",
                width: columns.max(width) as u64,
                height: rows.max(height) as u64,
                limit: MAX_SIDE.into(),
            });
        }
        Ok(())
    }
}

/// Resizes, and passes the rows of the target's window from the top, numbered from 0.
pub(super) fn resize_rows(
    image: Pixels<'_>,
    target: &Target,
    each: &mut dyn FnMut(usize, &[u8]),
) -> Result<(), PreprocessError> {
    let (width, height) = (target.width as usize, target.height as usize);
    target.check(image.width, image.height)?;
    if (width, height) == (image.width, image.height) {
        let bytes = 3 * target.columns.start..3 * target.columns.end;
        for (number, y) in target.rows.clone().enumerate() {
            each(number, &image.row(y)[bytes.clone()]);
        }
    } else if target.filter == Filter::Nearest {
        nearest::rows(image, target, each);
    } else if image.height > 100 * image.width && height < image.height && width != image.width {
        let down = Target { width: image.width as u32, columns: 0..image.width, ..target.clone() };
        let mut lower = Vec::with_capacity(3 * image.width * target.rows.len());
        resize_rows(image, &down, &mut |_, row| lower.extend_from_slice(row))?;
        let rows = target.rows.len();
        let extent = (image.extent.0, Extent::whole(rows));
        let lower = Pixels { width: image.width, height: rows, extent, bytes: &lower };
        let across = Target { height: rows as u32, rows: 0..rows, ..target.clone() };
        resize_rows(lower, &across, each)?;
    } else if target.quality == ResizeQuality::Fast {
        fast::rows(image, target, each);
    } else {
        convolve(image, target, each);
    }
    Ok(())
}

/// Runs the exact passes.
fn convolve(image: Pixels<'_>, target: &Target, each: &mut dyn FnMut(usize, &[u8])) {
    let Axes { across, down, needed } =
        Axes::new((image.width, image.height), image.extent, target);
    let narrow;
    let row_bytes = 3 * target.columns.len();
    // Input rows of the vertical pass, from `needed.start`: their bytes, the stride, and the start of
    // the window in each.
    let (bytes, stride, offset) = match &across {
        Some(weights) => {
            let whole = 3 * image.width;
            let rows = &image.bytes[whole * needed.start..whole * needed.end];
            let mut out = vec![0; row_bytes * needed.len()];
            passes::horizontal(rows, whole, weights, &mut out, target.threads);
            narrow = out;
            (&narrow[..], row_bytes, 0)
        }
        None => {
            let stride = 3 * image.width;
            (&image.bytes[stride * needed.start..], stride, 3 * target.columns.start)
        }
    };
    vertical(bytes, stride, offset, row_bytes, down, &needed, each);
}

/// Runs the vertical pass, if any, on the `needed` rows.
fn vertical(
    bytes: &[u8],
    stride: usize,
    offset: usize,
    row_bytes: usize,
    down: Option<Weights>,
    needed: &Range<usize>,
    each: &mut dyn FnMut(usize, &[u8]),
) {
    match down {
        Some(weights) => {
            let weights = weights.relative_to(needed.start);
            let mut row = vec![0; row_bytes];
            for y in 0..weights.len() {
                let (start, weights) = weights.of(y);
                passes::vertical(&bytes[start * stride + offset..], stride, weights, &mut row);
                each(y, &row);
            }
        }
        None => {
            for y in 0..needed.len() {
                each(y, &bytes[y * stride + offset..][..row_bytes]);
            }
        }
    }
}

/// Weights of the axes that change, and the rows that the vertical pass needs.
struct Axes {
    across: Option<Weights>,
    down: Option<Weights>,
    needed: Range<usize>,
}

impl Axes {
    fn new((columns, rows): (usize, usize), extent: (Extent, Extent), target: &Target) -> Self {
        let weights = |from: usize, extent: Extent, to: u32, window: &Range<usize>| {
            let to = to as usize;
            (from != to).then(|| Weights::new(target.filter, from, extent, to, window.clone()))
        };
        let across = weights(columns, extent.0, target.width, &target.columns);
        let down = weights(rows, extent.1, target.height, &target.rows);
        let needed = down.as_ref().map_or(target.rows.clone(), Weights::input);
        Self { across, down, needed }
    }
}

/// The exact passes on rows that arrive from the top, so that the whole image is never in memory.
pub(super) struct Stream {
    across: Weights,
    down: Option<Weights>,
    needed: Range<usize>,
    /// Bytes of a row of the image.
    stride: usize,
    /// Number of rows that have arrived.
    arrived: usize,
    /// Rows behind the horizontal pass.
    narrow: Vec<u8>,
}

impl Stream {
    /// `None` if the resize takes another way, which needs the whole image.
    pub(super) fn new(
        geometry: Geometry,
        target: &Target,
    ) -> Result<Option<Self>, PreprocessError> {
        let (columns, rows) = geometry.pixels();
        let (columns, rows) = (columns as usize, rows as usize);
        target.check(columns, rows)?;
        let is_exact = target.filter != Filter::Nearest && target.quality == ResizeQuality::Exact;
        if !is_exact || rows > 100 * columns || target.threads > NonZeroUsize::MIN {
            return Ok(None);
        }
        let Axes { across, down, needed } = Axes::new((columns, rows), extent_of(geometry), target);
        Ok(across.map(|across| {
            let narrow = Vec::with_capacity(3 * across.len() * needed.len());
            Self { across, down, needed, stride: 3 * columns, arrived: 0, narrow }
        }))
    }

    /// Takes the next rows.
    pub(super) fn push(&mut self, rows: &[u8]) {
        let end = self.arrived + rows.len() / self.stride;
        let place = |row: usize| (row.clamp(self.arrived, end) - self.arrived) * self.stride;
        let rows = &rows[place(self.needed.start)..place(self.needed.end)];
        self.arrived = end;
        let filled = self.narrow.len();
        self.narrow.resize(filled + rows.len() / self.stride * 3 * self.across.len(), 0);
        let out = &mut self.narrow[filled..];
        passes::horizontal(rows, self.stride, &self.across, out, NonZeroUsize::MIN);
    }

    /// Passes the rows of the target's window, when all rows have arrived.
    pub(super) fn finish(self, each: &mut dyn FnMut(usize, &[u8])) {
        let row = 3 * self.across.len();
        vertical(&self.narrow, row, 0, row, self.down, &self.needed, each);
    }
}
