//! Resizes against Pillow, and against the algorithm written down as simply as can be.

use embedkit_image::{Filter, ResizeQuality, RgbImage, resize};
use embedkit_testkit::{noise, resize_cases};

use super::{reference, sha256};

const FILTERS: [Filter; 6] = [
    Filter::Nearest,
    Filter::Lanczos,
    Filter::Bilinear,
    Filter::Bicubic,
    Filter::Box,
    Filter::Hamming,
];

#[test]
fn resizes_are_those_of_pillow() {
    let cases = resize_cases();
    assert_eq!(cases.len(), 26 * 6);
    for case in cases {
        let (width, height) = case.from;
        let seed = 1000 * u64::from(width) + u64::from(height);
        let image = RgbImage::new(width, height, noise(width, height, seed)).unwrap();
        let filter = FILTERS[case.filter as usize];
        let resized = resize(&image, case.to.0, case.to.1, filter, ResizeQuality::Exact).unwrap();
        assert_eq!((resized.width(), resized.height()), case.to);
        assert_eq!(sha256(resized.pixels()), case.sha256, "{case:?}");
    }
}

/// Every size from a pixel to a long line, with each filter.
#[test]
fn resizes_are_what_the_algorithm_says() {
    let mut state = 7u64;
    let mut random = |most: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        1 + (state >> 33) as u32 % most
    };
    let mut sizes = vec![(1, 1, 1, 1), (5000, 3, 37, 2), (3, 5000, 2, 37), (1, 1, 40, 1)];
    for _ in 0..60 {
        sizes.push((random(60), random(60), random(60), random(60)));
        sizes.push((random(400), random(4), random(40), random(9)));
        sizes.push((random(4), random(900), random(9), random(40)));
    }
    for (width, height, to_width, to_height) in sizes {
        let image = RgbImage::new(width, height, noise(width, height, 11)).unwrap();
        for filter in FILTERS {
            let resized =
                resize(&image, to_width, to_height, filter, ResizeQuality::Exact).unwrap();
            let expected = reference::resize(&image, to_width, to_height, filter);
            let what = format!("{width}x{height} to {to_width}x{to_height}, {filter:?}");
            assert!(resized.pixels() == expected, "{what}");
        }
    }
}

/// `fast_image_resize` is near: how far at most, on hard edges and noise, is what the documentation of
/// [`ResizeQuality::Fast`] says.
#[test]
fn fast_resizes_are_near() {
    for (filter, most) in [
        (Filter::Nearest, 0),
        (Filter::Bilinear, 2),
        (Filter::Hamming, 2),
        (Filter::Bicubic, 2),
        (Filter::Lanczos, 2),
    ] {
        let (mut worst, mut many, mut all) = (0, 0, 0);
        for (from, to) in [
            ((300, 200), (63, 40)),
            ((64, 64), (224, 224)),
            ((100, 80), (100, 33)),
            ((80, 100), (33, 100)),
            ((640, 480), (298, 224)),
            ((40, 500), (17, 224)),
        ] {
            let image = RgbImage::new(from.0, from.1, noise(from.0, from.1, 5)).unwrap();
            let [exact, fast] = [ResizeQuality::Exact, ResizeQuality::Fast]
                .map(|quality| resize(&image, to.0, to.1, filter, quality).unwrap());
            for (exact, fast) in exact.pixels().iter().zip(fast.pixels()) {
                worst = worst.max(exact.abs_diff(*fast));
                many += usize::from(exact != fast);
                all += 1;
            }
        }
        println!("{filter:?}: {worst} at most, {:.1} % differ", 100.0 * many as f64 / all as f64);
        assert!(worst <= most, "{filter:?}: {worst}");
    }
}

#[test]
fn nothing_is_no_target() {
    let image = RgbImage::new(2, 2, vec![0; 12]).unwrap();
    for (width, height) in [(0, 5), (5, 0), (u32::MAX, 1), (1 << 16, 1 << 16)] {
        assert!(resize(&image, width, height, Filter::Bicubic, ResizeQuality::Exact).is_err());
    }
}
