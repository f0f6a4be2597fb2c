//! JPEG, by the decoder that Pillow uses, so that pixels are bit-equal.

mod header;
pub(super) mod libjpeg;

use image::metadata::Orientation as Turn;

use self::libjpeg::{AtEnd, Failure, Reader, Space};
use super::{
    Resized,
    options::{DecodeLimits, DecodeOptions, Jpeg, Orientation},
    orientation,
};
use crate::preprocess::{PreprocessError, RgbImage, colour, rgb_image::Geometry};

const FORMAT: &str = "jpeg";

/// Bytes for a pixel: 16-bit coefficients of a progressive file with four channels, and the result.
const BYTES_PER_PIXEL: u64 = 4 * 2 + 3;

/// A file whose header was read.
pub(in crate::preprocess) struct File<'a> {
    reader: Reader<'a>,
    /// Width and height of the whole image.
    size: (u32, u32),
    reduction: u32,
    components: u8,
    turn: Turn,
    limits: DecodeLimits,
}

impl<'a> File<'a> {
    /// Reads the header and checks the limits.
    pub(in crate::preprocess) fn open(
        bytes: &'a [u8],
        options: &DecodeOptions,
        resized: Resized<'_>,
    ) -> Result<Self, PreprocessError> {
        let header = header::read(bytes)?;
        let (width, height) = (u32::from(header.width), u32::from(header.height));
        let limits = options.limits;
        limits.check_pixels(width, height)?;
        let needed = BYTES_PER_PIXEL * u64::from(width) * u64::from(height);
        limits.check_memory(needed.saturating_add(bytes.len() as u64))?;

        let failure = |failure| self::failure(failure, limits);
        let memory = limits.max_memory - bytes.len() as u64;
        let reader = Reader::new(memory, AtEnd::Fail).map_err(failure)?;
        let (mut reader, frame) = reader.read_header(bytes).map_err(failure)?;
        if (frame.width, frame.height, frame.components) != (width, height, header.components) {
            return Err(damaged("there are two frame headers, which contradict each other"));
        }
        let turn = match options.orientation {
            Orientation::Ignore => Turn::NoTransforms,
            Orientation::Apply => orientation::of(header.exif.as_deref(), header.xmp),
        };
        let reduction = match options.jpeg {
            Jpeg::Full => 1,
            Jpeg::Scaled => reduction((width, height), turn, resized),
        };
        reader.set_reduction(reduction);
        let components = header.components;
        Ok(Self { reader, size: (width, height), reduction, components, turn, limits })
    }

    /// The pixels as they will be decoded.
    pub(in crate::preprocess) fn geometry(&self) -> Geometry {
        Geometry::reduced(self.size, self.reduction)
    }

    /// Returns `true` if the image is to be rotated or mirrored.
    pub(in crate::preprocess) fn is_turned(&self) -> bool {
        self.turn != Turn::NoTransforms
    }

    /// Decodes the whole image.
    pub(in crate::preprocess) fn decode(self) -> Result<RgbImage, PreprocessError> {
        let (geometry, turn) = (self.geometry(), self.turn);
        let space = self.space();
        let samples = self.reader.decode(space).map_err(|error| failure(error, self.limits))?;
        let pixels = if space == Space::Rgb { samples } else { to_rgb(samples, space) };
        Ok(RgbImage::with_geometry(geometry, pixels)?.turned(turn))
    }

    /// Decodes the image without its turn and passes its rows from the top, a few at a time.
    pub(in crate::preprocess) fn decode_rows(
        self,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), PreprocessError> {
        /// Few enough for the cache, and enough that the work for each call does not count.
        const ROWS: usize = 64;
        let (space, limits) = (self.space(), self.limits);
        let decode = || -> Result<(), Failure> {
            let mut rows = self.reader.start(space)?;
            let mut samples = vec![0; ROWS * rows.stride()];
            while rows.left() > 0 {
                samples.truncate(rows.left().min(ROWS) * rows.stride());
                rows = rows.next(&mut samples)?;
                if space == Space::Rgb {
                    each(&samples);
                } else {
                    each(&to_rgb(samples.clone(), space));
                }
            }
            rows.finish()
        };
        decode().map_err(|error| failure(error, limits))
    }

    fn space(&self) -> Space {
        match self.components {
            1 => Space::Gray,
            3 => Space::Rgb,
            _ => Space::Cmyk,
        }
    }
}

/// Converts grey, or inks that are stored inverted, as Adobe's programs do and Pillow assumes.
fn to_rgb(mut samples: Vec<u8>, space: Space) -> Vec<u8> {
    if space == Space::Gray {
        return colour::gray(&samples, |&v| v);
    }
    samples.iter_mut().for_each(|ink| *ink = 255 - *ink);
    colour::from_cmyk(&samples)
}

/// Largest divisor of both sides that libjpeg offers and that leaves twice the pixels to resize.
fn reduction((width, height): (u32, u32), turn: Turn, resized: Resized<'_>) -> u32 {
    /// Remaining pixels for each of the resized image, as in Pillow's `thumbnail`.
    const GAP: u64 = 2;
    let target = if orientation::swaps_sides(turn) {
        resized(height, width).map(|(width, height)| (height, width))
    } else {
        resized(width, height)
    };
    let Some(target) = target else { return 1 };
    let leaves = |side, to, by| u64::from(side) >= by * GAP * u64::from(to);
    let fits = |&by: &u64| leaves(width, target.0, by) && leaves(height, target.1, by);
    [8, 4, 2].into_iter().find(fits).unwrap_or(1) as u32
}

fn damaged(reason: &str) -> PreprocessError {
    PreprocessError::Damaged { format: FORMAT, reason: reason.to_owned() }
}

fn unsupported(what: String) -> PreprocessError {
    PreprocessError::Unsupported { format: FORMAT, what }
}

fn failure(failure: Failure, limits: DecodeLimits) -> PreprocessError {
    match failure {
        Failure::Unsupported(what) => unsupported(what),
        Failure::Damaged(reason) => PreprocessError::Damaged { format: FORMAT, reason },
        Failure::Memory => {
            let limit = limits.max_memory;
            PreprocessError::TooMuchMemory { needed: limit.saturating_add(1), limit }
        }
    }
}
