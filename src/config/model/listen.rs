//! Where clients come in.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One address to listen on, and what is spoken there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSpec {
    /// Where.
    pub address: ListenAddress,
    /// TLS, which ends here. Default: none, plain HTTP.
    pub tls: Option<TlsSpec>,
}

impl ListenSpec {
    /// Plain HTTP at an address.
    pub fn plain(address: ListenAddress) -> Self {
        Self { address, tls: None }
    }
}

/// One address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenAddress {
    /// A bare port: every address, IPv6 and IPv4, or IPv4 alone where the machine has no IPv6.
    Port(u16),
    /// One address; port 0 is any that is free.
    Address(SocketAddr),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "{port}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// How TLS is spoken on a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSpec {
    /// Never empty. Chosen by the name a client asks for (SNI, RFC 6066, section 3); the first is for all other clients.
    pub certificates: Vec<CertificateSpec>,
    /// Oldest version that is spoken. Default TLS 1.2.
    pub min: TlsVersion,
}

/// A certificate and its key, in PEM files. They are read when the process starts and again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateSpec {
    /// The server's own certificate, then those that lead to a root (certbot's `fullchain.pem`).
    pub certificate: PathBuf,
    /// The key of the server's own certificate, without a passphrase.
    pub key: PathBuf,
}

/// A version of TLS. Older ones are not spoken (RFC 8996).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}
