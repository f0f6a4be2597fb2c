//! Nearest-neighbour resizing.

use std::ops::Range;

use super::{Extent, Pixels, Target};

pub(super) fn rows(image: Pixels<'_>, target: &Target, each: &mut dyn FnMut(usize, &[u8])) {
    let columns = places(image.width, image.extent.0, target.width as usize, &target.columns);
    let rows = places(image.height, image.extent.1, target.height as usize, &target.rows);
    let mut resized = vec![0; 3 * columns.len()];
    for (number, &y) in rows.iter().enumerate() {
        let (pixels, _) = image.row(y).as_chunks::<3>();
        let (to, _) = resized.as_chunks_mut::<3>();
        to.iter_mut().zip(&columns).for_each(|(to, &x)| *to = pixels[x]);
        each(number, &resized);
    }
}

/// Input pixel of each output pixel in the window. The position is a running sum with its rounding
/// errors, as in Pillow.
fn places(from: usize, extent: Extent, to: usize, window: &Range<usize>) -> Vec<usize> {
    let step = extent.length() / to as f64;
    let mut place = extent.start + step * 0.5;
    let mut places = Vec::with_capacity(window.len());
    for output in 0..window.end {
        if output >= window.start {
            places.push((place as usize).min(from - 1));
        }
        place += step;
    }
    places
}
