//! An upstream as others see it: it owns the pool and the tasks that resolve, probe and look around.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::model::UpstreamSpec;
use crate::telemetry::{FailureKind, UpstreamMetrics};
use crate::types::{OwnedTask, UpstreamName};

use super::backend::Backend;
use super::budget::RetryBudget;
use super::evidence::Finding;
use super::failure::Failure;
use super::held_out::{HeldOut, Pretence};
use super::lease::Lease;
use super::pool::{BackendPool, UpstreamTools};
use super::rotation::Serving;
use super::{probing, resolving, stall_monitor};

/// A named pool of servers, its health and its turns. Its tasks stop when the last `Arc` is dropped.
pub struct Upstream {
    pool: Arc<BackendPool>,
    budget: RetryBudget,
    _resolving: OwnedTask,
    stall_monitor: Mutex<Option<OwnedTask>>,
}

impl Upstream {
    /// Starts resolving and probing. Health and counters of `previous` are kept for addresses that stay.
    pub fn start(spec: Arc<UpstreamSpec>, tools: UpstreamTools, previous: Option<&Self>) -> Arc<Self> {
        let budget = RetryBudget::new(spec.retry.budget);
        let pool = Arc::new(BackendPool::new(spec, tools, previous.map(|previous| &*previous.pool)));
        // Until names were looked up again, what they stood for before counts.
        let known = previous.map(|previous| previous.pool.known(&pool.spec.servers)).unwrap_or_default();
        if !known.is_empty() {
            pool.set_resolved();
            pool.set_members(resolving::members(&pool.spec.servers, &known), probing::start_probes);
        }
        let resolving = OwnedTask::spawn(resolving::keep(Arc::downgrade(&pool), known));
        let stall_monitor =
            OwnedTask::spawn(stall_monitor::keep(Arc::downgrade(&pool), Arc::clone(&pool.monitor_wake)));
        Arc::new(Self { pool, budget, _resolving: resolving, stall_monitor: Mutex::new(Some(stall_monitor)) })
    }

    /// Says which upstreams this one needs: when requests say that it is sick, those are probed at once as well.
    pub fn set_needs(&self, needs: &[Arc<Self>]) {
        *self.pool.needs.lock() = needs.iter().map(|need| Arc::downgrade(&need.pool)).collect();
    }

    /// Tells each of these of the others: when all of one fails within moments, the others are probed at once as well.
    pub fn introduce<'a>(upstreams: impl Iterator<Item = &'a Arc<Self>> + Clone) {
        let all: Arc<[_]> = upstreams.clone().map(|upstream| Arc::downgrade(&upstream.pool)).collect();
        upstreams.for_each(|upstream| *upstream.pool.all.lock() = Arc::clone(&all));
    }

    pub(super) fn pool(&self) -> &Arc<BackendPool> {
        &self.pool
    }

    /// Its name.
    pub fn name(&self) -> &UpstreamName {
        &self.pool.spec.name
    }

    /// What it was built from.
    pub fn spec(&self) -> &Arc<UpstreamSpec> {
        &self.pool.spec
    }

    /// Its retry budget.
    pub fn budget(&self) -> &RetryBudget {
        &self.budget
    }

    /// Every backend, those that are leaving last.
    pub fn backends(&self) -> Vec<Arc<Backend>> {
        self.pool.all()
    }

    /// Counts the changes of [`backends`](Self::backends). Read it before them: a change in between shows later.
    pub fn membership(&self) -> u64 {
        self.pool.membership()
    }

    /// Which tier takes requests now.
    pub fn serving(&self) -> Serving {
        self.pool.rotation.load().serving
    }

    /// Its counters.
    pub fn metrics(&self) -> &UpstreamMetrics {
        &self.pool.metrics
    }

    /// Brings the gauges of the upstream and its backends up to date, for whoever reads the metrics.
    pub fn gauge(&self) {
        self.pool.metrics.held_now().set(i64::try_from(self.held()).unwrap_or(i64::MAX));
        self.pool.metrics.overloaded().set(i64::from(self.is_overloaded()));
        self.backends().iter().for_each(|backend| backend.gauge());
    }

    /// Notes every change of membership or health.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.pool.changed.subscribe()
    }

    /// Waits until names were looked up and every backend was probed once, but no longer than `limit`.
    pub async fn ready(&self, limit: Duration) {
        let mut changed = self.changed();
        let wait = async {
            while !self.pool.is_probed() {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        // Not being ready in time is no failure: what is not there yet joins later.
        let _ = tokio::time::timeout(limit, wait).await;
    }

    /// Stops probing: a successor does, and one pair of eyes is enough. Requests in flight finish as they would.
    pub fn retire(&self) {
        *self.stall_monitor.lock() = None;
        self.pool.retire();
    }

    /// Counts an answer of a backend, which came `now`.
    pub fn answered(&self, lease: &Lease, status: u16, now: Instant) {
        let backend = lease.backend();
        lease.set_answered();
        if status >= 500 {
            backend.lasting().metrics.failed(FailureKind::Status5xx);
        }
        self.pool.note_slow(lease);
        match backend.lasting().evidence.answered(status, now) {
            Finding::Nothing => {}
            Finding::Suspicious => self.pool.suspect_now(backend, now),
            Finding::Eject => {
                self.pool.suspect_now(backend, now);
                self.pool.eject_for_errors(backend);
            }
        }
    }

    /// Counts a request that got no answer from a backend.
    pub fn failed(&self, lease: &Lease, kind: Failure) {
        self.pool.failed(lease.backend(), kind);
    }

    /// Asks for a probe now and waits for its result; it counts as any other. False where there is no check, or the
    /// backend is gone.
    pub async fn probe(&self, backend: &Backend) -> bool {
        let Some(check) = &self.pool.spec.check else { return false };
        let asked = SystemTime::now();
        let mut changed = self.changed();
        backend.lasting().probe_now.notify_one();
        let wait = async {
            loop {
                // A probe that was under way when this one was asked for says nothing about now.
                if let Some(record) = backend.last_check().filter(|record| asked + record.took <= record.at) {
                    return record.result.is_ok();
                }
                if changed.changed().await.is_err() {
                    return false;
                }
            }
        };
        tokio::time::timeout(check.every + check.timeout * 2, wait).await.unwrap_or(false)
    }

    /// Keeps a backend out of rotation while it is repaired, until the result is dropped.
    pub fn hold_out(&self, backend: &Arc<Backend>) -> HeldOut {
        HeldOut::new(Arc::clone(&self.pool), Arc::clone(backend), false)
    }

    /// Keeps a backend out of rotation because somebody stops it, until the result is dropped.
    pub fn set_aside(&self, backend: &Arc<Backend>) -> HeldOut {
        HeldOut::new(Arc::clone(&self.pool), Arc::clone(backend), true)
    }

    /// Lets the requests that wait in a backend go elsewhere, where they may be sent twice: nothing will come of it soon.
    pub fn move_waiting(&self, backend: &Backend) {
        backend.lasting().evict();
    }

    /// Has the probes of a backend fail, for a drill, until the result is dropped.
    pub fn pretend_sick(&self, backend: &Arc<Backend>) -> Pretence {
        Pretence::new(Arc::clone(backend))
    }

    /// Looks the names of its servers up now, and not when it is time.
    pub fn resolve_now(&self) {
        self.pool.look_up_names();
    }
}

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
