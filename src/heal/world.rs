//! What the healer needs of the world it repairs. Implemented by the upstreams; faked in tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::config::model::{Step, UpstreamSpec};
use crate::types::{ServerAddress, UpstreamName};

use super::container_driver::BackendRef;
use super::journal::{LadderOutcome, StepResult};

/// One backend, as far as the healer cares.
pub trait HealTarget: Send + Sync {
    /// The upstream it belongs to.
    fn upstream(&self) -> &UpstreamName;
    /// The resolved address.
    fn address(&self) -> SocketAddr;
    /// The server of the file it was resolved from.
    fn server(&self) -> &ServerAddress;
    /// How orders name it.
    fn backend_ref(&self) -> BackendRef {
        BackendRef { upstream: self.upstream().clone(), address: self.address(), server: self.server().clone() }
    }
    /// The check's own result.
    fn is_up(&self) -> bool;
    /// The check's own result: it was probed and is down, by enough failures.
    fn is_sick(&self) -> bool;
    /// A probe has passed since its upstream is defined as it is now.
    fn has_passed(&self) -> bool;
    /// When a probe last passed.
    fn last_pass(&self) -> Option<Instant>;
    /// Requests are answered well although the check fails.
    fn serves(&self) -> bool;
    /// Its check got an answer the last time that it failed, if the wrong one: it lives.
    fn answers(&self) -> bool {
        false
    }
    /// No longer resolved or configured.
    fn is_leaving(&self) -> bool;
    /// Since when it is sick.
    fn sick_since(&self) -> Option<Instant>;
    /// The latest failure, readable.
    fn cause(&self) -> String;
    /// What it says of itself where it is sick by its check, and yet alive: it starts or stops, or it is full.
    fn unready(&self) -> Option<String> {
        None
    }
    /// It has work and answered none of it for a while.
    fn is_silent(&self) -> bool;
    /// Requests it is working on.
    fn in_flight(&self) -> usize;
    /// Keeps it out of rotation while it is repaired, until the result is dropped.
    fn hold_out(&self) -> Box<dyn Send>;
    /// Keeps it out of rotation because somebody stops its container, until the result is dropped.
    fn set_aside(&self) -> Box<dyn Send> {
        self.hold_out()
    }
    /// True while it gets requests.
    fn is_in_rotation(&self) -> bool;
    /// What its upstream's clients have seen so far.
    fn tally(&self) -> Tally {
        Tally::default()
    }
    /// True when all of its upstream is slow under load.
    fn is_overloaded(&self) -> bool {
        false
    }
    /// Lets requests that wait in it for an answer go elsewhere, where they may be sent twice.
    fn move_waiting(&self) {}
    /// Makes its probes fail without asking it, for a drill, until the result is dropped or [`end_pretence`] is called.
    ///
    /// [`end_pretence`]: Self::end_pretence
    fn pretend_sick(&self) -> Box<dyn Send>;
    /// A drill's sickness, if there is one, is over: a step was run.
    fn end_pretence(&self) {}
    /// Counts a step of a ladder on it, for the metrics.
    fn count_step(&self, _step: &Step, _result: StepResult) {}
    /// Counts a ladder on it and how long it took, for the metrics.
    fn count_ladder(&self, _outcome: LadderOutcome, _took: Duration) {}
    /// One probe now, counted by the check's own `fall` and `rise`; true when it passed.
    fn probe(&self) -> BoxFuture<'_, bool>;
}

/// A backend among all: its upstream and its address.
pub(super) type Key = (UpstreamName, SocketAddr);

pub(super) fn key(target: &Arc<dyn HealTarget>) -> Key {
    (target.upstream().clone(), target.address())
}

/// What the clients of an upstream have seen since the edge started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests finished.
    pub requests: u64,
    /// Of those, the ones that failed.
    pub failed: u64,
    /// Of those, the ones that waited for a backend.
    pub held: u64,
}

/// An upstream and its backends.
#[derive(Clone)]
pub struct HealPool {
    /// What it was built from.
    pub spec: Arc<UpstreamSpec>,
    /// Those that belong to it now.
    pub targets: Vec<Arc<dyn HealTarget>>,
    /// Requests of clients lead to it, by a route or its `auth`.
    pub routed: bool,
}

/// Everything that may need healing.
pub trait HealWorld: Send + Sync {
    /// The upstreams of the configuration in force; the same slice as long as neither they nor their backends change.
    fn pools(&self) -> Arc<[HealPool]>;
    /// Counts the configurations put in force; another number means a reload.
    fn generation(&self) -> u64;
    /// Notes every change of any backend's health.
    fn changed(&self) -> watch::Receiver<u64>;
    /// Looks the names of all servers up now, and not when it is time.
    fn resolve_now(&self) {}
    /// Counts a backend that is not healed any more, or not soon, for the metrics.
    fn gave_up(&self, _upstream: &UpstreamName) {}
}
