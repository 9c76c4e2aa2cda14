//! Where clients come in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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
    /// A bare port: every address, IPv6 and IPv4, or IPv4 alone where the machine has no IPv6 or the list names `[::]` with
    /// this port.
    Port(u16),
    /// One address; port 0 is any that is free. `[::]` is IPv4 too, unless the list names an IPv4 address with its port.
    Address(SocketAddr),
}

/// What one listening socket takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenAddresses {
    /// This address; if it is `[::]`, no IPv4.
    Alone(SocketAddr),
    /// Every address of IPv6 and IPv4, with this port.
    Both(u16),
    /// The same, or every one of IPv4 where the machine has no IPv6.
    BothIfAny(u16),
}

const EVERY_IPV4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const EVERY_IPV6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

impl ListenAddress {
    /// What its socket takes in a list of these, itself among them: of two that name both families, each takes its own.
    pub fn taken(self, all: &[Self]) -> TakenAddresses {
        let same_port = |address: &SocketAddr| address.port() == self.port();
        let named: Vec<SocketAddr> = all.iter().filter_map(|listen| listen.address()).filter(same_port).collect();
        match self {
            Self::Port(port) if named.iter().any(|address| address.ip() == EVERY_IPV6) => {
                TakenAddresses::Alone(SocketAddr::new(EVERY_IPV4, port))
            }
            Self::Port(port) => TakenAddresses::BothIfAny(port),
            Self::Address(address) if address.ip() != EVERY_IPV6 => TakenAddresses::Alone(address),
            Self::Address(address) => {
                let has_others = all.contains(&Self::Port(address.port())) || named.iter().any(SocketAddr::is_ipv4);
                if has_others && address.port() != 0 {
                    TakenAddresses::Alone(address)
                } else {
                    TakenAddresses::Both(address.port())
                }
            }
        }
    }

    /// True when no two sockets can have both at a time, as nginx and the system see it.
    pub fn overlaps(self, other: Self) -> bool {
        let covers = |a: SocketAddr, b: SocketAddr| a.ip().is_unspecified() && a.is_ipv4() == b.is_ipv4();
        if self.port() != other.port() || self.port() == 0 {
            return false;
        }
        match (self, other) {
            (Self::Port(_), Self::Port(_)) => true,
            (Self::Port(_), Self::Address(address)) | (Self::Address(address), Self::Port(_)) => {
                address.ip() != EVERY_IPV6
            }
            (Self::Address(a), Self::Address(b)) => a == b || covers(a, b) || covers(b, a),
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Port(_) => None,
            Self::Address(address) => Some(*address),
        }
    }

    /// Its port.
    pub fn port(self) -> u16 {
        match self {
            Self::Port(port) => port,
            Self::Address(address) => address.port(),
        }
    }
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

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificatePart {
    /// The certificate, with those that lead to a root.
    Certificate,
    /// Its key.
    Key,
}

impl fmt::Display for CertificatePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
        })
    }
}

/// A version of TLS. Older ones are not spoken (RFC 8996).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> ListenAddress {
        text.parse::<u16>().map_or_else(|_| ListenAddress::Address(text.parse().unwrap()), ListenAddress::Port)
    }

    #[test]
    fn of_two_that_name_both_families_each_takes_its_own() {
        use TakenAddresses::{Alone, Both, BothIfAny};
        let alone = |text: &str| Alone(text.parse().unwrap());
        #[rustfmt::skip]
        let rows: [(&str, &[TakenAddresses]); 9] = [
            ("80",                     &[BothIfAny(80)]),
            ("80 443",                 &[BothIfAny(80), BothIfAny(443)]),
            ("[::]:80",                &[Both(80)]),
            ("[::]:80 443",            &[Both(80), BothIfAny(443)]),
            ("80 [::]:80",             &[alone("0.0.0.0:80"), alone("[::]:80")]),
            ("[::]:80 0.0.0.0:80",     &[alone("[::]:80"), alone("0.0.0.0:80")]),
            ("[::]:80 127.0.0.1:80",   &[alone("[::]:80"), alone("127.0.0.1:80")]),
            ("[::]:80 127.0.0.1:8080", &[Both(80), alone("127.0.0.1:8080")]),
            ("[::1]:80 127.0.0.1:80",  &[alone("[::1]:80"), alone("127.0.0.1:80")]),
        ];
        for (list, expected) in rows {
            let list: Vec<_> = list.split(' ').map(listen).collect();
            let taken: Vec<_> = list.iter().map(|one| one.taken(&list)).collect();
            assert_eq!(taken, expected, "{list:?}");
        }
    }

    #[test]
    fn what_the_system_gives_once_overlaps() {
        #[rustfmt::skip]
        let rows = [
            ("80",         "80",           true),
            ("80",         "0.0.0.0:80",   true),
            ("80",         "127.0.0.1:80", true),
            ("80",         "[::1]:80",     true),
            ("80",         "[::]:80",      false),
            ("80",         "[::]:443",     false),
            ("0.0.0.0:80", "[::]:80",      false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80",    "[::1]:80",     true),
            ("[::]:80",    "127.0.0.1:80", false),
            ("[::1]:80",   "127.0.0.1:80", false),
            ("[::1]:0",    "[::1]:0",      false),
        ];
        for (a, b, expected) in rows {
            assert_eq!(listen(a).overlaps(listen(b)), expected, "{a} and {b}");
            assert_eq!(listen(b).overlaps(listen(a)), expected, "{b} and {a}");
        }
    }
}
