//! Files of every kind against what Pillow decodes.

use embedkit_image::{
    DecodeOptions, Gray16, ImageInput, Orientation, RgbImage, Transparency, decode,
};
use embedkit_testkit::{FileCase, file_cases};

use super::{open, sha256};

#[test]
fn pixels_are_those_of_pillow() {
    let cases = file_cases();
    assert!(cases.len() >= 107, "{} files", cases.len());
    for case in cases {
        let image = open(&case.path);
        assert_eq!((image.width(), image.height()), case.size, "{}", case.name);
        assert_eq!(sha256(image.pixels()), case.sha256, "{}", case.name);
    }
}

#[test]
fn bytes_and_pixels_are_inputs_too() {
    let FileCase { path, .. } = case("rgb16.png");
    let expected = open(&path);
    for input in [std::fs::read(&path).unwrap().into(), ImageInput::from(expected.clone())] {
        assert_eq!(decode(&input, &DecodeOptions::default()).unwrap(), expected);
    }
    let other = image::open(&path).unwrap();
    assert_eq!(RgbImage::try_from(other).unwrap(), expected);
}

#[test]
fn orientation_is_applied_when_asked_for() {
    let options = DecodeOptions { orientation: Orientation::Apply, ..DecodeOptions::default() };
    for name in ["exif_rot6.jpg", "rgb_exif.png"] {
        let FileCase { path, size: (width, height), .. } = case(name);
        let plain = open(&path);
        let turned = decode(&ImageInput::from(&*path), &options).unwrap();
        assert_eq!((turned.width(), turned.height()), (height, width), "{name}");
        // Orientation 6: what was at the bottom left is at the top left.
        let bottom_left = 3 * (width * (height - 1)) as usize;
        assert_eq!(turned.pixels()[..3], plain.pixels()[bottom_left..][..3], "{name}");
    }
    // A byte where the standard has a short number is no orientation, as in Pillow.
    let FileCase { path, .. } = case("orientation_byte.jpg");
    assert_eq!(decode(&ImageInput::from(&*path), &options).unwrap(), open(&path));
}

#[test]
fn transparency_is_laid_over_a_colour_when_asked_for() {
    let transparency = Transparency::Composite([10, 20, 30]);
    let options = DecodeOptions { transparency, ..DecodeOptions::default() };
    let FileCase { path, .. } = case("palette_trns.png");
    let (plain, over) = (open(&path), decode(&ImageInput::from(&*path), &options).unwrap());
    let rgba = image::open(&path).unwrap().into_rgba8();
    let mut transparent = 0;
    for ((pixel, plain), over) in rgba.pixels().zip(rows(&plain)).zip(rows(&over)) {
        match pixel.0[3] {
            0 => {
                assert_eq!(over, [10, 20, 30]);
                transparent += 1;
            }
            255 => assert_eq!(over, plain),
            _ => {}
        }
    }
    assert!(transparent > 0);
}

#[test]
fn gray_of_16_bits_keeps_its_high_byte_when_asked_for() {
    let options = DecodeOptions { gray16: Gray16::HighByte, ..DecodeOptions::default() };
    for name in ["gray16.png", "gray16_trns.png", "gray16.tiff", "gray16_big_endian.tiff"] {
        let FileCase { path, .. } = case(name);
        let image = decode(&ImageInput::from(&*path), &options).unwrap();
        let samples = image::open(&path).unwrap().into_luma16();
        for (pixel, sample) in rows(&image).zip(samples.pixels()) {
            assert_eq!(pixel, [(sample.0[0] >> 8) as u8; 3], "{name}");
        }
    }
}

fn case(name: &str) -> FileCase {
    file_cases().into_iter().find(|case| case.name == name).unwrap()
}

fn rows(image: &RgbImage) -> impl Iterator<Item = [u8; 3]> {
    image.pixels().as_chunks().0.iter().copied()
}
