//! BMP with 16 bits for a pixel, whose 5 or 6 bits for a channel Pillow widens in its own way.

use crate::preprocess::{PreprocessError, RgbImage};

/// The bits of red, green and blue, in a file that has 16 for a pixel.
pub(super) fn bits_of_16(bytes: &[u8]) -> Option<[u16; 3]> {
    /// With 6 bits in the middle.
    const GREEN: [u8; 4] = [0xe0, 0x07, 0, 0];
    if bytes.get(28..30) != Some(&[16, 0]) {
        return None;
    }
    let has_masks = bytes.get(30..34) == Some(&[3, 0, 0, 0]);
    let green = if has_masks && bytes.get(58..62) == Some(&GREEN) { 6 } else { 5 };
    Some([5, green, 5])
}

/// The decoder rounds where Pillow cuts off.
pub(super) fn widened(image: RgbImage, bits: [u16; 3]) -> Result<RgbImage, PreprocessError> {
    let (width, height) = (image.width(), image.height());
    let mut pixels = image.into_pixels();
    for pixel in pixels.as_chunks_mut::<3>().0 {
        for (value, bits) in pixel.iter_mut().zip(bits) {
            let most = (1 << bits) - 1;
            let narrow = (u16::from(*value) * most + 127) / 255;
            *value = (narrow * 255 / most) as u8; // at most 255
        }
    }
    RgbImage::new(width, height, pixels)
}
