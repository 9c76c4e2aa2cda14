//! What one worker has: its part of both lanes, its connections' count, the snapshot it pinned, and heads to be used again.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use pingora_proxy::HttpProxy;
use tokio::sync::watch;

use crate::config::model::{LaneChoice, LimitsSpec};
use crate::http1::{HeadLimits, RequestHead};
use crate::proxy::Edge;
use crate::relay::{self, Relay};
use crate::snapshot::{Snapshot, SnapshotCell};
use crate::telemetry::AccessLogger;
use crate::types::{Active, ByteSize};

use super::guard::Guard;
use super::tls::TlsAcceptor;

/// Heads a worker keeps to be used again.
const HEADS_KEPT: usize = 64;

/// What all workers share.
#[derive(Clone)]
pub struct WorkerShared {
    /// What is in force.
    pub snapshots: Arc<SnapshotCell>,
    /// The fast lane's part.
    pub relay: relay::RelayShared,
    /// The full lane.
    pub edge: Edge,
    /// Which lanes there are.
    pub lane: LaneChoice,
    /// Who may come in.
    pub guard: Arc<Guard>,
    /// Connections that are open.
    pub connections: Arc<Active>,
}

/// One worker.
pub(super) struct Worker {
    pub shared: WorkerShared,
    pub relay: Relay,
    pub full: Arc<HttpProxy<Edge>>,
    pub stopped: watch::Receiver<bool>,
    /// How each listener's connections are made safe, by its index.
    pub tls: Arc<[Option<Arc<TlsAcceptor>>]>,
    /// What a head may be.
    pub head_limits: HeadLimits,
    /// How many connections it has.
    pub load: Arc<AtomicUsize>,
    pinned: RefCell<Option<Pinned>>,
    heads: RefCell<Vec<RequestHead>>,
}

/// A snapshot that a worker's requests share without touching what other workers count.
#[derive(Clone)]
pub(super) struct Pinned(Rc<(Arc<Snapshot>,)>);

impl Pinned {
    /// The same, to be taken elsewhere.
    pub fn shared(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.0)
    }
}

impl Deref for Pinned {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0.0
    }
}

impl Worker {
    /// A worker that has no connection yet.
    pub fn new(
        shared: WorkerShared,
        full: Arc<HttpProxy<Edge>>,
        tls: Arc<[Option<Arc<TlsAcceptor>>]>,
        load: Arc<AtomicUsize>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self {
            relay: Relay::new(shared.relay.clone()),
            full,
            stopped,
            tls,
            head_limits: head_limits(&shared.relay.limits),
            load,
            pinned: RefCell::new(None),
            heads: RefCell::default(),
            shared,
        }
    }

    /// Looks after what nobody waits for. True while there is something to look after.
    pub fn look(&self, now: Instant) -> bool {
        // Before it sleeps they go too; but a worker may have something to do for long.
        AccessLogger::submit_gathered();
        self.relay.pool.sweep(now);
        self.renew();
        if self.relay.clock.watched() == 0 {
            self.pinned.borrow_mut().take();
        }
        let trims = self.relay.buffers.trim(now);
        trims || !self.relay.pool.is_empty()
    }

    pub fn limits(&self) -> &LimitsSpec {
        &self.shared.relay.limits
    }

    /// What is in force. Take it once per request and keep it.
    pub fn snapshot(&self) -> Pinned {
        self.renew();
        let mut pinned = self.pinned.borrow_mut();
        pinned.get_or_insert_with(|| Pinned(Rc::new((self.shared.snapshots.current(),)))).clone()
    }

    /// Lets go of a snapshot that is no longer in force.
    fn renew(&self) {
        let mut pinned = self.pinned.borrow_mut();
        if pinned.as_ref().is_some_and(|pinned| !self.shared.snapshots.is_current(&pinned.0.0)) {
            *pinned = None;
        }
    }

    /// Memory for a head.
    pub fn take_head(&self) -> RequestHead {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    /// The same, to be used again.
    pub fn give_head(&self, head: RequestHead) {
        let mut heads = self.heads.borrow_mut();
        if heads.len() < HEADS_KEPT {
            heads.push(head);
        }
    }
}

fn head_limits(limits: &LimitsSpec) -> HeadLimits {
    let bytes = |size: ByteSize| usize::try_from(size.0).unwrap_or(usize::MAX);
    HeadLimits { size: bytes(limits.header_size), fields: limits.headers, target: bytes(limits.uri) }
}
