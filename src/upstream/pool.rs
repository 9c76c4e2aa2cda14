//! The backends of an upstream, the rotation made of them, and what its tasks share. Spawns nothing.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora_load_balancing::selection::SelectionAlgorithm;
use pingora_load_balancing::selection::algorithms::RoundRobin;
use tokio::sync::watch;

use crate::config::model::{ServerSpec, UpstreamSpec};
use crate::telemetry::{Metrics, UpstreamMetrics};
use crate::types::{OwnedTask, ServerAddress};

use super::backend::{Backend, LastingState, move_on};
use super::discovery::Resolve;
use super::health::CheckState;
use super::latencies::Latencies;
use super::monitor_wake::MonitorWake;
use super::rotation::{Rotation, Serving, best_tier};

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

/// The addresses that each server last stood for; none for one that is gone, or was never there.
pub(super) type Known = HashMap<ServerAddress, Vec<SocketAddr>>;

/// The backends of an upstream and what its requests and its tasks know of them.
pub(super) struct BackendPool {
    pub spec: Arc<UpstreamSpec>,
    pub tools: UpstreamTools,
    pub metrics: Arc<UpstreamMetrics>,
    pub rotation: ArcSwap<Rotation>,
    /// Requests that wait for a backend.
    pub held: AtomicUsize,
    /// Changes when the names of the servers are to be looked up at once.
    pub names: watch::Sender<()>,
    turns: RoundRobin,
    members: Mutex<Members>,
    /// Counts the changes of who belongs to it, those that are leaving included.
    membership: AtomicU64,
    resolved: AtomicBool,
    /// When it began to be an upstream of this edge.
    pub born: Instant,
    /// Somebody of it was up, ever.
    was_up: AtomicBool,
    /// When somebody last came up while requests waited for that.
    let_go: Mutex<Option<Instant>>,
    /// Counts the changes of membership and health.
    pub changed: watch::Sender<u64>,
    pub monitor_wake: Arc<MonitorWake>,
    /// Counts the looks around, which are the time that requests know without asking for it.
    pub beat: AtomicU16,
    pub latencies: Latencies,
    pub overloaded: AtomicBool,
    /// What this upstream needs.
    pub needs: Mutex<Vec<Weak<Self>>>,
    /// Every upstream there is, this one too.
    pub all: Mutex<Arc<[Weak<Self>]>>,
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

impl BackendPool {
    /// A pool without members. Health and counters of `previous` are kept for addresses that stay.
    pub fn new(spec: Arc<UpstreamSpec>, tools: UpstreamTools, previous: Option<&Self>) -> Self {
        let inherited = previous.map(Self::lasting).unwrap_or_default();
        Self {
            rotation: ArcSwap::from_pointee(Rotation::empty()),
            held: AtomicUsize::new(0),
            names: watch::Sender::new(()),
            turns: RoundRobin::new(),
            members: Mutex::new(Members { inherited, ..Members::default() }),
            membership: AtomicU64::new(0),
            resolved: AtomicBool::new(false),
            born: Instant::now(),
            was_up: AtomicBool::new(previous.is_some_and(Self::was_up)),
            let_go: Mutex::new(None),
            changed: watch::Sender::new(0),
            monitor_wake: Arc::default(),
            beat: AtomicU16::new(previous.map_or(0, |previous| previous.beat.load(Ordering::Relaxed))),
            latencies: previous.map_or_else(Latencies::default, |previous| Latencies::of(&previous.latencies)),
            overloaded: AtomicBool::new(false),
            needs: Mutex::default(),
            all: Mutex::new(Arc::new([])),
            metrics: tools.metrics.upstream(&spec.name),
            spec,
            tools,
        }
    }

    pub fn next_turn(&self) -> u64 {
        self.turns.next(&[])
    }

    pub fn has_members(&self) -> bool {
        !self.members.lock().present.is_empty()
    }

    /// True once names were looked up and everyone was probed.
    pub fn is_probed(&self) -> bool {
        let probed = |backend: &Backend| backend.check_state() != CheckState::New;
        self.resolved.load(Ordering::Relaxed) && self.members.lock().present.iter().all(|(backend, _)| probed(backend))
    }

    fn lasting(&self) -> HashMap<SocketAddr, Arc<LastingState>> {
        let members = self.members.lock();
        members.present.iter().map(|(backend, _)| (backend.address(), Arc::clone(backend.lasting()))).collect()
    }

    /// What the names of these servers stand for, as far as they are among ours.
    pub fn known(&self, servers: &[ServerSpec]) -> Known {
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
    ///
    /// `start_probes` makes the task of one who joins.
    pub fn set_members(
        self: &Arc<Self>,
        found: Vec<(SocketAddr, ServerSpec)>,
        start_probes: impl Fn(&Arc<Self>, &Arc<Backend>) -> Option<OwnedTask>,
    ) {
        self.change_members(found, start_probes);
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

    fn change_members(
        self: &Arc<Self>,
        found: Vec<(SocketAddr, ServerSpec)>,
        start_probes: impl Fn(&Arc<Self>, &Arc<Backend>) -> Option<OwnedTask>,
    ) {
        let mut members = self.members.lock();
        let members = &mut *members;
        let left = members.leaving.len();
        members.leaving.retain(|backend| backend.in_flight() != 0);
        if members.leaving.len() != left {
            self.note_membership();
        }
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
                let probes = if members.retired { None } else { start_probes(self, &backend) };
                members.present.push((backend, probes));
            }
        }
        members.present.sort_by_key(|(backend, _)| places.get(&backend.address()).copied());
        self.note_membership();
    }

    /// Another number means that [`all`](Self::all) has changed.
    pub fn membership(&self) -> u64 {
        self.membership.load(Ordering::Acquire)
    }

    /// Called before the members are unlocked, so that whoever has read the old number reads again.
    fn note_membership(&self) {
        self.membership.fetch_add(1, Ordering::Release);
    }

    /// Everyone, those that are leaving last.
    pub fn all(&self) -> Vec<Arc<Backend>> {
        let members = self.members.lock();
        members.present.iter().map(|(backend, _)| backend).chain(&members.leaving).cloned().collect()
    }

    /// Ends the probes: a successor watches the same backends.
    pub fn retire(&self) {
        let mut members = self.members.lock();
        members.retired = true;
        for (_, probes) in &mut members.present {
            *probes = None;
        }
        drop(members);
        self.refresh();
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
        if matches!(serving, Serving::Up | Serving::Backup) {
            self.was_up.store(true, Ordering::Relaxed);
        }
        if current.is_empty() && !backends.is_empty() && self.held.load(Ordering::Relaxed) != 0 {
            *self.let_go.lock() = Some(Instant::now());
        }
        if current.serving != serving || !current.has_just(&backends) {
            self.tell_tier(current.serving, serving);
            self.rotation.store(Arc::new(Rotation::new(serving, backends)));
            move_on();
        }
        drop(members);
        self.changed.send_modify(|count| *count += 1);
        self.tools.changed.send_modify(|count| *count += 1);
    }

    /// True once a backend of it was up, of an earlier generation too.
    pub fn was_up(&self) -> bool {
        self.was_up.load(Ordering::Relaxed)
    }

    /// How long ago somebody last came up while requests waited for that.
    pub fn let_go_for(&self, now: Instant) -> Option<Duration> {
        let since = *self.let_go.lock();
        since.map(|since| now.saturating_duration_since(since))
    }

    fn tell_tier(&self, before: Serving, now: Serving) {
        let name = &self.spec.name;
        match (before, now) {
            (_, Serving::FailOpen) if before != now => {
                log::warn!("upstream {name}: failing open: all checks fail, still sending traffic");
            }
            (_, Serving::Nobody) if before != now && !self.was_up() => {
                // While the stack starts: who was never up has not failed.
                log::info!("upstream {name}: no backend is up yet");
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
