//! Sessions whose queries run on a cluster.

use std::sync::Arc;

use ballista::extension::{SessionConfigExt as _, SessionContextExt as _};
use datafusion::{
    error::Result,
    prelude::{SessionConfig, SessionContext},
};

use super::{MESSAGE_BYTES, codec::UnitCodec};
use crate::{Models, register, session};

/// A session of the cluster at `url`, such as `df://host:50050`: planned here and by the scheduler, run by
/// executors.
///
/// # Errors
/// An URL without a host, and those of the engine. The first statement tells whether the scheduler is there.
pub async fn connect(url: &str, models: &Models, config: SessionConfig) -> Result<SessionContext> {
    let config = config
        .with_ballista_logical_extension_codec(Arc::new(UnitCodec::default()))
        .with_ballista_grpc_client_max_message_size(MESSAGE_BYTES as usize);
    let session = SessionContext::remote_with_state(url, session::state(config)?).await?;
    // After the upgrade to a session of the cluster, which has none but its own functions.
    let session = session.enable_url_table();
    register(&session, models);
    Ok(session)
}
