//! Connections to backends that wait for their next request. Each worker has its own: nothing is locked.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::wire::{Transport, Wire};

/// Idle connections a worker keeps to one backend.
const KEPT: usize = 512;

/// Longest that a connection may have waited on which something is sent that must not be sent twice.
const QUIET: Duration = Duration::from_secs(1);

/// Which waiting connections a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    /// None.
    No,
    /// One that waited for so short a time that its backend does not close it just now: at most 1 s, and less than half of
    /// the time that the backend keeps connections, where it says so. For what must not be sent twice.
    Quiet,
    /// Any.
    Any,
}

/// A worker's idle connections by backend.
#[derive(Debug, Default)]
pub struct Pool {
    idle: RefCell<HashMap<SocketAddr, VecDeque<Idle>, foldhash::fast::RandomState>>,
}

#[derive(Debug)]
struct Idle {
    wire: Wire,
    until: Instant,
    quiet_until: Instant,
}

impl Pool {
    /// The one used last that may be taken, if the backend has not closed it.
    pub(super) fn take(&self, backend: SocketAddr, reuse: Reuse, now: Instant) -> Option<Wire> {
        if reuse == Reuse::No {
            return None;
        }
        let mut all = self.idle.borrow_mut();
        let idle = all.get_mut(&backend)?;
        while let Some(last) = idle.pop_back() {
            if reuse == Reuse::Quiet && last.quiet_until <= now {
                // The others have waited for longer.
                idle.push_back(last);
                return None;
            }
            if now < last.until && last.wire.is_quiet() {
                return Some(last.wire);
            }
        }
        None
    }

    /// Keeps a connection for `limit`, and no longer than the backend `announced` that it keeps it.
    pub(super) fn keep(
        &self,
        backend: SocketAddr,
        wire: Wire,
        now: Instant,
        limit: Duration,
        announced: Option<Duration>,
    ) {
        let limit = announced.map_or(limit, |announced| limit.min(announced));
        if limit.is_zero() {
            return;
        }
        let quiet = announced.map_or(QUIET, |announced| QUIET.min(announced / 2));
        let mut all = self.idle.borrow_mut();
        let idle = all.entry(backend).or_default();
        if idle.len() < KEPT {
            idle.push_back(Idle { wire, until: now + limit, quiet_until: now + quiet });
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
