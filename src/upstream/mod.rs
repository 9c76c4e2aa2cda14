//! Upstreams at work: which backends there are, which of them are up, and which one takes the next request.
//!
//! The only folder that imports `pingora_load_balancing` and `hickory_resolver`. It knows nothing of HTTP requests or of healing.
//!
//! What a backend is to its upstream ([`BackendState`]); only who is up gets requests while anyone is:
//!
//! ```text
//!   joins         first probe passes                 `fall` probes fail
//!  ───────► new ─────────────────────► up ───────────────────────────────► down
//!            │                        │ ▲ ▲                                │ ▲
//!            │     requests show that │ │ │         `rise` probes pass     │ │
//!            │     it errs or hangs   │ │ └────────────────────────────────┘ │
//!            │                        ▼ │ a while has passed, or a probe     │
//!            │                     ejected                                   │
//!            │                        └──────── `fall` probes fail ──────────┤
//!            └────────────────────────── first probe fails ──────────────────┘
//!
//!  any of these ── the healer holds it out ──► healing ──┐
//!               ── its container is stopped ─► held ─────┴── let back ──► what its check says by then
//!  any of these ── its name is gone, or it is no longer in the file ──► draining ──► forgotten when idle
//! ```
//!
//! Who writes what: `probing` asks and `health_update` takes the answers into `health` (new, up, down); requests write
//! `evidence`, which `health_update` and `stall_monitor` turn into ejections; `held_out` marks healing and held;
//! `resolving` changes the members of the `pool` (of the family that `family` finds served), which makes a new `rotation` of all of it. `upstream` is what others hold.

mod backend;
mod budget;
mod connect;
mod discovery;
mod dns;
mod evidence;
mod failure;
mod family;
mod first_words;
mod greeting;
mod health;
mod health_update;
mod held_out;
mod hosts;
mod kept;
mod latencies;
mod lease;
mod lookup;
mod monitor_wake;
mod overload;
mod page;
mod pile_up;
mod pool;
mod probe;
mod probe_result;
mod probe_times;
mod probing;
mod queue;
mod resolving;
mod rotation;
mod select;
mod stall_monitor;
#[expect(clippy::module_inception, reason = "each file is named after what it defines")]
mod upstream;
mod waits;

pub use backend::{Backend, BackendState, CheckRecord, moves};
pub use connect::{failure_of, is_late, not_connected};
pub use discovery::{Resolve, SystemResolver};
pub use failure::Failure;
pub use family::resolve_served;
pub use health::CheckState;
pub use held_out::{HeldOut, Pretence};
pub use lease::Lease;
pub use lookup::{Lookup, LookupError};
pub use pool::UpstreamTools;
pub use probe_result::{ProbeFailure, ProbeResult, ServerWords};
pub use rotation::Serving;
pub use select::{NoBackend, Tried};
pub use upstream::Upstream;
