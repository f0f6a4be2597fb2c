//! The outermost layer: names each request, measures it, writes its line, and renders its failure.

use std::{panic::AssertUnwindSafe, time::Instant};

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use tracing::Instrument as _;

use crate::{
    App,
    account::Account,
    dialect::Dialect,
    failure::{Failure, FailureKind},
    trace::Identity,
};

/// A response of scores and not of embeddings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scores;

/// Wraps a request.
pub(crate) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let identity = Identity::of(request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let dialect = Dialect::of_path(&path);
    let progress = Progress::begin(&app);
    let span = tracing::info_span!("request", id = identity.id(), trace = identity.trace);
    let answer = async {
        match admitted(&app, &request) {
            Ok(()) => {
                let caught = AssertUnwindSafe(next.run(request)).catch_unwind().await;
                caught.unwrap_or_else(|_| {
                    // The panic itself went to standard error.
                    Failure::new(FailureKind::Internal, "the server has a defect").into_response()
                })
            }
            Err(failure) => failure.into_response(),
        }
    };
    let mut response = answer.instrument(span.clone()).await;
    progress.end();
    let failure = response.extensions_mut().remove::<Failure>();
    let account = response.extensions_mut().remove::<Account>();
    let scores = response.extensions_mut().remove::<Scores>().is_some();
    let total = start.elapsed();
    if let Some(failure) = &failure {
        // The methods that a route does take.
        let allow = response.headers_mut().remove(header::ALLOW);
        response = dialect.render(failure);
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        app.metrics().failed(failure.kind);
        if response.status() == StatusCode::INTERNAL_SERVER_ERROR
            || failure.kind == FailureKind::Backend
        {
            let message = &failure.message;
            span.in_scope(|| tracing::error!(path, message, "a request failed"));
        }
    }
    if let Some(account) = &account {
        account.write(response.headers_mut(), total);
        app.metrics().succeeded(account, scores, total);
    }
    response.headers_mut().insert("x-request-id", identity.id.clone());
    if app.config().access_log {
        let line = Line { method, path, response: &response, failure: failure.as_ref(), account };
        span.in_scope(|| line.write(total.as_secs_f64()));
    }
    response
}

/// Paths that are answered without a key: probes and scrapers have none, and the page asks for one.
fn is_public(method: &Method, path: &str) -> bool {
    const PUBLIC: [&str; 8] = [
        "/",
        "/docs",
        "/health",
        "/ping",
        "/ready",
        "/metrics",
        "/openapi.json",
        "/api-doc/openapi.json",
    ];
    (method == Method::GET || method == Method::HEAD) && PUBLIC.contains(&path)
}

fn admitted(app: &App, request: &Request) -> Result<(), Failure> {
    let path = request.uri().path();
    // A Qdrant server sends its key in the body.
    let in_body = path == "/infer";
    if in_body || is_public(request.method(), path) || app.config().keys.admit(request.headers()) {
        return Ok(());
    }
    let message = "the key is missing or wrong";
    Err(Failure::new(FailureKind::Unauthorized, message)
        .hint("send it as Authorization: Bearer KEY"))
}

/// Counts a request as long as it runs, and as abandoned where its client left.
struct Progress {
    app: App,
    ended: bool,
}

impl Progress {
    fn begin(app: &App) -> Self {
        app.metrics().in_progress(true);
        Self { app: app.clone(), ended: false }
    }

    fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.app.metrics().in_progress(false);
        if !self.ended {
            self.app.metrics().abandoned();
        }
    }
}

/// The line that a request leaves. It has no text of an input, nor a message that may quote one.
struct Line<'a> {
    method: Method,
    path: String,
    response: &'a Response,
    failure: Option<&'a Failure>,
    account: Option<Account>,
}

impl Line<'_> {
    /// The span has the identity of the request.
    fn write(&self, seconds: f64) {
        let Self { method, path, response, failure, account } = self;
        let none = Account::default();
        let Account { model, inputs, tokens, truncated, .. } = account.as_ref().unwrap_or(&none);
        tracing::info!(
            target: "embedkit_server::access",
            %method,
            path,
            status = response.status().as_u16(),
            seconds,
            model = model.as_deref(),
            inputs,
            tokens,
            truncated = truncated.len(),
            error = failure.map(|failure| failure.kind.name()),
            "request",
        );
    }
}
