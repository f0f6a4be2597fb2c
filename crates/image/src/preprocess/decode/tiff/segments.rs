//! Positions of strips and tiles in the file.

use super::{damaged, directory::Directory};
use crate::preprocess::PreprocessError;

// Tags.
const STRIP_OFFSETS: u16 = 273;
const ROWS_PER_STRIP: u16 = 278;
const STRIP_BYTE_COUNTS: u16 = 279;
const TILE_WIDTH: u16 = 322;
const TILE_HEIGHT: u16 = 323;
const TILE_OFFSETS: u16 = 324;
const TILE_BYTE_COUNTS: u16 = 325;

/// Maximum average number of strips or tiles that share a byte of the file.
const MOST_OVERLAP: u64 = 16;

/// Maximum bytes of strips or tiles that any number may share.
const SMALL: u64 = 4096;

/// Strips or tiles of a page. Strips are as wide as the page.
pub(super) struct Segments {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) across: u32,
    pub(super) down: u32,
    /// Segments at the bottom are as high as the others.
    pub(super) are_tiles: bool,
    /// Offsets and compressed lengths, those of the first plane first.
    ranges: Vec<(u64, u64)>,
}

impl Segments {
    pub(super) fn read(
        directory: &Directory<'_>,
        width: u32,
        height: u32,
        is_compressed: bool,
        is_planar: bool,
    ) -> Result<Self, PreprocessError> {
        let has_strips = directory.has(STRIP_OFFSETS);
        // Some writers give the offsets of tiles in the tag for strips.
        let are_tiles = directory.has(TILE_WIDTH) && (is_compressed || !has_strips);
        let (of_width, of_height) = if are_tiles {
            (directory.side(TILE_WIDTH)?, directory.side(TILE_HEIGHT)?)
        } else {
            let rows = directory.integer(ROWS_PER_STRIP)?.unwrap_or(u64::from(height));
            (width, rows.min(u64::from(height)) as u32)
        };
        if of_width == 0 || of_height == 0 {
            return Err(damaged(format!("strips or tiles of {of_width} x {of_height} pixels")));
        }
        let tags = if are_tiles && directory.has(TILE_OFFSETS) {
            [TILE_OFFSETS, TILE_BYTE_COUNTS]
        } else {
            [STRIP_OFFSETS, STRIP_BYTE_COUNTS]
        };
        let Some(offsets) = directory.integers(tags[0])? else {
            return Err(damaged("the places of the strips or tiles are missing".to_owned()));
        };
        let lengths = directory.integers(tags[1])?.unwrap_or_default();
        let (across, down) = (width.div_ceil(of_width), height.div_ceil(of_height));
        let end = directory.file_length();
        let range = |index: usize| {
            let at = offsets[index];
            let length = lengths.get(index).copied().filter(|&length| length > 0);
            // A strip of unknown length may extend to the next.
            let next = offsets.get(index + 1).copied().filter(|&next| next > at).unwrap_or(end);
            (at, length.unwrap_or_else(|| next.saturating_sub(at)))
        };
        let mut ranges: Vec<(u64, u64)> = (0..offsets.len()).map(range).collect();
        if is_compressed {
            // Writers may store equal tiles once. A higher share is an attempt to make a small file
            // expensive.
            let beyond = ranges.iter().map(|range| range.1.saturating_sub(SMALL));
            let sum = beyond.fold(0, u64::saturating_add);
            if sum > end.saturating_mul(MOST_OVERLAP) {
                return Err(damaged(format!(
                    "its strips or tiles have {sum} bytes, the file {end}"
                )));
            }
        } else if !is_planar {
            // Segments beyond the page overlap the first ones, as in Pillow.
            let count = across as usize * down as usize; // at most the number of pixels
            let more = ranges.split_off(count.min(ranges.len()));
            more.chunks(count).for_each(|more| ranges[..more.len()].copy_from_slice(more));
        }
        Ok(Self { width: of_width, height: of_height, across, down, are_tiles, ranges })
    }

    /// Bytes of a strip or tile; without compression also the bytes after them.
    pub(super) fn bytes<'a>(
        &self,
        directory: &Directory<'a>,
        index: usize,
        is_compressed: bool,
    ) -> Result<&'a [u8], PreprocessError> {
        let name = if self.are_tiles { "tile" } else { "strip" };
        let Some(&(at, length)) = self.ranges.get(index) else {
            let count = self.ranges.len();
            return Err(damaged(format!("{name} {index} is missing, there are {count}")));
        };
        let bytes = if is_compressed { directory.slice(at, length) } else { directory.from(at) };
        bytes.ok_or_else(|| damaged(format!("{name} {index} lies beyond the end of the file")))
    }

    /// Index of a segment among those of all planes.
    pub(super) fn index(&self, column: u32, row: u32, plane: u32) -> usize {
        let in_plane = self.across as usize * self.down as usize;
        plane as usize * in_plane + row as usize * self.across as usize + column as usize
    }

    /// Number of page rows in a row of segments.
    pub(super) fn rows(&self, row: u32, height: u32) -> u32 {
        self.height.min(height - row * self.height)
    }
}
