//! The router and its description.

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method, header},
    middleware,
    routing::get,
};
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, Ref, Response, ResponseBuilder,
};

use crate::{App, Config, StartError, dialect::Dialect, observe::observe, routes};

/// Time in seconds for which a browser remembers what it may send.
const PREFLIGHT_SECONDS: u64 = 3600;

/// All routes, to be mounted in an application or nested under a path of it.
///
/// # Errors
/// [`StartError::Origin`].
pub fn router(app: &App) -> Result<Router, StartError> {
    let (router, description) = routes::all().split_for_parts();
    let text: Arc<str> = text(description).into();
    let describe = get(move || {
        let text = text.to_string();
        async move { ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text) }
    });
    let router = router
        .route("/openapi.json", describe.clone())
        .route("/api-doc/openapi.json", describe)
        .method_not_allowed_fallback(routes::no_method)
        .fallback(routes::no_route)
        .layer(middleware::from_fn_with_state(app.clone(), observe))
        .with_state(app.clone());
    Ok(match cors(app.config())? {
        Some(cors) => router.layer(cors),
        None => router,
    })
}

/// The description of all routes as JSON of OpenAPI 3.1: the content of `/openapi.json`.
#[must_use]
pub fn openapi() -> String {
    text(routes::all().into_openapi())
}

fn text(mut description: OpenApi) -> String {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0"));
    description.info = InfoBuilder::new()
        .title("embedkit")
        .description(Some("Embeddings, reranking and tokens, for the clients of several APIs."))
        .license(Some(license.build()))
        .version(env!("CARGO_PKG_VERSION"))
        .build();
    // The names of functions are unique within a module only.
    for (path, item) in &mut description.paths.paths {
        for (method, operation) in [("get", &mut item.get), ("post", &mut item.post)] {
            if let Some(operation) = operation {
                let failures = failures(Dialect::of_path(path));
                let path = path.trim_matches('/').replace(['/', '-', '.'], "_");
                let path = path.replace(['{', '}', '*'], "");
                let name = if path.is_empty() { "root" } else { &path };
                operation.operation_id = Some(format!("{method}_{name}"));
                operation.responses.responses.insert("default".to_owned(), failures.into());
            }
        }
    }
    let schemas = &mut description.components.get_or_insert_default().schemas;
    for dialect in Dialect::ALL {
        schemas.insert(dialect.schema_name().to_owned(), dialect.schema().into());
    }
    // OpenAPI has no name for a parameter of several segments.
    let paths = std::mem::take(&mut description.paths.paths);
    description.paths.paths =
        paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    // Forms of a value need not exclude each other: an empty list may be of any.
    let text = description.to_pretty_json().unwrap_or_default();
    text.replace("\"oneOf\": [", "\"anyOf\": [") + "\n"
}

/// The response of a request that failed, in the words of a dialect.
fn failures(dialect: Dialect) -> Response {
    let schema = Ref::from_schema_name(dialect.schema_name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description("The request failed, for a reason that the body states")
        .content("application/json", content)
        .build()
}

/// Pages of other origins that may send requests, with any header: also with a key.
fn cors(config: &Config) -> Result<Option<CorsLayer>, StartError> {
    if config.cors_origins.is_empty() {
        return Ok(None);
    }
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            header::RETRY_AFTER,
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("x-embedkit-truncated"),
            HeaderName::from_static("x-embedkit-truncated-inputs"),
            HeaderName::from_static("x-compute-tokens"),
        ])
        .max_age(std::time::Duration::from_secs(PREFLIGHT_SECONDS));
    if config.cors_origins.iter().any(|origin| origin == "*") {
        return Ok(Some(layer.allow_origin(Any)));
    }
    let origins = config.cors_origins.iter().map(|origin| {
        let wrong = || StartError::Origin { origin: origin.clone() };
        let has_scheme = origin.starts_with("https://") || origin.starts_with("http://");
        if !has_scheme || origin.ends_with('/') {
            return Err(wrong());
        }
        HeaderValue::from_str(origin).map_err(|_| wrong())
    });
    let origins = origins.collect::<Result<Vec<_>, _>>()?;
    Ok(Some(layer.allow_origin(AllowOrigin::list(origins))))
}
