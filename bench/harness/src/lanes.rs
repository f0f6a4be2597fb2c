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
    texts_per_s: f64,
    processor_us: f64,
}

/// Measures.
pub(super) fn measure(setting: &Setting<'_>, scale: &Scale, report: &mut Report) -> Result<()> {
    let mut engine = setting.contestants.lanes()?;
    report.inputs = json!({"lanes": LANES, "texts": TEXTS, "batches": BATCHES});
    let mut simulate = |lanes: usize, callers: usize, batch_us: u64| -> Result<Simulated> {
        let request =
            json!({"lanes": lanes, "texts": TEXTS, "batch_us": batch_us, "callers": callers});
        serde_json::from_value(engine.ask(&request)?).context("no simulation")
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
                    let one = simulate(1, callers.min(1), batch_us)?;
                    let all = simulate(lanes, callers, batch_us)?;
                    ratios.push(all.texts_per_s / one.texts_per_s / ideal as f64);
                    costs.push(all.processor_us);
                }
                let what = format!("{lanes} lanes, throughput of the ideal");
                match (called, lanes) == (false, GOAL.0) {
                    true => report.add_goal(what, "x", ratios, Goal::AtLeast(GOAL.1)),
                    false => report.add(what, "x", ratios),
                }
                report.add(format!("{lanes} lanes, processor time for a text"), "us", costs);
            }
        }
    }
    Ok(())
}
