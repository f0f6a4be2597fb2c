//! YCbCr that no JPEG decoder has converted, with libtiff's integer arithmetic.

use super::kinds::YCbCr;

/// Fraction bits.
const SHIFT: u32 = 16;
const HALF: i32 = 1 << (SHIFT - 1);

/// Contribution of each code of a sample.
struct Tables {
    y: [i32; 256],
    cr_to_red: [i32; 256],
    cb_to_blue: [i32; 256],
    cr_to_green: [i32; 256],
    cb_to_green: [i32; 256],
}

impl Tables {
    fn new(kind: &YCbCr) -> Self {
        let [red, green, blue] = kind.luma;
        let [y_black, y_white, cb_black, cb_white, cr_black, cr_white] = kind.reference;
        let fixed = |value: f32| {
            // In double precision, since the factor is added to an integer.
            (f64::from(value.clamp(0.0, 2.0)) * f64::from(1 << SHIFT) + 0.5) as i32
        };
        let (of_red, of_blue) = (2.0 - 2.0 * red, 2.0 - 2.0 * blue);
        let (to_red, to_blue) = (fixed(of_red), fixed(of_blue));
        let (red_to_green, blue_to_green) =
            (-fixed(red * of_red / green), -fixed(blue * of_blue / green));
        // Maps a code so that `black` becomes 0 and `white` becomes `range`.
        let value = |code: i32, black: f32, white: f32, range: f32| {
            let span = if white == black { 1.0 } else { white - black };
            let value = (code - black as i32) as f32 * range / span;
            value.clamp(-128.0 * 32.0, 128.0 * 32.0) as i32
        };
        let table = |entry: &dyn Fn(i32) -> i32| std::array::from_fn(|code| entry(code as i32));
        let cb = |code| value(code - 128, cb_black - 128.0, cb_white - 128.0, 127.0);
        let cr = |code| value(code - 128, cr_black - 128.0, cr_white - 128.0, 127.0);
        Self {
            y: table(&|code| value(code, y_black, y_white, 255.0)),
            cr_to_red: table(&|code| (to_red * cr(code) + HALF) >> SHIFT),
            cb_to_blue: table(&|code| (to_blue * cb(code) + HALF) >> SHIFT),
            cr_to_green: table(&|code| red_to_green * cr(code)),
            cb_to_green: table(&|code| blue_to_green * cb(code) + HALF),
        }
    }

    fn rgb(&self, [y, cb, cr]: [u8; 3]) -> [u8; 3] {
        let [y, cb, cr] = [y, cb, cr].map(usize::from);
        let light = self.y[y];
        let green = (self.cb_to_green[cb] + self.cr_to_green[cr]) >> SHIFT;
        [light + self.cr_to_red[cr], light + green, light + self.cb_to_blue[cb]]
            .map(|value| value.clamp(0, 255) as u8)
    }
}

/// RGB of interleaved samples, each with its own chroma.
pub(super) fn from_pixels(kind: &YCbCr, samples: &[u8]) -> Vec<u8> {
    let tables = Tables::new(kind);
    samples.as_chunks().0.iter().flat_map(|&pixel| tables.rgb(pixel)).collect()
}

/// RGB of blocks: the luma of each row by row, then their shared chroma.
pub(super) fn from_blocks(kind: &YCbCr, blocks: &[u8], width: u32, rows: u32) -> Vec<u8> {
    let tables = Tables::new(kind);
    let (across, down) = (kind.subsampling.0 as usize, kind.subsampling.1 as usize);
    let (width, rows) = (width as usize, rows as usize);
    let mut pixels = vec![0; 3 * width * rows];
    let in_row = width.div_ceil(across);
    for (index, block) in blocks.chunks_exact(across * down + 2).enumerate() {
        let (left, top) = (index % in_row * across, index / in_row * down);
        let (luma, chroma) = block.split_at(across * down);
        for (at, &y) in luma.iter().enumerate() {
            let (x, row) = (left + at % across, top + at / across);
            if x < width && row < rows {
                let rgb = tables.rgb([y, chroma[0], chroma[1]]);
                pixels[3 * (row * width + x)..][..3].copy_from_slice(&rgb);
            }
        }
    }
    pixels
}
