//! The ONNX Runtime environment of the tests. A process has one, shared by all tests in any order.

use std::path::PathBuf;
use std::sync::OnceLock;

use embedkit_testkit::runtime_library;
use ort::environment::Environment;

static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();

/// The library, with the environment in place. `None` if there is no library and the test is skipped.
pub(crate) fn library() -> Option<PathBuf> {
    let library = runtime_library()?;
    ENVIRONMENT.get_or_init(|| {
        let builder = ort::init_from(&library).unwrap();
        let environment = builder.with_telemetry(false).build().unwrap();
        assert!(embedkit_core::runtime::use_environment(&environment));
        environment
    });
    Some(library)
}

/// The environment of the library from [`library`].
pub(crate) fn environment() -> &'static Environment {
    ENVIRONMENT.get().unwrap()
}
