//! One backend: a resolved address behind an upstream, and what is known about it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use pingora::upstreams::peer::HttpPeer;
use tokio::sync::Notify;

use crate::config::model::{ServerSpec, UpstreamSpec};
use crate::telemetry::{BackendMetrics, Metrics};

use super::evidence::Evidence;
use super::health::{CheckState, Health};
use super::overload::UNLIMITED;
use super::probe_result::{ProbeFailure, ProbeResult};
use super::probe_times::ProbeTimes;
use super::waits::Waits;

/// Work without any answer for this long is worth a look.
const SILENCE: Duration = Duration::from_secs(1);

/// A resolved address and its state, of which a part outlasts a reload that keeps the address.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    label: String,
    server: ServerSpec,
    peer: HttpPeer,
    lasting: Arc<LastingState>,
    leaving: AtomicBool,
    /// A probe has passed. Not kept over a reload: it was another definition that passed.
    passed: AtomicBool,
    /// Its name is gone; it leaves once it is repaired.
    unnamed: AtomicBool,
}

/// What outlives a reload: health, evidence and counters of one address.
#[derive(Debug)]
pub(super) struct LastingState {
    pub health: Mutex<Health>,
    pub last_check: Mutex<Option<CheckRecord>>,
    pub evidence: Evidence,
    pub held_out: AtomicU32,
    /// Of those who hold it out, the ones for whom it is no sickness.
    pub set_aside: AtomicU32,
    /// A drill: probes fail without being asked.
    pub pretence: AtomicBool,
    pub in_flight: AtomicUsize,
    /// Of those, the ones without the head of an answer yet.
    pub waits: Waits,
    /// Of those, so many at most while there is overload.
    pub limit: AtomicUsize,
    /// How often it was put out because it is sick: requests that wait in it since before may leave.
    pub evictions: AtomicU32,
    pub probe_times: ProbeTimes,
    pub metrics: Arc<BackendMetrics>,
    pub probe_now: Notify,
}

/// The latest probe.
#[derive(Debug, Clone)]
pub struct CheckRecord {
    /// When it ended.
    pub at: SystemTime,
    /// How it ended.
    pub result: ProbeResult,
    /// How long it took.
    pub took: Duration,
}

/// One word for what a backend is to its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendState {
    /// Not probed yet.
    New,
    /// Takes requests.
    Up,
    /// Down by its check.
    Down,
    /// Out for a while on the evidence of requests.
    Ejected,
    /// Held out of rotation while it is repaired.
    Healing,
    /// Held out of rotation while somebody stops, replaces or pauses its container.
    Held,
    /// No longer resolved or configured; finishes what it has.
    Draining,
}

impl BackendState {
    /// The word for logs, status and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Up => "up",
            Self::Down => "down",
            Self::Ejected => "ejected",
            Self::Healing => "healing",
            Self::Held => "stopping",
            Self::Draining => "draining",
        }
    }
}

impl Backend {
    /// A backend of `server` at `address`, with the lasting state of an earlier one at the same address if there was one.
    pub(super) fn new(
        address: SocketAddr,
        server: ServerSpec,
        spec: &UpstreamSpec,
        lasting: Option<Arc<LastingState>>,
        metrics: &Metrics,
    ) -> Self {
        let counters = || metrics.backend(&spec.name, &address.to_string());
        let lasting = lasting.unwrap_or_else(|| Arc::new(LastingState::new(spec.check.is_some(), counters())));
        if spec.check.is_none() {
            // Nobody probes it: what an earlier check said must not keep it out for ever.
            *lasting.health.lock() = Health::assumed_up(Instant::now());
        }
        // Who lifted an earlier one is not here any more.
        lasting.limit.store(UNLIMITED, Ordering::Relaxed);
        let label = address.to_string();
        let [leaving, passed, unnamed] = [false; 3].map(AtomicBool::new);
        Self { address, label, server, peer: peer(address, spec), lasting, leaving, passed, unnamed }
    }

    /// Brings the gauges of this backend up to date, for whoever reads the metrics.
    pub fn gauge(&self) {
        let metrics = &self.lasting.metrics;
        metrics.up().set(i64::from(self.state() == BackendState::Up));
        metrics.in_flight().set(i64::try_from(self.in_flight()).unwrap_or(i64::MAX));
    }

    /// The resolved address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as text, for logs.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The server of the file it was resolved from.
    pub fn server(&self) -> &ServerSpec {
        &self.server
    }

    /// How Pingora connects to it: address, deadlines, no TLS.
    pub fn peer(&self) -> &HttpPeer {
        &self.peer
    }

    pub(super) fn lasting(&self) -> &Arc<LastingState> {
        &self.lasting
    }

    /// Requests it is working on.
    pub fn in_flight(&self) -> usize {
        self.lasting.in_flight.load(Ordering::Relaxed)
    }

    /// Requests that wait for the head of its answer.
    pub(super) fn waiting(&self) -> usize {
        self.lasting.waits.count()
    }

    /// True where one more request may wait: always, unless there is overload.
    pub(super) fn has_room(&self) -> bool {
        self.waiting() < self.lasting.limit.load(Ordering::Relaxed)
    }

    /// True while it gets more than it can answer.
    pub(super) fn is_limited(&self) -> bool {
        self.lasting.limit.load(Ordering::Relaxed) != UNLIMITED
    }

    /// Requests it was given since the edge started.
    pub fn requests(&self) -> u64 {
        self.lasting.metrics.requests().get()
    }

    /// Requests that got no answer from it since the edge started.
    pub fn failures(&self) -> u64 {
        self.lasting.metrics.failures()
    }

    /// The latest probe.
    pub fn last_check(&self) -> Option<CheckRecord> {
        self.lasting.last_check.lock().clone()
    }

    /// What it is to its upstream now.
    pub fn state(&self) -> BackendState {
        if self.leaving.load(Ordering::Relaxed) {
            return BackendState::Draining;
        }
        let held_out = self.lasting.held_out.load(Ordering::Relaxed);
        if held_out != 0 {
            let is_planned = held_out <= self.lasting.set_aside.load(Ordering::Relaxed);
            return if is_planned { BackendState::Held } else { BackendState::Healing };
        }
        if self.unnamed.load(Ordering::Relaxed) {
            return BackendState::Draining;
        }
        match self.check_state() {
            CheckState::Down => BackendState::Down,
            CheckState::New | CheckState::Up if self.lasting.evidence.is_ejected(Instant::now()) => {
                BackendState::Ejected
            }
            CheckState::New => BackendState::New,
            CheckState::Up => BackendState::Up,
        }
    }

    /// What the check alone says.
    pub fn check_state(&self) -> CheckState {
        self.lasting.health.lock().check_state()
    }

    /// When the check's state last changed.
    pub fn since(&self) -> Instant {
        self.lasting.health.lock().since()
    }

    /// When a probe last passed.
    pub fn last_pass(&self) -> Option<Instant> {
        self.lasting.health.lock().last_pass()
    }

    /// The latest failed probe's reason, kept after recovery.
    pub fn last_failure(&self) -> Option<ProbeFailure> {
        self.lasting.health.lock().last_failure().cloned()
    }

    /// True when requests were answered well in the last ten seconds, whatever the check says.
    pub fn serves(&self) -> bool {
        self.lasting.evidence.served_within(Duration::from_secs(10), Instant::now())
            && !self.lasting.evidence.is_failing(Instant::now())
    }

    /// True when requests wait for an answer and none came for a second. Streams that are under way do not count.
    pub fn is_silent(&self) -> bool {
        self.waiting() != 0 && SILENCE <= self.lasting.evidence.silence(Instant::now())
    }

    /// True when it may be tried although its check fails: it answers, and no request says otherwise.
    pub(super) fn may_fail_open(&self) -> bool {
        let answers = !self.last_failure().is_some_and(|failure| failure.kind().is_unreachable());
        self.state() == BackendState::Down && answers && !self.lasting.evidence.is_ejected(Instant::now())
    }

    /// True once a probe has passed under the definition that it was made from.
    pub fn has_passed(&self) -> bool {
        self.passed.load(Ordering::Relaxed)
    }

    pub(super) fn pass(&self) {
        self.passed.store(true, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Notes whether its name is gone while it is repaired: what is at its address then need not be itself.
    pub(super) fn set_unnamed(&self, is_unnamed: bool) {
        self.unnamed.store(is_unnamed, Ordering::Relaxed);
    }

    /// True while a drill has its probes fail.
    pub(super) fn pretends_sick(&self) -> bool {
        self.lasting.pretence.load(Ordering::Relaxed)
    }

    /// Ends a drill's sickness, if there is one.
    pub fn end_pretence(&self) {
        self.lasting.pretence.store(false, Ordering::Relaxed);
    }
}

/// Counts what may let a request that waits in one backend go to another, over all backends.
static MOVES: AtomicU64 = AtomicU64::new(0);

/// Changes whenever requests that wait in a backend that was put out may have somewhere else to go. Whoever waits looks at
/// this now and then, and only when it has changed at its own [`Lease`](super::Lease).
pub fn moves() -> u64 {
    MOVES.load(Ordering::Acquire)
}

/// Has whoever waits look whether to go on waiting.
pub(super) fn move_on() {
    MOVES.fetch_add(1, Ordering::Release);
}

impl LastingState {
    /// Lets the requests that wait here go elsewhere.
    pub fn evict(&self) {
        self.evictions.fetch_add(1, Ordering::Relaxed);
        move_on();
    }

    fn new(checked: bool, metrics: Arc<BackendMetrics>) -> Self {
        let now = Instant::now();
        Self {
            health: Mutex::new(if checked { Health::new(now) } else { Health::assumed_up(now) }),
            last_check: Mutex::new(None),
            evidence: Evidence::new(now),
            held_out: AtomicU32::new(0),
            set_aside: AtomicU32::new(0),
            pretence: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            waits: Waits::default(),
            limit: AtomicUsize::new(UNLIMITED),
            evictions: AtomicU32::new(0),
            probe_times: ProbeTimes::new(now),
            metrics,
            probe_now: Notify::new(),
        }
    }
}

/// Every deadline Pingora leaves open by default is set here.
fn peer(address: SocketAddr, spec: &UpstreamSpec) -> HttpPeer {
    let mut peer = HttpPeer::new(address, false, String::new());
    peer.options.connection_timeout = Some(spec.timeouts.connect);
    peer.options.total_connection_timeout = Some(spec.timeouts.connect);
    peer.options.read_timeout = Some(spec.timeouts.read);
    peer.options.write_timeout = Some(spec.timeouts.write);
    peer.options.idle_timeout = Some(spec.timeouts.idle);
    peer
}
