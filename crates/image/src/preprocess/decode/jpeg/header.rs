//! Segments before the first scan, with Pillow's tolerance of junk that cameras write between them.

use super::{damaged, unsupported};
use crate::preprocess::PreprocessError;

/// Contents of the segments.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) width: u16,
    pub(super) height: u16,
    /// Number of components: 1, 3 or 4.
    pub(super) components: u8,
    /// EXIF data, which may span several segments.
    pub(super) exif: Option<Vec<u8>>,
    pub(super) xmp: Option<&'a [u8]>,
}

/// Reads the segments up to the first scan. Bytes between segments are skipped.
pub(super) fn read(bytes: &[u8]) -> Result<Header<'_>, PreprocessError> {
    let too_short = || damaged("the file ends before the image");
    let (mut frame, mut exif, mut xmp) = (None, None::<Vec<u8>>, None);
    let mut at = 2; // after the start-of-image marker
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let [byte, marker] = rest.first_chunk().copied().ok_or_else(too_short)?;
        if byte != 0xff || marker == 0xff {
            at += 1;
            continue;
        }
        at += 2;
        match marker {
            // Escaped bytes, restarts, start and end of an image, reserved markers.
            0 | 0xc8 | 0xd0..=0xd9 | 0xf0..=0xfd => continue,
            0xc0..=0xfe => {}
            _ => return Err(damaged("a marker that does not exist")),
        }
        let rest = &rest[2..];
        let length: [u8; 2] = rest.first_chunk().copied().ok_or_else(too_short)?;
        let length = usize::from(u16::from_be_bytes(length));
        let segment = rest.get(2..length.max(2)).ok_or_else(too_short)?;
        at += length.max(2);
        match marker {
            0xda => break,
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf | 0xde => {
                frame = Some(segment.first_chunk::<6>().ok_or_else(too_short)?);
            }
            0xe1 if segment.starts_with(b"Exif\0\0") => match &mut exif {
                Some(exif) => exif.extend(&segment[6..]),
                None => exif = Some(segment.to_vec()),
            },
            0xe1 => {
                let adobe = segment.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0");
                xmp = adobe.or(xmp);
            }
            _ => {}
        }
    }
    let &[bits, h0, h1, w0, w1, components] =
        frame.ok_or_else(|| damaged("a scan comes before the frame header"))?;
    match (bits, components) {
        (8, 1 | 3 | 4) => {}
        (8, _) => return Err(unsupported(format!("{components} components"))),
        _ => return Err(unsupported(format!("{bits} bits"))),
    }
    Ok(Header {
        width: u16::from_be_bytes([w0, w1]),
        height: u16::from_be_bytes([h0, h1]),
        components,
        exif,
        xmp,
    })
}
