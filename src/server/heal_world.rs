//! The upstreams as the healer sees them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::model::Step;
use crate::heal::{HealPool, HealTarget, HealWorld, LadderOutcome, StepResult, Tally};
use crate::snapshot::SnapshotCell;
use crate::telemetry::Metrics;
use crate::types::{ServerAddress, UpstreamName};
use crate::upstream::{Backend, BackendState, CheckState, Failure, ProbeFailure, Upstream};

/// Every upstream of the snapshot in force.
pub(super) struct LiveWorld {
    snapshots: Arc<SnapshotCell>,
    metrics: Arc<Metrics>,
    changed: Arc<watch::Sender<u64>>,
    shown: Mutex<Shown>,
}

/// What was handed out last, and what it was made from. The healer asks at every event and every second, and next to always
/// nothing has changed. After a reload it asks at once, so that what was retired is not kept.
struct Shown {
    /// Whose routes they are.
    generation: u64,
    /// Each upstream with its count of changes.
    upstreams: Vec<(Arc<Upstream>, u64)>,
    pools: Arc<[HealPool]>,
}

impl Shown {
    fn is_of<'u>(&self, generation: u64, upstreams: impl ExactSizeIterator<Item = &'u Arc<Upstream>>) -> bool {
        self.generation == generation
            && self.upstreams.len() == upstreams.len()
            && self
                .upstreams
                .iter()
                .zip(upstreams)
                .all(|((shown, membership), now)| Arc::ptr_eq(shown, now) && *membership == now.membership())
    }
}

impl HealWorld for LiveWorld {
    fn pools(&self) -> Arc<[HealPool]> {
        let snapshot = self.snapshots.current();
        let mut shown = self.shown.lock();
        if !shown.is_of(snapshot.generation, snapshot.upstreams.values()) {
            let counted = |upstream: &Arc<Upstream>| (Arc::clone(upstream), upstream.membership());
            let upstreams: Vec<_> = snapshot.upstreams.values().map(counted).collect();
            let routes = &snapshot.site.routes;
            let asked = routes.iter().flat_map(|route| route.to().into_iter().chain(route.auth().map(|auth| &auth.to)));
            let routed: BTreeSet<&UpstreamName> = asked.collect();
            let pool = |upstream: &Arc<Upstream>| self.pool(upstream, routed.contains(upstream.name()));
            let pools = upstreams.iter().map(|(upstream, _)| pool(upstream)).collect();
            *shown = Shown { generation: snapshot.generation, upstreams, pools };
        }
        Arc::clone(&shown.pools)
    }

    fn generation(&self) -> u64 {
        self.snapshots.current().generation
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn resolve_now(&self) {
        self.snapshots.current().upstreams.values().for_each(|upstream| upstream.resolve_now());
    }

    fn gave_up(&self, upstream: &UpstreamName) {
        if let Some(upstream) = self.snapshots.current().upstreams.get(upstream) {
            upstream.metrics().heal_gave_up();
        }
    }
}

impl LiveWorld {
    pub(super) fn new(snapshots: Arc<SnapshotCell>, metrics: Arc<Metrics>, changed: Arc<watch::Sender<u64>>) -> Self {
        let shown = Mutex::new(Shown { generation: 0, upstreams: Vec::new(), pools: Vec::new().into() });
        Self { snapshots, metrics, changed, shown }
    }

    fn pool(&self, upstream: &Arc<Upstream>, routed: bool) -> HealPool {
        HealPool {
            routed,
            spec: Arc::clone(upstream.spec()),
            targets: upstream.backends().into_iter().map(|backend| self.target(upstream, backend)).collect(),
        }
    }

    fn target(&self, upstream: &Arc<Upstream>, backend: Arc<Backend>) -> Arc<dyn HealTarget> {
        Arc::new(LiveTarget {
            upstream: Arc::clone(upstream),
            backend,
            snapshots: Arc::clone(&self.snapshots),
            metrics: Arc::clone(&self.metrics),
        })
    }
}

/// One backend and the upstream it belongs to.
struct LiveTarget {
    upstream: Arc<Upstream>,
    backend: Arc<Backend>,
    snapshots: Arc<SnapshotCell>,
    metrics: Arc<Metrics>,
}

impl HealTarget for LiveTarget {
    fn upstream(&self) -> &UpstreamName {
        self.upstream.name()
    }

    fn address(&self) -> SocketAddr {
        self.backend.address()
    }

    fn server(&self) -> &ServerAddress {
        &self.backend.server().address
    }

    fn is_up(&self) -> bool {
        self.backend.check_state() == CheckState::Up
    }

    fn is_sick(&self) -> bool {
        // A probe that waits in the same queue as everybody else says nothing about its backend.
        let is_late = || self.backend.last_failure().is_some_and(|failure| failure.kind().is_late());
        let is_queued = || self.upstream.is_overloaded() && is_late();
        self.backend.check_state() == CheckState::Down && !is_queued()
    }

    fn has_passed(&self) -> bool {
        self.backend.has_passed()
    }

    fn last_pass(&self) -> Option<Instant> {
        self.backend.last_pass()
    }

    fn serves(&self) -> bool {
        self.backend.serves()
    }

    fn answers(&self) -> bool {
        let failure = self.backend.last_failure();
        matches!(
            failure,
            Some(ProbeFailure::Failed(Failure::Status(_)) | ProbeFailure::Sick(_) | ProbeFailure::Unready(_))
        )
    }

    fn is_leaving(&self) -> bool {
        self.backend.state() == BackendState::Draining
    }

    fn sick_since(&self) -> Option<Instant> {
        self.is_sick().then(|| self.backend.since())
    }

    fn cause(&self) -> String {
        self.backend.last_failure().map_or_else(String::new, |failure| failure.to_string())
    }

    fn unready(&self) -> Option<String> {
        let failure = self.backend.last_failure().filter(|_| self.is_sick());
        failure.as_ref().and_then(ProbeFailure::unready).map(ToString::to_string)
    }

    fn is_silent(&self) -> bool {
        self.backend.is_silent()
    }

    fn in_flight(&self) -> usize {
        self.backend.in_flight()
    }

    fn hold_out(&self) -> Box<dyn Send> {
        Box::new(self.upstream.hold_out(&self.backend))
    }
    fn set_aside(&self) -> Box<dyn Send> {
        Box::new(self.upstream.set_aside(&self.backend))
    }

    fn is_in_rotation(&self) -> bool {
        self.backend.state() == BackendState::Up
    }

    fn is_overloaded(&self) -> bool {
        self.upstream.is_overloaded()
    }

    fn move_waiting(&self) {
        self.upstream.move_waiting(&self.backend);
    }

    fn tally(&self) -> Tally {
        let snapshot = self.snapshots.current();
        let routes = snapshot.site.to_upstreams().filter(|(_, to)| *to == self.upstream.name());
        routes.fold(Tally::default(), |sum, (route, _)| {
            let counts = self.metrics.route(route);
            Tally {
                requests: sum.requests + counts.requests(),
                failed: sum.failed + counts.server_errors(),
                held: sum.held + counts.held_total(),
            }
        })
    }

    fn pretend_sick(&self) -> Box<dyn Send> {
        Box::new(self.upstream.pretend_sick(&self.backend))
    }

    fn end_pretence(&self) {
        self.backend.end_pretence();
    }

    fn count_step(&self, step: &Step, result: StepResult) {
        self.upstream.metrics().heal_step(&step.to_string(), result.word());
    }

    fn count_ladder(&self, outcome: LadderOutcome, took: Duration) {
        self.upstream.metrics().heal_ended(outcome.word(), took);
    }

    fn probe(&self) -> BoxFuture<'_, bool> {
        self.upstream.probe(&self.backend).boxed()
    }
}
