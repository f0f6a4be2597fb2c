//! BMP with Windows and OS/2 headers, with or without a file header (DIB).
//!
//! The decoders of the `image` crate differ from Pillow in run lengths, short palettes and old headers.

mod run_lengths;

use super::options::DecodeOptions;
use crate::preprocess::{PreprocessError, RgbImage, colour};

const FORMAT: &str = "bmp";

/// Lengths of the headers that Pillow reads: OS/2 version 1, Windows versions 3, 2 and 3 of Adobe, OS/2
/// version 2, Windows versions 4 and 5.
const HEADERS: [u32; 7] = [12, 40, 52, 56, 64, 108, 124];

// Compression methods.
const RAW: u32 = 0;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
const BITFIELDS: u32 = 3;

/// Returns `true` for data that start with a DIB header instead of a file header.
pub(super) fn is_dib(bytes: &[u8]) -> bool {
    le::<4>(bytes, 0).is_ok_and(|size| HEADERS.contains(&u32::from_le_bytes(size)))
}

/// Decodes a file that starts with `BM`, or one that [`is_dib`].
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, PreprocessError> {
    let header = Header::read(bytes)?;
    let (width, height) = (header.width, header.height);
    options.limits.check_pixels(width, height)?;
    // Indices or samples, and the RGB result.
    let needed = (u64::from(width) * u64::from(height)).saturating_mul(4 + 3);
    options.limits.check_memory(needed.saturating_add(bytes.len() as u64))?;

    let data = bytes.get(header.pixels..).unwrap_or_default();
    let pixels = match header.colours(bytes)? {
        Colours::Listed(palette) => {
            let of = |index: u8| palette[usize::from(index)];
            header.indices(bytes, header.bits)?.into_iter().flat_map(of).collect()
        }
        Colours::Gray => colour::gray(&header.indices(bytes, 8)?, |&v| v),
        Colours::BlackAndWhite => {
            colour::gray(&header.indices(bytes, 1)?, |&v| 255 * u8::from(v > 0))
        }
        Colours::Direct(masks) => {
            let mut samples = Vec::with_capacity(4 * width as usize * height as usize);
            let width_in_bytes = usize::from(header.bits / 8);
            for row in header.rows(data, header.bits)? {
                for pixel in row.chunks_exact(width_in_bytes) {
                    let mut word = [0; 4];
                    word[..width_in_bytes].copy_from_slice(pixel);
                    samples.extend(masks.map(|mask| mask.sample(u32::from_le_bytes(word))));
                }
            }
            if masks[3].bits == 0 {
                samples.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect()
            } else {
                colour::rgb_alpha(&samples, options, |v| v)
            }
        }
    };
    RgbImage::new(width, height, pixels)
}

/// Header fields that pixels depend on.
struct Header {
    width: u32,
    height: u32,
    is_top_down: bool,
    bits: u16,
    compression: u32,
    /// Bit masks of red, green, blue and alpha, if the file has any.
    masks: Option<[u32; 4]>,
    /// Offset of the palette.
    palette: usize,
    colours: u64,
    bytes_per_colour: usize,
    /// Offset of the pixels.
    pixels: usize,
}

/// Interpretation of a pixel.
enum Colours {
    /// A palette index. Indices beyond the palette are black.
    Listed(Box<[[u8; 3]; 256]>),
    /// 8-bit grey, stored as a palette of all greys.
    Gray,
    /// One bit, stored as a palette of black and white.
    BlackAndWhite,
    /// Red, green, blue and alpha by bit masks.
    Direct([Mask; 4]),
}

/// Bits of a channel in a pixel.
#[derive(Clone, Copy)]
struct Mask {
    bits: u32,
    shift: u32,
    most: u32,
}

impl Mask {
    fn new(bits: u32) -> Self {
        let shift = bits.trailing_zeros() % u32::BITS;
        Self { bits, shift, most: (bits >> shift).max(1) }
    }

    /// Value of the channel, widened to 8 bits and truncated as in Pillow.
    fn sample(self, pixel: u32) -> u8 {
        let value = (pixel & self.bits) >> self.shift;
        if self.most == 255 {
            return value as u8; // at most 255
        }
        (u64::from(value) * 255 / u64::from(self.most)) as u8 // at most 255
    }
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, PreprocessError> {
        let has_file_header = bytes.starts_with(b"BM");
        let start = if has_file_header { 14 } else { 0 };
        let two = |at: usize| le(bytes, start + at).map(u16::from_le_bytes);
        let four = |at: usize| le(bytes, start + at).map(u32::from_le_bytes);
        let size = four(0)?;
        if !HEADERS.contains(&size) {
            return Err(unsupported(format!("a header of {size} bytes")));
        }
        let length = size as usize;
        let mut header = if size == 12 {
            Self {
                width: two(4)?.into(),
                height: two(6)?.into(),
                is_top_down: false,
                bits: two(10)?,
                compression: RAW,
                masks: None,
                palette: start + length,
                colours: 0,
                bytes_per_colour: 3,
                pixels: 0,
            }
        } else {
            let height = four(8)?;
            // Pillow detects a negative height by its highest byte.
            let is_top_down = height >> 24 == 0xff;
            let compression = four(16)?;
            let has_masks = compression == BITFIELDS;
            // After the shortest of these headers, the masks follow the header.
            let after = if has_masks && size == 40 { 12 } else { 0 };
            let alpha = if has_masks && size >= 56 { four(52)? } else { 0 };
            let masks =
                if has_masks { Some([four(40)?, four(44)?, four(48)?, alpha]) } else { None };
            Self {
                width: four(4)?,
                height: if is_top_down { height.wrapping_neg() } else { height },
                is_top_down,
                bits: two(14)?,
                compression,
                masks,
                palette: start + length + after,
                colours: four(32)?.into(),
                bytes_per_colour: 4,
                pixels: 0,
            }
        };
        header.check()?;
        if header.colours == 0 {
            header.colours = 1 << header.bits;
        }
        let of_palette = header.bytes_per_colour as u64 * header.colours;
        let is_indexed = header.bits <= 8;
        let stated = if has_file_header { u32::from_le_bytes(le(bytes, 10)?) as usize } else { 0 };
        let begin = match stated {
            0 => header.palette,
            // Expected offset of the palette.
            _ if stated == 14 + length && is_indexed => stated,
            _ => {
                header.pixels = stated;
                return Ok(header);
            }
        };
        let skipped =
            if is_indexed { usize::try_from(of_palette).unwrap_or(usize::MAX) } else { 0 };
        header.pixels = begin.saturating_add(skipped);
        Ok(header)
    }

    /// Returns an error for unsupported pixel formats.
    fn check(&self) -> Result<(), PreprocessError> {
        let bits = self.bits;
        match (self.compression, bits) {
            (RAW, 1 | 2 | 4 | 8 | 16 | 24 | 32) | (RLE8 | RLE4, 4 | 8) => Ok(()),
            (BITFIELDS, 16 | 24 | 32) => Ok(()),
            (RAW, _) => Err(unsupported(format!("{bits} bits for a pixel"))),
            (RLE8 | RLE4, _) => Err(unsupported(format!("run lengths of {bits} bits"))),
            (BITFIELDS, _) => Err(unsupported(format!("bit fields in {bits} bits"))),
            (other, _) => Err(unsupported(format!("compression {other}"))),
        }
    }

    fn colours(&self, bytes: &[u8]) -> Result<Colours, PreprocessError> {
        const ALPHA: u32 = 0xff00_0000;
        const EIGHT: [u32; 4] = [0xff_0000, 0xff00, 0xff, 0];
        if self.bits > 8 {
            let masks = match (self.masks, self.bits) {
                (Some([0, 0, 0, 0]), 32) => [EIGHT[0], EIGHT[1], EIGHT[2], ALPHA],
                (Some(masks), _) => masks,
                (None, 16) => [0x7c00, 0x3e0, 0x1f, 0],
                (None, _) => EIGHT,
            };
            return Ok(Colours::Direct(masks.map(Mask::new)));
        }
        let listed = bytes.get(self.palette..).unwrap_or_default();
        let count = usize::try_from(self.colours).unwrap_or(usize::MAX);
        let listed = listed.chunks(self.bytes_per_colour).take(count);
        if count > 65_536 || listed.len() > 256 {
            return Err(damaged(format!("a palette of {} colours", self.colours)));
        }
        let mut palette = Box::new([[0; 3]; 256]);
        let mut complete = 0;
        for (colour, listed) in palette.iter_mut().zip(listed) {
            if let &[blue, green, red, ..] = listed {
                *colour = [red, green, blue];
                complete += 1;
            }
        }
        if complete == count {
            if palette[..count] == [[0; 3], [255; 3]] {
                return Ok(Colours::BlackAndWhite);
            }
            let mut colours = palette[..count].iter().zip(0..=255);
            if count != 2 && colours.all(|(colour, gray)| *colour == [gray; 3]) {
                return Ok(Colours::Gray);
            }
        }
        Ok(Colours::Listed(palette))
    }

    /// Reads a sample for each pixel, rows from the top. `bits` is the size of an uncompressed sample.
    /// lengths.
    fn indices(&self, bytes: &[u8], bits: u16) -> Result<Vec<u8>, PreprocessError> {
        let (width, height) = (self.width as usize, self.height as usize);
        let mut indices = Vec::with_capacity(width * height);
        if self.compression == RAW {
            let per_byte = 8 / usize::from(bits);
            let most = 0xff >> (8 - bits);
            for row in self.rows(bytes.get(self.pixels..).unwrap_or_default(), bits)? {
                let sample = |x: usize| {
                    let shift = 8 - usize::from(bits) * (x % per_byte + 1);
                    row[x / per_byte] >> shift & most
                };
                indices.extend((0..width).map(sample));
            }
            return Ok(indices);
        }
        let nibbles = self.compression == RLE4;
        let stored = run_lengths::expanded(bytes, self.pixels, width, height, nibbles);
        if stored.len() < width * height {
            return Err(too_short());
        }
        let rows = stored.chunks_exact(width).take(height); // there may be more
        if self.is_top_down {
            rows.for_each(|row| indices.extend(row));
        } else {
            rows.rev().for_each(|row| indices.extend(row));
        }
        Ok(indices)
    }

    /// Bytes of each row from the top, without padding.
    fn rows<'a>(
        &self,
        data: &'a [u8],
        bits: u16,
    ) -> Result<impl Iterator<Item = &'a [u8]>, PreprocessError> {
        let (width, height) = (self.width as usize, self.height as usize);
        let stride = width.saturating_mul(self.bits.into()).div_ceil(32).saturating_mul(4);
        let length = width.saturating_mul(bits.into()).div_ceil(8);
        if length > stride {
            // Pillow treats a grey palette as 8-bit grey, with any number of bits.
            return Err(damaged(format!("rows of {stride} bytes for {width} pixels")));
        }
        // The padding of the last row may be missing.
        if data.len() < stride.saturating_mul(height - 1).saturating_add(length) {
            return Err(too_short());
        }
        let is_top_down = self.is_top_down;
        Ok((0..height).map(move |y| {
            let at = stride * if is_top_down { y } else { height - 1 - y };
            &data[at..][..length]
        }))
    }
}

fn le<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], PreprocessError> {
    bytes.get(at..).and_then(|rest| rest.first_chunk().copied()).ok_or_else(too_short)
}

fn too_short() -> PreprocessError {
    damaged("the file ends before the image".to_owned())
}

fn damaged(reason: String) -> PreprocessError {
    PreprocessError::Damaged { format: FORMAT, reason }
}

fn unsupported(what: String) -> PreprocessError {
    PreprocessError::Unsupported { format: FORMAT, what }
}
