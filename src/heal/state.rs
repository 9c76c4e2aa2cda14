//! What is known of every backend between two events. Decides nothing.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::docker::ContainerId;
use crate::types::UpstreamName;

use super::ladder::{Past, RELOAD_PAUSE};
use super::planned_stops::PlannedStops;
use super::policy::{Definition, HealRecord, Reason};
use super::tools::HealTools;
use super::world::{HealPool, HealWorld, Key, key};

/// Pause after Docker was asked in vain; doubles up to the longest.
const ASK_FIRST: Duration = Duration::from_secs(2);
const ASK_MAX: Duration = Duration::from_secs(30);

/// What is under way for one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Nothing,
    /// Its container is being looked for.
    Asking,
    Healing,
}

/// One backend's case.
pub(super) struct KnownBackend {
    pub record: HealRecord,
    pub doing: Doing,
    pub ask_at: Option<Instant>,
    /// It has passed its check since the configuration changed, and that is written down.
    pub has_passed: bool,
    /// Why nothing is done about it, as last told.
    pub reason: Option<Reason>,
    /// It was said loudly that its budget is used, since its last heal.
    pub alarmed: bool,
    /// When it was last there.
    pub seen: Instant,
    ask_pause: Duration,
}

impl KnownBackend {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            record: HealRecord::default(),
            doing: Doing::Nothing,
            ask_at: None,
            has_passed: false,
            ask_pause: ASK_FIRST,
            reason: None,
            alarmed: false,
            seen: now,
        }
    }

    /// Docker was asked in vain, once more: the next pause is longer.
    pub(super) fn ask_later(&mut self, now: Instant) {
        self.ask_at = Some(now + self.ask_pause);
        self.ask_pause = (self.ask_pause * 2).min(ASK_MAX);
    }

    /// Docker may be asked after the first pause.
    pub(super) fn ask_soon(&mut self, now: Instant) {
        self.ask_at = Some(now + ASK_FIRST);
    }

    /// Docker may be asked when it is needed.
    pub(super) fn ask_at_once(&mut self) {
        (self.ask_at, self.ask_pause) = (None, ASK_FIRST);
    }
}

/// The latest heal in one container.
pub(super) struct LastHeal {
    pub backend: SocketAddr,
    /// `None` while it is under way.
    pub ended: Option<Instant>,
    /// When the one before ended.
    pub before: Option<Instant>,
    pub past: Past,
}

/// Why all of an upstream is sick, as found out.
pub(super) struct SharedCause {
    /// The upstream that fell with it.
    pub name: UpstreamName,
    /// When that was found out first.
    pub since: Instant,
}

/// The state of all backends.
pub(super) struct HealState {
    pub tools: HealTools,
    pub started: Instant,
    /// The configuration that was last seen in force.
    pub generation: u64,
    pub reloaded: Option<Instant>,
    pub backends: HashMap<Key, KnownBackend>,
    pub last_heals: HashMap<ContainerId, LastHeal>,
    /// When an upstream last had no backend up.
    pub last_sick: HashMap<UpstreamName, Instant>,
    /// Why an upstream is sick, where all of it fell with another one.
    pub causes: HashMap<UpstreamName, SharedCause>,
    /// Since when everything was sick together, and when that was last so.
    pub all_sick: Option<(Instant, Instant)>,
    /// Containers that are being stopped or replaced.
    pub planned_stops: PlannedStops,
    /// Upstreams that an operator's command works on.
    pub commanded: HashSet<UpstreamName>,
    /// Backends that only pretend to be sick.
    pub drilled: HashSet<Key>,
    /// Definitions of which the log says that they never worked.
    pub told: HashSet<Definition>,
}

impl HealState {
    /// Knows nobody yet, and nothing of what an edge before did.
    pub(super) fn empty(tools: HealTools, now: Instant) -> Self {
        let generation = tools.world.generation();
        Self {
            tools,
            started: now,
            generation,
            reloaded: None,
            backends: HashMap::new(),
            last_heals: HashMap::new(),
            last_sick: HashMap::new(),
            causes: HashMap::new(),
            all_sick: None,
            planned_stops: PlannedStops::default(),
            commanded: HashSet::new(),
            drilled: HashSet::new(),
            told: HashSet::new(),
        }
    }

    pub(super) fn world(&self) -> &Arc<dyn HealWorld> {
        &self.tools.world
    }

    /// An upstream by its name.
    pub(super) fn pool(&self, name: &str) -> Result<HealPool, String> {
        let pools = self.tools.world.pools();
        if let Some(pool) = pools.iter().find(|pool| pool.spec.name.as_str() == name) {
            return Ok(pool.clone());
        }
        let names: Vec<_> = pools.iter().map(|pool| pool.spec.name.as_str()).collect();
        let name: String = name.escape_debug().take(64).collect();
        Err(format!("there is no upstream `{name}`; the upstreams are: {}", names.join(", ")))
    }

    /// The upstream, where it can be worked on now.
    pub(super) fn free_pool(&self, name: &str) -> Result<HealPool, String> {
        let pool = self.pool(name)?;
        if pool.spec.heal.is_none() {
            return Err(format!("upstream `{name}` has no `heal`, so there is no step to run"));
        }
        if self.commanded.contains(&pool.spec.name) {
            return Err(format!("a manual command is running on `{name}`; try again when it has ended"));
        }
        let busy = pool.targets.iter().find(|one| {
            let known = self.backends.get(&key(one));
            known.is_some_and(|known| known.doing == Doing::Healing)
        });
        match busy {
            Some(one) => Err(format!("{} of `{name}` is being healed; try again when that has ended", one.address())),
            None => Ok(pool),
        }
    }

    /// What earlier ladders have shown of a container.
    pub(super) fn past(&self, container: &ContainerId, now: Instant) -> Past {
        let mut past = self.last_heals.get(container).map(|last_heal| last_heal.past.clone()).unwrap_or_default();
        past.reloaded = past.reloaded.filter(|at| now.saturating_duration_since(*at) < RELOAD_PAUSE);
        past
    }

    /// A ladder begins in a container, or began.
    pub(super) fn note_heal(&mut self, container: &ContainerId, backend: SocketAddr, past: Past) {
        let before = self.last_heals.get(container).and_then(|last_heal| last_heal.ended);
        self.last_heals.insert(container.clone(), LastHeal { backend, ended: None, before, past });
    }
}
