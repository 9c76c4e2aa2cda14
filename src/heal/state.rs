//! What is known of every backend between two events. Decides nothing.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::docker::ContainerId;
use crate::types::UpstreamName;

use super::attempt::{Past, RELOAD_PAUSE};
use super::patient::{Key, Pool, Ward, key};
use super::plans::Plans;
use super::policy::{Definition, Reason, Record};
use super::tools::HealTools;

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
pub(super) struct Case {
    pub record: Record,
    pub doing: Doing,
    pub ask_at: Option<Instant>,
    /// It has passed its check since the configuration changed, and that is written down.
    pub has_passed: bool,
    /// Why nothing is done about it, as last told.
    pub reason: Option<Reason>,
    /// When it was last there.
    pub seen: Instant,
    ask_pause: Duration,
}

impl Case {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            record: Record::default(),
            doing: Doing::Nothing,
            ask_at: None,
            has_passed: false,
            ask_pause: ASK_FIRST,
            reason: None,
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
pub(super) struct Treated {
    pub backend: SocketAddr,
    /// `None` while it is under way.
    pub ended: Option<Instant>,
    /// When the one before ended.
    pub before: Option<Instant>,
    pub past: Past,
}

/// The state of all backends.
pub(super) struct Rounds {
    pub tools: HealTools,
    pub started: Instant,
    /// The configuration that was last seen in force.
    pub generation: u64,
    pub reloaded: Option<Instant>,
    pub cases: HashMap<Key, Case>,
    pub treated: HashMap<ContainerId, Treated>,
    /// When an upstream last had no backend up.
    pub last_sick: HashMap<UpstreamName, Instant>,
    /// Since when everything was sick together, and when that was last so.
    pub all_sick: Option<(Instant, Instant)>,
    /// Containers that are being stopped or replaced.
    pub plans: Plans,
    /// Upstreams that an operator's command works on.
    pub by_hand: HashSet<UpstreamName>,
    /// Backends that only pretend to be sick.
    pub drilled: HashSet<Key>,
    /// Definitions of which the log says that they never worked.
    pub told: HashSet<Definition>,
}

impl Rounds {
    /// Knows nobody yet, and nothing of what an edge before did.
    pub(super) fn empty(tools: HealTools, now: Instant) -> Self {
        let generation = tools.ward.generation();
        Self {
            tools,
            started: now,
            generation,
            reloaded: None,
            cases: HashMap::new(),
            treated: HashMap::new(),
            last_sick: HashMap::new(),
            all_sick: None,
            plans: Plans::default(),
            by_hand: HashSet::new(),
            drilled: HashSet::new(),
            told: HashSet::new(),
        }
    }

    pub(super) fn ward(&self) -> &Arc<dyn Ward> {
        &self.tools.ward
    }

    /// An upstream by its name.
    pub(super) fn pool(&self, name: &str) -> Result<Pool, String> {
        let pools = self.tools.ward.pools();
        if let Some(pool) = pools.iter().find(|pool| pool.spec.name.as_str() == name) {
            return Ok(pool.clone());
        }
        let names: Vec<_> = pools.iter().map(|pool| pool.spec.name.as_str()).collect();
        let name: String = name.escape_debug().take(64).collect();
        Err(format!("there is no upstream `{name}`; the upstreams are: {}", names.join(", ")))
    }

    /// The upstream, where it can be worked on now.
    pub(super) fn free_pool(&self, name: &str) -> Result<Pool, String> {
        let pool = self.pool(name)?;
        if pool.spec.heal.is_none() {
            return Err(format!("upstream `{name}` has no `heal`, so there is no step to run"));
        }
        if self.by_hand.contains(&pool.spec.name) {
            return Err(format!("a manual command is running on `{name}`; try again when it has ended"));
        }
        let busy = pool.patients.iter().find(|one| {
            let case = self.cases.get(&key(one));
            case.is_some_and(|case| case.doing == Doing::Healing)
        });
        match busy {
            Some(one) => Err(format!("{} of `{name}` is being healed; try again when that has ended", one.address())),
            None => Ok(pool),
        }
    }

    /// What earlier ladders have shown of a container.
    pub(super) fn past(&self, container: &ContainerId, now: Instant) -> Past {
        let mut past = self.treated.get(container).map(|treated| treated.past.clone()).unwrap_or_default();
        past.reloaded = past.reloaded.filter(|at| now.saturating_duration_since(*at) < RELOAD_PAUSE);
        past
    }

    /// A ladder begins in a container, or began.
    pub(super) fn treat(&mut self, container: &ContainerId, backend: SocketAddr, past: Past) {
        let before = self.treated.get(container).and_then(|treated| treated.ended);
        self.treated.insert(container.clone(), Treated { backend, ended: None, before, past });
    }
}
