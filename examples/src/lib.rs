//! The examples of the README and of `docs`, compiled and, where they need no download, run; and what the
//! larger programs are made of.
//!
//! The programs are in `src/bin`: `cargo run -p embedkit-examples --bin search -- "a question" FILE`.
//! They name one crate:
//!
//! ```
//! use embedkit::{Task, TaskKind, registry};
//!
//! let spec = registry::find_task(embedkit::DEFAULT_MODEL, TaskKind::TextDense)?;
//! assert!(matches!(spec.task, Task::TextDense(_)));
//! # Ok::<(), embedkit::Error>(())
//! ```

pub mod evaluation;

macro_rules! pages {
    ($($name:ident: $file:literal,)*) => {
        $(#[doc = include_str!(concat!("../../", $file))] pub mod $name {})*
    };
}

pages! {
    readme: "README.md",
    start: "docs/guide/README.md",
    search: "docs/guide/search.md",
    reranking: "docs/guide/reranking.md",
    images: "docs/guide/images.md",
    devices: "docs/guide/devices.md",
    server: "docs/guide/server.md",
    web_service: "docs/guide/web-service.md",
    in_an_application: "docs/guide/in-an-application.md",
    concepts: "docs/guide/concepts.md",
    dense: "docs/guide/dense.md",
    sparse: "docs/guide/sparse.md",
    late_interaction: "docs/guide/late-interaction.md",
    several_embeddings: "docs/guide/several-embeddings.md",
    muvera: "docs/guide/muvera.md",
    scoring: "docs/guide/scoring.md",
    options: "docs/reference/options.md",
    precision: "docs/precision.md",
    errors: "docs/troubleshooting.md",
    coming_from_fastembed: "docs/coming-from-fastembed.md",
    coming_from_others: "docs/coming-from-others.md",
}
