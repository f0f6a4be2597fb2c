//! TIFF files of every kind against what Pillow decodes, and damaged ones.

use std::fs;

use embedkit_image::{
    DecodeLimits, DecodeOptions, ImageInput, PreprocessError, RgbImage, Transparency, decode,
};
use embedkit_testkit::{TiffCase, TiffGolden, tiff_cases};

use super::{open, sha256};

fn try_decode(bytes: Vec<u8>, limits: DecodeLimits) -> Result<RgbImage, PreprocessError> {
    decode(&ImageInput::Bytes(bytes), &DecodeOptions { limits, ..DecodeOptions::default() })
}

#[test]
fn pixels_are_those_of_pillow() {
    let cases = tiff_cases();
    let path = |name: &str| &cases.iter().find(|case| case.name == name).unwrap().path;
    let (mut equal, mut same, mut refused) = (0, 0, 0);
    for TiffCase { name, path: file, expected } in &cases {
        match expected {
            TiffGolden::Pixels(size, digest) => {
                let image = open(file);
                assert_eq!((image.width(), image.height()), *size, "{name}");
                assert_eq!(sha256(image.pixels()), *digest, "{name}");
                equal += 1;
            }
            // Pillow fails or gives other pixels: docs/reference/image-formats.md says where.
            TiffGolden::Same(other) => {
                assert_eq!(open(file), open(path(other)), "{name}");
                same += 1;
            }
            TiffGolden::Refused => {
                let error = try_decode(fs::read(file).unwrap(), DecodeLimits::default());
                let error = error.expect_err(name);
                let is_ours = matches!(
                    error,
                    PreprocessError::Unsupported { .. } | PreprocessError::Damaged { .. }
                );
                assert!(is_ours, "{name}: {error:?}");
                refused += 1;
            }
        }
    }
    assert_eq!((equal, same, refused), (120, 10, 27));
}

#[test]
fn transparency_is_laid_over_a_colour_when_asked_for() {
    let transparency = Transparency::Composite([0, 0, 0]);
    let options = DecodeOptions { transparency, ..DecodeOptions::default() };
    for name in ["palette_alpha.tiff", "four_planes_alpha.tiff", "four_premultiplied.tiff"] {
        let case = tiff_cases().into_iter().find(|case| case.name == name).unwrap();
        let over = decode(&ImageInput::from(&*case.path), &options).unwrap();
        let plain = open(&case.path);
        let pairs = || over.pixels().iter().zip(plain.pixels());
        assert!(pairs().all(|(over, plain)| over <= plain), "{name}");
        assert!(pairs().any(|(over, plain)| over < plain), "{name}");
    }
    let case = tiff_cases().into_iter().find(|case| case.name == "four_unspecified.tiff").unwrap();
    let over = decode(&ImageInput::from(&*case.path), &options).unwrap();
    assert_eq!(over, open(&case.path), "a sample without a meaning is no alpha");
}

/// A stream may ask for a window that is larger than the limit on memory.
#[test]
fn windows_of_compressed_data_count_as_memory() {
    for name in ["rgb_lzma.tiff", "gray16_lzma_predictor.tiff"] {
        let case = tiff_cases().into_iter().find(|case| case.name == name).unwrap();
        let bytes = fs::read(case.path).unwrap();
        let limits = |max_memory| DecodeLimits { max_memory, ..DecodeLimits::default() };
        assert!(try_decode(bytes.clone(), limits(16 << 20)).is_ok(), "{name}");
        let error = try_decode(bytes, limits(1 << 20)).expect_err(name);
        assert!(matches!(error, PreprocessError::Damaged { .. }), "{name}: {error:?}");
    }
}

/// Cut off anywhere, a file is an error, or has the pixels that it has as a whole.
#[test]
fn files_that_end_early_have_no_other_pixels() {
    for TiffCase { name, path, .. } in tiff_cases() {
        let bytes = fs::read(&path).unwrap();
        let Ok(whole) = try_decode(bytes.clone(), DecodeLimits::default()) else { continue };
        for end in (0..bytes.len()).step_by(37) {
            if let Ok(image) = try_decode(bytes[..end].to_vec(), DecodeLimits::default()) {
                assert_eq!(image, whole, "{name} cut off after {end} bytes");
            }
        }
    }
}

/// Wrong bits give an error, or pixels within the limits, and never a panic.
#[test]
fn damaged_files_stay_within_the_limits() {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize
    };
    let limits = DecodeLimits { max_pixels: 1 << 20, max_memory: 16 << 20 };
    let (mut decoded, mut refused) = (0, 0);
    for TiffCase { path, .. } in tiff_cases() {
        let bytes = fs::read(&path).unwrap();
        // The directory lies at the end, and is where single bits change the meaning of all.
        let directory = u32::from_le_bytes(*bytes[4..].first_chunk().unwrap()) as usize;
        let directory = if directory < bytes.len() { directory } else { bytes.len() - 200 };
        for round in 0..60 {
            let mut bytes = bytes.clone();
            for _ in 0..=random() % 3 {
                let start = if round % 3 == 0 { 0 } else { directory };
                let at = start + random() % (bytes.len() - start);
                bytes[at] ^= 1 << (random() % 8);
            }
            match try_decode(bytes, limits) {
                Ok(image) => {
                    assert!(u64::from(image.width()) * u64::from(image.height()) <= 1 << 20);
                    decoded += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(decoded > 1000 && refused > 1000, "{decoded} decoded, {refused} refused");
}
