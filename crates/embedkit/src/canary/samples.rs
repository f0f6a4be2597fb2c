//! Inputs for comparisons: short, of several lengths or sizes, and the same everywhere.

use std::sync::Arc;

use crate::{
    Error,
    model::input::{Input, InputKind},
};

/// Texts of several lengths, so that a batch of them has padding.
const TEXTS: [&str; 6] = [
    "hello world",
    "a",
    "Paris is the capital of France.",
    "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.",
    "embeddings",
    "2 + 2 = 4; naïve façade, 東京",
];
const QUERY: &str = "what is the capital of France?";

/// Inputs of a kind, some more than one, that models are compared on.
///
/// # Errors
/// Images that cannot be made.
pub fn samples(kind: InputKind) -> Result<Vec<Input>, Error> {
    match kind {
        InputKind::Text => Ok(TEXTS.into_iter().map(Input::from).collect()),
        InputKind::Pair => {
            let query: Arc<str> = QUERY.into();
            Ok(TEXTS.into_iter().map(|text| Input::pair(Arc::clone(&query), text)).collect())
        }
        InputKind::Image => images(),
    }
}

#[cfg(feature = "image-preprocess")]
fn images() -> Result<Vec<Input>, Error> {
    use embedkit_image::RgbImage;

    /// Sides in pixels.
    const SIDES: [(u32, u32); 3] = [(64, 64), (96, 48), (33, 71)];
    let image = |(width, height): (u32, u32)| {
        let pixel = |at: u32| {
            let (x, y) = (at % width, at / width);
            [x * 255 / width, y * 255 / height, (x + y) % 256].map(|value| value as u8)
        };
        let pixels = (0..width * height).flat_map(pixel).collect();
        Ok(Input::image(RgbImage::new(width, height, pixels)?))
    };
    SIDES.into_iter().map(image).collect()
}

#[cfg(not(feature = "image-preprocess"))]
#[expect(clippy::unnecessary_wraps, reason = "images are compiled out")]
fn images() -> Result<Vec<Input>, Error> {
    Ok(Vec::new())
}
