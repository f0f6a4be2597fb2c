//! One model: loaded, unloaded, and lent to requests.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use embedkit::{Capabilities, Class, Model, ModelBuilder, Prompts, Role};
use tokio::{
    sync::{OnceCell, watch},
    task::spawn_blocking,
};

use crate::{
    ServedModel, StartError,
    failure::{Failure, FailureKind, causes},
};

/// Time after which a model that failed to load is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// A model with its name and its state.
pub(crate) struct Slot {
    name: Arc<str>,
    aliases: Vec<String>,
    builder: ModelBuilder,
    capabilities: Capabilities,
    /// Texts before queries and documents.
    prompts: Prompts,
    /// Loaded at the start.
    eager: bool,
    of_client: AtomicBool,
    /// It was loaded, or failed to, at least once.
    tried: AtomicBool,
    status: watch::Sender<Status>,
    usage: Arc<Usage>,
    /// The same model with a vector for each token, for a dense one. Loaded at its first request.
    of_tokens: OnceCell<Option<Arc<Slot>>>,
    queue_tokens: usize,
    /// Tokens of a request above which it is split.
    part_tokens: usize,
}

/// State of a model.
#[derive(Debug, Clone)]
pub(crate) enum Status {
    Unloaded,
    Loading,
    Loaded(Arc<Loaded>),
    /// It failed to load at that time.
    Failed(Arc<str>, Instant),
}

impl Status {
    /// The name in data.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Unloaded => "unloaded",
            Self::Loading => "loading",
            Self::Loaded(_) => "loaded",
            Self::Failed(..) => "failed",
        }
    }

    /// Tokens that wait for the model, by [`Class`].
    pub(crate) fn queued(&self) -> [usize; 2] {
        match self {
            Self::Loaded(loaded) => {
                [Class::Interactive, Class::Bulk].map(|class| loaded.model.depth(class).tokens)
            }
            _ => [0, 0],
        }
    }
}

/// A model in memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) model: Model,
    /// Device of its first encoder.
    pub(crate) device: String,
    /// Time that loading took.
    pub(crate) took: Duration,
}

/// Use of a model by requests.
#[derive(Debug)]
struct Usage {
    leases: AtomicUsize,
    /// End of the last request.
    last: Mutex<Instant>,
    keep_alive: Mutex<Option<Duration>>,
}

impl Slot {
    pub(super) fn new(model: ServedModel, queue_tokens: usize) -> Result<Self, StartError> {
        let name = model.name.clone();
        let mut options = model.options.clone();
        options.load.batch.queue = Some(queue_tokens.max(1));
        // Threads of the server must not wait for a graph at the first request.
        options.load.lazy = false;
        let builder = model.builder.clone().options(options);
        let model = ServedModel { builder, ..model };
        Self::described(model, queue_tokens).map_err(|source| StartError::Model { name, source })
    }

    /// A model whose builder has its options.
    fn described(model: ServedModel, queue_tokens: usize) -> Result<Self, embedkit::Error> {
        let ServedModel { name, aliases, builder, keep_alive, lazy, options } = model;
        let capabilities = builder.capabilities()?;
        let (last, keep_alive) = (Mutex::new(Instant::now()), Mutex::new(keep_alive));
        Ok(Self {
            name: name.into(),
            aliases,
            builder,
            capabilities,
            prompts: options.load.prompts,
            eager: !lazy,
            of_client: AtomicBool::new(false),
            tried: AtomicBool::new(false),
            status: watch::Sender::new(Status::Unloaded),
            usage: Arc::new(Usage { leases: AtomicUsize::new(0), last, keep_alive }),
            of_tokens: OnceCell::new(),
            queue_tokens,
            part_tokens: (queue_tokens / 4).max(1),
        })
    }

    /// The same model with a vector for each token; `None` where it has none.
    pub(crate) async fn of_tokens(&self) -> Result<Option<Arc<Self>>, Failure> {
        let slot = || async {
            let (name, builder) = (self.name.to_string(), self.builder.clone());
            let (queue_tokens, keep_alive) = (self.queue_tokens, self.keep_alive());
            let slot = spawn_blocking(move || {
                let Some(builder) = builder.token_vectors()? else { return Ok(None) };
                let model = ServedModel { keep_alive, ..ServedModel::new(name, builder) };
                Self::described(model, queue_tokens).map(|slot| Some(Arc::new(slot)))
            });
            let slot = slot.await.map_err(|error| {
                Failure::new(FailureKind::Internal, format!("no description: {error}"))
            })?;
            slot.map_err(|error: embedkit::Error| Failure::from(error))
        };
        Ok(self.of_tokens.get_or_try_init(slot).await?.clone())
    }

    /// The name for clients.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// All names for clients.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.name).chain(self.aliases.iter().map(String::as_str))
    }

    /// True if it is one of the names, in any case.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.names().any(|known| known.eq_ignore_ascii_case(name))
    }

    pub(crate) fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The text that is put before inputs of a role.
    pub(crate) fn prompt(&self, role: Role) -> Option<&str> {
        match (&self.prompts, role) {
            (Prompts::Model, role) => self.capabilities.prompts.as_ref()?.of(role),
            (Prompts::Custom { query, .. }, Role::Query) => query.as_deref(),
            (Prompts::Custom { document, .. }, Role::Document) => document.as_deref(),
            (Prompts::None | Prompts::Custom { .. }, _) => None,
        }
    }

    /// True for a model that is loaded at the start.
    pub(crate) fn is_eager(&self) -> bool {
        self.eager
    }

    /// True for a model that was never loaded.
    pub(crate) fn is_new(&self) -> bool {
        !self.tried.load(Ordering::Relaxed)
    }

    pub(super) fn is_of_client(&self) -> bool {
        self.of_client.load(Ordering::Relaxed)
    }

    pub(super) fn mark_as_of_client(&self) {
        self.of_client.store(true, Ordering::Relaxed);
    }

    /// Tokens of a request above which it is split.
    pub(crate) fn part_tokens(&self) -> usize {
        self.part_tokens
    }

    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Time without requests after which the model is unloaded.
    pub(crate) fn keep_alive(&self) -> Option<Duration> {
        *self.usage.keep_alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_keep_alive(&self, time: Option<Duration>) {
        *self.usage.keep_alive.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }

    /// Requests that use the model.
    pub(crate) fn leases(&self) -> usize {
        self.usage.leases.load(Ordering::Relaxed)
    }

    /// The model, which is loaded first where it is not. Loading goes on when the caller goes.
    ///
    /// # Errors
    /// [`FailureKind::NotReady`] where loading failed, for some seconds without another attempt.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Result<Lease, Failure> {
        // Counted before the model is looked at, so that it is not unloaded in between.
        let held = Held::new(&self.usage);
        let mut changes = self.status.subscribe();
        loop {
            let status = changes.borrow_and_update().clone();
            match status {
                Status::Loaded(loaded) => {
                    return Ok(Lease { slot: Arc::clone(self), loaded, _held: held });
                }
                Status::Failed(reason, at) if at.elapsed() < RETRY => {
                    let message = format!("{} could not be loaded: {reason}", self.name);
                    let left = RETRY.saturating_sub(at.elapsed());
                    return Err(
                        Failure::new(FailureKind::NotReady, message).retry_after(Some(left))
                    );
                }
                Status::Loading => {}
                Status::Unloaded | Status::Failed(..) => self.start_loading(),
            }
            if changes.changed().await.is_err() {
                return Err(Failure::new(FailureKind::Internal, "a model has no state"));
            }
        }
    }

    /// Begins to load the model, unless that has begun.
    fn start_loading(self: &Arc<Self>) {
        let begins = self.status.send_if_modified(|status| {
            let begins = matches!(status, Status::Unloaded | Status::Failed(..));
            if begins {
                *status = Status::Loading;
            }
            begins
        });
        if !begins {
            return;
        }
        let (slot, builder) = (Arc::clone(self), self.builder.clone());
        tokio::spawn(async move {
            let start = Instant::now();
            tracing::info!(model = %slot.name, "loading");
            let status = match spawn_blocking(move || open(builder)).await {
                Ok(Ok((model, device))) => {
                    let took = start.elapsed();
                    tracing::info!(model = %slot.name, device, took = ?took, "loaded");
                    Status::Loaded(Arc::new(Loaded { model, device, took }))
                }
                Ok(Err(error)) => slot.failed(&causes(&error)),
                Err(panic) => slot.failed(&panic.to_string()),
            };
            slot.tried.store(true, Ordering::Relaxed);
            slot.status.send_replace(status);
        });
    }

    fn failed(&self, reason: &str) -> Status {
        tracing::error!(model = %self.name, reason, "the model could not be loaded");
        Status::Failed(reason.into(), Instant::now())
    }

    /// Unloads the model; requests that use it are finished. False where it was not loaded.
    pub(crate) fn unload(&self) -> bool {
        if let Some(Some(of_tokens)) = self.of_tokens.get() {
            of_tokens.unload_if(|| true);
        }
        self.unload_if(|| true)
    }

    /// Unloads a model that nobody has used for its keep-alive time.
    pub(super) fn unload_if_idle(&self) {
        if let Some(Some(of_tokens)) = self.of_tokens.get() {
            of_tokens.unload_if_idle();
        }
        let Some(keep) = self.keep_alive() else { return };
        self.unload_if(|| {
            let last = *self.usage.last.lock().unwrap_or_else(PoisonError::into_inner);
            self.leases() == 0 && last.elapsed() >= keep
        });
    }

    fn unload_if(&self, condition: impl FnOnce() -> bool) -> bool {
        let mut unloaded = None;
        self.status.send_if_modified(|status| {
            let goes = matches!(status, Status::Loaded(_)) && condition();
            if goes {
                unloaded = Some(std::mem::replace(status, Status::Unloaded));
            }
            goes
        });
        let Some(model) = unloaded else { return false };
        tracing::info!(model = %self.name, "unloaded");
        // Threads of the model are waited for.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(model))),
            Err(_) => drop(model),
        }
        true
    }
}

/// Opens all encoders of a model; they are not opened at a request.
fn open(builder: ModelBuilder) -> Result<(Model, String), embedkit::Error> {
    let model = builder.open()?;
    let mut device = None;
    for &kind in &model.capabilities().inputs {
        model.open(kind)?;
        if device.is_none() {
            device = Some(model.device(kind)?.to_owned());
        }
    }
    let device = device.unwrap_or_else(|| "cpu".to_owned());
    Ok((model, device))
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("name", &self.name)
            .field("status", &self.status().name())
            .finish_non_exhaustive()
    }
}

/// A model that is lent to a request: it stays loaded as long.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) slot: Arc<Slot>,
    pub(crate) loaded: Arc<Loaded>,
    _held: Held,
}

impl Lease {
    pub(crate) fn model(&self) -> &Model {
        &self.loaded.model
    }
}

/// One count in the use of a model.
#[derive(Debug)]
struct Held(Arc<Usage>);

impl Held {
    fn new(usage: &Arc<Usage>) -> Self {
        usage.leases.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(usage))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.leases.fetch_sub(1, Ordering::Relaxed);
    }
}
