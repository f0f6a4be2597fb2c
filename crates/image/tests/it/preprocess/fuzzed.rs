//! What a fuzzer calls. It needs nothing but the public interface, and panics where a promise is broken.

use embedkit_image::{
    DecodeLimits, DecodeOptions, ImageInput, Jpeg, PreprocessOptions, Preprocessor, RgbImage,
};

/// Whatever the bytes are, they are an error, or an image that becomes a tensor, in one step or in two.
pub(crate) fn image(data: &[u8]) {
    const CONFIG: &[u8] = br#"{"do_resize": true, "size": {"shortest_edge": 32}, "resample": 3,
        "do_center_crop": true, "crop_size": 32}"#;
    let limits = DecodeLimits { max_pixels: 1 << 18, max_memory: 1 << 25 };
    let full = DecodeOptions { limits, ..DecodeOptions::default() };
    let preprocessor = Preprocessor::from_json(CONFIG).expect("a valid configuration");
    let input = ImageInput::Bytes(data.to_vec());
    for options in [full, DecodeOptions { jpeg: Jpeg::Scaled, ..full }] {
        let read = preprocessor.read(&input, &options);
        let Ok(image) = preprocessor.decode(&input, &options) else {
            assert!(read.is_err(), "an image that cannot be decoded became a tensor");
            continue;
        };
        let pixels = preprocessor.apply(&image).expect("a crop of any image");
        assert_eq!(pixels.shape, [3, 32, 32]);
        assert!(pixels.values.iter().all(|value| (0.0..=1.0).contains(value)));
        assert_eq!(read.expect("an image that can be decoded"), pixels);
    }
}

/// Whatever the configuration says, it is an error, or makes tensors or tiles of the shape it states.
pub(crate) fn preprocessor_config(data: &[u8]) {
    let Ok(preprocessor) = Preprocessor::from_json(data) else { return };
    let options = PreprocessOptions { max_pixels: 1 << 18, ..PreprocessOptions::default() };
    let preprocessor = preprocessor.with_options(options);
    let pixels = (0..3 * 13 * 7).map(|value| value as u8).collect();
    let image = RgbImage::new(13, 7, pixels).expect("as many bytes as the size says");
    if preprocessor.makes_tiles() {
        if let Ok(tiles) = preprocessor.tiles(&image) {
            assert_eq!(tiles.values.len(), tiles.count() * 3 * tiles.side * tiles.side);
            assert_eq!(preprocessor.output_size(), Some((tiles.side, tiles.side)));
        }
    } else if let Ok(pixels) = preprocessor.apply(&image) {
        let [_, height, width] = pixels.shape;
        assert_eq!(pixels.values.len(), 3 * height * width);
        assert_eq!(preprocessor.output_size().unwrap_or((height, width)), (height, width));
    }
}
