//! The scheduler: it plans with the functions, and runs no model.

use std::{net::SocketAddr, sync::Arc};

use ballista_core::{
    ConfigProducer, extension::SessionConfigExt as _, utils::default_session_builder,
};
use ballista_scheduler::{
    cluster::BallistaCluster,
    config::SchedulerConfig,
    scheduler_process::{create_scheduler, start_grpc_service_with_listener},
};
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::net::TcpListener;

use super::{ClusterError, MESSAGE_BYTES, codec::UnitCodec};
use crate::{Models, register_in, session, storage};

/// Choices of a scheduler. Plain fields with [`Default`]; use struct update syntax.
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulerOptions {
    /// Address and port to listen at; any free port at 0.
    pub listen: SocketAddr,
    /// Host name by which executors and clients reach it.
    pub external_host: String,
    /// Seconds after which an executor that is silent counts as lost.
    pub executor_timeout_s: u64,
    /// Seconds that results stay on executors for clients to fetch.
    pub keep_results_s: u64,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50050)),
            external_host: "localhost".to_owned(),
            executor_timeout_s: 180,
            keep_results_s: 300,
        }
    }
}

/// Runs a scheduler until it fails. `on_start` hears the address that it listens at.
///
/// # Errors
/// A port that is taken, options of zero, and those of Ballista.
pub async fn run_scheduler(
    options: &SchedulerOptions,
    models: &Models,
    on_start: impl FnOnce(SocketAddr),
) -> Result<(), ClusterError> {
    let at = |source| ClusterError::System {
        what: format!("cannot listen at {}", options.listen),
        source,
    };
    let listener = TcpListener::bind(options.listen).await.map_err(at)?;
    let address = listener.local_addr().map_err(at)?;
    if options.executor_timeout_s == 0 || options.keep_results_s == 0 {
        return Err(ClusterError::Option("a time is 0 seconds, expected more".to_owned()));
    }
    let models = models.clone();
    let config = SchedulerConfig {
        external_host: options.external_host.clone(),
        bind_host: address.ip().to_string(),
        bind_port: address.port(),
        executor_timeout_seconds: options.executor_timeout_s,
        no_executors_grace_period_seconds: options.executor_timeout_s,
        expire_dead_executor_interval_seconds: options.executor_timeout_s.min(15),
        finished_job_data_clean_up_interval_seconds: options.keep_results_s,
        grpc_server_max_decoding_message_size: MESSAGE_BYTES,
        grpc_server_max_encoding_message_size: MESSAGE_BYTES,
        grpc_client_max_message_size: MESSAGE_BYTES,
        override_config_producer: Some(config_producer()),
        override_session_builder: Some(Arc::new(move |config| {
            let state = default_session_builder(config)?;
            let builder = datafusion::execution::SessionStateBuilder::new_from_existing(state);
            let mut state = builder.with_runtime_env(storage::runtime()?).build();
            register_in(&mut state, &models)?;
            Ok(state)
        })),
        override_logical_codec: Some(Arc::new(UnitCodec::default())),
        ..SchedulerConfig::default()
    };
    config.validate()?;
    let cluster = BallistaCluster::new_from_config(&config).await?;
    let server =
        create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, Arc::new(config)).await?;
    on_start(address);
    Ok(start_grpc_service_with_listener(listener, server).await?)
}

/// Configuration of sessions, unless a client has its own.
pub(super) fn config_producer() -> ConfigProducer {
    Arc::new(|| {
        SessionConfig::new_with_ballista()
            .with_batch_size(session::BATCH_ROWS)
            .with_ballista_grpc_client_max_message_size(MESSAGE_BYTES as usize)
    })
}
