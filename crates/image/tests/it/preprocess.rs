//! Images to tensors.

mod files;
mod fuzzed;
mod hostile;
mod reference;
mod resizes;
mod scaled;
mod tensors;
mod tiff;

use std::path::Path;

use embedkit_image::{DecodeOptions, ImageInput, RgbImage, decode};
use sha2::{Digest, Sha256};

fn open(path: &Path) -> RgbImage {
    decode(&ImageInput::from(path), &DecodeOptions::default()).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
