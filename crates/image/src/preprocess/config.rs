//! Parses `preprocessor_config.json`.
//!
//! The rules are FastEmbed's, not those of the library that the files are written for: a missing switch
//! has FastEmbed's default, and keys that FastEmbed does not read are ignored.

mod fill;
mod read;

use serde_json::Value;

use self::read::{Object, find, is_true, shown};
use super::{Filter, PreprocessError};

/// Steps of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) resize: Option<(Sizing, Filter)>,
    pub(super) frame: Frame,
    pub(super) tiles: Option<Tiling>,
    pub(super) arithmetic: Arithmetic,
}

/// Target size of the resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sizing {
    Exact { width: u32, height: u32 },
    ShortestEdge(u32),
    LongestEdge(u32),
}

/// Framing of the resized image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// Keeps the whole image.
    None,
    /// Crops the centre, and pads smaller images with zeros on all sides.
    Crop { width: u32, height: u32 },
    /// Crops the centre, and places smaller images at the top left of a coloured square.
    Square { side: u32, fill: [u8; 3] },
}

/// Tiling of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tiling {
    pub(super) side: u32,
    pub(super) split: bool,
    pub(super) filter: Filter,
}

/// Arithmetic on pixel values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Arithmetic {
    /// Scale of the values.
    pub(super) rescale: Option<f64>,
    /// Mean and standard deviation of each channel.
    pub(super) normalize: Option<[(f32, f32); 3]>,
}

/// Preprocessors that FastEmbed supports.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Clip,
    Siglip,
    ConvNext,
    JinaClip,
    Idefics3,
}

impl Plan {
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, PreprocessError> {
        // Some editors write a byte order mark.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let config: Value = serde_json::from_slice(bytes).map_err(PreprocessError::Json)?;
        let Value::Object(config) = &config else {
            return Err(wrong("the configuration", "an object", &config));
        };
        let kind = Kind::of(config)?;
        let (resize, frame) = match kind {
            Kind::Clip | Kind::Siglip => (clip_resize(config, kind)?, clip_crop(config)?),
            Kind::ConvNext => conv_next(config)?,
            Kind::JinaClip => jina_clip(config)?,
            Kind::Idefics3 => (idefics3_resize(config)?, Frame::None),
        };
        let tiles = match kind {
            Kind::Idefics3 => Some(idefics3_tiling(config)?),
            _ => None,
        };
        Ok(Self { resize, frame, tiles, arithmetic: arithmetic(config)? })
    }
}

impl Kind {
    fn of(config: &Object) -> Result<Self, PreprocessError> {
        let Some(value) = config.get("image_processor_type") else { return Ok(Self::Clip) };
        let name = value.as_str().unwrap_or_default();
        // The same preprocessors for another array library.
        Ok(match name.strip_suffix("Fast").unwrap_or(name) {
            "CLIPImageProcessor" => Self::Clip,
            "SiglipImageProcessor" => Self::Siglip,
            "ConvNextFeatureExtractor" => Self::ConvNext,
            "JinaCLIPImageProcessor" => Self::JinaClip,
            "Idefics3ImageProcessor" => Self::Idefics3,
            _ => {
                let found = value.as_str().map_or_else(|| shown(value), str::to_owned);
                return Err(PreprocessError::UnknownPreprocessor { found });
            }
        })
    }
}

fn clip_resize(config: &Object, kind: Kind) -> Result<Option<(Sizing, Filter)>, PreprocessError> {
    if !is_true(config, "do_resize", false) {
        return Ok(None);
    }
    const EXPECTED: &str = "an object with shortest_edge, or with height and width";
    let size = find(config, "size")?;
    let sizing = match size {
        Value::Object(sides) => {
            if let Some(edge) = sides.get("shortest_edge") {
                Sizing::ShortestEdge(read::side("size.shortest_edge", edge)?)
            } else if let (Some(height), Some(width)) = (sides.get("height"), sides.get("width")) {
                let height = read::side("size.height", height)?;
                Sizing::Exact { width: read::side("size.width", width)?, height }
            } else {
                return Err(wrong("size", EXPECTED, size));
            }
        }
        // Formerly; for SigLIP they meant a square.
        Value::Number(_) if kind == Kind::Clip => Sizing::ShortestEdge(read::side("size", size)?),
        Value::Number(_) | Value::Array(_) => {
            let (height, width) = read::sides("size", EXPECTED, size)?;
            Sizing::Exact { width, height }
        }
        _ => return Err(wrong("size", EXPECTED, size)),
    };
    Ok(Some((sizing, read::filter(config, "resample", Filter::Bicubic)?)))
}

fn clip_crop(config: &Object) -> Result<Frame, PreprocessError> {
    if !is_true(config, "do_center_crop", false) {
        return Ok(Frame::None);
    }
    const EXPECTED: &str = "an integer, or an object with height and width";
    let (height, width) = read::sides("crop_size", EXPECTED, find(config, "crop_size")?)?;
    Ok(Frame::Crop { width, height })
}

fn conv_next(config: &Object) -> Result<(Option<(Sizing, Filter)>, Frame), PreprocessError> {
    /// From this side on, images are resized without a crop.
    const WITHOUT_CROP: u32 = 384;
    if !is_true(config, "do_resize", true) {
        return Ok((None, Frame::None));
    }
    let size = find(config, "size")?;
    let edge = match size {
        Value::Object(sides) => sides
            .get("shortest_edge")
            .ok_or(PreprocessError::MissingKey { key: "size.shortest_edge" })?,
        Value::Number(_) => size,
        _ => return Err(wrong("size", "an object with shortest_edge", size)),
    };
    let edge = read::side("size.shortest_edge", edge)?;
    let filter = read::filter(config, "resample", Filter::Bicubic)?;
    if edge >= WITHOUT_CROP {
        return Ok((Some((Sizing::Exact { width: edge, height: edge }, filter)), Frame::None));
    }
    let part = read::number(config, "crop_pct", 0.875)?;
    let resized = f64::from(edge) / part;
    // Truncated like Python's `int`; anything else than a positive number is no side.
    if !(1.0..=f64::from(read::MAX_SIDE)).contains(&resized) {
        let found = config.get("crop_pct").map_or_else(String::new, shown);
        return Err(PreprocessError::WrongValue { key: "crop_pct", expected: "a fraction", found });
    }
    let resize = Sizing::ShortestEdge(resized as u32);
    Ok((Some((resize, filter)), Frame::Crop { width: edge, height: edge }))
}

fn jina_clip(config: &Object) -> Result<(Option<(Sizing, Filter)>, Frame), PreprocessError> {
    let filter = read::filter(config, "interpolation", Filter::Bicubic)?;
    let size = find(config, "size")?;
    let (side, width) = read::sides("size", "an integer", size)?;
    if side != width {
        return Err(wrong("size", "a square", size));
    }
    let mode = config.get("resize_mode");
    let shortest = mode.is_none_or(|mode| mode == "shortest");
    let resize = shortest.then_some((Sizing::ShortestEdge(side), filter));
    let fill = config.get("fill_color").map_or(Ok([0; 3]), fill::colour)?;
    Ok((resize, Frame::Square { side, fill }))
}

fn idefics3_resize(config: &Object) -> Result<Option<(Sizing, Filter)>, PreprocessError> {
    if !is_true(config, "do_resize", false) {
        return Ok(None);
    }
    let edge = config.get("size").and_then(|size| size.get("longest_edge"));
    let edge = edge.ok_or(PreprocessError::MissingKey { key: "size.longest_edge" })?;
    let edge = read::side("size.longest_edge", edge)?;
    Ok(Some((Sizing::LongestEdge(edge), read::filter(config, "resample", Filter::Lanczos)?)))
}

fn idefics3_tiling(config: &Object) -> Result<Tiling, PreprocessError> {
    const KEY: &str = "max_image_size.longest_edge";
    let side = match config.get("max_image_size") {
        None => 512,
        Some(Value::Object(sides)) => {
            sides.get("longest_edge").map_or(Ok(512), |edge| read::side(KEY, edge))?
        }
        Some(other) => return Err(wrong("max_image_size", "an object with longest_edge", other)),
    };
    let filter = read::filter(config, "resample", Filter::Lanczos)?;
    Ok(Tiling { side, split: is_true(config, "do_image_splitting", false), filter })
}

fn arithmetic(config: &Object) -> Result<Arithmetic, PreprocessError> {
    let rescale = if is_true(config, "do_rescale", true) {
        Some(read::number(config, "rescale_factor", 1.0 / 255.0)?)
    } else {
        None
    };
    let both = |mean, std| -> Result<_, PreprocessError> {
        let (mean, std) = (read::channels(config, mean)?, read::channels(config, std)?);
        Ok(Some([0, 1, 2].map(|channel| (mean[channel], std[channel]))))
    };
    let normalize = if is_true(config, "do_normalize", false) {
        both("image_mean", "image_std")?
    } else if config.contains_key("mean") && config.contains_key("std") {
        both("mean", "std")?
    } else {
        None
    };
    Ok(Arithmetic { rescale, normalize })
}

fn wrong(key: &'static str, expected: &'static str, found: &Value) -> PreprocessError {
    PreprocessError::WrongValue { key, expected, found: shown(found) }
}
