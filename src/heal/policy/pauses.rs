//! How long the policy waits, and for what.

use std::time::Duration;

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
