//! An upstream at work: its members, the rotation made of them, and the tasks that resolve and probe.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora_load_balancing::selection::SelectionAlgorithm;
use pingora_load_balancing::selection::algorithms::RoundRobin;
use tokio::sync::watch;

use crate::config::model::{ServerSpec, UpstreamSpec};
use crate::telemetry::{FailureKind, Metrics, UpstreamMetrics};
use crate::types::{OwnedTask, UpstreamName};

use super::backend::{Backend, LastingState, move_on};
use super::budget::RetryBudget;
use super::discovery::Resolve;
use super::evidence::Finding;
use super::health::{CheckState, Failure};
use super::latencies::Latencies;
use super::lease::{HeldOut, Lease, Pretence};
use super::rotation::{Rotation, Serving, best_tier};
use super::stall_monitor::{self, MonitorWake};
use super::watch::{self as watching, Known};

/// What upstreams share.
#[derive(Clone)]
pub struct UpstreamTools {
    /// Turns names into addresses.
    pub resolver: Arc<dyn Resolve>,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
    /// Raised by one whenever any backend's state changes.
    pub changed: Arc<watch::Sender<u64>>,
}

/// A named pool of servers, its health and its turns. Its tasks stop when the last `Arc` is dropped.
pub struct Upstream {
    pool: Arc<BackendPool>,
    budget: RetryBudget,
    _discovery: OwnedTask,
    stall_monitor: Mutex<Option<OwnedTask>>,
}

pub(super) struct BackendPool {
    pub spec: Arc<UpstreamSpec>,
    pub tools: UpstreamTools,
    pub metrics: Arc<UpstreamMetrics>,
    pub rotation: ArcSwap<Rotation>,
    pub held: AtomicUsize,
    /// Changes when the names of the servers are to be looked up at once.
    pub names: watch::Sender<()>,
    turns: RoundRobin,
    members: Mutex<Members>,
    resolved: AtomicBool,
    pub changed: watch::Sender<u64>,
    pub monitor_wake: Arc<MonitorWake>,
    /// Counts the looks around, which are the time that requests know without asking for it.
    pub beat: AtomicU16,
    pub latencies: Latencies,
    pub overloaded: AtomicBool,
    /// What this upstream needs.
    pub needs: Mutex<Vec<Weak<Self>>>,
}

/// Who belongs to the pool.
#[derive(Default)]
struct Members {
    /// With the task that probes it, where there is a check.
    present: Vec<(Arc<Backend>, Option<OwnedTask>)>,
    /// True once a successor watches the same backends: nobody is probed any more.
    retired: bool,
    /// Those that finish what they have.
    leaving: Vec<Arc<Backend>>,
    /// The state of an earlier generation by address, until they are taken up.
    inherited: HashMap<SocketAddr, Arc<LastingState>>,
}

impl Upstream {
    /// Starts resolving and probing. Health and counters of `previous` are kept for addresses that stay.
    pub fn start(spec: Arc<UpstreamSpec>, tools: UpstreamTools, previous: Option<&Self>) -> Arc<Self> {
        let inherited = previous.map(|previous| previous.pool.lasting()).unwrap_or_default();
        let (metrics, budget) = (tools.metrics.upstream(&spec.name), RetryBudget::new(spec.retry.budget));
        let pool = Arc::new(BackendPool {
            rotation: ArcSwap::from_pointee(Rotation::empty()),
            held: AtomicUsize::new(0),
            names: watch::Sender::new(()),
            turns: RoundRobin::new(),
            members: Mutex::new(Members { inherited, ..Members::default() }),
            resolved: AtomicBool::new(false),
            changed: watch::Sender::new(0),
            monitor_wake: Arc::default(),
            beat: AtomicU16::new(previous.map_or(0, |previous| previous.pool.beat.load(Ordering::Relaxed))),
            latencies: previous.map_or_else(Latencies::default, |previous| Latencies::of(&previous.pool.latencies)),
            overloaded: AtomicBool::new(false),
            needs: Mutex::default(),
            spec,
            metrics,
            tools,
        });
        // Until names were looked up again, what they stood for before counts.
        let known = previous.map(|previous| previous.pool.known(&pool.spec.servers)).unwrap_or_default();
        if !known.is_empty() {
            pool.set_resolved();
            pool.set_members(watching::members(&pool.spec.servers, &known));
        }
        let discovery = OwnedTask::spawn(watching::discover(Arc::downgrade(&pool), known));
        let stall_monitor =
            OwnedTask::spawn(stall_monitor::keep(Arc::downgrade(&pool), Arc::clone(&pool.monitor_wake)));
        Arc::new(Self { pool, budget, _discovery: discovery, stall_monitor: Mutex::new(Some(stall_monitor)) })
    }

    /// Says which upstreams this one needs: when requests say that it is sick, those are probed at once as well.
    pub fn set_needs(&self, needs: &[Arc<Self>]) {
        *self.pool.needs.lock() = needs.iter().map(|need| Arc::downgrade(&need.pool)).collect();
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
        let members = self.pool.members.lock();
        members.present.iter().map(|(backend, _)| backend).chain(&members.leaving).cloned().collect()
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
        let mut members = self.pool.members.lock();
        members.retired = true;
        for (_, probes) in &mut members.present {
            *probes = None;
        }
        drop(members);
        self.pool.refresh();
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

impl BackendPool {
    pub fn next_turn(&self) -> u64 {
        self.turns.next(&[])
    }

    pub fn has_members(&self) -> bool {
        !self.members.lock().present.is_empty()
    }

    fn is_probed(&self) -> bool {
        let probed = |backend: &Backend| backend.check_state() != CheckState::New;
        self.resolved.load(Ordering::Relaxed) && self.members.lock().present.iter().all(|(backend, _)| probed(backend))
    }

    fn lasting(&self) -> HashMap<SocketAddr, Arc<LastingState>> {
        let members = self.members.lock();
        members.present.iter().map(|(backend, _)| (backend.address(), Arc::clone(backend.lasting()))).collect()
    }

    /// What the names of these servers stand for, as far as they are among ours.
    fn known(&self, servers: &[ServerSpec]) -> Known {
        let mut known = Known::new();
        for (backend, _) in &self.members.lock().present {
            let address = &backend.server().address;
            if servers.iter().any(|server| server.address == *address) {
                known.entry(address.clone()).or_default().push(backend.address());
            }
        }
        known
    }

    /// Makes the members those resolved, in the order of `found`; who is no longer among them finishes what it has.
    pub fn set_members(self: &Arc<Self>, found: Vec<(SocketAddr, ServerSpec)>) {
        self.change_members(found);
        self.refresh();
    }

    /// Notes that every name was looked up, or that what they stood for counts until they were.
    pub fn set_resolved(&self) {
        self.resolved.store(true, Ordering::Relaxed);
    }

    /// Has the names of the servers looked up at once.
    pub fn look_up_names(&self) {
        self.names.send_modify(|()| {});
    }

    fn change_members(self: &Arc<Self>, found: Vec<(SocketAddr, ServerSpec)>) {
        let mut members = self.members.lock();
        let members = &mut *members;
        members.leaving.retain(|backend| backend.in_flight() != 0);
        let is_same = |(backend, (address, server)): (&Arc<Backend>, &(SocketAddr, ServerSpec))| {
            backend.address() == *address && backend.server() == server
        };
        if members.present.len() == found.len()
            && members.present.iter().map(|(backend, _)| backend).zip(&found).all(is_same)
        {
            return;
        }
        let places: HashMap<SocketAddr, usize> =
            found.iter().enumerate().map(|(place, (address, _))| (*address, place)).collect();
        let stays = |backend: &Backend| {
            places
                .get(&backend.address())
                .and_then(|place| found.get(*place))
                .is_some_and(|(_, server)| backend.server() == server)
        };
        let (stay, leave) = std::mem::take(&mut members.present).into_iter().partition(|(b, _)| stays(b));
        members.present = stay;
        for (backend, _probes) in leave as Vec<(Arc<Backend>, _)> {
            log::info!("backend {} of {} left", backend.address(), self.spec.name);
            backend.leave();
            members.leaving.push(backend);
        }
        let known: HashSet<SocketAddr> = members.present.iter().map(|(backend, _)| backend.address()).collect();
        for (address, server) in found {
            if !known.contains(&address) {
                let lasting = members.inherited.remove(&address);
                if lasting.is_none() {
                    log::info!("backend {address} of {} joined, from {}", self.spec.name, server.address);
                }
                let backend = Arc::new(Backend::new(address, server, &self.spec, lasting, &self.tools.metrics));
                let probes = if members.retired { None } else { watching::start_probes(self, &backend) };
                members.present.push((backend, probes));
            }
        }
        members.present.sort_by_key(|(backend, _)| places.get(&backend.address()).copied());
    }

    /// Everyone who is not leaving.
    pub fn present(&self) -> Vec<Arc<Backend>> {
        self.members.lock().present.iter().map(|(backend, _)| Arc::clone(backend)).collect()
    }

    /// Builds the rotation anew and wakes whoever waits for a change, where it differs.
    pub fn refresh(&self) {
        let members = self.members.lock();
        let present: Vec<_> = members.present.iter().map(|(backend, _)| backend).collect();
        // Of a retired generation nobody is probed any more.
        let (serving, backends) = best_tier(&present, !self.spec.hold.is_zero() && !members.retired);
        let current = self.rotation.load();
        if current.serving != serving || !current.has_just(&backends) {
            self.tell_tier(current.serving, serving);
            self.rotation.store(Arc::new(Rotation::new(serving, backends)));
            move_on();
        }
        drop(members);
        self.changed.send_modify(|count| *count += 1);
        self.tools.changed.send_modify(|count| *count += 1);
    }

    fn tell_tier(&self, before: Serving, now: Serving) {
        let name = &self.spec.name;
        match (before, now) {
            (_, Serving::FailOpen) if before != now => {
                log::warn!("upstream {name}: every backend fails its check; they are tried all the same (fail open)");
            }
            (_, Serving::Nobody) if before != now => log::error!("upstream {name}: no backend is up"),
            (Serving::FailOpen | Serving::Nobody, Serving::Up) => log::info!("upstream {name}: backends are up"),
            (_, Serving::Backup) if before != now => log::warn!("upstream {name}: only backups are up"),
            _ => {}
        }
    }

    pub fn downgrade(self: &Arc<Self>) -> Weak<Self> {
        Arc::downgrade(self)
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::config::model::{Balance, CheckKind, CheckSpec, Protocol, RetryOn, RetrySpec, Timeouts};
    use crate::types::{ByteSize, Percent, ServerAddress, Weight};
    use crate::upstream::{BackendState, Lookup, LookupError};

    /// A name server whose answer the test changes; with none it says nothing.
    struct Names(Mutex<Option<Vec<SocketAddr>>>);

    #[async_trait]
    impl Resolve for Names {
        async fn resolve(&self, server: &ServerAddress) -> Result<Lookup, LookupError> {
            if server.host() == "hangs" {
                std::future::pending::<()>().await;
            }
            match self.0.lock().clone() {
                Some(found) if found.is_empty() => Ok(Lookup::Gone),
                Some(found) => Ok(Lookup::Found(found)),
                None => Err(LookupError::TimedOut),
            }
        }
    }

    fn spec() -> Arc<UpstreamSpec> {
        let second = Duration::from_secs(1);
        Arc::new(UpstreamSpec {
            name: UpstreamName::parse("pool").unwrap(),
            servers: vec![ServerSpec {
                address: ServerAddress::parse("app:80").unwrap(),
                weight: Weight::ONE,
                backup: false,
            }],
            balance: Balance::RoundRobin,
            check: None,
            needs: Vec::new(),
            timeouts: Timeouts { connect: second, read: second, write: second, idle: second },
            retry: RetrySpec {
                attempts: 2,
                on: RetryOn { connect: true, reset: true, timeout: false, statuses: Vec::new() },
                budget: Percent(20),
            },
            hold: Duration::ZERO,
            cors: None,
            heal: None,
            request_buffer: ByteSize(0),
        })
    }

    fn addresses(last: &[u8]) -> Vec<SocketAddr> {
        last.iter().map(|last| SocketAddr::from(([10, 0, 0, *last], 80))).collect()
    }

    fn start(names: &Arc<Names>, previous: Option<&Upstream>) -> Arc<Upstream> {
        start_as(spec(), names, previous)
    }

    fn start_as(spec: Arc<UpstreamSpec>, names: &Arc<Names>, previous: Option<&Upstream>) -> Arc<Upstream> {
        let tools = UpstreamTools {
            resolver: Arc::clone(names) as Arc<dyn Resolve>,
            metrics: Metrics::new().unwrap(),
            changed: Arc::new(watch::Sender::new(0)),
        };
        Upstream::start(spec, tools, previous)
    }

    async fn until(upstream: &Upstream, holds: impl Fn(&[Arc<Backend>]) -> bool) {
        let mut changed = upstream.changed();
        let wait = async {
            while !holds(&upstream.backends()) {
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
    }

    #[tokio::test]
    async fn replicas_join_and_leave_as_the_name_says() {
        let names = Arc::new(Names(Mutex::new(Some(addresses(&[1])))));
        let upstream = start(&names, None);
        until(&upstream, |backends| backends.len() == 1).await;
        *names.0.lock() = Some(addresses(&[1, 2, 3]));
        until(&upstream, |backends| backends.len() == 3).await;
        let taken: Vec<_> = (0..3).map(|_| upstream.select(&[]).unwrap()).collect();
        let mut seen: Vec<_> = taken.iter().map(|lease| lease.backend().address()).collect();
        seen.sort_unstable();
        assert_eq!(seen, addresses(&[1, 2, 3]));

        *names.0.lock() = Some(addresses(&[2]));
        let draining =
            |backends: &[Arc<Backend>]| backends.iter().filter(|b| b.state() == BackendState::Draining).count();
        until(&upstream, |backends| draining(backends) == 2).await;
        assert_eq!(upstream.select(&[]).unwrap().backend().address(), addresses(&[2])[0]);
        drop(taken);
        until(&upstream, |backends| backends.len() == 1).await;
    }

    #[tokio::test]
    async fn the_last_good_answer_stays_while_nobody_can_say() {
        let names = Arc::new(Names(Mutex::new(Some(addresses(&[1])))));
        let upstream = start(&names, None);
        until(&upstream, |backends| backends.len() == 1).await;
        *names.0.lock() = None;
        upstream.resolve_now();
        let before = *upstream.changed().borrow();
        let mut changed = upstream.changed();
        changed.wait_for(|count| before + 2 <= *count).await.unwrap();
        assert_eq!(upstream.backends().len(), 1);
    }

    #[tokio::test]
    async fn the_backends_of_a_name_that_is_gone_leave_and_come_back_with_it() {
        let names = Arc::new(Names(Mutex::new(Some(addresses(&[1, 2])))));
        let upstream = start(&names, None);
        until(&upstream, |backends| backends.len() == 2).await;
        let lease = upstream.select(&[]).unwrap();
        let mended = upstream.backends().into_iter().find(|b| b.address() != lease.backend().address()).unwrap();
        let held = upstream.hold_out(&mended);
        *names.0.lock() = Some(Vec::new());
        upstream.resolve_now();
        until(&upstream, |_| lease.backend().state() == BackendState::Draining).await;
        assert_eq!(mended.state(), BackendState::Healing, "who is repaired is waited for");
        assert!(upstream.select(&[]).is_err());
        drop(lease);
        drop(held);
        assert_eq!(mended.state(), BackendState::Draining, "and is not believed while it has no name");
        until(&upstream, <[_]>::is_empty).await;
        assert_eq!(upstream.select(&[]).err(), Some(crate::upstream::NoBackend::Unresolved));
        *names.0.lock() = Some(addresses(&[2]));
        until(&upstream, |backends| backends.len() == 1).await;
        assert!(upstream.select(&[]).is_ok());
    }

    #[tokio::test]
    async fn a_name_that_hangs_delays_no_other_of_its_upstream() {
        let names = Arc::new(Names(Mutex::new(Some(addresses(&[1])))));
        let mut spec = Arc::unwrap_or_clone(spec());
        let hangs = ServerSpec { address: ServerAddress::parse("hangs:80").unwrap(), ..spec.servers[0].clone() };
        spec.servers.insert(0, hangs);
        let upstream = start_as(Arc::new(spec), &names, None);
        until(&upstream, |backends| backends.len() == 1).await;
        *names.0.lock() = Some(addresses(&[2, 3]));
        until(&upstream, |backends| backends.len() == 2).await;
    }

    #[tokio::test]
    async fn counters_pass_to_the_next_configuration() {
        let names = Arc::new(Names(Mutex::new(Some(addresses(&[1])))));
        let first = start(&names, None);
        until(&first, |backends| backends.len() == 1).await;
        let lease = first.select(&[]).unwrap();
        let second = start(&names, Some(&first));
        until(&second, |backends| backends.len() == 1).await;
        drop(first);
        assert_eq!((second.backends()[0].requests(), second.backends()[0].in_flight()), (1, 1));
        drop(lease);
        assert_eq!(second.backends()[0].in_flight(), 0);
    }

    #[tokio::test]
    async fn a_pass_counts_for_the_definition_it_was_made_under() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let names = Arc::new(Names(Mutex::new(Some(vec![listener.local_addr().unwrap()]))));
        let tools = UpstreamTools {
            resolver: Arc::clone(&names) as Arc<dyn Resolve>,
            metrics: Metrics::new().unwrap(),
            changed: Arc::new(watch::Sender::new(0)),
        };
        let (every, timeout) = (Duration::from_millis(100), Duration::from_millis(100));
        let checked = |kind| {
            let check = Some(CheckSpec { kind, every, timeout, fall: 3, rise: 1 });
            Arc::new(UpstreamSpec { check, ..(*spec()).clone() })
        };
        let first = Upstream::start(checked(CheckKind::Tcp), tools.clone(), None);
        until(&first, |backends| backends.iter().any(|one| one.has_passed())).await;
        // It listens and says nothing.
        let second = Upstream::start(checked(CheckKind::Greeting(Protocol::Mysql)), tools, Some(&first));
        let has_failed = |backends: &[Arc<Backend>]| backends.iter().any(|one| one.last_failure().is_some());
        until(&second, |backends| has_failed(backends)).await;
        let backend = &second.backends()[0];
        assert_eq!((backend.check_state(), backend.has_passed()), (CheckState::Up, false));
    }

    #[tokio::test]
    async fn who_is_held_out_gets_nothing() {
        let names = Arc::new(Names(Mutex::new(Some(addresses(&[1, 2])))));
        let upstream = start(&names, None);
        until(&upstream, |backends| backends.len() == 2).await;
        let sick = Arc::clone(&upstream.backends()[0]);
        let held = upstream.hold_out(&sick);
        for _ in 0..4 {
            assert_eq!(upstream.select(&[]).unwrap().backend().address(), addresses(&[2])[0]);
        }
        let aside = upstream.set_aside(&sick);
        assert_eq!(sick.state(), BackendState::Healing, "it is repaired, whoever else stops it");
        drop(held);
        assert_eq!(sick.state(), BackendState::Held);
        drop(aside);
        let seen: Vec<_> = (0..2).map(|_| upstream.select(&[]).unwrap().backend().address()).collect();
        assert!(seen.contains(&sick.address()));
    }

    #[tokio::test]
    async fn a_request_waits_for_a_backend_no_longer_than_it_may() {
        let names = Arc::new(Names(Mutex::new(Some(Vec::new()))));
        let upstream = start(&names, None);
        let start = Instant::now();
        let none = upstream.select_or_wait(&mut Vec::new(), start + Duration::from_millis(50)).await;
        assert!(none.is_err() && Duration::from_millis(50) <= start.elapsed());
        *names.0.lock() = Some(addresses(&[1]));
        let deadline = Instant::now() + Duration::from_secs(10);
        assert!(upstream.select_or_wait(&mut Vec::new(), deadline).await.is_ok());
    }
}
