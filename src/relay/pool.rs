//! Connections to backends that wait for their next request. Each worker has its own: nothing is locked.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::wire::{Transport, Wire};

/// Idle connections a worker keeps to one backend.
const KEPT: usize = 512;

/// A worker's idle connections by backend.
#[derive(Debug, Default)]
pub struct Pool {
    idle: RefCell<HashMap<SocketAddr, VecDeque<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    wire: Wire,
    until: Instant,
}

impl Pool {
    /// The one used last, if the backend has not closed it.
    pub fn take(&self, backend: SocketAddr, now: Instant) -> Option<Wire> {
        let mut all = self.idle.borrow_mut();
        let idle = all.get_mut(&backend)?;
        while let Some(last) = idle.pop_back() {
            if now < last.until && last.wire.is_quiet() {
                return Some(last.wire);
            }
        }
        None
    }

    /// Keeps a connection for `limit`.
    pub fn keep(&self, backend: SocketAddr, wire: Wire, now: Instant, limit: Duration) {
        if limit.is_zero() {
            return;
        }
        let mut all = self.idle.borrow_mut();
        let idle = all.entry(backend).or_default();
        if idle.len() < KEPT {
            idle.push_back(Idle { wire, until: now + limit });
        }
    }

    /// Drops the one used longest ago: a new one takes its place, so that they do not become more than were ever used at
    /// a time.
    pub fn make_room(&self, backend: SocketAddr) {
        if let Some(idle) = self.idle.borrow_mut().get_mut(&backend) {
            idle.pop_front();
        }
    }

    /// Drops those that waited too long or were closed by their backends.
    pub fn sweep(&self, now: Instant) {
        self.idle.borrow_mut().retain(|_, idle| {
            idle.retain(|idle| now < idle.until && idle.wire.is_quiet());
            !idle.is_empty()
        });
    }

    /// True when none waits.
    pub fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty()
    }
}

/// Opens a connection.
pub(super) async fn connect(backend: SocketAddr) -> std::io::Result<Wire> {
    let socket = TcpStream::connect(backend).await?;
    socket.set_nodelay(true)?;
    Ok(Wire::new(Transport::Tcp(socket)))
}
