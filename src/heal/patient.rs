//! What the healer needs of the world it repairs. Implemented by the upstreams; faked in tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::config::model::{Step, UpstreamSpec};
use crate::types::{ServerAddress, UpstreamName};

use super::surgeon::Whom;

/// One backend, as far as the healer cares.
pub trait Patient: Send + Sync {
    /// The upstream it belongs to.
    fn upstream(&self) -> &UpstreamName;
    /// The resolved address.
    fn address(&self) -> SocketAddr;
    /// The server of the file it was resolved from.
    fn server(&self) -> &ServerAddress;
    /// How orders name it.
    fn whom(&self) -> Whom {
        Whom { upstream: self.upstream().clone(), address: self.address(), server: self.server().clone() }
    }
    /// The check's own verdict.
    fn is_up(&self) -> bool;
    /// The check's own verdict: it was probed and is down, by enough failures.
    fn is_sick(&self) -> bool;
    /// Requests are answered well although the check fails.
    fn serves(&self) -> bool;
    /// No longer resolved or configured.
    fn is_leaving(&self) -> bool;
    /// Since when it is sick.
    fn sick_since(&self) -> Option<Instant>;
    /// The latest failure, readable.
    fn cause(&self) -> String;
    /// It has work and answered none of it for a while.
    fn is_silent(&self) -> bool;
    /// Requests it is working on.
    fn in_flight(&self) -> usize;
    /// Keeps it out of rotation until the result is dropped.
    fn hold_out(&self) -> Box<dyn Send>;
    /// Counts a step of a ladder on it, for the metrics: `helped`, `in_vain` or `not_run`.
    fn count_step(&self, _step: &Step, _outcome: &'static str) {}
    /// One probe now, counted by the check's own `fall` and `rise`; true when it passed.
    fn probe(&self) -> BoxFuture<'_, bool>;
}

/// An upstream and its backends.
#[derive(Clone)]
pub struct Pool {
    /// What it was built from.
    pub spec: Arc<UpstreamSpec>,
    /// Those that belong to it now.
    pub patients: Vec<Arc<dyn Patient>>,
}

/// Everything that may need healing.
pub trait Ward: Send + Sync {
    /// The upstreams of the configuration in force.
    fn pools(&self) -> Vec<Pool>;
    /// Counts the configurations put in force; another number means a reload.
    fn generation(&self) -> u64;
    /// Notes every change of any backend's health.
    fn changed(&self) -> watch::Receiver<u64>;
}
