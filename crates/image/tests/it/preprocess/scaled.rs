//! JPEG decoded at a reduced size.

use std::path::{Path, PathBuf};

use embedkit_image::{
    DecodeLimits, DecodeOptions, Filter, ImageInput, Jpeg, Orientation, PreprocessError,
    PreprocessOptions, Preprocessor, ResizeQuality, RgbImage, decode, resize,
};
use embedkit_testkit::{ScaledCase, file_cases, scaled_cases};

use super::{open, sha256};

const SCALED: DecodeOptions = DecodeOptions {
    limits: DecodeLimits { max_pixels: 1 << 20, max_memory: 1 << 25 },
    orientation: Orientation::Ignore,
    transparency: embedkit_image::Transparency::Drop,
    gray16: embedkit_image::Gray16::Clip,
    jpeg: Jpeg::Scaled,
};

fn preprocessor(json: &str) -> Preprocessor {
    Preprocessor::from_json(json.as_bytes()).unwrap()
}

#[test]
fn pixels_are_those_of_pillow_at_a_reduced_size() {
    let cases = scaled_cases();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    for ScaledCase { name, path, to: (width, height), size, sha256: pixels, resized } in cases {
        let exact = preprocessor(&format!(
            r#"{{"image_processor_type": "SiglipImageProcessor", "do_resize": true, "resample": 3,
                "size": {{"height": {height}, "width": {width}}}, "do_rescale": false}}"#
        ));
        let input = ImageInput::from(&*path);
        let image = exact.decode(&input, &SCALED).unwrap();
        assert_eq!((image.width(), image.height()), size, "{name}");
        assert_eq!(sha256(image.pixels()), pixels, "{name}");
        let small = resize(&image, width, height, Filter::Bicubic, ResizeQuality::Exact).unwrap();
        assert_eq!(sha256(small.pixels()), resized, "{name}");
        let tensor = exact.apply(&image).unwrap().values;
        let red = small.pixels().iter().step_by(3).map(|&value| f32::from(value));
        assert!(tensor[..tensor.len() / 3].iter().copied().eq(red), "{name}");

        // By default, and where no resize is known, the pixels are all of them.
        let whole = open(&path);
        assert_eq!(image.original_size(), (whole.width(), whole.height()), "{name}");
        assert_eq!(exact.decode(&input, &DecodeOptions::default()).unwrap(), whole, "{name}");
        assert_eq!(decode(&input, &SCALED).unwrap(), whole, "{name}");
    }
}

/// Less than four times the size that they are resized to, or not resized, or of another format.
#[test]
fn other_images_are_decoded_in_full() {
    let clip = r#"{"do_resize": true, "size": {"shortest_edge": 224}}"#;
    let crop = r#"{"do_center_crop": true, "crop_size": 8}"#;
    let quarter = r#"{"do_resize": true, "size": {"shortest_edge": 63}}"#;
    let tiny = r#"{"do_resize": true, "size": {"shortest_edge": 2}}"#;
    for (config, jpeg) in [(clip, true), (crop, true), (tiny, false)] {
        for case in file_cases().iter().filter(|case| case.name.ends_with(".jpg") == jpeg) {
            let input = ImageInput::from(&*case.path);
            let image = preprocessor(config).decode(&input, &SCALED).unwrap();
            assert_eq!(image, open(&case.path), "{}", case.name);
        }
    }
    let path = photograph("420.jpg");
    let sizes = [(quarter, (333, 251)), (&*quarter.replace("63", "62"), (167, 126))];
    for (config, size) in sizes {
        let image = preprocessor(config).decode(&ImageInput::from(&*path), &SCALED).unwrap();
        assert_eq!((image.width(), image.height()), size, "{config}");
    }
}

/// Mean and largest difference of two tensors, in levels of 255.
fn difference(a: &[f32], b: &[f32]) -> (f32, f32) {
    assert_eq!(a.len(), b.len());
    let each = a.iter().zip(b).map(|(a, b)| 255.0 * (a - b).abs());
    (each.clone().sum::<f32>() / a.len() as f32, each.fold(0.0, f32::max))
}

#[test]
fn tensors_stay_close_in_every_geometry() {
    let crop = r#"{"do_resize": true, "size": {"shortest_edge": 29}, "do_center_crop": true,
        "crop_size": {"height": 21, "width": 25}}"#;
    let wide = r#"{"do_resize": true, "size": {"height": 15, "width": 40}, "resample": 2}"#;
    let tall = r#"{"do_resize": true, "size": {"height": 60, "width": 31}, "do_center_crop": true,
        "crop_size": {"height": 21, "width": 25}}"#;
    let padded = r#"{"do_resize": true, "size": {"shortest_edge": 11}, "do_center_crop": true,
        "crop_size": 30, "resample": 1}"#;
    let square = r#"{"image_processor_type": "JinaCLIPImageProcessor", "size": 14}"#;
    let tiles = r#"{"image_processor_type": "Idefics3ImageProcessor", "do_resize": true,
        "size": {"longest_edge": 40}, "do_image_splitting": true,
        "max_image_size": {"longest_edge": 16}}"#;
    let fast = PreprocessOptions { quality: ResizeQuality::Fast, ..PreprocessOptions::default() };
    let exact = PreprocessOptions::default();
    for name in ["420.jpg", "444_progressive.jpg", "gray.jpg", "cmyk.jpg"] {
        let bytes = std::fs::read(photograph(name)).unwrap();
        for turn in 1..=8 {
            let input = ImageInput::Bytes(with_orientation(&bytes, turn));
            let scaled = DecodeOptions { orientation: Orientation::Apply, ..SCALED };
            let full = DecodeOptions { jpeg: Jpeg::Full, ..scaled };
            for (config, options) in [crop, wide, tall, padded, square, tiles]
                .map(|config| (config, exact))
                .into_iter()
                .chain([(crop, fast)])
            {
                let preprocessor = preprocessor(config).with_options(options);
                let images =
                    [full, scaled].map(|options| preprocessor.decode(&input, &options).unwrap());
                assert_eq!(images[0].original_size(), images[1].original_size());
                assert!(images[1].width() < images[0].width(), "{name} {turn} {config}");
                let [whole, small] = images.map(|image| values(&preprocessor, &image));
                if !preprocessor.makes_tiles() {
                    // While the file is decoded, too.
                    let read = [full, scaled].map(|options| preprocessor.read(&input, &options));
                    let read = read.map(|pixels| pixels.unwrap().values);
                    assert!(read == [whole.clone(), small.clone()], "{name} {turn} {config}");
                }
                let (mean, most) = difference(&whole, &small);
                assert!(mean < 0.75 && most < 8.0, "{name} {turn} {config}: {mean} {most}");
            }
        }
    }
}

/// The tensor, or those of all tiles.
fn values(preprocessor: &Preprocessor, image: &RgbImage) -> Vec<f32> {
    if preprocessor.makes_tiles() {
        let tiles = preprocessor.tiles(image).unwrap();
        assert!(tiles.rows > 1, "one tile");
        return tiles.values;
    }
    assert_eq!(preprocessor.size_of(image).unwrap(), {
        let [_, height, width] = preprocessor.apply(image).unwrap().shape;
        (height, width)
    });
    preprocessor.apply(image).unwrap().values
}

#[test]
fn limits_are_those_of_the_whole_image() {
    let preprocessor = preprocessor(r#"{"do_resize": true, "size": {"shortest_edge": 5}}"#);
    let input = ImageInput::Bytes(std::fs::read(photograph("420.jpg")).unwrap());
    let with = |max_pixels, max_memory| {
        let limits = DecodeLimits { max_pixels, max_memory };
        preprocessor.decode(&input, &DecodeOptions { limits, ..SCALED })
    };
    assert_eq!(with(333 * 251, 1 << 20).unwrap().width(), 42);
    let error = with(333 * 251 - 1, 1 << 20).unwrap_err();
    assert!(matches!(error, PreprocessError::TooManyPixels { .. }), "{error:?}");
    let error = with(333 * 251, 1 << 19).unwrap_err();
    assert!(matches!(error, PreprocessError::TooMuchMemory { .. }), "{error:?}");
}

fn photograph(name: &str) -> PathBuf {
    let path = scaled_cases()
        .into_iter()
        .map(|case| case.path)
        .find(|path| path.ends_with(Path::new("scaled").join(name)));
    path.unwrap()
}

/// The same file with an EXIF orientation.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let exif = b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0";
    [&jpeg[..2], exif, &[orientation, 0, 0, 0, 0, 0, 0, 0], &jpeg[2..]].concat()
}
