//! Bodies: bounded before anything is allocated, and read only as fast as a client may be slow.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body as AxumBody,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use embedkit::Input;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use crate::{
    App,
    app::BODY_PERMIT,
    failure::{Failure, FailureKind},
    request::terms::Terms,
};

/// The bytes of a body, and the room that they take. The room is held as long as the request runs, since
/// its inputs are about as large.
struct Body {
    bytes: Vec<u8>,
    room: Room,
}

/// Room for bodies that a request holds.
#[derive(Debug, Default)]
pub(crate) struct Room {
    permits: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

/// A body of JSON that is not parsed yet, for routes that look first.
pub(crate) struct Raw {
    bytes: Vec<u8>,
    pub(crate) terms: Terms,
    pub(crate) room: Room,
}

impl Raw {
    pub(crate) async fn read(request: Request, app: &App) -> Result<Self, Failure> {
        let terms = Terms::new(request.headers(), app.config().times.request)?;
        check_json(request.headers())?;
        let Body { bytes, room } = Body::read(request, app, &terms).await?;
        Ok(Self { bytes, terms, room })
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        parse(&self.bytes)
    }

    /// Another body with the same terms.
    pub(crate) fn part(&self, bytes: Vec<u8>) -> Self {
        Self { bytes, terms: self.terms, room: Room::default() }
    }
}

/// A body of JSON, with the terms of its request.
#[derive(Debug)]
pub(crate) struct Json<T> {
    pub(crate) value: T,
    pub(crate) terms: Terms,
    pub(crate) room: Room,
}

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        let raw = Raw::read(request, app).await?;
        Ok(Self { value: raw.parse()?, terms: raw.terms, room: raw.room })
    }
}

/// Reads JSON, whose errors name the place.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        let what = if error.is_data() { "the body cannot be used" } else { "the body is no JSON" };
        Failure::new(FailureKind::Malformed, format!("{what}: {error}"))
    })
}

/// Refuses other types than JSON: what a page of a browser may send without asking is of other types.
fn check_json(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(kind) = media_type(headers) else { return Ok(()) };
    if kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json")) {
        return Ok(());
    }
    let message = "expected a body of the type application/json";
    Err(Failure::new(FailureKind::MediaType, message))
}

/// The type of the body in lower case, without parameters.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or("?");
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The image that is the body of a request; `None` for a body of another type.
pub(crate) async fn read_image(
    request: Request,
    app: &App,
) -> Result<Result<(Input, Terms, Room), Request>, Failure> {
    let is_image = |kind: String| kind.starts_with("image/") || kind == "application/octet-stream";
    if !media_type(request.headers()).is_some_and(is_image) {
        return Ok(Err(request));
    }
    let terms = Terms::new(request.headers(), app.config().times.request)?;
    let limit = app.config().limits.image_bytes;
    let Body { bytes, room } = Body::read_up_to(request, app, &terms, limit).await?;
    Ok(Ok((Input::image(embedkit::ImageInput::Bytes(bytes)), terms, room)))
}

impl Body {
    async fn read(request: Request, app: &App, terms: &Terms) -> Result<Self, Failure> {
        let limit = app.config().limits.body_bytes;
        Self::read_up_to(request, app, terms, limit).await
    }

    async fn read_up_to(
        request: Request,
        app: &App,
        terms: &Terms,
        limit: usize,
    ) -> Result<Self, Failure> {
        let times = app.config().times;
        let announced = announced(request.headers());
        let body = request.into_body();
        if announced.is_some_and(|bytes| bytes > limit as u64) {
            return Err(too_large(limit));
        }
        let now = Instant::now();
        let end = terms.deadline.map(Instant::from_std);
        let deadline = now + times.body;
        let deadline = end.map_or(deadline, |end| end.min(deadline));
        collect(body, limit, app.bodies(), times.body_idle, deadline).await
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(limit: usize) -> Failure {
    let message = format!("the body is larger than {limit} bytes");
    Failure::new(FailureKind::TooLarge, message).hint("send fewer inputs at once")
}

/// Collects the frames of a body. Room is taken for what has arrived: an announced size costs nothing.
async fn collect(
    mut body: AxumBody,
    limit: usize,
    bodies: &Arc<Semaphore>,
    idle: Duration,
    deadline: Instant,
) -> Result<Body, Failure> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut room = Room::default();
    loop {
        let until = deadline.min(Instant::now() + idle);
        let slow = || Failure::new(FailureKind::SlowBody, "the body did not arrive in time");
        let Some(frame) = timeout_at(until, body.frame()).await.map_err(|_| slow())? else {
            return Ok(Body { bytes, room });
        };
        let broken = |error: axum::Error| {
            Failure::new(FailureKind::Malformed, format!("the body broke off: {error}"))
        };
        // Trailers are of no use here.
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if data.len() > limit - bytes.len() {
            return Err(too_large(limit));
        }
        room.add(bodies, data.len())?;
        bytes.extend_from_slice(&data);
    }
}

impl Room {
    /// Takes room for so many bytes more.
    pub(crate) fn add(&mut self, bodies: &Arc<Semaphore>, bytes: usize) -> Result<(), Failure> {
        self.bytes = self.bytes.saturating_add(bytes);
        let held = self.permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = self.bytes.div_ceil(BODY_PERMIT).saturating_sub(held);
        let full = || {
            let message = "the requests in progress take all memory that they may";
            Failure::new(FailureKind::Overloaded, message)
        };
        let missing = u32::try_from(missing).map_err(|_| full())?;
        if missing == 0 {
            return Ok(());
        }
        let more = Arc::clone(bodies).try_acquire_many_owned(missing).map_err(|_| full())?;
        match &mut self.permits {
            Some(permits) => permits.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    fn frames(frames: &[&'static str]) -> AxumBody {
        let frames: Vec<_> = frames.iter().map(|&frame| Ok::<_, Infallible>(frame)).collect();
        AxumBody::from_stream(stream::iter(frames))
    }

    async fn collected(body: AxumBody, limit: usize, room: usize) -> Result<Vec<u8>, FailureKind> {
        let bodies = Arc::new(Semaphore::new(room));
        let (idle, deadline) = (Duration::from_secs(60), Instant::now() + Duration::from_secs(60));
        let body = collect(body, limit, &bodies, idle, deadline).await;
        match body {
            Ok(Body { bytes, room: held }) => {
                drop(held);
                assert_eq!(bodies.available_permits(), room);
                Ok(bytes)
            }
            Err(failure) => Err(failure.kind),
        }
    }

    #[tokio::test]
    async fn a_body_is_bounded_by_its_limit_and_by_the_room_of_all() {
        let body = || frames(&["0123456789", "0123456789"]);
        assert_eq!(collected(body(), 20, 1).await.unwrap(), b"01234567890123456789");
        assert_eq!(collected(body(), 19, 1).await, Err(FailureKind::TooLarge));
        assert_eq!(collected(body(), 20, 0).await, Err(FailureKind::Overloaded));
        let large = frames(&["x"; 1025]);
        assert_eq!(collected(large, 2000, 1).await, Err(FailureKind::Overloaded));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_given_up() {
        let bodies = Arc::new(Semaphore::new(10));
        let idle = Duration::from_secs(10);
        let never = AxumBody::from_stream(stream::pending::<Result<&str, Infallible>>());
        let start = Instant::now();
        let slow = collect(never, 100, &bodies, idle, start + Duration::from_secs(60)).await;
        assert_eq!(slow.err().unwrap().kind, FailureKind::SlowBody);
        assert_eq!(start.elapsed(), idle);
        // A byte in time every time, and not the whole body.
        let drops = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            Some((Ok::<_, Infallible>("x"), ()))
        });
        let start = Instant::now();
        let deadline = start + Duration::from_secs(60);
        let slow = collect(AxumBody::from_stream(drops), 100, &bodies, idle, deadline).await;
        assert_eq!(slow.err().unwrap().kind, FailureKind::SlowBody);
        assert_eq!(start.elapsed(), Duration::from_secs(60));
        assert_eq!(bodies.available_permits(), 10);
    }
}
