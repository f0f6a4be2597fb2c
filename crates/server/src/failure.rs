//! Failures of a request, before they are put into the words of a dialect.

use std::time::Duration;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use embedkit::{Error, ErrorKind, Hint};

/// A request that gets no result.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
    /// Advice for the caller.
    pub(crate) hint: Option<String>,
    /// Field of the body, such as `input`.
    pub(crate) param: Option<&'static str>,
    /// Time after which the request may succeed.
    pub(crate) retry_after: Option<Duration>,
}

/// Class of a [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The body is not what the route takes.
    Malformed,
    /// The body is well-formed, and a value in it cannot be used.
    Invalid,
    /// The body has a type other than JSON.
    MediaType,
    /// The body or an image is larger than allowed.
    TooLarge,
    /// The body did not arrive in time.
    SlowBody,
    /// There is no input.
    Empty,
    /// A text cannot be tokenised or decoded.
    Tokenizer,
    /// No model has that name.
    NoModel,
    /// The model does not do what the route is for.
    WrongModel,
    /// There is no such route.
    NoRoute,
    /// The route takes other methods.
    Method,
    /// The key is missing or wrong.
    Unauthorized,
    /// The caller may not do that here.
    Forbidden,
    /// Too much waits already.
    Overloaded,
    /// The deadline passed.
    Deadline,
    /// The model is not loaded and cannot be now.
    NotReady,
    /// The model failed.
    Backend,
    /// A defect of the server.
    Internal,
}

impl FailureKind {
    /// The name in snake case; stable, a label of metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Invalid => "invalid",
            Self::MediaType => "media_type",
            Self::TooLarge => "too_large",
            Self::SlowBody => "slow_body",
            Self::Empty => "empty",
            Self::Tokenizer => "tokenizer",
            Self::NoModel => "no_model",
            Self::WrongModel => "wrong_model",
            Self::NoRoute => "no_route",
            Self::Method => "method",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Overloaded => "overloaded",
            Self::Deadline => "deadline",
            Self::NotReady => "not_ready",
            Self::Backend => "backend",
            Self::Internal => "internal",
        }
    }

    /// The status where a dialect has none of its own.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::Invalid | Self::Empty | Self::Tokenizer | Self::WrongModel => {
                StatusCode::BAD_REQUEST
            }
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::NoModel | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::Backend | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, param: None, retry_after: None }
    }

    /// A value of the body that cannot be used.
    pub(crate) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Invalid, message).param(param)
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn param(self, param: &'static str) -> Self {
        Self { param: Some(param), ..self }
    }

    pub(crate) fn retry_after(self, time: Option<Duration>) -> Self {
        Self { retry_after: time, ..self }
    }

    /// The deadline of a request.
    pub(crate) fn deadline() -> Self {
        Self::new(FailureKind::Deadline, "the request was not done by its deadline")
    }

    /// Message and advice in one line.
    pub(crate) fn text(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}: {hint}", self.message),
            None => self.message.clone(),
        }
    }

    /// Failure of the input at a position, where there are several.
    pub(crate) fn at(self, index: usize, of: usize) -> Self {
        if of <= 1 {
            return self;
        }
        Self { message: format!("input {index}: {}", self.message), ..self }
    }
}

/// Failure of an input or of the model that ran it.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::InvalidInput => FailureKind::Invalid,
            ErrorKind::Unsupported => FailureKind::WrongModel,
            ErrorKind::Busy => FailureKind::Overloaded,
            ErrorKind::Cancelled => FailureKind::Deadline,
            ErrorKind::Internal => FailureKind::Internal,
            _ => FailureKind::Backend,
        };
        let retry_after = match error.hint() {
            Some(Hint::RetryAfter(after)) => *after,
            _ => None,
        };
        // Hints of the library speak to whoever runs the server, not to its clients.
        Self::new(kind, causes(&error)).retry_after(retry_after)
    }
}

/// A message with those of its causes.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// An empty response that carries the failure: the outermost layer knows the dialect and renders it.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}
