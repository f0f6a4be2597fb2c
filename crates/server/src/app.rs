//! State that all requests share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::sync::Semaphore;

use crate::{Config, StartError, metrics::Metrics, models::Models};

/// Bytes of one permit of the room for bodies: the permits of a semaphore are limited.
pub(crate) const BODY_PERMIT: usize = 1024;

/// The state of a server: its models, limits and measurements. A clone is the same state.
#[derive(Debug, Clone)]
pub struct App {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    models: Models,
    metrics: Metrics,
    /// Room for bodies.
    bodies: Arc<Semaphore>,
    draining: AtomicBool,
    started: Instant,
}

impl App {
    /// The state for these settings. Models are looked up, which may read files and ask the hub, and
    /// not loaded yet.
    ///
    /// # Errors
    /// A limit of 0, a model that cannot be described, and names that are not unique.
    pub fn new(mut config: Config) -> Result<Self, StartError> {
        let limits = config.limits;
        for (limit, value) in [
            ("body_bytes", limits.body_bytes),
            ("bodies_bytes", limits.bodies_bytes),
            ("image_bytes", limits.image_bytes),
            ("queue_tokens", limits.queue_tokens),
            ("connections", limits.connections),
        ] {
            if value == 0 {
                return Err(StartError::Zero { limit });
            }
        }
        let models = std::mem::take(&mut config.models);
        let models = Models::new(models, limits.queue_tokens, config.client_models.clone())?;
        let permits = limits.bodies_bytes.div_ceil(BODY_PERMIT).min(Semaphore::MAX_PERMITS);
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                models,
                metrics: Metrics::new(),
                bodies: Arc::new(Semaphore::new(permits)),
                draining: AtomicBool::new(false),
                started: Instant::now(),
            }),
        })
    }

    /// Loads the models that are not lazy, one after another.
    ///
    /// # Errors
    /// The first model that cannot be loaded.
    pub async fn load(&self) -> Result<(), StartError> {
        for slot in self.models().all() {
            if !slot.is_eager() {
                continue;
            }
            if let Err(failure) = slot.acquire().await {
                let source = embedkit::Error::new(embedkit::ErrorKind::Runtime, failure.message);
                return Err(StartError::Model { name: slot.name().to_string(), source });
            }
        }
        Ok(())
    }

    /// Does what has to be done every second or so: unloads idle models and folds measurements.
    pub fn tidy(&self) {
        self.models().unload_idle();
        self.metrics().fold();
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn models(&self) -> &Models {
        &self.inner.models
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    pub(crate) fn bodies(&self) -> &Arc<Semaphore> {
        &self.inner.bodies
    }

    pub(crate) fn started(&self) -> Instant {
        self.inner.started
    }

    /// Says in `/ready` from now on that the server is about to end.
    pub(crate) fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::Relaxed)
    }
}
