//! Embeddings over HTTP: one server that the clients of other embedding servers use unchanged.
//!
//! [`serve`] is the program `embedkit serve` as a function: it loads the models, listens, and returns when it is
//! asked to end and the requests in progress are answered. [`router`] is for an application that has a server of
//! its own:
//!
//! ```
//! use embedkit_server::{App, Config, ServedModel, router};
//!
//! let config = Config { models: vec![ServedModel::named("Qdrant/bm25")?], ..Config::default() };
//! let app = App::new(config)?;
//! let router: axum::Router = router(&app)?; // to be mounted, or nested under a path
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An application that mounts it calls [`App::load`] before the first request, unless models may be loaded by it,
//! and [`App::tidy`] about once a second.
//!
//! | clients of | routes |
//! |---|---|
//! | Text Embeddings Inference | `/embed`, `/embed_all`, `/embed_sparse`, `/rerank`, `/predict`, `/similarity`, `/tokenize`, `/decode`, `/info`, … |
//! | OpenAI | `/v1/embeddings`, `/v1/models` |
//! | Cohere, Jina, vLLM | `/v1/rerank`, `/v2/rerank`, `/v2/embed`, `/v1/multi-vector`, `/score` |
//! | Ollama | `/api/embed`, `/api/tags`, … |
//! | Qdrant, as its inference service | `/infer` |
//! | embedkit | `/embed_multi`, `/models`, `/ready`, and a page at `/` |
//!
//! Errors have the form of the API that the route belongs to. [`openapi`] describes all routes.
//!
//! # Features
//!
//! `load-dynamic` (the default), `download-binaries` or `system` say how ONNX Runtime is linked; `tls` adds HTTPS.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![allow(unused_qualifications, reason = "written by the macros of utoipa")]

mod account;
mod app;
mod config;
mod dialect;
mod error;
mod failure;
mod fetch;
mod hosts;
mod inputs;
mod keys;
mod metrics;
mod models;
mod observe;
mod request;
mod routes;
mod run;
mod serve;
mod surface;
mod trace;

pub use app::App;
#[cfg(feature = "tls")]
pub use config::Tls;
pub use config::{Config, Limits, Listen, ListenError, ServedModel, Times};
pub use error::StartError;
pub use hosts::{ImageHost, ImageHostError};
pub use keys::Keys;
pub use models::parse_keep_alive;
pub use serve::{Running, bind, serve};
pub use surface::{openapi, router};
