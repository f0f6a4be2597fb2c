//! Where the operators of a graph ended up, as the runtime's own log tells while it loads the graph.
//!
//! An execution provider takes the operators that it knows and leaves the others to the CPU, each
//! with copies to and fro. No function of the runtime says so, only its log.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use ort::logging::{LogLevel, LoggerFunction};

const CPU: &str = "CPUExecutionProvider";

/// Operators by execution provider.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    operators: Mutex<BTreeMap<String, usize>>,
}

impl Placement {
    /// A logger that keeps the lines on placement and drops all others.
    pub(crate) fn logger(self: &Arc<Self>) -> LoggerFunction {
        let placement = Arc::clone(self);
        Arc::new(move |_: LogLevel, _: &str, _: &str, _: &str, message: &str| {
            if let Some((provider, count)) = read(message) {
                let mut operators =
                    placement.operators.lock().unwrap_or_else(PoisonError::into_inner);
                operators.insert(provider.to_owned(), count);
            }
        })
    }

    /// How many operators run on the CPU, and how many there are.
    pub(crate) fn on_cpu(&self) -> (usize, usize) {
        let operators = self.operators.lock().unwrap_or_else(PoisonError::into_inner);
        (operators.get(CPU).copied().unwrap_or(0), operators.values().sum())
    }
}

/// ` Node(s) placed on [CUDAExecutionProvider]. Number of nodes: 12`, or ` All nodes placed on […`.
fn read(message: &str) -> Option<(&str, usize)> {
    let (_, rest) = message.split_once("placed on [")?;
    let (provider, rest) = rest.split_once("]. Number of nodes: ")?;
    Some((provider, rest.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_on_placement_are_counted_and_others_dropped() {
        let placement = Arc::new(Placement::default());
        let log = placement.logger();
        for message in [
            "Node placements",
            " Node(s) placed on [CUDAExecutionProvider]. Number of nodes: 40",
            " Node(s) placed on [CPUExecutionProvider]. Number of nodes: 2",
            " Node(s) placed on [CPUExecutionProvider]. Number of nodes: many",
            "something else",
        ] {
            log(LogLevel::Verbose, "", "", "", message);
        }
        assert_eq!(placement.on_cpu(), (2, 42));
    }

    #[test]
    fn a_graph_that_is_whole_has_one_line() {
        let line = " All nodes placed on [CPUExecutionProvider]. Number of nodes: 7";
        assert_eq!(read(line), Some((CPU, 7)));
        assert_eq!(read("placed on [x"), None);
    }
}
