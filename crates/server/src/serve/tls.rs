//! HTTPS by rustls.

use std::{fs::File, io::Read as _, path::Path, sync::Arc, time::Duration};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

use super::listener::Stream;
use crate::{StartError, Tls};

/// Far more than any chain of certificates has.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Accepts encrypted connections.
pub(super) struct Acceptor {
    acceptor: TlsAcceptor,
    /// Time for the handshake.
    limit: Duration,
}

impl Acceptor {
    pub(super) fn new(files: &Tls, limit: Duration) -> Result<Self, StartError> {
        let failed =
            |path: &Path, reason: String| StartError::Tls { path: path.to_owned(), reason };
        let pem = read(&files.certificates)?;
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(&pem)
                .collect::<Result<_, _>>()
                .map_err(|error| failed(&files.certificates, error.to_string()))?;
        if certificates.is_empty() {
            return Err(failed(&files.certificates, "it has no certificate".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
            .map_err(|error| failed(&files.key, error.to_string()))?;
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(certificates, key));
        let mut config = config.map_err(|error| failed(&files.certificates, error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), limit })
    }

    /// The encrypted connection; `None` where the client does not agree in time.
    pub(super) async fn accept(&self, stream: Stream) -> Option<TlsStream<Stream>> {
        match timeout(self.limit, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection was not encrypted");
                None
            }
            Err(_) => None,
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, StartError> {
    let failed = |reason: String| StartError::Tls { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(failed(format!("it is larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(bytes)
}
