//! Tiling of images for Idefics3.

use super::{
    Filter, PreprocessError, PreprocessOptions, RgbImage,
    arithmetic::Tables,
    config::{Sizing, Tiling},
    geometry::multiples,
    preprocessor::Planes,
    resize::{Pixels as Source, Target, resize_rows},
};

/// Tiles of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Tiles {
    /// Rows of tiles, or 0 for a single tile.
    pub rows: usize,
    /// Tiles in a row, or 0 for a single tile.
    pub cols: usize,
    /// Side of a tile in pixels.
    pub side: usize,
    /// `count() x 3 x side x side` values: the tiles row by row, then the whole image resized to one
    /// tile.
    pub values: Vec<f32>,
}

impl Tiles {
    /// Number of tiles, including the whole image.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rows * self.cols + 1
    }
}

pub(super) fn cut(
    image: &RgbImage,
    resize: Option<(Sizing, Filter)>,
    tiling: Tiling,
    options: PreprocessOptions,
    tables: &Tables,
) -> Result<Tiles, PreprocessError> {
    let Tiling { side, split, filter } = tiling;
    let resized = match resize {
        None => image.clone(),
        Some((sizing, filter)) => {
            let (width, height) = image.original_size();
            let size = sizing.of(width, height);
            resized(image, size, filter, options)?
        }
    };
    let large = if split {
        let size = multiples(resized.width(), resized.height(), side);
        self::resized(&resized, size, filter, options)?
    } else {
        resized
    };
    let (rows, cols) = if split && (large.width() > side || large.height() > side) {
        ((large.height() / side) as usize, (large.width() / side) as usize)
    } else {
        (0, 0)
    };

    let side = side as usize;
    let tile = 3 * side * side;
    let count = rows * cols + 1;
    options.check("a tensor of tiles", (count * side) as u64, side as u64)?;
    let mut values = vec![0.0; count * tile];
    let mut tiles: Vec<_> =
        values.chunks_exact_mut(tile).map(|tile| Planes::new(tile, side)).collect();
    let source = Source::of(&large);
    for y in 0..rows * side {
        let row = source.row(y).chunks_exact(3 * side);
        for (part, tile) in row.zip(&mut tiles[y / side * cols..]) {
            tables.write(part, tile.row(y % side, 0..side));
        }
    }
    let target = whole(tiling.side, tiling.side, filter, options);
    let whole = tiles.last_mut().expect("at least one");
    resize_rows(source, &target, &mut |y, row| tables.write(row, whole.row(y, 0..side)))?;
    Ok(Tiles { rows, cols, side, values })
}

fn resized(
    image: &RgbImage,
    (width, height): (u32, u32),
    filter: Filter,
    options: PreprocessOptions,
) -> Result<RgbImage, PreprocessError> {
    if (width, height) == (image.width(), image.height()) {
        return Ok(image.clone());
    }
    options.check("an image for tiles", width.into(), height.into())?;
    let target = whole(width, height, filter, options);
    let mut pixels = Vec::with_capacity(3 * width as usize * height as usize);
    resize_rows(Source::of(image), &target, &mut |_, row| pixels.extend_from_slice(row))?;
    RgbImage::new(width, height, pixels)
}

fn whole(width: u32, height: u32, filter: Filter, options: PreprocessOptions) -> Target {
    Target { threads: options.threads, ..Target::whole(width, height, filter, options.quality) }
}
