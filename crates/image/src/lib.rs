//! Images to tensors, with the pixels of the Python original, and tensors to embeddings.
//!
//! `ImageEmbedding` (feature `models`) opens a model from its description and files and embeds images
//! with it: paths, the bytes of files, or pixels, from any iterator. Vectors come back lazily, in
//! input order, while worker threads read and preprocess the next images.
//!
//! ```no_run
//! # #[cfg(feature = "models")] {
//! use embedkit_core::registry;
//! use embedkit_image::ImageEmbedding;
//! use embedkit_types::{LoadOptions, ModelFiles, TaskKind};
//!
//! let spec = registry::find_task("Qdrant/clip-ViT-B-32-vision", TaskKind::Image)?;
//! let files = ModelFiles::in_dir("models/clip-ViT-B-32-vision", spec);
//! let model = ImageEmbedding::from_files(spec, &files, &LoadOptions::default())?;
//! for vector in model.embed(["cat.jpg", "dog.png"]) {
//!     assert_eq!(vector?.len(), 512);
//! }
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Preprocessor`] is compiled from the `preprocessor_config.json` that comes with a model. It
//! resizes, crops, rescales and normalises a decoded image into the tensor that the model's graph
//! takes, bit for bit as FastEmbed 0.9.1 does with Pillow 12. [`decode`] reads PNG, JPEG, WebP, GIF,
//! BMP and TIFF, within limits that are checked before anything is decoded.
//!
//! ```
//! # #[cfg(feature = "preprocess")] {
//! use embedkit_image::{DecodeOptions, ImageInput, Preprocessor, RgbImage};
//!
//! let preprocessor = Preprocessor::from_json(
//!     br#"{
//!         "image_processor_type": "CLIPImageProcessor",
//!         "do_resize": true, "size": {"shortest_edge": 224}, "resample": 3,
//!         "do_center_crop": true, "crop_size": 224,
//!         "do_normalize": true, "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]
//!     }"#,
//! )?;
//! assert_eq!(preprocessor.output_size(), Some((224, 224)));
//!
//! // A path, the bytes of a file, or pixels.
//! let input = ImageInput::from(RgbImage::new(640, 480, vec![255; 3 * 640 * 480])?);
//! let pixels = preprocessor.read(&input, &DecodeOptions::default())?;
//! assert_eq!(pixels.shape, [3, 224, 224]);
//! assert_eq!(pixels.values[0], (1.0 - 0.48) / 0.27);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Preprocessor::read`] is [`decode`] and [`Preprocessor::apply`] in one, without all pixels of a JPEG file in
//! memory. [`Preprocessor::apply_into`] writes into a batch without a copy; [`Preprocessor::tiles`] is for
//! models that take an image in tiles. [`resize()`] is useful alone.
//!
//! JPEG is decoded by libjpeg-turbo's code, which a C compiler builds; nasm, where it is installed, makes
//! it faster on x86, and clips coefficients that are out of range as Pillow does. Its errors unwind:
//! with `panic = "abort"` a broken file ends the process.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "models")]
mod model;
#[cfg(feature = "preprocess")]
mod preprocess;

#[cfg(feature = "models")]
pub use embedkit_types::Error;
#[cfg(feature = "models")]
pub use model::{ImageEmbedding, ImageError};
#[cfg(feature = "preprocess")]
pub use preprocess::*;
