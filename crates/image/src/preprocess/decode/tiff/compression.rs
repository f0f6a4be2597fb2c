//! Decompression of strips and tiles, except for fax coding and JPEG.

use std::io::{self, Read};

use weezl::{BitOrder, LzwStatus, decode::Decoder};

use super::damaged;
use crate::preprocess::{DecodeLimits, PreprocessError};

/// Maximum memory for a stream's window, far more than encoders use.
const MOST_WINDOW: u64 = 256 << 20;

/// Exactly `length` bytes, or an error; further bytes are ignored.
pub(super) fn deflate(bytes: &[u8], length: usize) -> Result<Vec<u8>, PreprocessError> {
    exactly("deflate", flate2::bufread::ZlibDecoder::new(bytes), length)
}

pub(super) fn zstd(
    bytes: &[u8],
    length: usize,
    limits: DecodeLimits,
) -> Result<Vec<u8>, PreprocessError> {
    let window = limits.max_memory.min(MOST_WINDOW);
    let reader = ruzstd::decoding::StreamingDecoder::new_with_max_window_size(bytes, window);
    exactly("zstd", reader.map_err(|error| damaged(format!("zstd: {error}")))?, length)
}

pub(super) fn lzma(
    bytes: &[u8],
    length: usize,
    limits: DecodeLimits,
) -> Result<Vec<u8>, PreprocessError> {
    let kibibytes = (limits.max_memory.min(MOST_WINDOW) >> 10) as u32;
    let reader = lzma_rust2::XzReader::new_mem_limit(bytes, false, kibibytes);
    exactly("lzma", reader, length)
}

fn exactly(name: &str, mut reader: impl Read, length: usize) -> Result<Vec<u8>, PreprocessError> {
    let mut decoded = vec![0; length];
    reader.read_exact(&mut decoded).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => too_short(name, length),
        io::ErrorKind::OutOfMemory => {
            damaged(format!("{name}: the window takes more memory than is allowed"))
        }
        _ => damaged(format!("{name}: {error}")),
    })?;
    Ok(decoded)
}

pub(super) fn lzw(bytes: &[u8], length: usize) -> Result<Vec<u8>, PreprocessError> {
    // Old writers start with the lowest bit and lengthen codes one later. libtiff detects them by the
    // first code, which clears the table.
    let mut decoder = match bytes {
        [0, second, ..] if second & 1 == 1 => Decoder::new(BitOrder::Lsb, 8),
        _ => Decoder::with_tiff_size_switch(BitOrder::Msb, 8),
    };
    let mut decoded = vec![0; length];
    let (mut input, mut output) = (bytes, &mut decoded[..]);
    while !output.is_empty() {
        let result = decoder.decode_bytes(input, output);
        input = &input[result.consumed_in..];
        output = &mut output[result.consumed_out..];
        match result.status {
            Ok(LzwStatus::Ok) => {}
            Ok(LzwStatus::Done | LzwStatus::NoProgress) if output.is_empty() => {}
            Ok(LzwStatus::Done | LzwStatus::NoProgress) => return Err(too_short("lzw", length)),
            Err(error) => return Err(damaged(format!("lzw: {error}"))),
        }
    }
    Ok(decoded)
}

pub(super) fn pack_bits(bytes: &[u8], length: usize) -> Result<Vec<u8>, PreprocessError> {
    let mut decoded = Vec::with_capacity(length);
    let mut rest = bytes;
    while decoded.len() < length {
        let Some((&first, after)) = rest.split_first() else {
            return Err(too_short("packbits", length));
        };
        let room = length - decoded.len();
        let used = match first {
            0..=127 => {
                let literal = after.get(..=usize::from(first));
                let literal = literal.ok_or_else(|| too_short("packbits", length))?;
                decoded.extend(&literal[..literal.len().min(room)]);
                literal.len()
            }
            128 => 0,
            129..=255 => {
                let &value = after.first().ok_or_else(|| too_short("packbits", length))?;
                decoded.extend(std::iter::repeat_n(value, (257 - usize::from(first)).min(room)));
                1
            }
        };
        rest = &after[used..];
    }
    Ok(decoded)
}

fn too_short(name: &str, length: usize) -> PreprocessError {
    damaged(format!("{name}: a strip or tile ends before its {length} bytes"))
}
