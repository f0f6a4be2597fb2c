//! One request for an image.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Response,
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::address::{Target, invalid};
use crate::{
    App,
    failure::{Failure, FailureKind},
    request::Room,
};

/// Most bytes of the head of an answer.
const HEAD_BYTES: usize = 64 << 10;

/// An answer that is of use.
pub(super) enum Fetched {
    Body(Vec<u8>),
    /// Another address.
    Redirect(String),
}

/// Asks the first of the addresses that can be reached.
pub(super) async fn get(
    app: &App,
    target: &Target,
    addresses: &[IpAddr],
    deadline: Instant,
    room: &mut Room,
) -> Result<Fetched, Failure> {
    let fetch = async {
        let stream = connect(target, addresses).await?;
        if target.encrypted {
            return ask(app, target, encrypted(target, stream).await?, deadline, room).await;
        }
        ask(app, target, stream, deadline, room).await
    };
    timeout_at(deadline, fetch).await.map_err(|_| slow(target))?
}

fn slow(target: &Target) -> Failure {
    invalid(format!("the image of {} did not arrive in time", target.shown()))
}

fn broken(target: &Target) -> Failure {
    invalid(format!("the connection to {} failed", target.shown()))
}

async fn connect(target: &Target, addresses: &[IpAddr]) -> Result<TcpStream, Failure> {
    for &address in addresses {
        if let Ok(stream) = TcpStream::connect(SocketAddr::new(address, target.port)).await {
            return Ok(stream);
        }
    }
    Err(broken(target))
}

#[cfg(feature = "tls")]
async fn encrypted(
    target: &Target,
    stream: TcpStream,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Failure> {
    use std::sync::{Arc, OnceLock};

    use rustls_pki_types::ServerName;
    use tokio_rustls::{
        TlsConnector,
        rustls::{ClientConfig, RootCertStore, crypto::ring},
    };

    static CONFIG: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .ok()?;
        Some(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    });
    let name = ServerName::try_from(target.host.trim_matches(['[', ']']).to_owned());
    let (Some(config), Ok(name)) = (config, name) else { return Err(broken(target)) };
    let connector = TlsConnector::from(Arc::clone(config));
    connector.connect(name, stream).await.map_err(|_| broken(target))
}

#[cfg(not(feature = "tls"))]
async fn encrypted(target: &Target, _: TcpStream) -> Result<TcpStream, Failure> {
    Err(invalid(format!("{} is asked for with https, which this server lacks", target.shown())))
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    app: &App,
    target: &Target,
    stream: S,
    deadline: Instant,
    room: &mut Room,
) -> Result<Fetched, Failure> {
    let broken = |_| broken(target);
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with this function, whatever its peer does.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = Request::get(&target.path)
        .header(header::HOST, target.authority())
        .header(header::ACCEPT, "image/*")
        .header(header::USER_AGENT, concat!("embedkit/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|_| invalid("the address of an image cannot be read"))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    if response.status().is_redirection() {
        let location = response.headers().get(header::LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        let none = || invalid(format!("a redirect of {} leads nowhere", target.shown()));
        return Ok(Fetched::Redirect(location.ok_or_else(none)?.to_owned()));
    }
    if response.status() != StatusCode::OK {
        let status = response.status().as_u16();
        return Err(invalid(format!("{} has no image there: status {status}", target.shown())));
    }
    body(app, target, response, deadline, room).await.map(Fetched::Body)
}

/// Collects a body within the limit of an image; room is taken for what has arrived.
async fn body(
    app: &App,
    target: &Target,
    response: Response<Incoming>,
    deadline: Instant,
    room: &mut Room,
) -> Result<Vec<u8>, Failure> {
    let limit = app.config().limits.image_bytes;
    let idle = app.config().times.body_idle;
    let too_large = || {
        let message = format!("the image of {} is larger than {limit} bytes", target.shown());
        Failure::new(FailureKind::TooLarge, message).param("image")
    };
    if announced(response.headers()).is_some_and(|bytes| bytes > limit as u64) {
        return Err(too_large());
    }
    let mut body = response.into_body();
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        let until = deadline.min(Instant::now() + idle);
        let frame = timeout_at(until, body.frame()).await.map_err(|_| slow(target))?;
        let Some(frame) = frame else { return Ok(bytes) };
        let Ok(data) = frame.map_err(|_| broken(target))?.into_data() else { continue };
        if data.len() > limit - bytes.len() {
            return Err(too_large());
        }
        room.add(app.bodies(), data.len())?;
        bytes.extend_from_slice(&data);
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
