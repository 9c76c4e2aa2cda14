//! How fast the other side moves bytes, counting only the time in which it was waited for.

use std::time::{Duration, Instant};

use super::Relay;

/// How long a body or an answer may flow below the least rate before it is cut off, as in Kestrel.
const GRACE: Duration = Duration::from_secs(5);

/// One direction of one message.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waited: Duration,
    since: Option<Instant>,
    bytes: u64,
}

impl Pace {
    /// It has to move by the time returned. Called again while nothing moves, it returns the same.
    pub fn wait(&mut self, relay: &Relay) -> Instant {
        let since = *self.since.get_or_insert_with(|| relay.clock.now());
        let limits = &relay.shared.limits;
        let pause = since + limits.client_timeout;
        let Some(seconds) = self.bytes.checked_div(limits.min_rate.0) else { return pause };
        let allowed = (GRACE + Duration::from_secs(seconds.min(1 << 32))).saturating_sub(self.waited);
        pause.min(since + allowed)
    }

    /// It moved so many bytes. What did not have to be waited for, such as the first bytes that fill the system's own
    /// buffers, says nothing of how fast the other side is.
    pub fn moved(&mut self, relay: &Relay, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.waited += relay.clock.now().saturating_duration_since(since);
            self.bytes += bytes as u64;
        }
    }
}
