//! `muvera`: fixed-dimensional encodings, compared with the original.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{
    contestant::Contestant,
    contestants::{Kind, Open, Peer, Setting},
    report::{Goal, Report},
    rounds::{interleave, rates},
    scale::Scale,
};

/// Required speedup over the original with one thread in double precision.
const TIMES: f64 = 12.0;
/// Maximum relative difference of a component from the original's.
const TOLERANCE: f64 = 1e-12;
const DIM: usize = 128;
const INPUTS: usize = 32;
/// Inputs whose encodings are compared.
const COMPARED: usize = 4;

/// Encoded inputs with the relevant parameters; 20 repetitions each.
struct Size {
    form: &'static str,
    rows: usize,
    k_sim: usize,
    dim_proj: usize,
}

const fn size(form: &'static str, rows: usize, k_sim: usize, dim_proj: usize) -> Size {
    Size { form, rows, k_sim, dim_proj }
}

/// The first has the default parameters.
const SIZES: &[Size] = &[
    size("document", 128, 5, 16),
    size("document", 128, 4, 16),
    size("document", 128, 4, 32),
    size("document", 128, 5, 32),
    size("document", 128, 6, 16),
    size("document", 128, 6, 32),
    size("document", 300, 5, 16),
    size("query", 32, 5, 16),
    size("query", 32, 6, 32),
];

/// Measures.
pub(super) fn measure(setting: &Setting<'_>, scale: &Scale, report: &mut Report) -> Result<()> {
    if let Some(reason) = setting.contestants.skipped(Peer::FastEmbed) {
        report.skip(Peer::FastEmbed.name(), reason);
        return Ok(());
    }
    report.inputs = json!({"inputs": INPUTS, "dim": DIM, "r_reps": 20});
    let mut threads = vec![1, setting.threads];
    threads.dedup();
    for threads in threads {
        let plural = if threads == 1 { "" } else { "s" };
        report.section(&format!("MUVERA, {threads} thread{plural}"));
        // With threads, only the default parameters are measured.
        for size in &SIZES[..if threads == 1 { SIZES.len() } else { 1 }] {
            compare(setting, scale, size, threads, report)?;
        }
    }
    Ok(())
}

fn compare(
    setting: &Setting<'_>,
    scale: &Scale,
    size: &Size,
    threads: usize,
    report: &mut Report,
) -> Result<()> {
    let &Size { form, rows, k_sim, dim_proj } = size;
    let file = setting.folder.join("vectors.f32");
    let vectors = unit_vectors(INPUTS * rows, DIM);
    let bytes: Vec<u8> = vectors.into_iter().flat_map(f32::to_le_bytes).collect();
    fs::write(&file, bytes).with_context(|| format!("could not write {}", file.display()))?;
    let options = json!({
        "dim": DIM, "k_sim": k_sim, "dim_proj": dim_proj, "form": form, "vectors": file,
        "rows": rows,
    });
    let open = Open { kind: Kind::Muvera, model: Path::new(""), threads, options: &options };
    let (mut ours, _) = setting.contestants.ours("embedkit", open)?;
    let (mut original, _) = setting.contestants.peer(Peer::FastEmbed, open)?;
    let to = setting.folder.join("encodings.f64");
    let difference = difference(&saved(&mut ours, &to)?, &saved(&mut original, &to)?)?;
    if difference > TOLERANCE {
        bail!("a component is {difference:e} from the original's, over {TOLERANCE:e}");
    }
    let mut encode = |turn: usize| {
        let contestant = if turn == 2 { &mut original } else { &mut ours };
        let answer = contestant.ask(&json!({"op": "encode", "single": turn == 1}))?;
        answer["seconds"].as_f64().context("encoding took no time")
    };
    for turn in 0..3 {
        encode(turn)?; // does not count
    }
    // The runs are short, so more rounds cost little.
    let seconds = interleave(2 * scale.rounds, 3, encode)?;
    let name = format!("{form} of {rows} vectors, k_sim {k_sim}, dim_proj {dim_proj}");
    for (what, seconds) in ["embedkit f64", "embedkit f32", "FastEmbed"].into_iter().zip(&seconds) {
        report.add(format!("{what}: {name}"), "inputs/s", rates(seconds, INPUTS as f64));
    }
    let goal = Some(Goal::AtLeast(TIMES)).filter(|_| threads == 1 && form == "document");
    report.times_faster(&format!("FastEmbed, f64, {name}"), &seconds[2], &seconds[0], goal);
    report.times_faster(&format!("FastEmbed, f32, {name}"), &seconds[2], &seconds[1], None);
    Ok(())
}

/// The encodings of the first inputs.
fn saved(contestant: &mut Contestant, to: &Path) -> Result<Vec<f64>> {
    contestant.ask(&json!({"op": "save", "count": COMPARED, "to": to}))?;
    let bytes = fs::read(to).with_context(|| format!("reading {}", to.display()))?;
    Ok(bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect())
}

/// The largest difference of a component, relative to it.
fn difference(ours: &[f64], theirs: &[f64]) -> Result<f64> {
    if ours.is_empty() || ours.len() != theirs.len() {
        bail!("{} numbers of ours and {} of the original", ours.len(), theirs.len());
    }
    let relative = ours.iter().zip(theirs).map(|(ours, theirs)| {
        if ours == theirs { 0.0 } else { (ours - theirs).abs() / theirs.abs() }
    });
    // NaN counts as an infinite difference.
    Ok(relative.map(|it| if it.is_nan() { f64::INFINITY } else { it }).fold(0.0, f64::max))
}

/// Unit vectors around a few directions, like those of tokens.
pub(super) fn unit_vectors(count: usize, dim: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut number = move || {
        // A sum of four uniform numbers is normal enough.
        let mut sum = 0.0;
        for _ in 0..4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            sum += (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5;
        }
        sum
    };
    let directions: Vec<f32> = (0..8 * dim).map(|_| number()).collect();
    let mut values: Vec<f32> = (0..count * dim).map(|_| number()).collect();
    for (row, vector) in values.chunks_exact_mut(dim).enumerate() {
        let direction = &directions[row % 8 * dim..][..dim];
        vector.iter_mut().zip(direction).for_each(|(x, y)| *x += 0.5 * y);
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_relative() {
        assert_eq!(difference(&[2.0, 0.0], &[4.0, 0.0]).expect("comparable"), 0.5);
        assert_eq!(difference(&[f64::NAN], &[1.0]).expect("comparable"), f64::INFINITY);
        assert!(difference(&[], &[]).is_err(), "nothing was compared");
        assert!(difference(&[1.0], &[1.0, 2.0]).is_err());
    }

    #[test]
    fn vectors_have_unit_length_and_differ() {
        let values = unit_vectors(16, 8);
        assert_eq!(values.len(), 16 * 8);
        let mut vectors = values.chunks_exact(8);
        assert!(vectors.all(|v| (v.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5));
        assert_ne!(values[..8], values[8..16]);
    }
}
