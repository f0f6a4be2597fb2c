//! Known formats that are not supported.

/// Name of the file's format, if it is one of those.
pub(super) fn name(bytes: &[u8]) -> Option<&'static str> {
    if let Some([b'f', b't', b'y', b'p', brand @ ..]) =
        bytes.get(4..).and_then(|rest| rest.first_chunk::<8>())
    {
        return match brand {
            b"avif" | b"avis" => Some("avif"),
            b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1" => Some("heif"),
            _ => Some("mp4"),
        };
    }
    // These are also the first bytes of a TGA file without an image.
    if let [0, 0, 2, 0, 1..=u8::MAX, 0, ..] = bytes {
        return Some("cur");
    }
    let is_known = |(start, _): &&(&[u8], _)| bytes.starts_with(start);
    STARTS.iter().find(is_known).map(|(_, name)| *name)
}

/// First bytes of files, and the format's name.
const STARTS: [(&[u8], &str); 41] = [
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg 2000"),
    (b"\xff\x4f\xff\x51", "jpeg 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "jpeg xl"),
    (b"\xff\x0a", "jpeg xl"),
    (b"8BPS", "psd"),
    (b"BLP1", "blp"),
    (b"BLP2", "blp"),
    (b"DDS ", "dds"),
    (b"FTEX", "ftex"),
    (b"P1", "pnm"),
    (b"P2", "pnm"),
    (b"P3", "pnm"),
    (b"P4", "pnm"),
    (b"P5", "pnm"),
    (b"P6", "pnm"),
    (b"P7", "pnm"),
    (b"PF\n", "pfm"),
    (b"Pf\n", "pfm"),
    (b"SIMPLE", "fits"),
    (b"icns", "icns"),
    (b"qoif", "qoi"),
    (b"\0\0\x01\0", "ico"),
    (b"\x01\xda", "sgi"),
    (b"\x0a\x00", "pcx"),
    (b"\x0a\x02", "pcx"),
    (b"\x0a\x03", "pcx"),
    (b"\x0a\x05", "pcx"),
    (b"\xb1\x68\xde\x3a", "dcx"),
    (b"\x59\xa6\x6a\x95", "sun raster"),
    (b"\x76\x2f\x31\x01", "openexr"),
    (b"#?RADIANCE", "radiance hdr"),
    (b"#define", "xbm"),
    (b"/* XPM */", "xpm"),
    (b"%!PS", "postscript"),
    (b"\xc5\xd0\xd3\xc6", "postscript"),
    (b"%PDF-", "pdf"),
    (b"<svg", "svg"),
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"\xd7\xcd\xc6\x9a", "wmf"),
    (b"DanM", "msp"),
];
