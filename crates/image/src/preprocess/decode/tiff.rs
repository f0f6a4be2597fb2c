//! First page of TIFF files.
//!
//! The directory's tags become a [`Page`], or an error for unsupported ones. Then each strip or tile is
//! decompressed, its predictor undone, its planes interleaved, and its samples converted to RGB. Order,
//! formats and arithmetic are those of Pillow and libtiff.

mod ccitt;
mod compression;
mod directory;
mod jpeg;
mod kinds;
mod lab;
mod page;
mod pixels;
mod predictor;
mod segments;
mod ycbcr;

use std::borrow::Cow;

use image::metadata::Orientation as Turn;

use self::{
    directory::Directory,
    kinds::Pixels,
    page::{Compression, Page},
};
use super::{options::DecodeOptions, orientation};
use crate::preprocess::{DecodeLimits, PreprocessError, RgbImage};

const FORMAT: &str = "tiff";
const ORIENTATION: u16 = 274;
const XMP: u16 = 700;

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, PreprocessError> {
    let directory = Directory::read(bytes)?;
    let page = Page::read(&directory, options.limits)?;
    let mut canvas = vec![0; 3 * page.width as usize * page.height as usize];
    for row in 0..page.segments.down {
        for column in 0..page.segments.across {
            let rows = page.segments.rows(row, page.height);
            let pixels = segment(&directory, &page, column, row, rows, options)?;
            put(&page, &mut canvas, column, row, &pixels);
        }
    }
    Ok(RgbImage::new(page.width, page.height, canvas)?.turned(turn(&directory)?))
}

/// Decodes the rows of a strip or tile that are within the page to RGB, at the segment's full width.
fn segment(
    directory: &Directory<'_>,
    page: &Page<'_>,
    column: u32,
    row: u32,
    rows: u32,
    options: &DecodeOptions,
) -> Result<Vec<u8>, PreprocessError> {
    let plane = |plane| {
        let index = page.segments.index(column, row, plane);
        let bytes = page.segments.bytes(directory, index, page.is_compressed())?;
        samples(page, bytes, rows, options.limits)
    };
    let samples = if page.is_planar {
        let planes: Result<Vec<_>, _> = (0..page.samples).map(plane).collect();
        interleaved(&planes?, page.bits as usize / 8)
    } else {
        plane(0)?
    };
    if matches!((page.compression, &page.pixels), (Compression::Jpeg(_), Pixels::YCbCr(_)))
        && !page.is_planar
    {
        return Ok(samples); // converted already
    }
    Ok(pixels::to_rgb(page, &samples, rows, options))
}

/// Decompresses the samples in `bytes`, of all planes or one, little-endian.
fn samples(
    page: &Page<'_>,
    bytes: &[u8],
    rows: u32,
    limits: DecodeLimits,
) -> Result<Vec<u8>, PreprocessError> {
    let length = page.segment_bytes(rows);
    if let Compression::Jpeg(tables) = page.compression {
        return jpeg::decode(page, tables, bytes, rows, limits);
    }
    if let Compression::OldJpeg(start) = page.compression {
        return jpeg::decode_old(page, start, bytes, limits);
    }
    let mut bytes = match page.compression {
        Compression::None => uncompressed(page, bytes, length)?,
        _ => Cow::Borrowed(bytes),
    };
    if page.is_reversed {
        bytes.to_mut().iter_mut().for_each(|byte| *byte = byte.reverse_bits());
    }
    let mut samples = match page.compression {
        Compression::None | Compression::Jpeg(_) | Compression::OldJpeg(_) => bytes.into_owned(),
        Compression::Ccitt(coding) => ccitt::decode(coding, &bytes, page.segments.width, rows)?,
        Compression::Lzw => compression::lzw(&bytes, length)?,
        Compression::Deflate => compression::deflate(&bytes, length)?,
        Compression::PackBits => compression::pack_bits(&bytes, length)?,
        Compression::Lzma => compression::lzma(&bytes, length, limits)?,
        Compression::Zstd => compression::zstd(&bytes, length, limits)?,
    };
    let stride = if page.is_planar { 1 } else { page.samples as usize };
    predictor::undo(
        page.predictor,
        &mut samples,
        page.row_bytes(),
        page.bits,
        stride,
        page.is_big_endian,
    );
    Ok(samples)
}

/// The first `length` bytes. Data of the last row beyond the page may be missing.
fn uncompressed<'a>(
    page: &Page<'_>,
    bytes: &'a [u8],
    length: usize,
) -> Result<Cow<'a, [u8]>, PreprocessError> {
    if let Some(bytes) = bytes.get(..length) {
        return Ok(bytes.into());
    }
    let beyond = page.row_bytes() * page.segments.width.saturating_sub(page.width) as usize
        / page.segments.width as usize;
    if !page.segments.are_tiles || bytes.len() + beyond < length {
        return Err(damaged("a strip or tile ends before its last row".to_owned()));
    }
    let mut bytes = bytes.to_vec();
    bytes.resize(length, 0);
    Ok(bytes.into())
}

/// Interleaves planes of samples of `width` bytes.
fn interleaved(planes: &[Vec<u8>], width: usize) -> Vec<u8> {
    let length = planes.iter().map(Vec::len).min().unwrap_or(0) / width;
    (0..length)
        .flat_map(|at| planes.iter().flat_map(move |plane| &plane[at * width..(at + 1) * width]))
        .copied()
        .collect()
}

/// Copies a segment's pixels to their position.
fn put(page: &Page<'_>, canvas: &mut [u8], column: u32, row: u32, pixels: &[u8]) {
    let [page_width, width, column] = [page.width, page.segments.width, column].map(|n| n as usize);
    let left = column * width;
    let visible = 3 * width.min(page_width - left);
    let top = row as usize * page.segments.height as usize;
    let lines = canvas.chunks_exact_mut(3 * page_width).skip(top);
    for (line, pixels) in lines.zip(pixels.chunks_exact(3 * width)) {
        line[3 * left..][..visible].copy_from_slice(&pixels[..visible]);
    }
}

/// Orientation of the page: from the tag if it has a number, or else from XMP. Pillow ignores bytes and
/// text in the tag.
fn turn(directory: &Directory<'_>) -> Result<Turn, PreprocessError> {
    if !directory.has(ORIENTATION) {
        return Ok(orientation::of(None, directory.bytes(XMP)?));
    }
    let values = directory.floats(ORIENTATION)?.unwrap_or_default();
    let value = (1..=8u8).find(|&value| values.first() == Some(&f64::from(value)));
    Ok(value.and_then(Turn::from_exif).unwrap_or(Turn::NoTransforms))
}

fn damaged(reason: String) -> PreprocessError {
    PreprocessError::Damaged { format: FORMAT, reason }
}

fn unsupported(what: String) -> PreprocessError {
    PreprocessError::Unsupported { format: FORMAT, what }
}
