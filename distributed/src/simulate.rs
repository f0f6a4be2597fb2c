//! Simulated time of a job with executors that are slow, get lost, or meet long texts.
//!
//! ```
//! use embedkit_datafusion::simulate::{Plan, simulate};
//!
//! let plan = Plan { texts: 1_000_000, executors: 10, rate: 100.0, ..Plan::default() };
//! let outcome = simulate(&plan)?;
//! assert_eq!(outcome.ideal_s, 1000.0);
//! assert!(outcome.total_s < 1.1 * outcome.ideal_s);
//! # Ok::<(), embedkit_datafusion::simulate::PlanError>(())
//! ```

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// Most units, and most slots, of a simulation: they are kept in memory.
const LARGEST: u64 = 10_000_000;
/// Most losses for each executor: a job that hardly gets on is given up.
const LOSSES: u64 = 10_000;

/// Amounts of a job and of the machines that it runs on. Plain fields with [`Default`]; use struct update
/// syntax.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Texts of the job.
    pub texts: u64,
    /// Texts of a unit of work.
    pub unit: u64,
    /// Executors.
    pub executors: u32,
    /// Units that an executor works on at once.
    pub slots: u32,
    /// Texts per second of a slot at usual length.
    pub rate: f64,
    /// Spread of the units' cost, as the standard deviation of its logarithm: 0 for texts of one length.
    pub skew: f64,
    /// Share of the executors that are slow, 0 to 1.
    pub slow_share: f64,
    /// Slowdown of a slow executor, 1 or more.
    pub slowdown: f64,
    /// Mean hours between losses of an executor; none are lost at 0.
    pub hours_between_losses: f64,
    /// Seconds until the scheduler gives the units of a lost executor to others.
    pub detection_s: f64,
    /// Seconds until a lost executor is back.
    pub restart_s: f64,
    /// Seed of the random numbers.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            texts: 100_000_000,
            unit: 10_000,
            executors: 32,
            slots: 1,
            rate: 100.0,
            skew: 0.0,
            slow_share: 0.0,
            slowdown: 1.0,
            hours_between_losses: 0.0,
            detection_s: 180.0, // Ballista's default
            restart_s: 300.0,
            seed: 0,
        }
    }
}

/// A plan that cannot be simulated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// An amount is out of its range.
    #[error("`{name}` is {value}, expected {expected}")]
    Amount {
        /// Name of the amount.
        name: &'static str,
        /// Its value.
        value: f64,
        /// Its range.
        expected: &'static str,
    },
    /// Executors are lost before they finish a unit, again and again.
    #[error(
        "the job hardly gets on: {losses} losses and {left} of {units} units left (make units smaller)"
    )]
    Stuck {
        /// Losses of executors.
        losses: u64,
        /// Units without a result.
        left: u64,
        /// Units of the job.
        units: u64,
    },
}

/// Result of a simulation.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Units of the job.
    pub units: u64,
    /// Seconds that the job takes.
    pub total_s: f64,
    /// Seconds that it would take if all executors were always at work at full speed.
    pub ideal_s: f64,
    /// Losses of executors during the job.
    pub losses: u64,
    /// Units that were begun and lost with their executors.
    pub repeated: u64,
    /// Seconds from the first slot without work to the end.
    pub tail_s: f64,
}

impl Plan {
    fn check(&self) -> Result<(), PlanError> {
        let number = |name, value: f64, fits: bool, expected| {
            if fits { Ok(()) } else { Err(PlanError::Amount { name, value, expected }) }
        };
        let finite = |value: f64, least: f64| value.is_finite() && value >= least;
        number("texts", self.texts as f64, self.texts > 0, "1 or more")?;
        let units = if self.unit == 0 { 0 } else { self.texts.div_ceil(self.unit) };
        number(
            "unit",
            self.unit as f64,
            (1..=LARGEST).contains(&units),
            "1 or more, for at most ten million units",
        )?;
        let slots = u64::from(self.executors) * u64::from(self.slots);
        number(
            "executors",
            f64::from(self.executors),
            (1..=LARGEST).contains(&slots),
            "1 or more, for at most ten million slots",
        )?;
        number("rate", self.rate, finite(self.rate, 1e-6), "above 0")?;
        number("skew", self.skew, finite(self.skew, 0.0) && self.skew <= 5.0, "0 to 5")?;
        number("slow_share", self.slow_share, (0.0..=1.0).contains(&self.slow_share), "0 to 1")?;
        number("slowdown", self.slowdown, finite(self.slowdown, 1.0), "1 or more")?;
        for (name, value) in [
            ("hours_between_losses", self.hours_between_losses),
            ("detection_s", self.detection_s),
            ("restart_s", self.restart_s),
        ] {
            number(name, value, finite(value, 0.0), "0 or more")?;
        }
        Ok(())
    }
}

/// A moment in microseconds, so that moments have an order.
type Moment = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A unit ends, if its executor is still the one that began it.
    End { executor: usize, life: u64, unit: usize },
    /// An executor is lost.
    Loss { executor: usize },
    /// The scheduler learns that a unit was lost.
    Requeue { unit: usize },
    /// A lost executor is back.
    Back { executor: usize },
}

#[derive(Debug)]
struct Executor {
    /// Slowdown.
    slowness: f64,
    /// Number of times that it was lost.
    life: u64,
    alive: bool,
    running: Vec<usize>,
}

struct Simulation<'a> {
    plan: &'a Plan,
    random: fastrand::Rng,
    now: Moment,
    events: BinaryHeap<Reverse<(Moment, u64, Event)>>,
    /// Number of events so far, which puts those of one moment in order.
    sequence: u64,
    executors: Vec<Executor>,
    /// Executors with a free slot, one entry a slot.
    free: VecDeque<(usize, u64)>,
    waiting: VecDeque<usize>,
    /// Seconds of each unit on a usual slot.
    costs: Vec<f64>,
    left: u64,
    losses: u64,
    repeated: u64,
    first_idle: Option<Moment>,
}

/// Simulates a job: units go to free slots in order, those of a lost executor come back when the scheduler
/// notices. The same plan always has the same outcome.
///
/// # Errors
/// Amounts out of range, and a job that hardly gets on.
pub fn simulate(plan: &Plan) -> Result<Outcome, PlanError> {
    plan.check()?;
    let mut simulation = Simulation::new(plan);
    let (units, slots) = (simulation.left, f64::from(plan.executors) * f64::from(plan.slots));
    let ideal_s = simulation.costs.iter().sum::<f64>() / slots;
    simulation.run()?;
    let total_s = seconds(simulation.now);
    Ok(Outcome {
        units,
        total_s,
        ideal_s,
        losses: simulation.losses,
        repeated: simulation.repeated,
        tail_s: simulation.first_idle.map_or(0.0, |idle| total_s - seconds(idle)),
    })
}

fn seconds(moment: Moment) -> f64 {
    moment as f64 / 1e6
}

impl<'a> Simulation<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut random = fastrand::Rng::with_seed(plan.seed);
        let units = plan.texts.div_ceil(plan.unit);
        let cost = |unit: u64| {
            let texts = plan.unit.min(plan.texts - unit * plan.unit);
            // Lognormal with a mean of 1.
            let factor = (plan.skew * normal(&mut random) - plan.skew * plan.skew / 2.0).exp();
            texts as f64 / plan.rate * factor
        };
        let costs: Vec<f64> = (0..units).map(cost).collect();
        let slow = (f64::from(plan.executors) * plan.slow_share).round() as usize;
        let executor = |at: usize| Executor {
            slowness: if at < slow { plan.slowdown } else { 1.0 },
            life: 0,
            alive: true,
            running: Vec::new(),
        };
        let executors: Vec<_> = (0..plan.executors as usize).map(executor).collect();
        let slots = (0..plan.slots).flat_map(|_| (0..executors.len()).map(|at| (at, 0)));
        let mut simulation = Self {
            plan,
            random,
            now: 0,
            events: BinaryHeap::new(),
            sequence: 0,
            free: slots.collect(),
            executors,
            waiting: (0..costs.len()).collect(),
            costs,
            left: units,
            losses: 0,
            repeated: 0,
            first_idle: None,
        };
        for executor in 0..simulation.executors.len() {
            simulation.plan_loss(executor);
        }
        simulation
    }

    fn at(&mut self, seconds: f64, event: Event) {
        self.sequence += 1;
        let moment = self.now.saturating_add((seconds * 1e6).ceil() as Moment);
        self.events.push(Reverse((moment, self.sequence, event)));
    }

    fn plan_loss(&mut self, executor: usize) {
        let mean = self.plan.hours_between_losses * 3600.0;
        if mean > 0.0 {
            // Losses without memory: exponential times.
            let after: f64 = -mean * f64::ln(1.0 - self.random.f64());
            self.at(after, Event::Loss { executor });
        }
    }

    fn run(&mut self) -> Result<(), PlanError> {
        let most_losses = LOSSES * u64::from(self.plan.executors);
        self.hand_out();
        while self.left > 0 {
            if self.losses > most_losses {
                let units = self.costs.len() as u64;
                return Err(PlanError::Stuck { losses: self.losses, left: self.left, units });
            }
            let Some(Reverse((moment, _, event))) = self.events.pop() else { break };
            self.now = moment;
            self.happen(event);
            self.hand_out();
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::End { executor, life, unit } => {
                if self.executors[executor].life == life {
                    self.executors[executor].running.retain(|&running| running != unit);
                    self.free.push_back((executor, life));
                    self.left -= 1;
                }
            }
            Event::Loss { executor } => {
                let lost = &mut self.executors[executor];
                (lost.alive, lost.life) = (false, lost.life + 1);
                let units = std::mem::take(&mut lost.running);
                self.losses += 1;
                self.repeated += units.len() as u64;
                for unit in units {
                    self.at(self.plan.detection_s, Event::Requeue { unit });
                }
                self.at(self.plan.restart_s, Event::Back { executor });
            }
            Event::Requeue { unit } => self.waiting.push_front(unit),
            Event::Back { executor } => {
                let back = &mut self.executors[executor];
                back.alive = true;
                let life = back.life;
                self.free.extend((0..self.plan.slots).map(|_| (executor, life)));
                self.plan_loss(executor);
            }
        }
    }

    /// Gives waiting units to free slots.
    fn hand_out(&mut self) {
        while let Some(&(at, life)) = self.free.front() {
            let executor = &self.executors[at];
            if !executor.alive || executor.life != life {
                self.free.pop_front();
                continue;
            }
            let Some(unit) = self.waiting.pop_front() else {
                self.first_idle.get_or_insert(self.now);
                return;
            };
            // A unit that was lost after the first idle slot is part of the tail.
            self.free.pop_front();
            let cost = self.costs[unit] * executor.slowness;
            self.executors[at].running.push(unit);
            self.at(cost, Event::End { executor: at, life, unit });
        }
    }
}

/// A number of the standard normal distribution, by Box and Muller.
fn normal(random: &mut fastrand::Rng) -> f64 {
    let (radius, angle): (f64, f64) = (1.0 - random.f64(), random.f64());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan { texts: 1_000_000, unit: 1000, executors: 10, rate: 100.0, ..Plan::default() }
    }

    #[test]
    fn without_trouble_the_job_is_ideal() {
        let outcome = simulate(&plan()).unwrap();
        assert_eq!((outcome.total_s, outcome.ideal_s, outcome.units), (1000.0, 1000.0, 1000));
        // 1001 units on 10 slots: one slot works alone at the end.
        let outcome = simulate(&Plan { texts: 1_001_000, ..plan() }).unwrap();
        assert_eq!((outcome.total_s, outcome.tail_s), (1010.0, 10.0));
    }

    #[test]
    fn slow_executors_cost_their_share_and_a_tail() {
        let outcome = simulate(&Plan { slow_share: 0.2, slowdown: 4.0, ..plan() }).unwrap();
        // Eight at full speed and two at a quarter do the work of 8.5.
        let share = 1000.0 * 10.0 / 8.5;
        assert!(outcome.total_s >= share && outcome.total_s <= share + 40.0, "{outcome:?}");
    }

    #[test]
    fn lost_units_are_done_again() {
        let outcome = simulate(&Plan { hours_between_losses: 0.5, ..plan() }).unwrap();
        assert!(outcome.losses > 0 && outcome.repeated > 0, "{outcome:?}");
        assert!(outcome.total_s > outcome.ideal_s);
        let seeds: Vec<_> = (1..9)
            .map(|seed| {
                simulate(&Plan { hours_between_losses: 0.5, seed, ..plan() }).unwrap().total_s
            })
            .collect();
        assert!(seeds.iter().any(|&total| total != outcome.total_s), "the seed counts: {seeds:?}");
    }

    #[test]
    fn smaller_units_have_a_shorter_tail() {
        let tail = |unit| simulate(&Plan { unit, skew: 1.0, ..plan() }).unwrap().tail_s;
        assert!(tail(200) < tail(20_000));
    }

    #[test]
    fn the_mean_cost_does_not_depend_on_the_skew() {
        let ideal = |skew| simulate(&Plan { skew, unit: 10, ..plan() }).unwrap().ideal_s;
        assert!((ideal(0.5) / ideal(0.0) - 1.0).abs() < 0.02);
    }

    #[test]
    fn a_job_that_never_ends_is_an_error() {
        let stuck = Plan { unit: 1_000_000, executors: 1, hours_between_losses: 0.01, ..plan() };
        assert!(matches!(simulate(&stuck), Err(PlanError::Stuck { left: 1, .. })));
    }

    #[test]
    fn amounts_have_ranges() {
        for (wrong, name) in [
            (Plan { texts: 0, ..plan() }, "texts"),
            (Plan { unit: 0, ..plan() }, "unit"),
            (Plan { executors: 0, ..plan() }, "executors"),
            (Plan { rate: 0.0, ..plan() }, "rate"),
            (Plan { slowdown: 0.5, ..plan() }, "slowdown"),
            (Plan { slow_share: 1.5, ..plan() }, "slow_share"),
            (Plan { restart_s: f64::NAN, ..plan() }, "restart_s"),
        ] {
            let error = simulate(&wrong).unwrap_err();
            assert!(
                matches!(error, PlanError::Amount { name: found, .. } if found == name),
                "{error}"
            );
        }
    }
}
