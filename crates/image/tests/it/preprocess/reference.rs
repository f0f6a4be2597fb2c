//! Pillow's resize as simply as can be: a pixel at a time, weights made anew for each.

use std::f64::consts::PI;

use embedkit_image::{Filter, RgbImage};

pub(crate) fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> Vec<u8> {
    let from = (image.width() as usize, image.height() as usize);
    let (width, height) = (width as usize, height as usize);
    let across = |pixels: &[u8], rows: usize| -> Vec<u8> {
        let at = |x: usize, y: usize, channel: usize| pixels[3 * (y * from.0 + x) + channel];
        let value = |i: usize| {
            let (channel, x, y) = (i % 3, i / 3 % width, i / 3 / width);
            mixed(filter, from.0, width, x, |x| at(x, y, channel))
        };
        (0..3 * width * rows).map(value).collect()
    };
    let down = |pixels: &[u8], columns: usize| -> Vec<u8> {
        let at = |x: usize, y: usize, channel: usize| pixels[3 * (y * columns + x) + channel];
        let value = |i: usize| {
            let (channel, x, y) = (i % 3, i / 3 % columns, i / 3 / columns);
            mixed(filter, from.1, height, y, |y| at(x, y, channel))
        };
        (0..3 * columns * height).map(value).collect()
    };
    if from.1 > 100 * from.0 && height < from.1 {
        across(&down(image.pixels(), from.0), height)
    } else {
        down(&across(image.pixels(), from.1), width)
    }
}

/// One value of a pass from `from` to `to` pixels.
fn mixed(filter: Filter, from: usize, to: usize, i: usize, value: impl Fn(usize) -> u8) -> u8 {
    if from == to {
        return value(i);
    }
    let scale = from as f64 / to as f64;
    if filter == Filter::Nearest {
        let place = (0..i).fold(scale * 0.5, |place, _| place + scale);
        return value(place as usize);
    }
    let stretch = scale.max(1.0);
    let support = stretch
        * match filter {
            Filter::Nearest | Filter::Box => 0.5,
            Filter::Bilinear | Filter::Hamming => 1.0,
            Filter::Bicubic => 2.0,
            Filter::Lanczos => 3.0,
        };
    let center = (i as f64 + 0.5) * scale;
    let start = (center - support + 0.5).max(0.0).trunc() as usize;
    let end = (center + support + 0.5).trunc().min(from as f64) as usize;
    let weights: Vec<f64> =
        (start..end).map(|x| weight(filter, (x as f64 - center + 0.5) * (1.0 / stretch))).collect();
    let sum: f64 = weights.iter().sum();
    let mut mixed = 1i64 << 21;
    for (x, weight) in (start..end).zip(weights) {
        let weight = weight / sum * f64::from(1 << 22);
        let rounded = if weight < 0.0 { weight - 0.5 } else { weight + 0.5 };
        mixed += i64::from(value(x)) * rounded.trunc() as i64;
    }
    (mixed >> 22).clamp(0, 255) as u8
}

fn weight(filter: Filter, x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
    let far = x.abs();
    match filter {
        Filter::Nearest | Filter::Box => f64::from(u8::from(-0.5 < x && x <= 0.5)),
        Filter::Bilinear => (1.0 - far).max(0.0),
        Filter::Hamming if far >= 1.0 => 0.0,
        Filter::Hamming => sinc(far) * (f64::from(0.54f32) + f64::from(0.46f32) * (far * PI).cos()),
        Filter::Bicubic if far < 1.0 => (1.5 * far - 2.5) * far * far + 1.0,
        Filter::Bicubic if far < 2.0 => (((far - 5.0) * far + 8.0) * far - 4.0) * -0.5,
        Filter::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
        Filter::Bicubic | Filter::Lanczos => 0.0,
    }
}
