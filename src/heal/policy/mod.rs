//! Decides when a sick backend may be repaired. Reads nothing but its arguments: no clock, no network, nothing async.

mod definition;
mod pauses;
mod reason;
mod record;
mod together;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::config::model::{Budget, HealSpec};
use crate::docker::ContainerState;
use crate::types::UpstreamName;

pub use definition::Definition;
pub use pauses::{EDGE_GRACE, RELOAD_GRACE, SETTLE, STABLE, START_GRACE, SUPPRESSED_MAX, TOGETHER};
pub use reason::{ManualHeals, Reason};
pub(super) use record::PAUSE_MAX;
pub use record::{Ended, HealRecord};
pub use together::{PoolView, Symptoms, cause_of, everything_sick};

/// The world around one backend at the moment of the decision.
#[derive(Debug, Clone)]
pub struct BackendView<'a> {
    /// The check's verdict.
    pub is_up: bool,
    /// Down by enough failed checks.
    pub is_sick: bool,
    /// What it says of itself where it lives and takes nobody in now.
    pub unready: Option<String>,
    /// Requests are answered well although the check fails.
    pub serves: bool,
    /// Since when it is sick.
    pub sick_since: Option<Instant>,
    /// Other backends of the upstream that are up.
    pub others_up: u32,
    /// Another backend of the upstream that is being repaired.
    pub sibling: Option<SocketAddr>,
    /// Something this upstream needs that is not up, or was not a moment ago.
    pub need: Option<Need<'a>>,
    /// Others of the upstream are well all the while: then what it needs does not explain this one's sickness.
    pub siblings_well: bool,
    /// Since when every checked upstream is sick, where they fell together.
    pub everything_sick_since: Option<Instant>,
    /// An operator wants no heals until then.
    pub paused_until: Option<Instant>,
    /// Its container is being stopped or replaced.
    pub planned: bool,
    /// Its upstream is slow under load.
    pub overloaded: bool,
    /// An operator's command is at work on its upstream.
    pub commanded: bool,
    /// What the file says of it, where no backend of its upstream ever passed that check on that port.
    pub unproven: Option<Definition>,
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
    /// No `needs` says so, but it fell sick in the same moments, and is silent.
    FellWith(&'a UpstreamName),
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
        /// How long its own health check gives it to start.
        start_period: Duration,
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
}

/// What to do about one backend.
pub fn decide(record: &HealRecord, spec: &HealSpec, view: &BackendView<'_>, now: Instant) -> Decision {
    if let Some(reason) = first_reason(record, spec, view, now) {
        return Decision::Ignore(reason);
    }
    match (container_reason(record, view, now), &view.unproven, view.sight) {
        (Some(reason), ..) => Decision::Ignore(reason),
        // The container may have a better reason.
        (None, Some(definition), Sight::Found { .. }) => Decision::Ignore(Reason::NeverPassed(definition.clone())),
        (None, ..) => Decision::Heal,
    }
}

/// Everything but the container.
fn first_reason(record: &HealRecord, spec: &HealSpec, view: &BackendView<'_>, now: Instant) -> Option<Reason> {
    let since = |start: Instant| now.saturating_duration_since(start);
    if view.is_up {
        return Some(Reason::Well);
    }
    if !view.is_sick {
        return Some(Reason::NotSick);
    }
    if let Some(left) = view.paused_until.map(|until| until.saturating_duration_since(now)).filter(|l| !l.is_zero()) {
        return Some(Reason::Paused(left));
    }
    if view.commanded {
        return Some(Reason::ByHand);
    }
    if view.planned {
        return Some(Reason::Planned);
    }
    if let Some(words) = &view.unready {
        return Some(Reason::Unready(words.clone()));
    }
    if record.is_unrunnable() {
        return Some(Reason::Unrunnable);
    }
    if since(view.started) < EDGE_GRACE {
        return Some(Reason::EdgeStarted);
    }
    let fell_after = |reload: &Instant| view.sick_since.is_none_or(|sick| *reload <= sick);
    if view.reloaded.filter(fell_after).is_some_and(|reload| since(reload) < RELOAD_GRACE) {
        return Some(Reason::JustReloaded);
    }
    if view.overloaded {
        return Some(Reason::Overloaded);
    }
    if view.everything_sick_since.is_some_and(|start| since(start) < SUPPRESSED_MAX) {
        return Some(Reason::EverythingSick);
    }
    match view.need.filter(|_| !view.siblings_well) {
        Some(Need::Sick(name)) => return Some(Reason::NeedSick(name.clone())),
        Some(Need::JustBack(name)) => return Some(Reason::NeedJustBack(name.clone())),
        Some(Need::FellWith(name)) => return Some(Reason::FellWith(name.clone())),
        None => {}
    }
    if let Some(sibling) = view.sibling {
        return Some(Reason::Sibling(sibling));
    }
    if view.serves && view.others_up < spec.min_up {
        return Some(Reason::MinUp { others: view.others_up, min_up: spec.min_up });
    }
    let pause = record.pause(now);
    // What was never seen to work is not healed anyhow.
    match record.place_in(&spec.budget, now).filter(|_| view.unproven.is_none()) {
        Some(place) => {
            let (Budget { count, window }, wait) = (spec.budget, place.max(pause.unwrap_or_default()));
            Some(Reason::BudgetUsed { count, window, wait })
        }
        None => pause.map(Reason::CoolingDown),
    }
}

fn container_reason(record: &HealRecord, view: &BackendView<'_>, now: Instant) -> Option<Reason> {
    let (state, age, start_period, shared_with) = match view.sight {
        Sight::NotLooked => return None,
        Sight::NoDocker(why) => return Some(Reason::NoDocker(why.to_owned())),
        Sight::NotFound(why) => return Some(Reason::NoContainer(why.to_owned())),
        Sight::Found { state, age, start_period, shared_with } => (state, age, start_period, shared_with),
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
        record.last_pass().is_some_and(|pass| started.is_none_or(|started| started < pass))
    };
    let grace = start_period.max(START_GRACE);
    age.filter(|age| *age < grace && !was_up(*age)).map(|age| Reason::ContainerStarting(age, grace))
}

#[cfg(test)]
mod tests;
