//! The first frame of GIF files.

use std::{borrow::Cow, io::Cursor};

use gif::{ColorOutput, DecodeOptions as Reading, DecodingError, MemoryLimit};

use super::options::DecodeOptions;
use crate::preprocess::{PreprocessError, RgbImage, Transparency};

const FORMAT: &str = "gif";

/// Decodes the canvas with the first frame on it. Pixels outside the frame have the transparent colour,
/// or else the palette's first.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, PreprocessError> {
    let mut reading = Reading::new();
    reading.set_color_output(ColorOutput::Indexed);
    reading.set_memory_limit(MemoryLimit::Unlimited); // ours is checked below
    reading.allow_unknown_blocks(true);
    options.limits.check_memory(2 * bytes.len() as u64)?;
    let file = Cursor::new(with_usable_head(bytes));
    let mut decoder = reading.read_info(file).map_err(|error| failure(&error))?;
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder.next_frame_info().map_err(|error| failure(&error))?;
    let Some(frame) = frame else {
        let reason = "there is no image in the file".to_owned();
        return Err(PreprocessError::Damaged { format: FORMAT, reason });
    };
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (across, down) = (usize::from(frame.width), usize::from(frame.height));
    let transparent = frame.transparent;
    let palette = frame.palette.clone().or(global);
    // A frame that exceeds the canvas enlarges it.
    let width = usize::from(decoder.width()).max(left + across);
    let height = usize::from(decoder.height()).max(top + down);

    options.limits.check_pixels(width as u32, height as u32)?; // sums of two numbers of 16 bits
    let (pixels, inside) = (width * height, across * down);
    let needed = 3 * pixels as u64 + inside as u64 + bytes.len() as u64;
    options.limits.check_memory(needed)?;
    let mut indices = vec![0; inside];
    decoder.read_into_buffer(&mut indices).map_err(|error| failure(&error))?;

    let colours = colours(palette.as_deref(), transparent, options);
    let free = colours[usize::from(transparent.unwrap_or(0))];
    let mut canvas = if inside == pixels { Vec::new() } else { free.repeat(pixels) };
    if inside == pixels {
        canvas = indices.iter().flat_map(|&index| colours[usize::from(index)]).collect();
    } else if across > 0 {
        for (y, row) in indices.chunks_exact(across).enumerate() {
            let row = row.iter().flat_map(|&index| colours[usize::from(index)]);
            let at = 3 * ((top + y) * width + left);
            canvas[at..][..3 * across].iter_mut().zip(row).for_each(|(to, from)| *to = from);
        }
    }
    RgbImage::new(width as u32, height as u32, canvas)
}

/// Rewrites the file's head for the decoder, which rejects frames without a palette: adds a palette of
/// all greys if there is none, and a control extension of the right length. Pillow treats indices
/// without a palette as greys and skips unknown data.
fn with_usable_head(file: &[u8]) -> Cow<'_, [u8]> {
    /// Screen flag: a palette follows.
    const HAS_PALETTE: u8 = 0x80;
    /// Screen flags: the palette has 256 colours.
    const ALL: u8 = 7;
    const CONTROL: u8 = 0xf9;
    let Some((screen, _)) = file.split_first_chunk::<13>() else { return Cow::Borrowed(file) };
    let has_palette = screen[10] & HAS_PALETTE != 0;
    let behind = if has_palette { 13 + (6 << (screen[10] & 7)) } else { 13 };
    let (mut at, mut is_usable, mut transparent) = (behind, has_palette, None);
    loop {
        match file.get(at..).unwrap_or_default() {
            [b',', ..] => break,
            [b'!', label, rest @ ..] => {
                let (mut blocks, mut length) = (0, 0);
                while let Some(&size) = rest.get(length).filter(|&&size| size > 0) {
                    if let (&CONTROL, 0, Some(&[flags, _, _, index])) =
                        (label, blocks, rest.get(length + 1..).and_then(<[u8]>::first_chunk))
                    {
                        transparent = if flags & 1 == 1 { Some(index) } else { transparent };
                    }
                    is_usable &= *label != CONTROL || (blocks, size) == (0, 4);
                    blocks += 1;
                    length += 1 + usize::from(size);
                }
                at += 2 + length + 1;
            }
            [] | [b';', ..] => return Cow::Borrowed(file), // an error of the decoder
            _ => {
                is_usable = false;
                at += 1;
            }
        }
    }
    if is_usable {
        return Cow::Borrowed(file);
    }
    let mut usable = file[..behind].to_vec();
    if !has_palette {
        usable[10] |= HAS_PALETTE | ALL;
        usable.extend((0..=255).flat_map(|gray| [gray; 3]));
    }
    if let Some(index) = transparent {
        usable.extend([b'!', CONTROL, 4, 1, 0, 0, index, 0]);
    }
    usable.extend(&file[at..]);
    Cow::Owned(usable)
}

/// Colour of every index. Indices beyond the palette are black, unless the palette lists only the greys
/// of its indices, which Pillow treats as all greys.
fn colours(
    palette: Option<&[u8]>,
    transparent: Option<u8>,
    options: &DecodeOptions,
) -> [[u8; 3]; 256] {
    let palette = palette.unwrap_or_default().as_chunks().0;
    let mut colours: [[u8; 3]; 256] = std::array::from_fn(|index| [index as u8; 3]);
    if !colours.starts_with(palette) {
        colours = [[0; 3]; 256];
        colours.iter_mut().zip(palette).for_each(|(colour, listed)| *colour = *listed);
    }
    if let (Some(index), Transparency::Composite(background)) = (transparent, options.transparency)
    {
        colours[usize::from(index)] = background;
    }
    colours
}

fn failure(error: &DecodingError) -> PreprocessError {
    PreprocessError::Damaged { format: FORMAT, reason: error.to_string() }
}
