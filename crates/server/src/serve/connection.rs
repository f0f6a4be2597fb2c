//! One connection: HTTP/1.1 with limits on its heads.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::Watcher,
    service::TowerToHyperService,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::listener::Stream;
use crate::{App, StartError};

/// Most bytes of a head, and of what is read ahead of a body.
const BUFFER_BYTES: usize = 64 << 10;

/// Treatment of all connections.
pub(super) struct Connections {
    builder: http1::Builder,
    router: Router,
    #[cfg(feature = "tls")]
    tls: Option<super::tls::Acceptor>,
}

impl Connections {
    pub(super) fn new(app: &App, router: Router) -> Result<Self, StartError> {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // Also the time of a connection without requests.
            .header_read_timeout(app.config().times.head)
            .max_buf_size(BUFFER_BYTES);
        #[cfg(feature = "tls")]
        let tls = match &app.config().tls {
            Some(files) => Some(super::tls::Acceptor::new(files, app.config().times.head)?),
            None => None,
        };
        Ok(Self {
            builder,
            router,
            #[cfg(feature = "tls")]
            tls,
        })
    }

    /// Answers the requests of a connection. Where the client leaves, its request ends.
    pub(super) async fn serve(&self, stream: Stream, watcher: Watcher) {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            if let Some(stream) = tls.accept(stream).await {
                self.answer(stream, watcher).await;
            }
            return;
        }
        self.answer(stream, watcher).await;
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin + 'static>(
        &self,
        stream: S,
        watcher: Watcher,
    ) {
        let service = TowerToHyperService::new(self.router.clone());
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            // Usually a client that left, or was too slow.
            tracing::debug!(%error, "a connection ended");
        }
    }
}
