//! What a lookup of a name says: that it has addresses, that it is gone, or why nothing was said.

use std::io;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::net::NetError;

/// What a lookup found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Every address of the name, of one family: sorted, at least one.
    Found(Vec<SocketAddr>),
    /// IPv6 addresses, while nobody could say whether there are IPv4 ones, which would be taken.
    HalfFound(Vec<SocketAddr>),
    /// There is no such name, or it has no address.
    Gone,
}

/// Why a lookup said nothing.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// It took longer than 10 s.
    #[error("the name servers timed out")]
    TimedOut,
    /// What is said to be a name cannot be one.
    #[error("invalid name")]
    BadName,
    /// There is nobody to ask.
    #[error("no name server is configured")]
    NoServer,
    /// `/etc/resolv.conf` cannot be read or names nobody.
    #[error("/etc/resolv.conf: {0}")]
    Unconfigured(#[source] io::Error),
    /// A name server refused, or did not answer.
    #[error("{0}")]
    Dns(#[source] NetError),
}

/// Addresses of a name, of either family.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    All(Vec<IpAddr>),
    HalfOf(Vec<IpAddr>),
    Nothing,
}
