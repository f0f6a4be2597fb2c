//! Run-length decoding, as in Pillow.

/// Decodes one byte for each pixel, in file order, from offset `start` on. Returns fewer than `width *
/// height` if the data end early.
///
/// `nibbles` means two pixels in a byte instead of one.
pub(super) fn expanded(
    file: &[u8],
    start: usize,
    width: usize,
    height: usize,
    nibbles: bool,
) -> Vec<u8> {
    let end = width * height;
    let mut pixels = Vec::with_capacity(end);
    let (mut at, mut x) = (start, 0);
    let pairs = |bytes: &[u8]| -> Vec<u8> { bytes.iter().flat_map(|b| [b >> 4, b & 15]).collect() };
    while pixels.len() < end {
        let Some(&[count, value]) = file.get(at..).and_then(|rest| rest.first_chunk()) else {
            break;
        };
        at += 2;
        match (count, value) {
            // End of the row.
            (0, 0) => {
                pixels.resize(pixels.len().next_multiple_of(width), 0);
                x = 0;
            }
            // End of the image.
            (0, 1) => break,
            // Moves the position, skipping pixels of index 0.
            (0, 2) => {
                let Some(&[right, up]) = file.get(at..).and_then(|rest| rest.first_chunk()) else {
                    break;
                };
                at += 2;
                let skipped = usize::from(right) + usize::from(up) * width;
                pixels.resize((pixels.len() + skipped).min(end), 0);
                x = pixels.len() % width;
            }
            // Literal pixels. Pillow drops the last of an odd number of half-byte pixels.
            (0, count) => {
                let length = usize::from(if nibbles { count / 2 } else { count });
                let rest = file.get(at..).unwrap_or_default();
                let stored = &rest[..length.min(rest.len())];
                if nibbles {
                    pixels.extend(pairs(stored));
                } else {
                    pixels.extend(stored);
                }
                if stored.len() < length {
                    break;
                }
                x += usize::from(count);
                at += length;
                at += at % 2; // to an even place in the file
            }
            // One pixel or a pair, repeated up to the end of the row.
            (count, value) => {
                let count = usize::from(count).min(width.saturating_sub(x));
                let pair = if nibbles { [value >> 4, value & 15] } else { [value; 2] };
                pixels.extend(pair.into_iter().cycle().take(count));
                x += count;
            }
        }
    }
    pixels
}
