//! Run lengths, as Pillow expands them.

/// One byte for each pixel, in the order of the file, from `start` of the file on; fewer than
/// `width * height` where the data end early.
///
/// `nibbles` tells two pixels in a byte from one.
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
            // The row ends.
            (0, 0) => {
                pixels.resize(pixels.len().next_multiple_of(width), 0);
                x = 0;
            }
            // The image ends.
            (0, 1) => break,
            // The pen moves, over pixels of index 0.
            (0, 2) => {
                let Some(&[right, up]) = file.get(at..).and_then(|rest| rest.first_chunk()) else {
                    break;
                };
                at += 2;
                let skipped = usize::from(right) + usize::from(up) * width;
                pixels.resize((pixels.len() + skipped).min(end), 0);
                x = pixels.len() % width;
            }
            // Pixels one by one. Of an odd number in half bytes, Pillow leaves the last.
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
            // One pixel or a pair of them, again and again, up to the end of the row.
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
