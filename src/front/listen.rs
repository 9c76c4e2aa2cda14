//! Binds every listener before the edge starts, so that one that cannot be had is an error at once and never a process
//! without a listener. The sockets are handed to Pingora.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;

use parking_lot::Mutex;
use pingora::server::{Fds, ListenFds};

use crate::config::model::ListenSpec;

/// A listener that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error("cannot listen on {0}: the address is in use; stop what listens there, or change `listen`")]
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
}

/// Sockets that listen already.
pub struct Bound {
    listeners: Vec<(SocketAddr, TcpListener)>,
}

/// Binds every address.
///
/// # Errors
/// With the first address that cannot be had; the others are released.
pub fn bind(specs: &[ListenSpec]) -> Result<Bound, BindError> {
    let listeners = specs.iter().map(bind_one).collect::<Result<_, _>>()?;
    Ok(Bound { listeners })
}

fn bind_one(spec: &ListenSpec) -> Result<(SocketAddr, TcpListener), BindError> {
    let listener = match *spec {
        ListenSpec::Address(address) => bind_address(address)?,
        ListenSpec::Port(port) => {
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
        self.listeners.iter().map(|(address, _)| *address).collect()
    }

    /// The sockets by address, as Pingora takes over those of an earlier process.
    pub fn into_fds(self) -> ListenFds {
        let mut fds = Fds::new();
        for (address, listener) in self.listeners {
            fds.add(address.to_string(), listener.into_raw_fd());
        }
        Arc::new(Mutex::new(fds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(&[ListenSpec::Address(address)]).err().unwrap();
        assert!(matches!(error, BindError::InUse(found) if found == address), "{error}");
    }

    #[test]
    fn a_bare_port_is_every_address() {
        let bound = bind(&[ListenSpec::Port(0)]).unwrap();
        assert!(bound.addresses()[0].ip().is_unspecified());
        assert_ne!(bound.addresses()[0].port(), 0);
    }
}
