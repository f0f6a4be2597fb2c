//! `lanes`: the engine with as many lanes as large machines have cores. Lanes sleep where they would compute, so that
//! any machine can simulate them: what is measured is what lanes cost each other.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

use super::{
    contestants::Setting,
    report::{Goal, Report},
    scale::Scale,
};

const LANES: [usize; 4] = [8, 32, 96, 192];
/// Texts for each lane.
const TEXTS: usize = 200;
/// Microseconds that 256 tokens of all-MiniLM-L6-v2 take a core: a fast one with eight-bit integers, and in f32.
const BATCHES: [(u64, &str); 2] = [(1_500, "int8"), (5_000, "f32")];
/// Lanes for each caller with a text at a time.
const LANES_OF_CALLER: usize = 4;
/// The part of ideal throughput that a stream should reach on so many lanes.
const GOAL: (usize, f64) = (96, 0.8);

#[derive(Deserialize)]
struct Simulated {
    seconds: f64,
    texts: f64,
}

/// Measures.
pub(super) fn measure(setting: &Setting<'_>, scale: &Scale, report: &mut Report) -> Result<()> {
    let mut engine = setting.contestants.lanes()?;
    report.inputs = json!({"lanes": LANES, "texts": TEXTS, "batches": BATCHES});
    // Texts a second, and microseconds of processor time for a text.
    let mut simulate =
        |lanes: usize, callers: usize, batch_us: u64| -> Result<(f64, Option<f64>)> {
            let request =
                json!({"lanes": lanes, "texts": TEXTS, "batch_us": batch_us, "callers": callers});
            let before = engine.processor_seconds();
            let answer = engine.ask(&request)?;
            let at_work =
                engine.processor_seconds().zip(before).map(|(after, before)| after - before);
            let Simulated { seconds, texts } =
                serde_json::from_value(answer).context("no simulation")?;
            Ok((texts / seconds, at_work.map(|seconds| seconds * 1e6 / texts)))
        };
    for (batch_us, precision) in BATCHES {
        for called in [false, true] {
            let who = if called { "a caller for each 4 lanes" } else { "one stream" };
            report.side_section(&format!("{who}, {batch_us} us for a batch, as in {precision}"));
            // Two callers for 8 lanes would often be alone, and have all lanes.
            let counts = if called { &LANES[1..] } else { &LANES };
            for &lanes in counts {
                let callers = if called { lanes / LANES_OF_CALLER } else { 0 };
                // A caller cannot have more than one lane at a time.
                let ideal = if called { callers } else { lanes };
                let (mut ratios, mut costs) = (Vec::new(), Vec::new());
                for _ in 0..scale.rounds {
                    let (one, _) = simulate(1, callers.min(1), batch_us)?;
                    let (all, cost) = simulate(lanes, callers, batch_us)?;
                    ratios.push(all / one / ideal as f64);
                    costs.extend(cost);
                }
                let what = format!("{lanes} lanes, throughput of the ideal");
                match (called, lanes) == (false, GOAL.0) {
                    true => report.add_goal(what, "x", ratios, Goal::AtLeast(GOAL.1)),
                    false => report.add(what, "x", ratios),
                }
                if !costs.is_empty() {
                    report.add(format!("{lanes} lanes, processor time for a text"), "us", costs);
                }
            }
        }
    }
    Ok(())
}
