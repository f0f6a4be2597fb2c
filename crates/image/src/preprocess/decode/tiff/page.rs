//! The meaning of a page's bits, as all its tags together tell it.

use super::{damaged, directory::Directory, unsupported};
use crate::preprocess::{DecodeLimits, PreprocessError};

// Tags.
const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const BITS_PER_SAMPLE: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const FILL_ORDER: u16 = 266;
const STRIP_OFFSETS: u16 = 273;
const SAMPLES_PER_PIXEL: u16 = 277;
const ROWS_PER_STRIP: u16 = 278;
const STRIP_BYTE_COUNTS: u16 = 279;
const PLANAR_CONFIGURATION: u16 = 284;
const T4_OPTIONS: u16 = 292;
const PREDICTOR: u16 = 317;
const COLOR_MAP: u16 = 320;
const TILE_WIDTH: u16 = 322;
const TILE_HEIGHT: u16 = 323;
const TILE_OFFSETS: u16 = 324;
const TILE_BYTE_COUNTS: u16 = 325;
const EXTRA_SAMPLES: u16 = 338;
const SAMPLE_FORMAT: u16 = 339;
const JPEG_TABLES: u16 = 347;
const JPEG_INTERCHANGE_FORMAT: u16 = 513;
const JPEG_INTERCHANGE_FORMAT_LENGTH: u16 = 514;
const YCBCR_COEFFICIENTS: u16 = 529;
const YCBCR_SUBSAMPLING: u16 = 530;
const REFERENCE_BLACK_WHITE: u16 = 532;

// Formats of samples.
const UNSIGNED: u64 = 1;
const SIGNED: u64 = 2;
const FLOAT: u64 = 3;

/// How often strips or tiles may share bytes of the file, on average.
const MOST_OVERLAP: u64 = 16;

/// Strips or tiles of so few bytes may be shared by any number.
const SMALL: u64 = 4096;

/// The most samples of a pixel: those of the kinds below.
const MOST_SAMPLES: u64 = 6;

/// The compressions that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression<'a> {
    None,
    Ccitt(Ccitt),
    Lzw,
    /// With the tables that the streams have in common.
    Jpeg(Option<&'a [u8]>),
    /// With the beginning of the one stream, or all of it.
    OldJpeg(&'a [u8]),
    Deflate,
    PackBits,
    Lzma,
    Zstd,
}

/// The kinds of facsimile coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ccitt {
    /// Runs, every row of which begins at a multiple of so many bits.
    Rows(usize),
    Group3 {
        is_2d: bool,
    },
    Group4,
}

/// How samples were turned into differences before they were compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    Horizontal,
    Float,
}

/// The meaning of a pixel's samples.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pixels {
    /// Of 1, 2, 4, 8 bits.
    Gray {
        is_inverted: bool,
    },
    GrayAlpha,
    Gray12,
    Gray16,
    GraySigned16,
    /// Of 32 bits, signed in effect.
    GrayInteger,
    GrayFloat,
    Palette {
        colours: Vec<[u8; 3]>,
        has_alpha: bool,
    },
    /// Of 8 or 16 bits, as the next.
    Rgb(Alpha),
    Cmyk,
    YCbCr(YCbCr),
    Lab,
}

/// The fourth sample of an RGB pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alpha {
    /// There is none, or it means nothing.
    None,
    Straight,
    /// The colours were multiplied by it.
    Premultiplied,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct YCbCr {
    /// Columns and rows of luma that share their chroma.
    pub(super) subsampling: (u32, u32),
    /// What red, green and blue give to luma.
    pub(super) luma: [f32; 3],
    /// The codes for black and white of the three samples.
    pub(super) reference: [f32; 6],
}

/// The strips or tiles of a page. Strips are as wide as the page.
pub(super) struct Segments {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) across: u32,
    pub(super) down: u32,
    /// Those at the bottom are as high as the others.
    pub(super) are_tiles: bool,
    /// Places in the file and lengths, those of the first plane first. Lengths are of compressed data.
    ranges: Vec<(u64, u64)>,
}

pub(super) struct Page<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) is_big_endian: bool,
    pub(super) compression: Compression<'a>,
    pub(super) predictor: Predictor,
    /// The first pixel of a byte is in its lowest bit.
    pub(super) is_reversed: bool,
    /// Of every sample.
    pub(super) bits: u32,
    /// Of a pixel in the file, except for those that are never looked at since they have planes of
    /// their own.
    pub(super) samples: u32,
    pub(super) is_planar: bool,
    pub(super) pixels: Pixels,
    pub(super) segments: Segments,
}

impl<'a> Page<'a> {
    pub(super) fn read(
        directory: &Directory<'a>,
        limits: DecodeLimits,
    ) -> Result<Self, PreprocessError> {
        let (width, height) = (side(directory, WIDTH)?, side(directory, HEIGHT)?);
        limits.check_pixels(width, height)?;
        let or = |tag, default| Ok(directory.integer(tag)?.unwrap_or(default));
        let compression = compression(directory)?;
        let photometric = or(PHOTOMETRIC, 0)?;
        let is_planar = match or(PLANAR_CONFIGURATION, 1)? {
            1 => false,
            2 => true,
            other => return Err(unsupported(format!("planar configuration {other}"))),
        };
        let is_reversed = match directory.single(FILL_ORDER)?.unwrap_or(1) {
            1 => false,
            2 => true,
            other => return Err(unsupported(format!("fill order {other}"))),
        };
        let is_old_jpeg = matches!(compression, Compression::OldJpeg(_));
        let mut samples = or(SAMPLES_PER_PIXEL, if is_old_jpeg { 3 } else { 1 })?;
        let mut bits = directory.integers(BITS_PER_SAMPLE)?.unwrap_or_else(|| vec![1]);
        let mut extra = directory.integers(EXTRA_SAMPLES)?.unwrap_or_default();
        let mut formats = directory.integers(SAMPLE_FORMAT)?.unwrap_or_else(|| vec![UNSIGNED]);
        if is_planar && !extra.is_empty() && extra.iter().all(|&kind| kind == 0) {
            // Planes without a meaning come last and are left out.
            samples = samples.saturating_sub(extra.len() as u64);
            extra.clear();
        }
        if !(1..=MOST_SAMPLES).contains(&samples) {
            return Err(unsupported(format!("{samples} samples per pixel")));
        }
        // Some writers give one value for all samples, and some more values than there are samples.
        if bits.len() == 1 {
            bits.resize(samples as usize, bits[0]);
        }
        bits.truncate(samples as usize);
        formats.dedup();
        // With one sample, planes are no different from pixels.
        let is_planar = is_planar && samples > 1;

        let is_uniform = bits.len() as u64 == samples && bits.iter().all(|&one| one == bits[0]);
        let kind = Kind {
            photometric,
            samples,
            bits: bits[0],
            extra: &extra,
            format: formats[0],
            is_reversed,
            is_big_endian: directory.is_big_endian(),
            are_planes_compressed: is_planar && compression != Compression::None,
        };
        let pixels = if is_uniform && formats.len() == 1 { kind.pixels(directory)? } else { None };
        let pixels = pixels.ok_or_else(|| {
            let order = if is_reversed { ", reversed bits" } else { "" };
            unsupported(format!(
                "photometric interpretation {photometric} of {samples} samples of {bits:?} bits, \
                 sample format {formats:?}, extra samples {extra:?}{order}"
            ))
        })?;
        let bits = bits[0] as u32; // one of those that have a meaning
        let page = Self {
            width,
            height,
            is_big_endian: directory.is_big_endian(),
            compression,
            predictor: predictor(directory, compression, bits, formats[0])?,
            is_reversed,
            bits,
            samples: samples as u32,
            is_planar,
            segments: segments(directory, width, height, compression)?,
            pixels,
        };
        page.check()?;
        page.check_memory(directory, limits)?;
        Ok(page)
    }

    /// Whether what the tags say goes together.
    fn check(&self) -> Result<(), PreprocessError> {
        match self.compression {
            Compression::Ccitt(_) if self.bits != 1 || self.samples != 1 => {
                return Err(unsupported("facsimile coding of more than one bit".to_owned()));
            }
            Compression::Jpeg(_) if self.bits != 8 => {
                return Err(unsupported(format!("JPEG of {} bits", self.bits)));
            }
            Compression::OldJpeg(_)
                if !matches!(self.pixels, Pixels::YCbCr(_))
                    || self.is_planar
                    || (self.segments.across, self.segments.down) != (1, 1) =>
            {
                return Err(unsupported(
                    "compression 6, the old style of JPEG, of other pixels than YCbCr in one strip"
                        .to_owned(),
                ));
            }
            _ => {}
        }
        if let Pixels::YCbCr(YCbCr { subsampling, .. }) = self.pixels
            && self.is_planar
            && subsampling != (1, 1)
        {
            return Err(unsupported("subsampled planes".to_owned()));
        }
        Ok(())
    }

    fn check_memory(
        &self,
        directory: &Directory<'_>,
        limits: DecodeLimits,
    ) -> Result<(), PreprocessError> {
        let Segments { width, height, across, down, .. } = self.segments;
        // All tiles with what they have beyond the page, so that it bounds the work as well.
        let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
        let bytes = u64::from(self.samples) * u64::from(self.bits.div_ceil(8));
        let padded = area(width, height).saturating_mul(area(across, down)).saturating_mul(bytes);
        // Samples before and after what is done to them, JPEG's coefficients, and pixels.
        let segment = area(width, height).saturating_mul(2 * bytes + 2 * bytes + 3);
        let pixels = 3 * area(self.width, self.height);
        limits.check_memory(
            directory
                .file_length()
                .saturating_mul(2)
                .saturating_add(pixels)
                .saturating_add(segment),
        )?;
        limits.check_memory(padded)
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.compression != Compression::None
    }

    /// Whether pixels come in blocks that share their chroma.
    pub(super) fn has_blocks(&self) -> bool {
        let is_plain = self.is_planar || matches!(self.compression, Compression::OldJpeg(_));
        matches!(self.pixels, Pixels::YCbCr(_)) && !is_plain
    }

    /// How many bytes a segment's row has, all planes together or one.
    pub(super) fn row_bytes(&self) -> usize {
        let samples = if self.is_planar { 1 } else { self.samples };
        let bits = u64::from(self.segments.width) * u64::from(samples) * u64::from(self.bits);
        bits.div_ceil(8) as usize // within the limit on memory
    }

    /// How many bytes so many rows of a segment have, if it is not JPEG.
    pub(super) fn segment_bytes(&self, rows: u32) -> usize {
        match self.pixels {
            Pixels::YCbCr(YCbCr { subsampling: (across, down), .. }) if self.has_blocks() => {
                let blocks =
                    self.segments.width.div_ceil(across) as usize * rows.div_ceil(down) as usize;
                blocks * (across * down + 2) as usize
            }
            _ => self.row_bytes() * rows as usize,
        }
    }
}

impl Segments {
    /// The bytes of a strip or tile; without compression also what follows them.
    pub(super) fn bytes<'a>(
        &self,
        directory: &Directory<'a>,
        index: usize,
        is_compressed: bool,
    ) -> Result<&'a [u8], PreprocessError> {
        let name = if self.are_tiles { "tile" } else { "strip" };
        let Some(&(at, length)) = self.ranges.get(index) else {
            let count = self.ranges.len();
            return Err(damaged(format!("{name} {index} is missing, there are {count}")));
        };
        let bytes = if is_compressed { directory.slice(at, length) } else { directory.from(at) };
        bytes.ok_or_else(|| damaged(format!("{name} {index} lies beyond the end of the file")))
    }

    /// The number of a segment among those of all planes.
    pub(super) fn index(&self, column: u32, row: u32, plane: u32) -> usize {
        let in_plane = self.across as usize * self.down as usize;
        plane as usize * in_plane + row as usize * self.across as usize + column as usize
    }

    /// How many rows of the page are in this row of segments.
    pub(super) fn rows(&self, row: u32, height: u32) -> u32 {
        self.height.min(height - row * self.height)
    }
}

/// What decides the meaning of the samples.
struct Kind<'a> {
    photometric: u64,
    samples: u64,
    bits: u64,
    extra: &'a [u64],
    format: u64,
    is_reversed: bool,
    is_big_endian: bool,
    are_planes_compressed: bool,
}

impl Kind<'_> {
    /// The meaning, in the combinations that Pillow has and no others.
    fn pixels(&self, directory: &Directory<'_>) -> Result<Option<Pixels>, PreprocessError> {
        let reversible = matches!(
            (self.photometric, self.samples, self.bits),
            (0 | 1 | 3, 1, 1 | 2 | 4 | 8) | (2, 3, 8)
        ) || (self.photometric, self.samples, self.bits) == (1, 1, 16)
            && !self.is_big_endian;
        if self.is_reversed && (!reversible || self.format != UNSIGNED) {
            return Ok(None);
        }
        let pixels = match (self.photometric, self.samples, self.bits, self.extra) {
            _ if self.format != UNSIGNED => self.signed_or_float(),
            (0 | 1, 1, 1 | 2 | 4 | 8, []) => {
                Some(Pixels::Gray { is_inverted: self.photometric == 0 })
            }
            (6, 1, 8, []) => Some(Pixels::Gray { is_inverted: false }),
            (1, 1, 12, []) if !self.is_big_endian => Some(Pixels::Gray12),
            (1, 1, 16, []) => Some(Pixels::Gray16),
            // Not inverted, in Pillow as here.
            (0, 1, 16, []) if !self.is_big_endian => Some(Pixels::Gray16),
            (1, 1, 32, []) if !self.is_big_endian => Some(Pixels::GrayInteger),
            (1, 2, 8, [2]) => Some(Pixels::GrayAlpha),
            (2, 3, 8 | 16, []) => Some(Pixels::Rgb(Alpha::None)),
            (2, 4, 8 | 16, []) => Some(Pixels::Rgb(self.unnamed_alpha())),
            (2, 4, 8, [999]) => Some(Pixels::Rgb(Alpha::Straight)), // Corel Draw 10
            (2, 4, 8 | 16, [first]) | (2, 5, 8, [first, 0]) | (2, 6, 8, [first, 0, 0]) => {
                alpha(*first).map(Pixels::Rgb)
            }
            (3, 1, 1 | 2 | 4 | 8, []) | (3, 2, 8, [0 | 2]) => {
                Some(Pixels::Palette { colours: palette(directory)?, has_alpha: self.extra == [2] })
            }
            (5, 4, 8 | 16, []) | (5, 5, 8, [0]) | (5, 6, 8, [0, 0]) => Some(Pixels::Cmyk),
            (6, 3, 8, []) => Some(Pixels::YCbCr(ycbcr(directory)?)),
            (8, 3, 8, []) => Some(Pixels::Lab),
            _ => None,
        };
        Ok(pixels)
    }

    fn signed_or_float(&self) -> Option<Pixels> {
        match (self.photometric, self.samples, self.bits, self.extra, self.format) {
            // The codes as they are, as in Pillow.
            (1, 1, 8, [], SIGNED) => Some(Pixels::Gray { is_inverted: false }),
            (1, 1, 16, [], SIGNED) => Some(Pixels::GraySigned16),
            (1, 1, 32, [], SIGNED) => Some(Pixels::GrayInteger),
            (0 | 1, 1, 32, [], FLOAT) => Some(Pixels::GrayFloat),
            _ => None,
        }
    }

    /// A fourth sample that no tag names is alpha; libtiff differs where it makes planes into pixels.
    fn unnamed_alpha(&self) -> Alpha {
        if self.are_planes_compressed { Alpha::Premultiplied } else { Alpha::Straight }
    }
}

fn alpha(extra: u64) -> Option<Alpha> {
    match extra {
        0 => Some(Alpha::None),
        1 => Some(Alpha::Premultiplied),
        2 => Some(Alpha::Straight),
        _ => None,
    }
}

fn side(directory: &Directory<'_>, tag: u16) -> Result<u32, PreprocessError> {
    let value = directory.integer(tag)?;
    let value =
        value.ok_or_else(|| damaged(format!("tag {tag}, the width or height, is missing")))?;
    u32::try_from(value).map_err(|_| damaged(format!("tag {tag}, the width or height, is {value}")))
}

fn compression<'a>(directory: &Directory<'a>) -> Result<Compression<'a>, PreprocessError> {
    Ok(match directory.integer(COMPRESSION)?.unwrap_or(1) {
        1 => Compression::None,
        2 => Compression::Ccitt(Ccitt::Rows(8)),
        3 => {
            let options = directory.single(T4_OPTIONS)?.unwrap_or(0);
            Compression::Ccitt(Ccitt::Group3 { is_2d: options & 1 == 1 })
        }
        4 => Compression::Ccitt(Ccitt::Group4),
        5 => Compression::Lzw,
        6 => Compression::OldJpeg(old_jpeg(directory)?),
        7 => Compression::Jpeg(directory.bytes(JPEG_TABLES)?),
        8 | 32946 => Compression::Deflate,
        32771 => Compression::Ccitt(Ccitt::Rows(16)),
        32773 => Compression::PackBits,
        34925 => Compression::Lzma,
        50000 => Compression::Zstd,
        other => return Err(unsupported(format!("compression {other}"))),
    })
}

/// What a file of the old style of JPEG has of a stream outside of its strips. Tables that are
/// scattered over the file are not put together.
fn old_jpeg<'a>(directory: &Directory<'a>) -> Result<&'a [u8], PreprocessError> {
    let Some(at) = directory.integer(JPEG_INTERCHANGE_FORMAT)? else { return Ok(&[]) };
    let length = directory.integer(JPEG_INTERCHANGE_FORMAT_LENGTH)?.filter(|&length| length > 0);
    let stream = match length {
        Some(length) => directory.slice(at, length),
        None => directory.from(at),
    };
    stream.ok_or_else(|| damaged("the JPEG stream lies beyond the end of the file".to_owned()))
}

/// The tag means something only with the compressions that have predictors.
fn predictor(
    directory: &Directory<'_>,
    compression: Compression<'_>,
    bits: u32,
    format: u64,
) -> Result<Predictor, PreprocessError> {
    use Compression::{Deflate, Lzma, Lzw, Zstd};
    if !matches!(compression, Lzw | Deflate | Lzma | Zstd) {
        return Ok(Predictor::None);
    }
    match directory.single(PREDICTOR)?.unwrap_or(1) {
        1 => Ok(Predictor::None),
        2 if matches!(bits, 8 | 16 | 32) => Ok(Predictor::Horizontal),
        3 if bits == 32 && format == FLOAT => Ok(Predictor::Float),
        other => Err(unsupported(format!(
            "predictor {other} of samples of {bits} bits and sample format {format}"
        ))),
    }
}

/// The palette's colours, of which a file lists all reds, then all greens, then all blues.
fn palette(directory: &Directory<'_>) -> Result<Vec<[u8; 3]>, PreprocessError> {
    let Some(values) = directory.integers(COLOR_MAP)? else {
        return Err(damaged("the palette is missing".to_owned()));
    };
    let count = values.len() / 3;
    if count > 256 {
        return Err(unsupported(format!("a palette of {count} colours")));
    }
    let high = |value: u64| (value / 256).min(255) as u8;
    // Those that are missing are black, as in Pillow.
    let mut colours = vec![[0; 3]; 256];
    for (index, colour) in colours.iter_mut().enumerate().take(count) {
        *colour = [0, 1, 2].map(|channel| high(values[channel * count + index]));
    }
    Ok(colours)
}

fn ycbcr(directory: &Directory<'_>) -> Result<YCbCr, PreprocessError> {
    let subsampling = match directory.integers(YCBCR_SUBSAMPLING)?.as_deref() {
        None => (2, 2),
        Some(&[across @ (1 | 2 | 4), down @ (1 | 2 | 4), ..]) => (across as u32, down as u32),
        Some(other) => return Err(unsupported(format!("chroma subsampling {other:?}"))),
    };
    let floats = |tag| -> Result<Option<Vec<f32>>, PreprocessError> {
        let floats = directory.floats(tag)?;
        Ok(floats.map(|floats| floats.into_iter().map(|value| value as f32).collect()))
    };
    let wrong = |tag| damaged(format!("tag {tag} has too few values, or impossible ones"));
    let mut luma = [0.299, 0.587, 0.114];
    if let Some(values) = floats(YCBCR_COEFFICIENTS)? {
        luma = *values.first_chunk().ok_or_else(|| wrong(YCBCR_COEFFICIENTS))?;
    }
    let mut reference = [0.0, 255.0, 128.0, 255.0, 128.0, 255.0];
    if let Some(values) = floats(REFERENCE_BLACK_WHITE)? {
        reference = *values.first_chunk().ok_or_else(|| wrong(REFERENCE_BLACK_WHITE))?;
    }
    if luma[1] == 0.0 || !luma.iter().all(|value| value.is_finite()) {
        return Err(wrong(YCBCR_COEFFICIENTS));
    }
    if !reference.iter().all(|value| value.is_finite() && value.abs() < 1e9) {
        return Err(wrong(REFERENCE_BLACK_WHITE));
    }
    Ok(YCbCr { subsampling, luma, reference })
}

fn segments(
    directory: &Directory<'_>,
    width: u32,
    height: u32,
    compression: Compression<'_>,
) -> Result<Segments, PreprocessError> {
    let is_compressed = compression != Compression::None;
    let has_strips = directory.has(STRIP_OFFSETS);
    // Some writers give the places of tiles in the tag for strips.
    let are_tiles = directory.has(TILE_WIDTH) && (is_compressed || !has_strips);
    let (of_width, of_height) = if are_tiles {
        (side(directory, TILE_WIDTH)?, side(directory, TILE_HEIGHT)?)
    } else {
        let rows = directory.integer(ROWS_PER_STRIP)?.unwrap_or(u64::from(height));
        (width, rows.min(u64::from(height)) as u32)
    };
    if of_width == 0 || of_height == 0 {
        return Err(damaged(format!("strips or tiles of {of_width} x {of_height} pixels")));
    }
    let tags = if are_tiles && directory.has(TILE_OFFSETS) {
        [TILE_OFFSETS, TILE_BYTE_COUNTS]
    } else {
        [STRIP_OFFSETS, STRIP_BYTE_COUNTS]
    };
    let Some(offsets) = directory.integers(tags[0])? else {
        return Err(damaged("the places of the strips or tiles are missing".to_owned()));
    };
    let lengths = directory.integers(tags[1])?.unwrap_or_default();
    let (across, down) = (width.div_ceil(of_width), height.div_ceil(of_height));
    let end = directory.file_length();
    let range = |index: usize| {
        let at = offsets[index];
        let length = lengths.get(index).copied().filter(|&length| length > 0);
        // Where the file does not say how long one is, it may reach to the next.
        let next = offsets.get(index + 1).copied().filter(|&next| next > at).unwrap_or(end);
        (at, length.unwrap_or_else(|| next.saturating_sub(at)))
    };
    let mut ranges: Vec<(u64, u64)> = (0..offsets.len()).map(range).collect();
    if is_compressed {
        // Writers may store equal tiles once. More is an attempt to make much work of a small file.
        let beyond = ranges.iter().map(|range| range.1.saturating_sub(SMALL));
        let sum = beyond.fold(0, u64::saturating_add);
        if sum > end.saturating_mul(MOST_OVERLAP) {
            return Err(damaged(format!("its strips or tiles have {sum} bytes, the file {end}")));
        }
    } else if directory.integer(PLANAR_CONFIGURATION)? != Some(2) {
        // More than fill the page lie over the first ones, as in Pillow.
        let count = across as usize * down as usize; // at most as many as there are pixels
        let more = ranges.split_off(count.min(ranges.len()));
        more.chunks(count).for_each(|more| ranges[..more.len()].copy_from_slice(more));
    }
    Ok(Segments { width: of_width, height: of_height, across, down, are_tiles, ranges })
}
