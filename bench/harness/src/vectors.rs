//! Verifies that contestants give the same vectors before their speed is compared.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::contestant::{Contestant, Embedded};

/// Maximum difference of a component from ours; relative for components above 1.
const TOLERANCE: f32 = 1e-4;
/// Maximum difference of a run's checksum from ours; the mean weight of a component in it is 4.
const CHECKSUM_TOLERANCE: f64 = 4.0 * TOLERANCE as f64;

/// Numbers of a contestant for the inputs, concatenated.
pub(super) fn of(
    contestant: &mut Contestant,
    inputs: &Path,
    batch: usize,
    folder: &Path,
) -> Result<Vec<f32>> {
    let file = folder.join("vectors.f32");
    let request = json!({"op": "embed", "inputs": inputs, "batch": batch, "vectors": file});
    contestant.ask(&request)?;
    let bytes = fs::read(&file).with_context(|| format!("could not read {}", file.display()))?;
    fs::remove_file(&file).with_context(|| format!("could not remove {}", file.display()))?;
    Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// Maximum difference of a component; an error if it is too large to compare speeds.
pub(super) fn compare(name: &str, ours: &[f32], theirs: &[f32]) -> Result<f32> {
    let difference = largest(ours, theirs)
        .with_context(|| format!("the vectors of {name} cannot be compared"))?;
    if difference > TOLERANCE {
        bail!("the vectors of {name} are {difference:e} from ours, over {TOLERANCE:e}");
    }
    Ok(difference)
}

fn largest(ours: &[f32], theirs: &[f32]) -> Result<f32> {
    if ours.is_empty() || ours.len() != theirs.len() {
        bail!("{} numbers of ours and {} of theirs", ours.len(), theirs.len());
    }
    let mut largest = 0.0_f32;
    for (a, b) in ours.iter().zip(theirs) {
        let apart = (a - b).abs() / a.abs().max(1.0);
        if !apart.is_finite() {
            bail!("a component is not a number");
        }
        largest = largest.max(apart);
    }
    Ok(largest)
}

/// Verifies that a run's output matches ours over the same texts.
pub(super) fn check(name: &str, expected: &Embedded, found: &Embedded) -> Result<()> {
    let apart = (expected.checksum - found.checksum).abs() / expected.checksum.abs().max(1.0);
    // A NaN checksum matches nothing.
    let near = apart <= CHECKSUM_TOLERANCE;
    if found.count != expected.count || !near {
        bail!(
            "{name} gave {} vectors with the checksum {}, expected {} with {}",
            found.count,
            found.checksum,
            expected.count,
            expected.checksum
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_difference_is_found() {
        assert_eq!(largest(&[1.0, 0.5], &[1.0, 0.25]).expect("comparable"), 0.25);
        assert!(largest(&[1.0], &[1.0, 2.0]).is_err());
        assert!(largest(&[], &[]).is_err(), "nothing was compared");
        assert!(largest(&[1.0], &[f32::NAN]).is_err());
    }

    #[test]
    fn vectors_that_are_too_far_are_an_error() {
        assert!(compare("one", &[1.0, 0.5], &[1.0, 0.500_05]).is_ok());
        let error = compare("one", &[1.0, 0.5], &[1.0, 0.501]).expect_err("too far");
        assert!(error.to_string().starts_with("the vectors of one are"), "{error}");
    }

    #[test]
    fn another_checksum_is_an_error() {
        let run = |count, checksum| Embedded { seconds: 1.0, count, checksum };
        assert!(check("one", &run(2, 0.5), &run(2, 0.5001)).is_ok());
        assert!(check("one", &run(2, 0.5), &run(2, 0.51)).is_err());
        assert!(check("one", &run(2, 0.5), &run(1, 0.5)).is_err());
        assert!(check("one", &run(2, 0.5), &run(2, f64::NAN)).is_err());
    }
}
