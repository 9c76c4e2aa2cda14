//! Certificates in files of a folder, and handshakes, for the tests of this module. Never part of the program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    ClientConfig, DigitallySignedStruct, HandshakeKind, ProtocolVersion, SignatureScheme, SupportedProtocolVersion,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsConnector, client, server};

use crate::config::model::{CertificateSpec, TlsSpec, TlsVersion};

use super::TlsAcceptor;

/// A certificate that nobody signed but itself, and its key.
pub(super) struct Made {
    pub certificate: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

/// An ECDSA certificate for hosts, valid for long.
pub(super) fn made(names: &[&str]) -> Made {
    made_until(names, 2999)
}

/// The same until the first day of a year.
pub(super) fn made_until(names: &[&str], year: i32) -> Made {
    made_with(&KeyPair::generate().unwrap(), names, 2020.min(year - 1), year)
}

/// One from a later year on.
pub(super) fn made_from(names: &[&str], year: i32) -> Made {
    made_with(&KeyPair::generate().unwrap(), names, year, year + 1)
}

/// One with an Ed25519 key.
pub(super) fn made_ed25519(names: &[&str]) -> Made {
    made_with(&KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), names, 2020, 2999)
}

fn made_with(key: &KeyPair, names: &[&str], from: i32, until: i32) -> Made {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    let certificate = params.self_signed(key).unwrap();
    Made { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
}

/// A folder with certificates.
pub(super) struct Files(tempfile::TempDir);

impl Files {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a file in place whole, as certbot and Kubernetes do.
    pub(super) fn put(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let (path, beside) = (self.path(name), self.path(".beside"));
        fs::write(&beside, text).unwrap();
        fs::rename(beside, &path).unwrap();
        path
    }

    /// `name.pem` and `name.key`.
    pub(super) fn put_pair(&self, name: &str, made: &Made) -> CertificateSpec {
        CertificateSpec {
            certificate: self.put(&format!("{name}.pem"), &made.certificate),
            key: self.put(&format!("{name}.key"), &made.key),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        self.0.path()
    }
}

pub(super) fn spec(certificates: Vec<CertificateSpec>) -> TlsSpec {
    TlsSpec { certificates, min: TlsVersion::Tls12 }
}

/// Accepts every certificate: tests look at which it was.
#[derive(Debug)]
struct Trusting(Vec<SignatureScheme>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

/// A client and the sessions it remembers.
pub(super) struct Client {
    pub versions: Vec<&'static SupportedProtocolVersion>,
    pub alpn: Vec<&'static [u8]>,
    pub schemes: Vec<SignatureScheme>,
}

impl Default for Client {
    fn default() -> Self {
        let schemes = ring::default_provider().signature_verification_algorithms.supported_schemes();
        Self { versions: rustls::ALL_VERSIONS.to_vec(), alpn: vec![b"h2", b"http/1.1"], schemes }
    }
}

impl Client {
    pub(super) fn connector(&self) -> TlsConnector {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting(self.schemes.clone())))
            .with_no_client_auth();
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

/// Both ends of a connection.
pub(super) struct Link<S> {
    pub client: client::TlsStream<S>,
    pub server: server::TlsStream<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// A byte there and back. It brings the session's ticket too.
    pub(super) async fn exchange(&mut self) {
        let mut byte = [0];
        self.client.write_all(b"?").await.unwrap();
        self.server.read_exact(&mut byte).await.unwrap();
        self.server.write_all(b"!").await.unwrap();
        self.client.read_exact(&mut byte).await.unwrap();
        assert_eq!(byte, *b"!");
    }

    /// The certificate the client was shown.
    pub(super) fn shown(&self) -> CertificateDer<'static> {
        self.client.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }

    /// What both ends agreed to speak.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        let (client, server) = (self.client.get_ref().1.alpn_protocol(), self.server.get_ref().1.alpn_protocol());
        assert_eq!(client, server);
        client
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.client.get_ref().1.protocol_version().unwrap()
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.client.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// A handshake over loopback; a client that asks for an address names no host.
pub(super) async fn link(
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
    host: &str,
) -> Result<Link<TcpStream>, io::Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    handshake(acceptor, connector, host, client.unwrap(), accepted.unwrap().0).await
}

/// A handshake over given ends.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
    host: &str,
    client: S,
    server: S,
) -> Result<Link<S>, io::Error> {
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let (client, server) = tokio::join!(connector.connect(host, client), acceptor.accept(server));
    Ok(Link { client: client?, server: server? })
}

/// The certificate that a client is shown who asks for a host.
pub(super) async fn shown(acceptor: &TlsAcceptor, host: &str) -> CertificateDer<'static> {
    link(acceptor, &Client::default().connector(), host).await.unwrap().shown()
}
