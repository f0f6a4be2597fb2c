//! JPEG within TIFF: a stream for every strip or tile, optionally with shared tables.

use super::{damaged, kinds::Pixels, page::Page, unsupported};
use crate::preprocess::{
    DecodeLimits, PreprocessError,
    decode::jpeg::libjpeg::{AtEnd, Failure, Reader, Space, Upsampling},
};

/// Bytes for a sample: its progressive coefficient, itself, and its copy.
const BYTES_PER_SAMPLE: u64 = 2 + 1 + 1;

const START_OF_IMAGE: &[u8] = b"\xff\xd8";

/// Decodes the samples of a strip or tile, interleaved, at the segment's full width. YCbCr in one
/// stream becomes RGB; other samples stay unchanged.
pub(super) fn decode(
    page: &Page<'_>,
    tables: Option<&[u8]>,
    stream: &[u8],
    rows: u32,
    limits: DecodeLimits,
) -> Result<Vec<u8>, PreprocessError> {
    // The tags determine the colour space, not the markers.
    let spaces = match page.pixels {
        Pixels::YCbCr(_) if !page.is_planar => (Space::YCbCr, Space::Rgb),
        _ => (Space::Unknown, Space::Unknown),
    };
    decoded(page, tables, stream, rows, limits, spaces, Upsampling::Smooth)
}

/// Decodes the single strip of an old-style file: YCbCr, which libtiff converts instead of libjpeg. The
/// stream may continue in the strip.
pub(super) fn decode_old(
    page: &Page<'_>,
    start: &[u8],
    strip: &[u8],
    limits: DecodeLimits,
) -> Result<Vec<u8>, PreprocessError> {
    let stream = [start, strip].concat();
    if !stream.starts_with(START_OF_IMAGE) {
        return Err(unsupported(
            "compression 6, the old style of JPEG, in loose tables".to_owned(),
        ));
    }
    let spaces = (Space::YCbCr, Space::YCbCr);
    decoded(page, None, &stream, page.height, limits, spaces, Upsampling::Plain)
}

fn decoded(
    page: &Page<'_>,
    tables: Option<&[u8]>,
    stream: &[u8],
    rows: u32,
    limits: DecodeLimits,
    (space, out): (Space, Space),
    upsampling: Upsampling,
) -> Result<Vec<u8>, PreprocessError> {
    let failure = |failure| match failure {
        Failure::Unsupported(what) => unsupported(format!("JPEG with {what}")),
        Failure::Damaged(reason) => damaged(format!("jpeg: {reason}")),
        Failure::Memory => {
            let limit = limits.max_memory;
            PreprocessError::TooMuchMemory { needed: limit.saturating_add(1), limit }
        }
    };
    let mut reader = Reader::new(limits.max_memory, AtEnd::Finish).map_err(failure)?;
    if let Some(tables) = tables {
        reader = reader.read_tables(tables).map_err(failure)?;
    }
    let (mut reader, header) = reader.read_header(stream).map_err(failure)?;
    let components = if page.is_planar { 1 } else { page.samples };
    let width = page.segments.width;
    if header.width != width || header.height < rows || u32::from(header.components) != components {
        return Err(damaged(format!(
            "jpeg of {} x {} pixels and {} components, where the tags say {width} x {rows} and \
             {components}",
            header.width, header.height, header.components
        )));
    }
    let samples = u64::from(width) * u64::from(header.height) * u64::from(components);
    limits.check_memory(BYTES_PER_SAMPLE * samples)?;
    reader.set_space(space);
    reader.set_upsampling(upsampling);
    let mut samples = reader.decode(out).map_err(failure)?;
    samples.truncate(width as usize * rows as usize * components as usize);
    Ok(samples)
}
