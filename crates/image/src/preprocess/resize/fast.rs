//! Resizing with `fast_image_resize`, one call for each axis, so that the order of passes is Pillow's;
//! by default it resizes 8-bit images vertically first.

use std::ops::Range;

use fast_image_resize::{
    FilterType, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::U8x3,
};

use super::{Extent, Filter, Pixels, Target};

pub(super) fn rows(image: Pixels<'_>, target: &Target, each: &mut dyn FnMut(usize, &[u8])) {
    let across = Axis::new(image.width, image.extent.0, target.width as usize, &target.columns);
    let down = Axis::new(image.height, image.extent.1, target.height as usize, &target.rows);
    let needed = if down.changes { down.reach(target.filter) } else { target.rows.clone() };
    let stride = 3 * image.width;
    let bytes = &image.bytes[stride * needed.start..stride * needed.end];
    let source = Pixels::new(image.width, needed.len(), bytes);

    let narrow;
    let (source, columns) = if across.changes {
        let rows = 0.0..needed.len() as f64;
        let size = (target.columns.len(), needed.len());
        narrow = one_pass(source, &across.from, &rows, size, target.filter);
        let columns = 0..target.columns.len();
        (Pixels::new(size.0, size.1, &narrow), columns)
    } else {
        (source, target.columns.clone())
    };
    let resized;
    let (source, columns) = if down.changes {
        let (start, end) = (columns.start as f64, columns.end as f64);
        let first = needed.start as f64;
        let rows =
            (down.from.start - first).max(0.0)..(down.from.end - first).min(source.height as f64);
        let size = (columns.len(), target.rows.len());
        resized = one_pass(source, &(start..end), &rows, size, target.filter);
        let all = 0..columns.len();
        (Pixels::new(size.0, size.1, &resized), all)
    } else {
        (source, columns)
    };
    for y in 0..source.height {
        each(y, &source.row(y)[3 * columns.start..3 * columns.end]);
    }
}

/// One axis of a resize, and the needed part of it.
struct Axis {
    changes: bool,
    pixels: usize,
    /// Input pixels for each output pixel.
    scale: f64,
    /// Input under the window, without the support of the filter.
    from: Range<f64>,
}

impl Axis {
    fn new(pixels: usize, extent: Extent, to: usize, window: &Range<usize>) -> Self {
        let scale = extent.length() / to as f64;
        let place = |output: usize| (extent.start + output as f64 * scale).min(pixels as f64);
        let from = place(window.start)..place(window.end);
        Self { changes: pixels != to, pixels, scale, from }
    }

    /// Input pixels within the support of the filter.
    fn reach(&self, filter: Filter) -> Range<usize> {
        let margin = filter.support() * self.scale.max(1.0) + 2.0;
        let end = (self.from.end + margin).ceil() as usize;
        (self.from.start - margin) as usize..end.min(self.pixels)
    }
}

fn one_pass(
    source: Pixels<'_>,
    columns: &Range<f64>,
    rows: &Range<f64>,
    (width, height): (usize, usize),
    filter: Filter,
) -> Vec<u8> {
    const WITHIN: &str = "sides are checked against their limit";
    let side = |side: usize| u32::try_from(side).expect(WITHIN);
    let filter = match filter {
        Filter::Nearest => unreachable!("mixes nothing, and is done elsewhere"),
        Filter::Lanczos => FilterType::Lanczos3,
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Bicubic => FilterType::CatmullRom,
        Filter::Box => FilterType::Box,
        Filter::Hamming => FilterType::Hamming,
    };
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).crop(
        columns.start,
        rows.start,
        columns.end - columns.start,
        rows.end - rows.start,
    );
    // Typed, because the untyped call links the code for all pixel types.
    let from =
        TypedImageRef::<U8x3>::from_buffer(side(source.width), side(source.height), source.bytes)
            .expect("as many bytes as the size says");
    let mut resized = vec![0; 3 * width * height];
    let mut to = TypedImage::<U8x3>::from_buffer(side(width), side(height), &mut resized)
        .expect("as many bytes as the size says");
    Resizer::new().resize_typed(&from, &mut to, &options).expect("the window lies in the image");
    resized
}
