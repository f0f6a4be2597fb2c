//! Image files to tensors.

mod arithmetic;
mod colour;
mod config;
mod decode;
mod error;
mod geometry;
mod input;
mod options;
mod preprocessor;
mod resize;
mod rgb_image;
mod tiles;

pub use decode::{DecodeLimits, DecodeOptions, Gray16, Jpeg, Orientation, Transparency, decode};
pub use error::PreprocessError;
pub use input::ImageInput;
pub use options::ImageOptions;
pub use preprocessor::{Pixels, PreprocessOptions, Preprocessor};
pub use resize::{Filter, ResizeQuality, resize};
pub use rgb_image::RgbImage;
pub use tiles::Tiles;
