//! Compares ours with the peers, for any kind of model that maps a line to numbers.
//!
//! A peer is measured at its default batch size and at the best of others; all other comparisons use
//! the best. Outputs are verified to be equal before timing.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    contestant::{Contestant, Embedded},
    contestants::{Kind, Open, Peer, Setting},
    corpus,
    report::{Goal, Report, percentile},
    rounds::{interleave, rates, zip},
    scale::Scale,
    vectors,
};

/// Batch sizes to choose a peer's best from, besides its own.
pub(super) const BATCHES: [usize; 3] = [1, 8, 32];
/// Batch size for comparing numbers: padding affects all peers least here, and none needs much memory.
pub(super) const COMPARED_BATCH: usize = 8;
/// Attempts for each batch size.
pub(super) const TRIES: usize = 2;

/// A file of inputs, one for each line.
pub(super) struct Inputs {
    pub(super) file: PathBuf,
    /// Our output for them; every other run has to match it.
    pub(super) expected: Embedded,
}

impl Inputs {
    /// Writes the lines to a file and computes the expected output with ours.
    pub(super) fn write(
        setting: &Setting<'_>,
        name: &str,
        lines: impl IntoIterator<Item = impl AsRef<str>>,
        ours: &mut Contestant,
    ) -> Result<Self> {
        let file = setting.folder.join(format!("{name}.txt"));
        corpus::write(&file, lines)?;
        let expected = ours.embed(&file, None)?;
        Ok(Self { file, expected })
    }

    /// Number of lines.
    pub(super) fn count(&self) -> f64 {
        self.expected.count as f64
    }

    /// Description for the results file.
    pub(super) fn describe(&self) -> Value {
        json!({"count": self.expected.count})
    }
}

/// A contestant with its batch size; ours has none.
pub(super) struct Side {
    pub(super) contestant: Contestant,
    pub(super) batch: Option<usize>,
}

impl Side {
    /// Name and batch size.
    pub(super) fn name(&self) -> String {
        match self.batch {
            None => self.contestant.name().to_owned(),
            Some(batch) => format!("{} at {batch}", self.contestant.name()),
        }
    }

    /// Embeds the inputs, verifies the output, and returns the seconds.
    pub(super) fn timed(&mut self, inputs: &Inputs) -> Result<f64> {
        timed(&mut self.contestant, inputs, self.batch)
    }
}

/// Configuration of a comparison.
pub(super) struct Comparison<'a> {
    pub(super) setting: &'a Setting<'a>,
    /// Model that all contestants open.
    pub(super) open: Open<'a>,
    pub(super) rounds: usize,
    /// Name of an input, in the plural.
    pub(super) what: &'a str,
    /// Required speedup over a peer at its own batch size.
    pub(super) goal_default: Option<f64>,
    /// Required speedup over FastEmbed at its best.
    pub(super) goal_best: Option<f64>,
}

impl<'a> Comparison<'a> {
    /// A comparison for a kind of model, with the goals of most kinds.
    pub(super) fn of(
        setting: &'a Setting<'a>,
        scale: &Scale,
        kind: Kind,
        model: &'a Path,
        what: &'a str,
    ) -> Self {
        Self {
            setting,
            open: Open { kind, model, threads: setting.threads, options: &Value::Null },
            rounds: scale.rounds,
            what,
            goal_default: Some(8.0),
            goal_best: Some(1.3),
        }
    }

    /// Starts ours and opens the model.
    pub(super) fn ours(&self) -> Result<Contestant> {
        Ok(self.setting.contestants.ours("embedkit", self.open)?.0)
    }

    /// Verifies a peer's output, measures it at its own batch size, and searches for a better one. The
    /// inputs at its own batch size may be others, since it can take gigabytes for each.
    pub(super) fn batch_sizes(
        &self,
        peer: Peer,
        few: &Inputs,
        few_at_default: &Inputs,
        ours: &mut Contestant,
        report: &mut Report,
    ) -> Result<Side> {
        let (mut contestant, _) = self.setting.contestants.peer(peer, self.open)?;
        report.side_section(&format!(
            "{} by batch size, {} {}",
            peer.name(),
            few.count(),
            self.what
        ));
        let folder = self.setting.folder;
        let expected = vectors::of(ours, &few.file, COMPARED_BATCH, folder)?;
        let theirs = vectors::of(&mut contestant, &few.file, COMPARED_BATCH, folder)?;
        let difference = vectors::compare(peer.name(), &expected, &theirs)?;
        report.note(format!(
            "{}: largest difference from ours {difference:.1e}, over {} {}",
            peer.name(),
            few.count(),
            self.what
        ));

        let tried = tried(&mut contestant, few)?;
        for (batch, seconds) in &tried {
            let name = format!("{} at {batch}", peer.name());
            report.add(name, &self.rate(), rates(seconds, few.count()));
        }
        let (mut best, fastest) = best_of(&tried);
        if let Some(default) = peer.default_batch(self.open.kind) {
            let title = format!(
                "{} {}; {} at its default batch size of {default}",
                few_at_default.count(),
                self.what,
                peer.name()
            );
            report.side_section(&title);
            let seconds = interleave(self.rounds.min(2), 2, |turn| match turn {
                0 => timed(ours, few_at_default, None),
                _ => timed(&mut contestant, few_at_default, None),
            })?;
            let count = few_at_default.count();
            report.add("embedkit", &self.rate(), rates(&seconds[0], count));
            report.add(peer.name(), &self.rate(), rates(&seconds[1], count));
            let than = format!("{} at its default of {default}", peer.name());
            let goal = self.goal_default.filter(|_| peer == Peer::FastEmbed).map(Goal::AtLeast);
            report.times_faster(&than, &seconds[1], &seconds[0], goal);
            if percentile(&seconds[1], 0.0) / count < fastest / few.count() {
                best = default;
            }
        }
        // A fresh process, since memory of an earlier run changes the next one.
        drop(contestant);
        let (contestant, _) = self.setting.contestants.peer(peer, self.open)?;
        Ok(Side { contestant, batch: Some(best) })
    }

    /// Fastest of a peer's tried batch sizes.
    pub(super) fn best_batch(&self, peer: Peer, few: &Inputs) -> Result<usize> {
        let (mut contestant, _) = self.setting.contestants.peer(peer, self.open)?;
        Ok(best_of(&tried(&mut contestant, few)?).0)
    }

    /// Measures all in turn, ours first, and returns the seconds of each. `beside` runs in our turn.
    pub(super) fn side_by_side(
        &self,
        all: &mut [Side],
        inputs: &Inputs,
        mut beside: impl FnMut() -> Result<()>,
    ) -> Result<Vec<Vec<f64>>> {
        // A warm-up run fills caches and allocates memory.
        for side in all.iter_mut() {
            side.timed(inputs)?;
        }
        interleave(self.rounds, all.len(), |turn| {
            if turn == 0 {
                beside()?;
            }
            all[turn].timed(inputs)
        })
    }

    /// Adds rates and ratios of such a measurement.
    pub(super) fn add(
        &self,
        all: &[Side],
        inputs: &Inputs,
        seconds: &[Vec<f64>],
        report: &mut Report,
    ) {
        for (side, seconds) in all.iter().zip(seconds) {
            report.add(side.name(), &self.rate(), rates(seconds, inputs.count()));
        }
        self.add_ratios(all, seconds, report);
    }

    /// Adds our speedup over each peer.
    pub(super) fn add_ratios(&self, all: &[Side], seconds: &[Vec<f64>], report: &mut Report) {
        for (at, side) in all.iter().enumerate().skip(1) {
            let is_original = side.contestant.name() == Peer::FastEmbed.name();
            let goal = self.goal_best.filter(|_| is_original).map(Goal::AtLeast);
            report.times_faster(&side.name(), &seconds[at], &seconds[0], goal);
        }
    }

    /// The whole comparison with the original, for a kind without other peers.
    pub(super) fn with_original(
        &self,
        few: &Inputs,
        few_at_default: &Inputs,
        mixed: &Inputs,
        mut ours: Contestant,
        report: &mut Report,
    ) -> Result<()> {
        if let Some(reason) = self.setting.contestants.skipped(Peer::FastEmbed) {
            report.skip(Peer::FastEmbed.name(), reason);
            return Ok(());
        }
        let original = self.batch_sizes(Peer::FastEmbed, few, few_at_default, &mut ours, report)?;
        let mut all = [Side { contestant: ours, batch: None }, original];
        let title = format!("{} {}; FastEmbed at its best batch size", mixed.count(), self.what);
        report.section(&title);
        let seconds = self.side_by_side(&mut all, mixed, || Ok(()))?;
        self.add(&all, mixed, &seconds, report);
        Ok(())
    }

    /// The unit of rates.
    fn rate(&self) -> String {
        let last = self.what.rsplit(' ').next().unwrap_or(self.what);
        format!("{last}/s")
    }
}

/// The batch sizes and the seconds of each try.
fn tried(contestant: &mut Contestant, few: &Inputs) -> Result<Vec<(usize, Vec<f64>)>> {
    let one = |batch| {
        let seconds = (0..TRIES).map(|_| timed(contestant, few, Some(batch)));
        Ok((batch, seconds.collect::<Result<_>>()?))
    };
    BATCHES.into_iter().map(one).collect()
}

/// The fastest batch size and its best time.
fn best_of(tried: &[(usize, Vec<f64>)]) -> (usize, f64) {
    let best = tried.iter().map(|(batch, seconds)| (*batch, percentile(seconds, 0.0)));
    best.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((COMPARED_BATCH, f64::INFINITY))
}

/// Embeds the inputs, verifies the output, and returns the seconds.
pub(super) fn timed(
    contestant: &mut Contestant,
    inputs: &Inputs,
    batch: Option<usize>,
) -> Result<f64> {
    let embedded = contestant.embed(&inputs.file, batch)?;
    vectors::check(contestant.name(), &inputs.expected, &embedded)?;
    Ok(embedded.seconds)
}

/// Shares of a rate, round by round.
pub(super) fn shares(rate: &[f64], whole: &[f64]) -> Vec<f64> {
    zip(rate, whole, |rate, whole| rate / whole)
}
