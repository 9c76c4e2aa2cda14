//! Binds every listener before the edge starts, so that one that cannot be had is an error at once and never a process
//! without a listener.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::config::model::{ListenAddress, ListenSpec, TakenAddresses};

use super::tls::{Certificates, TlsAcceptor, TlsError};

/// Connections that may wait to be taken, as the standard library asks for. With more, a burst of clients is only passed on
/// to services that cannot take it.
const WAITING: i32 = 128;

/// One listening socket.
pub struct Endpoint {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<Arc<TlsAcceptor>>,
}

/// A listener that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error("cannot listen on {0}: the address is in use; stop the process that listens there, or change `listen`")]
    InUse(SocketAddr),
    /// The port is below 1024 and the process may not have it.
    #[error("cannot listen on {0}: permission denied; use a port from 1024, or grant CAP_NET_BIND_SERVICE")]
    Denied(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {address}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Its certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Sockets that listen already.
pub struct Bound {
    endpoints: Vec<(SocketAddr, Endpoint)>,
}

/// Reads every certificate and binds every address.
///
/// # Errors
/// With the first that cannot be had; the others are released.
pub fn bind(specs: &[ListenSpec]) -> Result<Bound, BindError> {
    let addresses: Vec<ListenAddress> = specs.iter().map(|spec| spec.address).collect();
    let endpoint = |spec: &ListenSpec| {
        let tls = spec.tls.as_ref().map(TlsAcceptor::new).transpose()?.map(Arc::new);
        let (address, listener) = bind_one(spec.address.taken(&addresses))?;
        Ok((address, Endpoint { listener, tls }))
    };
    let endpoints = specs.iter().map(endpoint).collect::<Result<_, BindError>>()?;
    Ok(Bound { endpoints })
}

fn bind_one(taken: TakenAddresses) -> Result<(SocketAddr, TcpListener), BindError> {
    let every_ipv6 = |port: u16| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    match taken {
        TakenAddresses::Alone(address) => bind_address(address, Families::One),
        TakenAddresses::Both(port) => bind_address(every_ipv6(port), Families::Both),
        TakenAddresses::BothIfAny(port) => match bind_address(every_ipv6(port), Families::Both) {
            // The machine has no IPv6.
            Err(BindError::Other { .. }) => bind_address((Ipv4Addr::UNSPECIFIED, port).into(), Families::One),
            other => other,
        },
    }
}

/// Whether a socket of `[::]` takes IPv4 too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Families {
    One,
    Both,
}

fn bind_address(address: SocketAddr, families: Families) -> Result<(SocketAddr, TcpListener), BindError> {
    let bound = listener(address, families).and_then(|listener| Ok((listener.local_addr()?, listener)));
    bound.map_err(|cause| match cause.kind() {
        ErrorKind::AddrInUse => BindError::InUse(address),
        ErrorKind::PermissionDenied => BindError::Denied(address),
        _ => BindError::Other { address, cause },
    })
}

/// As the standard library does it, but for what it leaves to the system's settings: whether IPv6 takes IPv4 too
/// (RFC 3493, section 5.3).
fn listener(address: SocketAddr, families: Families) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, families == Families::One)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, WAITING)?;
    Ok(socket.into())
}

impl Bound {
    /// Where the edge listens; with the port that was chosen where 0 was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.endpoints.iter().map(|(address, _)| *address).collect()
    }

    /// The certificates of all listeners, to be read again when they change.
    pub fn certificates(&self) -> Vec<Arc<Certificates>> {
        self.endpoints
            .iter()
            .filter_map(|(_, endpoint)| endpoint.tls.as_ref())
            .map(|t| Arc::clone(t.certificates()))
            .collect()
    }

    /// The sockets, for the workers.
    pub fn into_endpoints(self) -> Vec<Endpoint> {
        self.endpoints.into_iter().map(|(_, endpoint)| endpoint).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(&[ListenSpec::plain(ListenAddress::Address(address))]).err().unwrap();
        assert!(matches!(error, BindError::InUse(found) if found == address), "{error}");
    }

    #[test]
    fn both_families_are_had_side_by_side_and_by_one_socket() {
        let reach = |address: &str| std::net::TcpStream::connect(address).is_ok();
        let free = TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port();
        let (four, six) = (format!("127.0.0.1:{free}"), format!("[::1]:{free}"));
        let listen = |text: &str| {
            let address =
                text.parse::<u16>().map_or_else(|_| ListenAddress::Address(text.parse().unwrap()), ListenAddress::Port);
            ListenSpec::plain(address)
        };
        let port = free.to_string();
        let (every4, every6) = (format!("0.0.0.0:{free}"), format!("[::]:{free}"));
        for (list, both) in [
            (vec![&port], true),
            (vec![&every6], true),
            (vec![&every4], false),
            (vec![&port, &every6], true),
            (vec![&every6, &port], true),
            (vec![&every4, &every6], true),
            (vec![&every6, &four], true),
            (vec![&six, &four], true),
        ] {
            let bound = bind(&list.iter().map(|text| listen(text)).collect::<Vec<_>>());
            let bound = bound.unwrap_or_else(|error| panic!("{list:?}: {error}"));
            assert_eq!(bound.addresses().len(), list.len());
            assert_eq!((reach(&four), reach(&six)), (true, both), "{list:?}");
        }
    }

    #[test]
    fn a_bare_port_is_every_address() {
        let bound = bind(&[ListenSpec::plain(ListenAddress::Port(0))]).unwrap();
        assert!(bound.addresses()[0].ip().is_unspecified());
        assert_ne!(bound.addresses()[0].port(), 0);
    }
}
