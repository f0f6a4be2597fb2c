//! Broken and hostile files: an error in little time and memory.

use std::{fs, io::Write, path::Path, time::Instant};

use embedkit_image::{
    DecodeLimits, DecodeOptions, ImageInput, PreprocessError, PreprocessOptions, Preprocessor,
    RgbImage, decode,
};
use embedkit_testkit::{file_cases, tensor_cases};

use super::fuzzed;

fn try_decode(bytes: &[u8]) -> Result<RgbImage, PreprocessError> {
    decode(&ImageInput::Bytes(bytes.to_vec()), &DecodeOptions::default())
}

/// Cut off anywhere, a file gives pixels or an error, and cut off in its header an error.
#[test]
fn truncated_files_end_in_errors() {
    for case in file_cases() {
        let bytes = fs::read(&case.path).unwrap();
        for end in (0..bytes.len()).step_by(bytes.len().div_ceil(12)) {
            let result = try_decode(&bytes[..end]);
            assert!(end > 30 || result.is_err(), "{} cut off after {end} bytes", case.name);
        }
        // Compressed pixels that are missing are noticed in every format that compresses.
        // The first image of an animation is there.
        if case.name.starts_with("animated") {
            continue;
        }
        if [".png", ".jpg", ".webp", ".gif"].iter().any(|ending| case.name.ends_with(ending)) {
            let result = try_decode(&bytes[..bytes.len() / 2]);
            let error = result.expect_err(&case.name);
            assert!(matches!(error, PreprocessError::Damaged { .. }), "{}: {error:?}", case.name);
        }
    }
}

/// Bytes that are wrong give a tensor, or an error, and never a panic.
#[test]
fn damaged_files_do_no_harm() {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize
    };
    for case in file_cases() {
        let bytes = fs::read(&case.path).unwrap();
        for _ in 0..20 {
            let mut bytes = bytes.clone();
            for _ in 0..=random() % 4 {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
            fuzzed::image(&bytes);
        }
    }
    let mut configs: Vec<String> = tensor_cases().into_iter().map(|case| case.config).collect();
    configs.dedup();
    for config in configs {
        for _ in 0..20 {
            let mut config = config.clone().into_bytes();
            let at = random() % config.len();
            config[at] = b"0123456789.-\"{}[],:ntf"[random() % 22];
            fuzzed::preprocessor_config(&config);
        }
    }
}

#[test]
fn files_of_other_kinds_are_no_images() {
    for bytes in [&b""[..], b"GIF", b"plain text"] {
        assert!(matches!(try_decode(bytes), Err(PreprocessError::UnknownFormat)), "{bytes:?}");
    }
    for (bytes, name) in [
        (&b"%PDF-1.7"[..], "pdf"),
        (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "svg"),
        (b"\0\0\0\x1cftypheic\0\0\0\0", "heif"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "avif"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg 2000"),
    ] {
        let Err(PreprocessError::UnsupportedFormat { found }) = try_decode(bytes) else {
            panic!("{name}: {:?}", try_decode(bytes));
        };
        assert_eq!(found, name);
    }
    // The ending of the name says nothing.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.jpg");
    fs::write(&path, "text").unwrap();
    let error = decode(&ImageInput::from(&*path), &DecodeOptions::default()).unwrap_err();
    let PreprocessError::File { path: named, source } = &error else { panic!("{error:?}") };
    assert!(named == &path && matches!(**source, PreprocessError::UnknownFormat), "{error:?}");
    assert!(error.hint().is_some());
}

#[test]
fn what_is_no_file_is_an_error() {
    let decode = |path: &Path| decode(&ImageInput::from(path), &DecodeOptions::default());
    let folder = tempfile::tempdir().unwrap();
    let source = |error| match error {
        PreprocessError::File { source, .. } => *source,
        other => panic!("{other:?}"),
    };
    let error = source(decode(folder.path()).unwrap_err());
    assert!(matches!(error, PreprocessError::NotAFile), "{error:?}");
    let error = source(decode(&folder.path().join("missing.png")).unwrap_err());
    assert!(matches!(error, PreprocessError::Read(_)), "{error:?}");
    #[cfg(unix)]
    {
        // It would never end.
        let error = source(decode(Path::new("/dev/zero")).unwrap_err());
        assert!(matches!(error, PreprocessError::NotAFile), "{error:?}");
    }
}

/// Headers that promise more pixels than anyone has memory for.
#[test]
fn bombs_are_rejected_before_they_are_decoded() {
    let side = u32::to_be_bytes(100_000);
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend([&side[..], &side, &[8, 2, 0, 0, 0]].concat());
    png.extend(crc(&png[12..]).to_be_bytes());
    png.extend(b"\0\0\0\0IDAT5\xaf\x06\x1e\0\0\0\0IEND\xaeB`\x82");

    let mut bmp = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bmp.extend([i32::to_le_bytes(60_000), i32::to_le_bytes(60_000)].concat());
    bmp.extend([1, 0, 24, 0]);
    bmp.extend([0; 24]);

    let gif = b"GIF89a\xff\xff\xff\xff\x80\0\0......,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;";

    let mut jpeg = b"\xff\xd8\xff\xc0\0\x0b\x08".to_vec();
    jpeg.extend([0xff, 0xff, 0xff, 0xff, 1, 1, 0x11, 0]);
    jpeg.extend(b"\xff\xda\0\x08\x01\x01\0\0\x3f\0\0\xff\xd9");

    let entry = |tag: u16, value: u32| {
        [&tag.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &value.to_le_bytes()].concat()
    };
    let mut tiff = b"II*\0\x08\0\0\0\x08\0".to_vec();
    let tags = [(256, 100_000), (257, 100_000), (258, 8), (259, 1), (262, 1), (273, 8)];
    tags.iter().for_each(|&(tag, value)| tiff.extend(entry(tag, value)));
    tiff.extend([entry(278, 100_000), entry(279, u32::MAX), vec![0; 4]].concat());

    let start = Instant::now();
    for (name, file) in
        [("png", &png[..]), ("bmp", &bmp), ("gif", gif), ("jpeg", &jpeg), ("tiff", &tiff)]
    {
        let error = try_decode(file).expect_err(name);
        let is_limit = matches!(error, PreprocessError::TooManyPixels { .. });
        assert!(is_limit, "{name}: {error:?}");
    }
    assert!(start.elapsed().as_secs() < 5);
}

#[test]
fn limits_are_the_callers() {
    let case = file_cases().into_iter().find(|case| case.name == "rgb16.png").unwrap();
    let input = ImageInput::from(&*case.path);
    let with = |max_pixels, max_memory| {
        let limits = DecodeLimits { max_pixels, max_memory };
        match decode(&input, &DecodeOptions { limits, ..DecodeOptions::default() }) {
            Err(PreprocessError::File { source, .. }) => Err(*source),
            Err(other) => panic!("{other:?}"),
            Ok(image) => Ok(image),
        }
    };
    assert!(with(13 * 7, 1 << 20).is_ok());
    let pixels = with(13 * 7 - 1, 1 << 20).unwrap_err();
    assert!(matches!(pixels, PreprocessError::TooManyPixels { .. }), "{pixels:?}");
    let memory = with(13 * 7, 1000).unwrap_err();
    assert!(matches!(memory, PreprocessError::TooMuchMemory { .. }), "{memory:?}");
}

/// The original makes 224 x 1 120 000 pixels of this one, and then crops.
#[test]
fn a_narrow_image_costs_what_its_crop_costs() {
    let config = br#"{"do_resize": true, "size": {"shortest_edge": 224}, "do_center_crop": true,
                      "crop_size": 224, "resample": 3}"#;
    let preprocessor = Preprocessor::from_json(config).unwrap();
    for (width, height) in [(1, 5000), (5000, 1), (3, 5000), (5000, 3), (1, 1)] {
        let pixels = embedkit_testkit::noise(width, height, 3);
        let image = RgbImage::new(width, height, pixels).unwrap();
        let start = Instant::now();
        assert_eq!(preprocessor.apply(&image).unwrap().shape, [3, 224, 224]);
        assert!(start.elapsed().as_secs() < 5);
    }
    // Without the crop there is a limit.
    let config = br#"{"do_resize": true, "size": {"shortest_edge": 224}}"#;
    let preprocessor = Preprocessor::from_json(config).unwrap();
    let narrow = RgbImage::new(1, 5000, vec![0; 15_000]).unwrap();
    let error = preprocessor.apply(&narrow).unwrap_err();
    assert!(matches!(error, PreprocessError::OutputTooLarge { .. }), "{error:?}");
    let options = PreprocessOptions { max_pixels: 10, ..PreprocessOptions::default() };
    let small = RgbImage::new(4, 4, vec![0; 48]).unwrap();
    assert!(preprocessor.with_options(options).apply(&small).is_err());
}

#[test]
fn pixels_have_to_fit_their_size() {
    assert!(matches!(RgbImage::new(0, 3, vec![]), Err(PreprocessError::NoPixels { .. })));
    assert!(matches!(RgbImage::new(2, 2, vec![0; 11]), Err(PreprocessError::WrongLength { .. })));
    assert!(RgbImage::new(u32::MAX, u32::MAX, vec![]).is_err());
}

#[test]
fn configurations_that_say_nothing_sensible_are_errors() {
    for config in [
        "[]",
        "{",
        r#"{"image_processor_type": null}"#,
        r#"{"do_resize": true}"#,
        r#"{"do_resize": true, "size": {"longest_edge": 3}}"#,
        r#"{"do_resize": true, "size": {"shortest_edge": 0}}"#,
        r#"{"do_resize": true, "size": {"shortest_edge": 1e9}}"#,
        r#"{"do_resize": true, "size": {"shortest_edge": 5}, "resample": 6}"#,
        r#"{"do_center_crop": true}"#,
        r#"{"do_center_crop": true, "crop_size": "224"}"#,
        r#"{"do_normalize": true, "image_mean": 0.5}"#,
        r#"{"do_normalize": true, "image_mean": [1, 2], "image_std": 1}"#,
        r#"{"rescale_factor": null}"#,
        r#"{"image_processor_type": "ConvNextFeatureExtractor"}"#,
        r#"{"image_processor_type": "ConvNextFeatureExtractor", "size": 9, "crop_pct": 0}"#,
        r#"{"image_processor_type": "JinaCLIPImageProcessor"}"#,
        r#"{"image_processor_type": "JinaCLIPImageProcessor", "size": 9, "interpolation": "x"}"#,
        r#"{"image_processor_type": "JinaCLIPImageProcessor", "size": 9, "fill_color": "nought"}"#,
        r#"{"image_processor_type": "Idefics3ImageProcessor", "do_resize": true}"#,
    ] {
        assert!(Preprocessor::from_json(config.as_bytes()).is_err(), "{config}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("preprocessor_config.json");
    fs::File::create(&path).unwrap().write_all(b"{}").unwrap();
    assert!(Preprocessor::from_file(&path).is_ok());
    fs::write(&path, vec![b' '; 2 << 20]).unwrap();
    let error = Preprocessor::from_file(&path).unwrap_err();
    assert!(matches!(error, PreprocessError::ConfigFile { .. }), "{error:?}");
}

/// As PNG has it.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}
