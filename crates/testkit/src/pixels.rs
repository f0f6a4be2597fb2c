//! Golden tensors, resizes and decoded files of image preprocessing.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use crate::files::parsed;

/// An image and a configuration, with the result of FastEmbed 0.9.1 and Pillow 12.
#[derive(Debug, Clone)]
pub struct TensorCase {
    /// Configuration and image, separated by a slash.
    pub name: String,
    /// Name of the configuration.
    pub config_name: String,
    /// Content of a `preprocessor_config.json`.
    pub config: String,
    /// File of the image.
    pub image: PathBuf,
    /// The result.
    pub golden: TensorGolden,
}

/// A tensor, or an exception.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum TensorGolden {
    /// A tensor; with tiles, all of an image stacked.
    Tensor {
        /// Its shape.
        shape: Vec<usize>,
        /// `float32`, or `uint8` without arithmetic.
        dtype: String,
        /// SHA-256 of its little-endian values.
        sha256: String,
    },
    /// Type and text of the exception.
    Exception {
        /// Type and text of the exception.
        error: String,
    },
}

/// Pillow's resize of an image of [`noise`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResizeCase {
    /// Size of the image in pixels.
    pub from: (u32, u32),
    /// Size of the result in pixels.
    pub to: (u32, u32),
    /// Pillow's number of the filter.
    pub filter: u32,
    /// SHA-256 of the resulting bytes.
    pub sha256: String,
}

/// A file, and the pixels that Pillow decodes from it.
#[derive(Debug, Clone)]
pub struct FileCase {
    /// Name of the file: its format and its peculiarity.
    pub name: String,
    /// Path.
    pub path: PathBuf,
    /// Size in pixels.
    pub size: (u32, u32),
    /// SHA-256 of the RGB bytes.
    pub sha256: String,
}

/// All tensors.
///
/// # Panics
///
/// If the files are missing or are not what the script writes.
#[must_use]
pub fn tensor_cases() -> Vec<TensorCase> {
    let configs: BTreeMap<String, serde_json::Value> = parsed(&folder().join("configs.json"));
    let tensors: BTreeMap<String, TensorGolden> = parsed(&folder().join("tensors.json"));
    let case = |(name, golden): (String, TensorGolden)| {
        let (config, image) = name.split_once('/').expect("configuration and image");
        TensorCase {
            config_name: config.to_owned(),
            config: configs[config].to_string(),
            image: folder().join("images").join(image),
            golden,
            name,
        }
    };
    tensors.into_iter().map(case).collect()
}

/// All resizes.
///
/// # Panics
///
/// If the file is missing or is not what the script writes.
#[must_use]
pub fn resize_cases() -> Vec<ResizeCase> {
    let case = |(name, sha256): (String, String)| {
        let words: Vec<&str> = name.split(' ').collect();
        let filter = words[2].parse().expect("a filter's number");
        ResizeCase { from: size(words[0]), to: size(words[1]), filter, sha256 }
    };
    parsed::<BTreeMap<_, _>>(&folder().join("resizes.json")).into_iter().map(case).collect()
}

/// All files.
///
/// # Panics
///
/// If the files are missing or are not what the script writes.
#[must_use]
pub fn file_cases() -> Vec<FileCase> {
    #[derive(Deserialize)]
    struct Golden {
        size: (u32, u32),
        sha256: String,
    }
    let case = |(name, Golden { size, sha256 }): (String, Golden)| {
        let mut path = folder().join("images").join(&name);
        if !path.is_file() {
            path = folder().join("files").join(&name);
        }
        FileCase { path, size, sha256, name }
    };
    parsed::<BTreeMap<_, _>>(&folder().join("files.json")).into_iter().map(case).collect()
}

/// A JPEG file, and what Pillow makes of it when it decodes at a reduced size.
#[derive(Debug, Clone)]
pub struct ScaledCase {
    /// File and size of the result.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Width and height that the image is then resized to.
    pub to: (u32, u32),
    /// Size of the decoded pixels.
    pub size: (u32, u32),
    /// SHA-256 of the decoded pixels in RGB.
    pub sha256: String,
    /// SHA-256 of the resized pixels, by the bicubic filter.
    pub resized: String,
}

/// JPEG files of every kind, decoded at a reduced size.
///
/// # Panics
///
/// If the file is missing or is not what the script writes.
#[must_use]
pub fn scaled_cases() -> Vec<ScaledCase> {
    #[derive(Deserialize)]
    struct Golden {
        size: (u32, u32),
        sha256: String,
        resized: String,
    }
    let case = |(name, Golden { size, sha256, resized }): (String, Golden)| {
        let (path, to) = name.split_once(' ').expect("a path and a size");
        let (path, to) = (folder().join(path), self::size(to));
        ScaledCase { path, to, size, sha256, resized, name }
    };
    parsed::<BTreeMap<_, _>>(&folder().join("scaled.json")).into_iter().map(case).collect()
}

/// A size such as `640x480`.
fn size(text: &str) -> (u32, u32) {
    let (width, height) = text.split_once('x').expect("width and height");
    (width.parse().expect("a width"), height.parse().expect("a height"))
}

/// A TIFF file with its expected result.
#[derive(Debug)]
pub struct TiffCase {
    /// Name.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Expected result of decoding it.
    pub expected: TiffGolden,
}

/// Expected result of decoding a TIFF file.
#[derive(Debug)]
pub enum TiffGolden {
    /// Pillow's pixels: size and SHA-256 of RGB.
    Pixels((u32, u32), String),
    /// Pixels of this case, if Pillow fails or gives others.
    Same(String),
    /// An error.
    Refused,
}

/// TIFF files of every kind. Made by `data/make/tiffs.py`.
///
/// # Panics
///
/// If the file is missing or is not what the script writes.
#[must_use]
pub fn tiff_cases() -> Vec<TiffCase> {
    #[derive(Deserialize)]
    struct Golden {
        size: Option<(u32, u32)>,
        sha256: Option<String>,
        same: Option<String>,
        error: Option<String>,
    }
    let case = |(name, golden): (String, Golden)| {
        let expected = match golden {
            Golden { size: Some(size), sha256: Some(sha256), .. } => {
                TiffGolden::Pixels(size, sha256)
            }
            Golden { same: Some(same), .. } => TiffGolden::Same(same),
            Golden { error: Some(_), .. } => TiffGolden::Refused,
            _ => panic!("{name} lacks what is expected"),
        };
        TiffCase { path: folder().join("tiff").join(&name), name, expected }
    };
    parsed::<BTreeMap<_, _>>(&folder().join("tiff.json")).into_iter().map(case).collect()
}

/// Input of the resizes: random bytes, in every third row all 0 or 255.
#[must_use]
pub fn noise(width: u32, height: u32, seed: u64) -> Vec<u8> {
    let (row, mut state) = (3 * width as usize, seed);
    let byte = |place: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let byte = (state >> 56) as u8;
        let is_hard = (place / row).is_multiple_of(3);
        if !is_hard {
            byte
        } else if byte < 128 {
            0
        } else {
            255
        }
    };
    (0..row * height as usize).map(byte).collect()
}

fn folder() -> PathBuf {
    crate::data_dir().join("image-preprocess")
}
