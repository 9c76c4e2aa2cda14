//! Why nothing is done about a backend, or nothing any more, in the words that operators read.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Local};

use crate::docker::ContainerState;
use crate::types::UpstreamName;

use super::definition::Definition;
use super::pauses::{EDGE_GRACE, RELOAD_GRACE, SETTLE, STABLE};

/// Whether an operator who asks for a heal gets it whatever `cooldown` and `budget` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManualHeals {
    /// Those are limits for what Remora decides by itself.
    AtOnce,
    /// A sidecar keeps to them, whoever asks.
    WithinLimits,
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is up.
    Well,
    /// Its check has not failed often enough.
    NotSick,
    /// None of the steps can run in its container.
    Unrunnable,
    /// An operator wants no heals for so long.
    Paused(Duration),
    /// Its container is being stopped or replaced by whoever runs the stack.
    Planned,
    /// It lives, and says that it starts, stops or is full.
    Unready(String),
    /// All of its upstream is slow under load, not sick.
    Overloaded,
    /// `remora heal` or `remora reload` is at work on its upstream.
    ByHand,
    /// The edge has just started.
    EdgeStarted,
    /// The configuration has just changed.
    JustReloaded,
    /// Every upstream fell sick together.
    EverythingSick,
    /// A dependency is sick, and nobody of its upstream is well.
    NeedSick(UpstreamName),
    /// A dependency was sick a moment ago, and nobody of its upstream was well then.
    NeedJustBack(UpstreamName),
    /// All of its upstream fell sick together with another one, which is silent.
    FellWith(UpstreamName),
    /// One heal per upstream at a time.
    Sibling(SocketAddr),
    /// It still serves, and too few others are up.
    MinUp {
        /// Others that are up.
        others: u32,
        /// How many must be.
        min_up: u32,
    },
    /// No backend ever passed this check on this port: the file may be wrong.
    NeverPassed(Definition),
    /// The pause after the last ladder is not over.
    CoolingDown(Duration),
    /// The budget has no place for another ladder yet.
    BudgetUsed {
        /// Ladders in the window.
        count: u32,
        /// The window.
        window: Duration,
        /// How long until the next ladder may begin.
        wait: Duration,
    },
    /// Docker is not to be reached.
    NoDocker(String),
    /// The container was not found.
    NoContainer(String),
    /// Docker or an operator owns the container's state.
    ContainerIs(ContainerState),
    /// The container was started a moment ago, and has so long to come up.
    ContainerStarting(Duration, Duration),
    /// Another backend of the same container is being repaired or has just been.
    SameContainer(SocketAddr),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Well => f.write_str("it is up"),
            Self::NotSick => f.write_str("its check has not failed `fall` times yet"),
            Self::Unrunnable => write!(
                f,
                "healing stopped: no step of its `heal` can run in its container; still probing; healing resumes when \
                 the file changes or it has been up for {STABLE:?}"
            ),
            Self::Paused(left) => write!(f, "healing is paused for {:.0} s more", left.as_secs_f64().ceil()),
            Self::Planned => f.write_str("planned stop or replacement of its container; not healing"),
            Self::Unready(words) => write!(f, "the server is alive and says so: {words}"),
            Self::Overloaded => f.write_str("its upstream is overloaded, and a heal would only reduce its capacity"),
            Self::ByHand => f.write_str("a manual command is running on its upstream"),
            Self::EdgeStarted => write!(f, "the edge started less than {EDGE_GRACE:?} ago"),
            Self::JustReloaded => write!(f, "the configuration changed less than {RELOAD_GRACE:?} ago"),
            Self::EverythingSick => f.write_str(
                "suppressed: global: all upstreams failed together, so the cause is the network, the host or the edge",
            ),
            Self::NeedSick(name) => {
                write!(f, "it needs `{name}`, which is not up, and no other backend of its upstream passes its check")
            }
            Self::NeedJustBack(name) => write!(
                f,
                "it needs `{name}`, which came back less than {SETTLE:?} ago; no other backend of its upstream passed \
                 its check"
            ),
            Self::FellWith(name) => write!(
                f,
                "all of its upstream failed together with `{name}`, which does not respond and is healed first; if it \
                 depends on `{name}`, add it to `needs`"
            ),
            Self::Sibling(address) => write!(f, "{address} of the same upstream is being healed first"),
            Self::MinUp { others, min_up } => {
                write!(f, "it still responds to requests; {others} others are up, and `min_up` requires {min_up}")
            }
            Self::NeverPassed(Definition { upstream, port, check }) => write!(
                f,
                "no backend of `{upstream}` has ever passed its check on port {port} ({check}), so the file may be \
                 wrong; correct `servers` or `check`, or heal it manually: `remora heal {upstream}`"
            ),
            Self::CoolingDown(pause) => write!(f, "cooling down for {:.0} s more", pause.as_secs_f64().ceil()),
            Self::BudgetUsed { count, window, wait } => {
                let left = wait.as_secs_f64().ceil();
                write!(f, "budget used ({count} heals in {window:?}); the next heal comes in {left:.0} s")
            }
            Self::NoDocker(why) => write!(f, "no Docker: {why}"),
            Self::NoContainer(why) => f.write_str(why),
            Self::ContainerIs(state) => write!(f, "its container is {state}"),
            Self::ContainerStarting(age, grace) => {
                write!(f, "its container started {:.0} s ago and has {grace:?} to become healthy", age.as_secs_f64())
            }
            Self::SameContainer(address) => write!(f, "its container is being healed for {address}"),
        }
    }
}

impl Reason {
    /// The reason with what an operator of this upstream can go by: when it is over, and what to type where that is too late.
    /// `clock` is the time now; shown is the local one, as in the log. `manual` is what a heal by hand would meet.
    pub fn told(&self, upstream: &UpstreamName, manual: ManualHeals, clock: SystemTime) -> String {
        // Not a second before it.
        let at = |wait: Duration| {
            DateTime::<Local>::from(clock + wait + Duration::from_millis(999)).format("%H:%M:%S").to_string()
        };
        let sooner = |key: &str| match manual {
            ManualHeals::AtOnce => format!("to heal now: `remora heal {upstream}`"),
            ManualHeals::WithinLimits => {
                format!("the sidecar refuses `remora heal {upstream}` until then; to heal sooner, {key}")
            }
        };
        match self {
            Self::CoolingDown(pause) => {
                format!(
                    "cooling down: the next heal comes at {}; {}",
                    at(*pause),
                    sooner("lower `cooldown` in the file")
                )
            }
            Self::BudgetUsed { count, window, wait } => format!(
                "budget used ({count} heals in {window:?}): the next heal comes at {}; {}",
                at(*wait),
                sooner("raise `budget` in the file")
            ),
            Self::Unrunnable => format!("{self}; to try now: `remora heal {upstream}`"),
            other => other.to_string(),
        }
    }

    /// The same reason whatever numbers it carries: a change of these alone is not worth a log line.
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}
