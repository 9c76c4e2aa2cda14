//! TLS for clients that trust every certificate, and what makes every test use it: `REMORA_TEST_CLIENT=tls`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where the TLS of a plain address listens.
static SECURED: Mutex<BTreeMap<SocketAddr, SocketAddr>> = Mutex::new(BTreeMap::new());

/// From now on, clients of the plain address use this one, with TLS.
pub fn secure(plain: SocketAddr, secured: SocketAddr) {
    SECURED.lock().unwrap().insert(plain, secured);
}

/// The address with TLS that clients of a plain one use; `None` where they use that itself.
pub fn secured(plain: SocketAddr) -> Option<SocketAddr> {
    SECURED.lock().unwrap().get(&plain).copied()
}

/// A certificate that nobody signed but itself, in `name.pem` and `name.key` of a folder.
pub struct Certificate {
    pub pem: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    pub fn in_folder(folder: &Path, name: &str) -> Self {
        Self { pem: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) }
    }

    /// Puts a new one in place, each file whole, as certbot does.
    pub fn renew(&self, host: &str) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&key).unwrap();
        put(&self.pem, &certificate.pem());
        put(&self.key, &key.serialize_pem());
        certificate.der().clone()
    }

    pub fn yaml(&self) -> String {
        format!("{{ certificate: {}, key: {} }}", self.pem.display(), self.key.display())
    }
}

/// Writes a file whole: beside it, then renamed over it.
pub fn put(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, path).unwrap();
}

/// Accepts every certificate: tests look at which it was.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What a client needs that accepts every certificate.
pub fn trusting() -> ClientConfig {
    trusting_with(ring::default_provider(), rustls::DEFAULT_VERSIONS)
}

/// The same with these ciphers and versions.
pub fn trusting_with(provider: CryptoProvider, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth()
}

/// A handshake on a connection that is there.
pub async fn handshake(stream: TcpStream, protocol: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = trusting();
    config.alpn_protocols = vec![protocol.into()];
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("a.example").unwrap(), stream).await
}
