//! Orientation of the camera, from EXIF data or else from XMP, as Pillow reads it.

use image::metadata::Orientation as Turn;

/// EXIF tag of the orientation.
const ORIENTATION: u16 = 0x0112;

/// Reads the orientation from metadata. Missing or unreadable metadata give none.
pub(super) fn of(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Turn {
    let value = match exif.and_then(tag) {
        Some(value) => value,
        None => xmp.and_then(in_xmp),
    };
    value.and_then(Turn::from_exif).unwrap_or(Turn::NoTransforms)
}

/// Returns `true` if columns become rows.
pub(super) fn swaps_sides(turn: Turn) -> bool {
    use Turn::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(turn, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// The tag in the first directory of EXIF data: `None` if it is missing, `Some(None)` if it is not a
/// small number. Pillow accepts integers, fractions and floats of every width, but no bytes or text.
fn tag(exif: &[u8]) -> Option<Option<u8>> {
    let mut exif = exif;
    while let Some(rest) = exif.strip_prefix(b"Exif\0\0") {
        exif = rest;
    }
    // Pillow accepts the order of the first two bytes even if the next two are in the other.
    let little = match exif {
        [b'I', b'I', 42, 0, ..] | [b'I', b'I', 0, 42, ..] => true,
        [b'M', b'M', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => false,
        _ => return None,
    };
    let data = Data { bytes: exif, little };
    let directory = data.u32(4)? as usize;
    let entries = usize::from(data.u16(directory)?);
    let mut found = None;
    for entry in (0..entries).map(|index| directory + 2 + 12 * index) {
        let (Some(id), Some(kind), Some(count), Some(inside)) =
            (data.u16(entry), data.u16(entry + 2), data.u32(entry + 4), data.u32(entry + 8))
        else {
            break;
        };
        let width: u64 = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 => 8,
            _ => continue,
        };
        let size = u64::from(count) * width;
        let at = if size > 4 { u64::from(inside) } else { entry as u64 + 8 };
        if at + size > data.bytes.len() as u64 {
            break; // Pillow reads no further
        }
        if id == ORIENTATION && size > 0 {
            found = Some(data.value(kind, at as usize)); // within the data
        }
    }
    found
}

/// Bytes with a byte order.
struct Data<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl Data<'_> {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut bytes: [u8; N] = self.bytes.get(at..)?.first_chunk().copied()?;
        if !self.little {
            bytes.reverse();
        }
        Some(bytes)
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    /// The first value, if it is a small number.
    fn value(&self, kind: u16, at: usize) -> Option<u8> {
        let value = match kind {
            3 => f64::from(self.u16(at)?),
            4 | 13 => f64::from(self.u32(at)?),
            5 => f64::from(self.u32(at)?) / f64::from(self.u32(at + 4)?),
            6 => f64::from(i8::from_le_bytes(self.array(at)?)),
            8 => f64::from(i16::from_le_bytes(self.array(at)?)),
            9 => f64::from(i32::from_le_bytes(self.array(at)?)),
            10 => {
                let (above, below) = (self.array(at)?, self.array(at + 4)?);
                f64::from(i32::from_le_bytes(above)) / f64::from(i32::from_le_bytes(below))
            }
            11 => f64::from(f32::from_le_bytes(self.array(at)?)),
            12 => f64::from_le_bytes(self.array(at)?),
            16 => u64::from_le_bytes(self.array(at)?) as f64, // no orientation is so large that rounding matters
            _ => return None,
        };
        (1..=8).find(|&number| f64::from(number) == value)
    }
}

/// The digit after `tiff:Orientation="` or `tiff:Orientation>`.
fn in_xmp(xmp: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    xmp.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME).find_map(|(at, _)| {
        let rest = &xmp[at + NAME.len()..];
        match rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))? {
            [digit @ b'0'..=b'9', ..] => Some(digit - b'0'),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Little-endian EXIF data with the orientation alone.
    fn exif(kind: u16, count: u32, value: &[u8]) -> Vec<u8> {
        let mut exif = b"Exif\0\0II\x2a\0\x08\0\0\0\x01\0\x12\x01".to_vec();
        exif.extend(kind.to_le_bytes());
        exif.extend(count.to_le_bytes());
        if value.len() > 4 {
            exif.extend(26_u32.to_le_bytes());
            exif.extend([0; 4]);
        }
        exif.extend(value);
        exif
    }

    #[test]
    fn numbers_of_every_type_count_and_bytes_do_not() {
        let cases: [(u16, u32, &[u8], Turn); 9] = [
            (3, 1, &[6, 0, 0, 0], Turn::Rotate90),
            (4, 1, &[6, 0, 0, 0], Turn::Rotate90),
            (3, 2, &[6, 0, 1, 0], Turn::Rotate90),
            (6, 1, &[3, 0, 0, 0], Turn::Rotate180),
            (5, 1, &[12, 0, 0, 0, 2, 0, 0, 0], Turn::Rotate90),
            (11, 1, &6_f32.to_le_bytes(), Turn::Rotate90),
            (1, 1, &[6, 0, 0, 0], Turn::NoTransforms),
            (2, 2, b"6\0\0\0", Turn::NoTransforms),
            (3, 1, &[9, 0, 0, 0], Turn::NoTransforms),
        ];
        for (kind, count, value, expected) in cases {
            assert_eq!(of(Some(&exif(kind, count, value)), None), expected, "{kind} {value:?}");
        }
    }

    #[test]
    fn xmp_is_asked_where_exif_has_no_orientation() {
        let xmp = br#"<x tiff:Orientation="8"/>"#;
        assert_eq!(of(None, Some(xmp)), Turn::Rotate270);
        assert_eq!(of(Some(&exif(1, 1, &[6, 0, 0, 0])), Some(xmp)), Turn::NoTransforms);
        assert_eq!(of(Some(b"nothing"), Some(b"<tiff:Orientation>6<")), Turn::Rotate90);
    }

    #[test]
    fn data_that_end_early_are_no_panic() {
        let whole = exif(5, 1, &[12, 0, 0, 0, 2, 0, 0, 0]);
        for length in 0..whole.len() {
            assert_eq!(of(Some(&whole[..length]), None), Turn::NoTransforms, "{length}");
        }
    }
}
