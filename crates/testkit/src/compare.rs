//! Comparisons of vectors.

use std::panic::Location;

use crate::machine::allowed;

/// Maximum difference of two components; infinite for different lengths or NaN.
#[must_use]
pub fn max_abs_diff(a: &[f32], b: &[f32]) -> f32 {
    worst(a, b).map_or(f32::INFINITY, |(_, difference)| difference)
}

/// Cosine similarity of two vectors of the same length; 1 for two zero vectors.
#[must_use]
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    let (aa, bb) = (dot(a, a), dot(b, b));
    if aa == 0.0 && bb == 0.0 { 1.0 } else { dot(a, b) / (aa.sqrt() * bb.sqrt()) }
}

/// Panics if a component differs by more than `tolerance`.
///
/// # Panics
/// With the index and size of the largest difference, and the cosine.
#[track_caller]
pub fn assert_close(actual: &[f32], expected: &[f32], tolerance: f32) {
    if let Some(complaint) = complaint(actual, expected, tolerance) {
        panic!("{complaint}");
    }
}

/// [`assert_close`] for several vectors. `None` rows in `expected` are not compared.
///
/// # Panics
/// With every row that differs.
#[track_caller]
pub fn assert_rows_close(actual: &[Vec<f32>], expected: &[Option<Vec<f32>>], tolerance: f32) {
    assert_eq!(actual.len(), expected.len(), "number of vectors");
    let complaints: Vec<String> = actual
        .iter()
        .zip(expected)
        .enumerate()
        .filter_map(|(row, (actual, expected))| {
            let complaint = complaint(actual, expected.as_deref()?, tolerance)?;
            Some(format!("row {row}: {complaint}"))
        })
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Pairs actual and expected items in order. A plain `zip` would hide missing ones.
///
/// # Panics
/// At the end of the shorter one.
#[track_caller]
pub fn zip_equal<A, B>(
    actual: impl IntoIterator<Item = A>,
    expected: impl IntoIterator<Item = B>,
) -> impl Iterator<Item = (A, B)> {
    let (mut actual, mut expected) = (actual.into_iter(), expected.into_iter());
    let (caller, mut count) = (Location::caller(), 0);
    std::iter::from_fn(move || match (actual.next(), expected.next()) {
        (Some(actual), Some(expected)) => {
            count += 1;
            Some((actual, expected))
        }
        (None, None) => None,
        (Some(_), None) => panic!("{caller}: more than the {count} expected"),
        (None, Some(_)) => panic!("{caller}: {count} came, more are expected"),
    })
}

fn complaint(actual: &[f32], expected: &[f32], tolerance: f32) -> Option<String> {
    if actual.len() != expected.len() {
        return Some(format!("width {} instead of {}", actual.len(), expected.len()));
    }
    let (index, difference) = worst(actual, expected)?;
    let tolerance = allowed(tolerance);
    if difference <= tolerance {
        return None;
    }
    Some(format!(
        "component {index} is {} instead of {}: differs by {difference:e}, allowed {tolerance:e}; \
         cosine {:.9}",
        actual[index],
        expected[index],
        cosine(actual, expected)
    ))
}

/// Index and size of the largest difference; `None` for different lengths.
fn worst(a: &[f32], b: &[f32]) -> Option<(usize, f32)> {
    let difference = |(x, y): (&f32, &f32)| {
        let difference = (x - y).abs();
        // Equal infinities match; NaN matches nothing.
        if x == y {
            0.0
        } else if difference.is_nan() {
            f32::INFINITY
        } else {
            difference
        }
    };
    (a.len() == b.len()).then(|| {
        a.iter()
            .zip(b)
            .map(difference)
            .enumerate()
            .max_by(|(_, x), (_, y)| x.total_cmp(y))
            .unwrap_or((0, 0.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_difference_and_its_place() {
        assert_eq!(max_abs_diff(&[1.0, 2.0, 3.0], &[1.0, 2.5, 3.25]), 0.5);
        assert_eq!(worst(&[1.0, 2.0, 3.0], &[1.0, 2.5, 3.25]), Some((1, 0.5)));
        assert_eq!(max_abs_diff(&[], &[]), 0.0);
    }

    #[test]
    fn unequal_lengths_and_undefined_values_never_agree() {
        assert_eq!(max_abs_diff(&[1.0], &[1.0, 2.0]), f32::INFINITY);
        assert_eq!(max_abs_diff(&[f32::NAN], &[f32::NAN]), f32::INFINITY);
        assert_eq!(max_abs_diff(&[f32::INFINITY], &[f32::INFINITY]), 0.0);
        assert!(complaint(&[1.0], &[1.0, 2.0], 1.0).is_some());
        assert!(complaint(&[f32::NAN], &[0.0], f32::MAX).is_some());
    }

    #[test]
    fn cosine_of_known_angles() {
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), 0.0);
        assert!((cosine(&[1.0, 1.0], &[2.0, 2.0]) - 1.0).abs() < 1e-12);
        assert_eq!(cosine(&[0.0], &[0.0]), 1.0);
    }

    #[test]
    #[should_panic(expected = "component 1 is 2 instead of 2.5")]
    fn a_difference_above_the_tolerance_fails() {
        assert_close(&[1.0, 2.0], &[1.0, 2.5], 0.4);
    }

    #[test]
    #[should_panic(expected = "row 2: component 0 is 3 instead of 4")]
    fn a_row_that_differs_is_named() {
        let expected = [Some(vec![1.0]), None, Some(vec![4.0])];
        assert_rows_close(&[vec![1.0], vec![9.0], vec![3.0]], &expected, 0.1);
    }

    #[test]
    #[should_panic(expected = "1 came, more are expected")]
    fn what_is_missing_fails() {
        assert_eq!(zip_equal([1, 2], [3, 4]).last(), Some((2, 4)));
        zip_equal([1], [3, 4]).for_each(drop);
    }

    #[test]
    #[should_panic(expected = "more than the 1 expected")]
    fn what_is_too_much_fails() {
        zip_equal([1, 2], [3]).for_each(drop);
    }

    #[test]
    fn differences_within_the_tolerance_pass() {
        assert_close(&[1.0, 2.0], &[1.0, 2.5], 0.5);
        assert_rows_close(&[vec![1.0]], &[Some(vec![1.0])], 0.0);
    }
}
