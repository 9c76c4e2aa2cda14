//! Binds every listener before the edge starts, so that one that cannot be had is an error at once and never a process
//! without a listener.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use crate::config::model::{ListenAddress, ListenSpec};

use super::tls::{Certificates, TlsAcceptor, TlsError};

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
    let endpoint = |spec: &ListenSpec| {
        let tls = spec.tls.as_ref().map(TlsAcceptor::new).transpose()?.map(Arc::new);
        let (address, listener) = bind_one(spec)?;
        Ok((address, Endpoint { listener, tls }))
    };
    let endpoints = specs.iter().map(endpoint).collect::<Result<_, BindError>>()?;
    Ok(Bound { endpoints })
}

fn bind_one(spec: &ListenSpec) -> Result<(SocketAddr, TcpListener), BindError> {
    let listener = match spec.address {
        ListenAddress::Address(address) => bind_address(address)?,
        ListenAddress::Port(port) => {
            // `[::]` takes IPv4 too, unless the machine has no IPv6 or keeps the two apart.
            match bind_address(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
                Err(BindError::Other { .. }) => bind_address(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?,
                other => other?,
            }
        }
    };
    Ok(listener)
}

fn bind_address(address: SocketAddr) -> Result<(SocketAddr, TcpListener), BindError> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok((listener.local_addr()?, listener))
    });
    bound.map_err(|cause| match cause.kind() {
        ErrorKind::AddrInUse => BindError::InUse(address),
        ErrorKind::PermissionDenied => BindError::Denied(address),
        _ => BindError::Other { address, cause },
    })
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
    fn a_bare_port_is_every_address() {
        let bound = bind(&[ListenSpec::plain(ListenAddress::Port(0))]).unwrap();
        assert!(bound.addresses()[0].ip().is_unspecified());
        assert_ne!(bound.addresses()[0].port(), 0);
    }
}
