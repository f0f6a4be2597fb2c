//! `cargo xtask matrix cpu`: results are independent of version, threads and replicas.

use anyhow::Result;

use crate::{
    assets::{self, Set},
    steps::Steps,
    test::runner::{Runner, tests},
};

/// Threads and replicas: the defaults, then every combination of one and two.
const SHAPES: [Option<(&str, &str)>; 5] =
    [None, Some(("1", "1")), Some(("2", "1")), Some(("1", "2")), Some(("2", "2"))];

/// Runs the golden tests of the families in every combination.
pub(super) fn run() -> Result<()> {
    assets::ensure(Set::Test)?;
    let runtimes =
        [(assets::LOWEST, assets::lowest_runtime()), (assets::NEWEST, assets::newest_runtime())];
    let runner = Runner::find();
    let mut steps = Steps::default();
    for (version, library) in runtimes {
        for shape in SHAPES {
            let name = match shape {
                None => format!("ONNX Runtime {version}, threads and replicas by themselves"),
                Some((threads, replicas)) => {
                    format!("ONNX Runtime {version}, threads {threads}, replicas {replicas}")
                }
            };
            steps.run(&name, || {
                let mut command = runner.golden(&[]);
                if let Some((threads, replicas)) = shape {
                    command.env("EMBEDKIT_TEST_THREADS", threads);
                    command.env("EMBEDKIT_TEST_REPLICAS", replicas);
                }
                tests(command, &library)
            });
        }
    }
    steps.finish()
}
