//! TLS of a listener: what is spoken, and with which certificates.

mod certificates;
mod pair;

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::model::{TlsSpec, TlsVersion};

pub use certificates::{Certificates, Expiry, prove};
pub use pair::{Moment, TlsError};

/// What is offered above TLS, the best first (RFC 7301). A client that names neither is refused; one that names nothing
/// gets HTTP/1.1.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The TLS side of one listener. Clones share everything.
#[derive(Clone)]
pub struct TlsAcceptor {
    inner: tokio_rustls::TlsAcceptor,
    certificates: Arc<Certificates>,
}

impl TlsAcceptor {
    /// Reads the certificates and decides what is spoken. Blocks while it reads.
    ///
    /// # Errors
    /// With the first file that cannot be used. A certificate that has expired is a warning in the log.
    pub fn new(spec: &TlsSpec) -> Result<Self, TlsError> {
        let certificates = Arc::new(Certificates::load(&spec.certificates)?);
        let versions: &[_] = match spec.min {
            TlsVersion::Tls12 => &[&TLS13, &TLS12],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as _);
        // The strongest that both know, and not what a client happens to name first.
        config.ignore_client_order = true;
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
        // Clients keep their sessions, in TLS 1.2 and 1.3, under keys that change every 6 h; nothing is kept here.
        config.ticketer = ring::Ticketer::new().map_err(TlsError::Setup)?;
        // A ticket costs a key derivation and a record; whoever opens several connections at once may ask for more
        // (RFC 9149).
        config.send_tls13_tickets = 1;
        // A request in early data can be sent again by whoever saw it (RFC 8446, section 8).
        config.max_early_data_size = 0;
        Ok(Self { inner: tokio_rustls::TlsAcceptor::from(Arc::new(config)), certificates })
    }

    /// Begins the handshake of a connection. It has no deadline of its own.
    pub fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> tokio_rustls::Accept<S> {
        self.inner.accept(stream)
    }

    /// The certificates, to read them again.
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// What is spoken.
    pub fn config(&self) -> &Arc<ServerConfig> {
        self.inner.config()
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests;
