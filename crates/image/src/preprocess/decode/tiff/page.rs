//! Layout of a page's bits, from all tags together.

use super::{
    damaged,
    directory::Directory,
    kinds::{FLOAT, Kind, Pixels, UNSIGNED, YCbCr},
    segments::Segments,
    unsupported,
};
use crate::preprocess::{DecodeLimits, PreprocessError};

// Tags.
const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const BITS_PER_SAMPLE: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const FILL_ORDER: u16 = 266;
const SAMPLES_PER_PIXEL: u16 = 277;
const PLANAR_CONFIGURATION: u16 = 284;
const T4_OPTIONS: u16 = 292;
const PREDICTOR: u16 = 317;
const EXTRA_SAMPLES: u16 = 338;
const SAMPLE_FORMAT: u16 = 339;
const JPEG_TABLES: u16 = 347;
const JPEG_INTERCHANGE_FORMAT: u16 = 513;
const JPEG_INTERCHANGE_FORMAT_LENGTH: u16 = 514;

/// Maximum samples of a pixel among the supported kinds.
const MOST_SAMPLES: u64 = 6;

/// Supported compressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression<'a> {
    None,
    Ccitt(Ccitt),
    Lzw,
    /// With the shared tables of the streams.
    Jpeg(Option<&'a [u8]>),
    /// With the start of the one stream, or all of it.
    OldJpeg(&'a [u8]),
    Deflate,
    PackBits,
    Lzma,
    Zstd,
}

/// Variants of fax coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ccitt {
    /// Runs, with rows aligned to a number of bits.
    Rows(usize),
    Group3 {
        is_2d: bool,
    },
    Group4,
}

/// Predictors, which turned samples into differences before compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    Horizontal,
    Float,
}

pub(super) struct Page<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) is_big_endian: bool,
    pub(super) compression: Compression<'a>,
    pub(super) predictor: Predictor,
    /// The first pixel of a byte is in its lowest bit.
    pub(super) is_reversed: bool,
    /// Bits of every sample.
    pub(super) bits: u32,
    /// Samples of a pixel in the file, without unused planes.
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
        let (width, height) = (directory.side(WIDTH)?, directory.side(HEIGHT)?);
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
        // Some writers give one value for all samples, and some give more values than samples.
        if bits.len() == 1 {
            bits.resize(samples as usize, bits[0]);
        }
        bits.truncate(samples as usize);
        formats.dedup();
        let is_compressed = compression != Compression::None;
        let segments = Segments::read(directory, width, height, is_compressed, is_planar)?;
        // With one sample, planes equal pixels.
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
            are_planes_compressed: is_planar && is_compressed,
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
            segments,
            pixels,
        };
        page.check()?;
        page.check_memory(directory, limits)?;
        Ok(page)
    }

    /// Checks that the tags fit together.
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
        // All tiles with their parts beyond the page, so that the limit bounds the work, too.
        let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
        let bytes = u64::from(self.samples) * u64::from(self.bits.div_ceil(8));
        let padded = area(width, height).saturating_mul(area(across, down)).saturating_mul(bytes);
        // Samples before and after conversion, JPEG coefficients, and pixels.
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

    /// Returns `true` if pixels come in blocks that share their chroma.
    pub(super) fn has_blocks(&self) -> bool {
        let is_plain = self.is_planar || matches!(self.compression, Compression::OldJpeg(_));
        matches!(self.pixels, Pixels::YCbCr(_)) && !is_plain
    }

    /// Bytes of a segment's row, of all planes or one.
    pub(super) fn row_bytes(&self) -> usize {
        let samples = if self.is_planar { 1 } else { self.samples };
        let bits = u64::from(self.segments.width) * u64::from(samples) * u64::from(self.bits);
        bits.div_ceil(8) as usize // within the limit on memory
    }

    /// Bytes of a number of rows of a segment, except for JPEG.
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

/// The part of an old-style JPEG stream outside its strips. Scattered tables are not supported.
fn old_jpeg<'a>(directory: &Directory<'a>) -> Result<&'a [u8], PreprocessError> {
    let Some(at) = directory.integer(JPEG_INTERCHANGE_FORMAT)? else { return Ok(&[]) };
    let length = directory.integer(JPEG_INTERCHANGE_FORMAT_LENGTH)?.filter(|&length| length > 0);
    let stream = match length {
        Some(length) => directory.slice(at, length),
        None => directory.from(at),
    };
    stream.ok_or_else(|| damaged("the JPEG stream lies beyond the end of the file".to_owned()))
}

/// The tag applies only to compressions with predictors.
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
