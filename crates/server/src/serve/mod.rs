//! The server itself: listens, accepts, and ends when it is asked to.

mod connection;
mod listener;
mod signals;
#[cfg(feature = "tls")]
mod tls;

use std::{future::Future, io, sync::Arc, time::Duration};

use hyper_util::server::graceful::GracefulShutdown;
use tokio::{
    runtime::Builder,
    sync::Semaphore,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use self::{connection::Connections, listener::Listener};
use crate::{App, Config, Listen, StartError, router};

/// Time between two rounds of unloading idle models and folding measurements.
const ROUND: Duration = Duration::from_secs(1);
/// Time after a connection could not be accepted, as where no file can be opened.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until SIGINT or SIGTERM (Ctrl-C) asks it to end, then finishes the requests in progress.
///
/// Blocks; the server has threads of its own. `on_ready` gets the address once models are loaded and
/// connections are accepted. While models are loaded, `/health` and `/ready` answer already.
///
/// # Errors
/// Settings that cannot be used, a model that cannot be loaded, an address that cannot be listened on.
pub fn serve(config: Config, on_ready: impl FnOnce(&Listen)) -> Result<(), StartError> {
    raise_file_limit();
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .thread_name("embedkit-server")
        .build()
        .map_err(StartError::Runtime)?;
    // Models may be looked up on the hub, by a client that blocks.
    let app = App::new(config)?;
    let result = runtime.block_on(async {
        let stop = signals::stop().map_err(StartError::Runtime)?;
        let running = bind(app.clone()).await?;
        let address = running.address().clone();
        let ready = async {
            app.load().await?;
            on_ready(&address);
            // Serving goes on until it is asked to end.
            std::future::pending::<Result<(), StartError>>().await
        };
        tokio::select! {
            ended = running.run(stop) => ended,
            failed = ready => failed,
        }
    });
    // Work that blocks, such as a model that is being loaded, is not waited for.
    runtime.shutdown_background();
    result
}

/// A server that listens, and does not accept yet.
pub struct Running {
    app: App,
    listener: Listener,
    address: Listen,
    connections: Connections,
}

/// Begins to listen, for a program that has a runtime of its own.
///
/// # Errors
/// An address that cannot be listened on, and files for HTTPS that cannot be used.
pub async fn bind(app: App) -> Result<Running, StartError> {
    let connections = Connections::new(&app, router(&app)?)?;
    let (listener, address) = Listener::bind(&app.config().listen)?;
    Ok(Running { app, listener, address, connections })
}

impl Running {
    /// The address, with its port where the system chose it.
    #[must_use]
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// Accepts connections until `stop` is done, and then answers the requests in progress, within the limit of
    /// [`Times::drain`](crate::Times::drain).
    ///
    /// # Errors
    /// None at present: a connection that fails concerns its client alone.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let Self { app, listener, connections, .. } = self;
        let connections = Arc::new(connections);
        let graceful = GracefulShutdown::new();
        let limit = app.config().limits.connections.min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(limit));
        let rounds = tokio::spawn(rounds(app.clone()));
        let mut stop = std::pin::pin!(stop);
        loop {
            let next = async {
                // Clients beyond the limit wait in the backlog of the system.
                let permit = Arc::clone(&room).acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = &mut stop => break,
                next = next => next,
            };
            match (permit, accepted) {
                (Ok(permit), Ok(stream)) => {
                    app.metrics().connections(limit - room.available_permits());
                    let (connections, watcher) = (Arc::clone(&connections), graceful.watcher());
                    tokio::spawn(async move {
                        connections.serve(stream, watcher).await;
                        drop(permit);
                    });
                }
                (_, Err(error)) if is_of_client(&error) => {}
                (_, Err(error)) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    sleep(PAUSE).await;
                }
                (Err(_), _) => break,
            }
        }
        app.drain();
        // New clients are refused at once, and not at the end of those in progress.
        drop(listener);
        tracing::info!("ending: requests in progress are answered");
        let drain = app.config().times.drain;
        if timeout(drain, graceful.shutdown()).await.is_err() {
            tracing::warn!(limit = ?drain, "requests were cut off at the end of the time for them");
        }
        rounds.abort();
        Ok(())
    }
}

async fn rounds(app: App) {
    let mut ticks = interval(ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        app.tidy();
    }
}

/// True for the failure of a connection whose client left before it was accepted.
fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Raises the limit on open files to what the process may have: each connection is one.
fn raise_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        if let Err(error) = raised {
            tracing::debug!(%error, "the limit on open files stays as it is");
        }
    }
}
