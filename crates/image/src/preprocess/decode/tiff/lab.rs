//! 8-bit CIE L*a*b* to sRGB, bit-equal to Little CMS as Pillow calls it: colours of a grid, with
//! tetrahedral interpolation in integers.

use std::{cmp::Reverse, sync::LazyLock};

/// Points of the grid on each axis.
const POINTS: usize = 33;

/// 16-bit colours: b* varies fastest, L* slowest.
static GRID: LazyLock<Vec<[u16; 3]>> = LazyLock::new(|| {
    let point = |index: usize| (index * 65535 * 2 + POINTS - 1) / (2 * (POINTS - 1)); // rounded
    let point = |index| (point(index) as f64 / 65535.0) as f32; // exactly as in Little CMS
    let index = 0..POINTS * POINTS * POINTS;
    index
        .map(|at| colour([at / (POINTS * POINTS), at / POINTS % POINTS, at % POINTS].map(point)))
        .collect()
});

/// Position of a code on an axis: the grid point before it, and the rest in 65536ths.
struct Place {
    point: usize,
    rest: i32,
}

pub(super) fn to_rgb(samples: &[u8]) -> Vec<u8> {
    let places: [Place; 256] = std::array::from_fn(|code| place(code as u32));
    samples.as_chunks().0.iter().flat_map(|&pixel| rgb(pixel, &places)).collect()
}

fn place(code: u32) -> Place {
    let scaled = (code << 8 | code) * (POINTS as u32 - 1);
    let fixed = scaled + (scaled + 0x7fff) / 0xffff;
    Place { point: (fixed >> 16) as usize, rest: (fixed & 0xffff) as i32 }
}

fn rgb([lightness, a, b]: [u8; 3], places: &[Place; 256]) -> [u8; 3] {
    // The codes of a* and b* are signed in the file.
    let codes = [(lightness, POINTS * POINTS), (a ^ 128, POINTS), (b ^ 128, 1)];
    let mut axes = codes.map(|(code, step)| (&places[usize::from(code)], step));
    let mut at: usize = axes.iter().map(|(place, step)| place.point * step).sum();
    let start: [u16; 3] = GRID[at];
    // From corner to corner of the tetrahedron, along the axis with the longest distance first.
    axes.sort_by_key(|(place, _)| Reverse(place.rest));
    let (mut sums, mut from) = ([0x8001i32; 3], start);
    for (place, step) in axes {
        if place.rest == 0 {
            break; // and there is no next point behind the last
        }
        at += step;
        let to = GRID[at];
        for ((sum, from), to) in sums.iter_mut().zip(from).zip(to) {
            // Wrapping products are part of the arithmetic.
            let step = (i32::from(to) - i32::from(from)).wrapping_mul(place.rest);
            *sum = sum.wrapping_add(step);
        }
        from = to;
    }
    let value = |channel: usize| {
        let sum = sums[channel];
        let difference = sum.wrapping_add(sum >> 16) >> 16;
        let value = u32::from(start[channel].wrapping_add(difference as u16));
        ((value * 65281 + (1 << 23)) >> 24) as u8 // divided by 257, rounded
    };
    [value(0), value(1), value(2)]
}

/// 16-bit sRGB of a point with coordinates from 0 to 1. Intermediate steps are in single precision, as
/// in Little CMS.
fn colour([lightness, a, b]: [f32; 3]) -> [u16; 3] {
    let y = (f64::from(lightness) * 100.0 + 16.0) / 116.0;
    let [a, b] = [a, b].map(|value| f64::from(value) * 255.0 - 128.0);
    let linear = |value: f64| {
        if value <= 24.0 / 116.0 {
            (108.0 / 841.0) * (value - 16.0 / 116.0)
        } else {
            value * value * value
        }
    };
    // The white point of the profile connection space, D50.
    let xyz = [0.9642 * linear(y + 0.002 * a), linear(y), 0.8249 * linear(y - 0.005 * b)];
    let xyz = xyz.map(|value| f64::from((value / MOST_XYZ) as f32));
    TO_SRGB.map(|row| {
        let light: f64 = row.iter().zip(xyz).map(|(factor, value)| factor * value).sum();
        let light = f64::from(light as f32);
        let knee = (0.04045 / 1.055 + 0.055 / 1.055f64).powf(2.4);
        let code = if light >= knee {
            (light.powf(1.0 / 2.4) - 0.055 / 1.055) / (1.0 / 1.055)
        } else {
            light / (1.0 / 12.92)
        };
        let code = f64::from(code as f32) * 65535.0 + 0.5;
        // First rounded to the precision of a fixed-point number.
        ((code * 65536.0).round_ties_even() / 65536.0) as u16 // within the limits, cut off
    })
}

/// Largest encodable XYZ value.
const MOST_XYZ: f64 = 1.0 + 32767.0 / 32768.0;

/// XYZ at D50 to linear sRGB.
const TO_SRGB: [[f64; 3]; 3] = [
    [6.268277080696409, -3.2343685646958, -0.9813731532183342],
    [-1.957467139347447, 3.8322017178972487, 0.06686577801362024],
    [0.14392565943970465, -0.4579807585679833, 2.811464565593521],
];
