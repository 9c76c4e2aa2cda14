//! Decides when a sick backend may be repaired. Reads nothing but its arguments: no clock, no network, nothing async.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::config::model::HealSpec;
use crate::docker::ContainerState;
use crate::types::UpstreamName;

/// No heal this soon after the edge started: what is sick may be the edge's own view.
pub const EDGE_GRACE: Duration = Duration::from_secs(10);
/// No heal this soon after a reload of what fell sick after it: the new settings may be at fault.
pub const RELOAD_GRACE: Duration = Duration::from_secs(5);
/// A container that has not been up since its start is given this long.
pub const START_GRACE: Duration = Duration::from_secs(30);
/// Up for this long in a row, a backend is well again: failures are forgotten and giving up ends.
pub const STABLE: Duration = Duration::from_secs(60);
/// How long dependents may take to notice that what they need is back.
pub const SETTLE: Duration = Duration::from_secs(10);
/// Upstreams that fall sick within this time fall together.
pub const TOGETHER: Duration = Duration::from_secs(15);
/// When everything is sick for this long, healing is worth a try after all.
pub const SUPPRESSED_MAX: Duration = Duration::from_secs(5 * 60);
/// Longest pause between two ladders, however often they failed.
const PAUSE_MAX: Duration = Duration::from_secs(10 * 60);

/// What is remembered about one backend.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// When ladders began, as far as the budget's window reaches.
    ladders: VecDeque<Instant>,
    /// Ladders in a row that did not help.
    failures: u32,
    not_before: Option<Instant>,
    up_since: Option<Instant>,
    last_up: Option<Instant>,
    gave_up: Option<Instant>,
}

/// How a ladder ended, as far as the policy cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The check passes again.
    Healed,
    /// It does not.
    Failed,
    /// No step could be run at all, and trying again will not change that.
    Unrunnable,
    /// Nothing was done, for a reason outside: it does not count.
    Refunded,
}

/// The world around one backend at the moment of the decision.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// The check's verdict.
    pub is_up: bool,
    /// Down by enough failed checks.
    pub is_sick: bool,
    /// Requests are answered well although the check fails.
    pub serves: bool,
    /// Since when it is sick.
    pub sick_since: Option<Instant>,
    /// Other backends of the upstream that are up.
    pub others_up: u32,
    /// Another backend of the upstream that is being repaired.
    pub sibling: Option<SocketAddr>,
    /// Something this upstream needs that explains the sickness.
    pub need: Option<Need<'a>>,
    /// Since when every checked upstream is sick, where they fell together.
    pub everything_sick_since: Option<Instant>,
    /// When the edge started.
    pub started: Instant,
    /// When the configuration in force was loaded, if it is not the first.
    pub reloaded: Option<Instant>,
    /// What is known of the container.
    pub sight: Sight<'a>,
}

/// A dependency that explains a sickness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need<'a> {
    /// No backend of it is up.
    Sick(&'a UpstreamName),
    /// It was sick a moment ago.
    JustBack(&'a UpstreamName),
}

/// What is known of a backend's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight<'a> {
    /// Nobody has looked.
    NotLooked,
    /// Docker is not to be reached, and why.
    NoDocker(&'a str),
    /// It was not found, and why.
    NotFound(&'a str),
    /// There it is.
    Found {
        /// What it is doing.
        state: ContainerState,
        /// Time since its PID 1 was started.
        age: Option<Duration>,
        /// It is being repaired, or was a moment ago, on behalf of this other backend.
        shared_with: Option<SocketAddr>,
    },
}

/// What to do about a backend now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Run the ladder; before the container was looked at: look.
    Heal,
    /// Nothing.
    Ignore(Reason),
    /// Stop trying until it recovers, and say so loudly.
    GiveUp(GaveUp),
}

/// Why healing a backend ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaveUp {
    /// The budget is spent and it is sick again.
    Budget {
        /// Ladders run in the window.
        ladders: u32,
        /// The window.
        window: Duration,
    },
    /// None of the steps can run in its container.
    Unrunnable,
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is up.
    Well,
    /// Its check has not failed often enough.
    NotSick,
    /// Given up before.
    GaveUp,
    /// The edge has just started.
    EdgeStarted,
    /// The configuration has just changed.
    JustReloaded,
    /// Every upstream fell sick together.
    EverythingSick,
    /// A dependency is sick.
    NeedSick(UpstreamName),
    /// A dependency was sick a moment ago.
    NeedJustBack(UpstreamName),
    /// One heal per upstream at a time.
    Sibling(SocketAddr),
    /// It still serves, and too few others are up.
    MinUp {
        /// Others that are up.
        others: u32,
        /// How many must be.
        min_up: u32,
    },
    /// The pause after the last ladder is not over.
    CoolingDown(Duration),
    /// Docker is not to be reached.
    NoDocker(String),
    /// The container was not found.
    NoContainer(String),
    /// Docker or an operator owns the container's state.
    ContainerIs(ContainerState),
    /// The container was started a moment ago.
    ContainerStarting(Duration),
    /// Another backend of the same container is being repaired or has just been.
    SameContainer(SocketAddr),
}

impl Record {
    /// Takes note of the check's verdict.
    pub fn observe(&mut self, is_up: bool, now: Instant) {
        if !is_up {
            self.up_since = None;
            return;
        }
        self.last_up = Some(now);
        let since = *self.up_since.get_or_insert(now);
        if STABLE <= now.saturating_duration_since(since) {
            self.failures = 0;
            self.gave_up = None;
        }
    }

    /// A ladder begins.
    pub fn begin(&mut self, now: Instant) {
        self.ladders.push_back(now);
    }

    /// The ladder that began last has ended.
    pub fn end(&mut self, ended: Ended, spec: &HealSpec, now: Instant) {
        match ended {
            Ended::Refunded => {
                self.ladders.pop_back();
                return;
            }
            Ended::Healed => self.failures = 0,
            Ended::Failed => self.failures = self.failures.saturating_add(1),
            Ended::Unrunnable => self.gave_up = Some(now),
        }
        let doublings = self.failures.saturating_sub(1).min(16);
        let pause = spec.cooldown.saturating_mul(1 << doublings).min(PAUSE_MAX.max(spec.cooldown));
        self.not_before = Some(now + pause);
    }

    /// Healing this backend ends until it has recovered.
    pub fn give_up(&mut self, now: Instant) {
        self.gave_up = Some(now);
    }

    /// True once given up.
    pub fn has_given_up(&self) -> bool {
        self.gave_up.is_some()
    }

    fn ladders_since(&self, start: Option<Instant>) -> u32 {
        let counted = self.ladders.iter().filter(|at| start.is_none_or(|start| start < **at)).count();
        u32::try_from(counted).unwrap_or(u32::MAX)
    }

    /// Forgets ladders that no budget asks about any more.
    pub fn trim(&mut self, spec: &HealSpec, now: Instant) {
        let start = now.checked_sub(spec.budget.window);
        while self.ladders.front().is_some_and(|at| start.is_some_and(|start| *at <= start)) {
            self.ladders.pop_front();
        }
    }
}

/// What to do about one backend.
pub fn decide(record: &Record, spec: &HealSpec, view: &View<'_>, now: Instant) -> Decision {
    match first_reason(record, spec, view, now) {
        Some(reason) => return Decision::Ignore(reason),
        None if spec.budget.count <= record.ladders_since(now.checked_sub(spec.budget.window)) => {
            let ladders = spec.budget.count;
            return Decision::GiveUp(GaveUp::Budget { ladders, window: spec.budget.window });
        }
        None => {}
    }
    match container_reason(record, view, now) {
        Some(reason) => Decision::Ignore(reason),
        None => Decision::Heal,
    }
}

/// Everything but the budget and the container.
fn first_reason(record: &Record, spec: &HealSpec, view: &View<'_>, now: Instant) -> Option<Reason> {
    let since = |start: Instant| now.saturating_duration_since(start);
    if view.is_up {
        return Some(Reason::Well);
    }
    if !view.is_sick {
        return Some(Reason::NotSick);
    }
    if record.gave_up.is_some() {
        return Some(Reason::GaveUp);
    }
    if since(view.started) < EDGE_GRACE {
        return Some(Reason::EdgeStarted);
    }
    let fell_after = |reload: &Instant| view.sick_since.is_none_or(|sick| *reload <= sick);
    if view.reloaded.filter(fell_after).is_some_and(|reload| since(reload) < RELOAD_GRACE) {
        return Some(Reason::JustReloaded);
    }
    if view.everything_sick_since.is_some_and(|start| since(start) < SUPPRESSED_MAX) {
        return Some(Reason::EverythingSick);
    }
    match view.need {
        Some(Need::Sick(name)) => return Some(Reason::NeedSick(name.clone())),
        Some(Need::JustBack(name)) => return Some(Reason::NeedJustBack(name.clone())),
        None => {}
    }
    if let Some(sibling) = view.sibling {
        return Some(Reason::Sibling(sibling));
    }
    if view.serves && view.others_up < spec.min_up {
        return Some(Reason::MinUp { others: view.others_up, min_up: spec.min_up });
    }
    let pause = record.not_before.map(|end| end.saturating_duration_since(now)).filter(|pause| !pause.is_zero());
    pause.map(Reason::CoolingDown)
}

fn container_reason(record: &Record, view: &View<'_>, now: Instant) -> Option<Reason> {
    let (state, age, shared_with) = match view.sight {
        Sight::NotLooked => return None,
        Sight::NoDocker(why) => return Some(Reason::NoDocker(why.to_owned())),
        Sight::NotFound(why) => return Some(Reason::NoContainer(why.to_owned())),
        Sight::Found { state, age, shared_with } => (state, age, shared_with),
    };
    match state {
        ContainerState::Running | ContainerState::Unknown => {}
        ContainerState::Paused | ContainerState::Restarting | ContainerState::Exited | ContainerState::Removing => {
            return Some(Reason::ContainerIs(state));
        }
    }
    if let Some(other) = shared_with {
        return Some(Reason::SameContainer(other));
    }
    let was_up = |age: Duration| {
        let started = now.checked_sub(age);
        record.last_up.is_some_and(|up| started.is_none_or(|started| started < up))
    };
    age.filter(|age| *age < START_GRACE && !was_up(*age)).map(Reason::ContainerStarting)
}

/// One upstream, as far as [`everything_sick`] cares.
#[derive(Debug, Clone, Copy)]
pub struct PoolView<'a> {
    /// Its name.
    pub name: &'a UpstreamName,
    /// What it needs.
    pub needs: &'a [UpstreamName],
    /// Backends with a check.
    pub checked: usize,
    /// Those that are sick.
    pub sick: usize,
    /// When the last of them fell sick.
    pub since: Option<Instant>,
}

/// Since when every checked upstream is sick, if they fell together and none explains another.
///
/// Then it is the network, the host or the edge itself. A dead database with all that needs it is not that: there is one
/// root, and it is healed.
pub fn everything_sick(pools: &[PoolView<'_>]) -> Option<Instant> {
    let checked: Vec<_> = pools.iter().filter(|pool| pool.checked != 0).collect();
    if checked.iter().any(|pool| pool.sick < pool.checked) {
        return None;
    }
    let explains = |need: &UpstreamName| checked.iter().any(|pool| pool.name == need);
    let roots = checked.iter().filter(|pool| !pool.needs.iter().any(explains));
    let since: Vec<Instant> = roots.filter_map(|pool| pool.since).collect();
    let (first, last) = (since.iter().min()?, since.iter().max()?);
    (2 <= since.len() && last.saturating_duration_since(*first) <= TOGETHER).then_some(*last)
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget { ladders, window } => {
                write!(f, "sick again after {ladders} heals in {window:?}; no more until it is up for {STABLE:?}")
            }
            Self::Unrunnable => write!(f, "no step of its `heal` can run in its container; no more until it recovers"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Well => f.write_str("it is up"),
            Self::NotSick => f.write_str("its check has not failed often enough"),
            Self::GaveUp => write!(f, "given up; it is probed on, and healed again after {STABLE:?} of being up"),
            Self::EdgeStarted => write!(f, "the edge started less than {EDGE_GRACE:?} ago"),
            Self::JustReloaded => write!(f, "the configuration changed less than {RELOAD_GRACE:?} ago"),
            Self::EverythingSick => f.write_str(
                "suppressed: global: every upstream fell sick together, so it is the network, the host or the edge",
            ),
            Self::NeedSick(name) => write!(f, "it needs `{name}`, which is not up"),
            Self::NeedJustBack(name) => write!(f, "it needs `{name}`, which came back less than {SETTLE:?} ago"),
            Self::Sibling(address) => write!(f, "{address} of the same upstream is being healed first"),
            Self::MinUp { others, min_up } => {
                write!(f, "it still answers requests, and {others} others are up where `min_up` wants {min_up}")
            }
            Self::CoolingDown(pause) => write!(f, "cooling down for {:.0} s more", pause.as_secs_f64().ceil()),
            Self::NoDocker(why) => write!(f, "no Docker: {why}"),
            Self::NoContainer(why) => f.write_str(why),
            Self::ContainerIs(state) => write!(f, "its container is {state}"),
            Self::ContainerStarting(age) => {
                write!(f, "its container started {:.0} s ago and has {START_GRACE:?} to come up", age.as_secs_f64())
            }
            Self::SameContainer(address) => write!(f, "its container is healed for {address}"),
        }
    }
}

impl Reason {
    /// The same reason whatever numbers it carries: a change of these alone is not worth a log line.
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
