//! Where the reader is asked, and how each side knows the other.

use std::io;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::SocketAddr;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

/// The reader's user in the image.
const IMAGE_USER: u32 = 10_002;

/// A socket's name that is no file (unix(7), abstract), so that a disk may be read-only, and whose socket it may be.
#[derive(Debug, Clone)]
pub struct ReaderAddress {
    pub(super) socket: SocketAddr,
    /// Users as which a reader may run.
    pub(super) users: Vec<u32>,
}

impl ReaderAddress {
    /// That of this container. Containers that share a network have one each: the name is that of what they see mounted.
    ///
    /// # Errors
    /// When the system does not say which that is.
    pub fn here() -> io::Result<Self> {
        let mounts = std::fs::read_link("/proc/self/ns/mnt")?;
        Self::named(&mounts.to_string_lossy(), vec![0, IMAGE_USER])
    }

    pub(super) fn named(name: &str, users: Vec<u32>) -> io::Result<Self> {
        Ok(Self { socket: SocketAddr::from_abstract_name(format!("remora/certificates/{name}"))?, users })
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PeerProcess {
    pub user: u32,
    /// A process that this one can see. One of another container is none, even where the network is shared.
    pub is_near: bool,
}

impl PeerProcess {
    pub(super) fn of(socket: &impl AsFd) -> io::Result<Self> {
        let credentials = getsockopt(socket, PeerCredentials)?;
        Ok(Self { user: credentials.uid(), is_near: 0 < credentials.pid() })
    }
}
