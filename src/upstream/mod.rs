//! Upstreams at work: which backends there are, which of them are up, and which one takes the next request.
//!
//! The only folder that imports `pingora_load_balancing` and `hickory_resolver`. It knows nothing of HTTP requests or of healing.

mod backend;
mod budget;
mod discovery;
mod dns;
mod evidence;
mod greeting;
mod health;
mod health_update;
mod hosts;
mod kept;
mod latencies;
mod lease;
mod lookup;
mod overload;
mod pile_up;
mod pool;
mod probe;
mod rotation;
mod select;
mod stall_monitor;
mod waits;
mod watch;

pub use backend::{Backend, BackendState, CheckRecord, moves};
pub use discovery::{Resolve, SystemResolver};
pub use health::{CheckState, Failure};
pub use lease::{HeldOut, Lease, Pretence};
pub use lookup::{Lookup, LookupError};
pub use pool::{Upstream, UpstreamTools};
pub use probe::{failure_of, is_late, not_connected};
pub use rotation::Serving;
pub use select::{NoBackend, Tried};
