//! By when a backend has to connect, to answer and to take.

use std::time::Duration;

use crate::upstream::Upstream;

/// Deadlines of an upstream.
#[derive(Clone, Copy)]
pub(super) struct Deadlines {
    pub connect: Duration,
    pub read: Duration,
    pub write: Duration,
}

impl Deadlines {
    /// Those of a route's upstream.
    pub fn of(upstream: &Upstream) -> Self {
        let timeouts = &upstream.spec().timeouts;
        Self { connect: timeouts.connect, read: timeouts.read, write: timeouts.write }
    }
}
