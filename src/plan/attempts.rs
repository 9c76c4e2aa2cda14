//! Which backend is asked next, if any, after an attempt: one state for each upstream that a request asks, the same for
//! every lane and for `auth`.

use std::net::SocketAddr;
use std::time::Instant;

use crate::config::model::{RetryOn, RetrySpec};
use crate::upstream::{Failure, Lease, Tried, Upstream};

/// Methods that may be sent twice (RFC 9110, section 9.2.2).
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE")
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The head of a response with this status came.
    Status(u16),
    /// It failed.
    Failed(Failure),
    /// A connection that had been used before ended before it was clear that the backend would read this request: nothing
    /// was asked of the backend, so this is no attempt, and says nothing about its health.
    Stale,
    /// The backend was ejected while the request waited in it, and another one can take it.
    Evicted,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The response is passed on.
    Deliver,
    /// Another attempt.
    Again,
    /// The client is told about this failure.
    Fail(Failure),
}

/// What else could take the request.
pub trait Others {
    /// A backend that was not tried and may take requests.
    fn has_untried(&self, tried: &[SocketAddr]) -> bool;
    /// One may still come up while the request is queued.
    fn may_wait(&self) -> bool;
    /// Takes one retry out of the upstream's budget; false where it is spent.
    fn withdraw(&self) -> bool;
}

/// An upstream, for a request that came at a time.
impl Others for (&Upstream, Instant) {
    fn has_untried(&self, tried: &[SocketAddr]) -> bool {
        self.0.has_untried(tried)
    }

    fn may_wait(&self) -> bool {
        Instant::now() < self.0.hold_deadline(self.1)
    }

    fn withdraw(&self) -> bool {
        self.0.budget().withdraw()
    }
}

/// The attempts of one request at one upstream.
#[derive(Debug, Default)]
pub struct Attempts {
    tried: Tried,
    made: u32,
    last: Option<Failure>,
    stale: bool,
    moved: bool,
}

impl Attempts {
    /// Backends that are not asked again.
    pub fn tried(&self) -> &[SocketAddr] {
        &self.tried
    }

    /// The same, for a wait that begins anew when all were tried.
    pub fn tried_mut(&mut self) -> &mut Tried {
        &mut self.tried
    }

    /// Attempts so far. One on a connection that turned out to be closed counts as none.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// How the last attempt failed.
    pub fn last(&self) -> Option<Failure> {
        self.last
    }

    /// True where the next attempt needs a new connection: the last one found its connection closed.
    pub fn needs_new_connection(&self) -> bool {
        self.stale
    }

    /// Another attempt begins.
    pub fn begin(&mut self) {
        self.made += 1;
    }

    /// True where the request leaves the backend that it waits in: that one was ejected because it is sick, another one is
    /// up and has room, and the retries are not spent. What was sent, if anything was, must be safe to send twice, and
    /// nothing of a response may have been passed on. It leaves once.
    pub fn may_leave(&self, upstream: &Upstream, lease: &Lease) -> bool {
        let retry = &upstream.spec().retry;
        !self.moved
            && lease.is_evicted()
            && retry.on.reset
            && self.made <= retry.attempts
            && upstream.has_refuge(lease, &self.tried)
            && upstream.budget().withdraw()
    }

    /// No backend is left before its response any more: something of one was passed on.
    pub fn stay(&mut self) {
        self.moved = true;
    }

    /// What follows from the outcome of an attempt at `backend`. `safe` says whether what was sent may be sent again:
    /// the method is idempotent and the body was kept.
    pub fn after(
        &mut self,
        outcome: Outcome,
        backend: SocketAddr,
        retry: &RetrySpec,
        safe: bool,
        others: &impl Others,
    ) -> Next {
        self.stale = outcome == Outcome::Stale;
        let failure = match outcome {
            Outcome::Stale => {
                self.made = self.made.saturating_sub(1);
                self.last = Some(Failure::Reset);
                return Next::Again;
            }
            Outcome::Evicted => {
                self.moved = true;
                self.note(backend, Failure::Timeout);
                return Next::Again;
            }
            Outcome::Status(status) => Failure::Status(status),
            Outcome::Failed(failure) => failure,
        };
        let was_delivered = matches!(outcome, Outcome::Status(_));
        let wanted = is_wanted(failure, &retry.on) && (failure.is_unreachable() || safe);
        if was_delivered && !wanted {
            return Next::Deliver;
        }
        let before = self.tried.len();
        self.note(backend, failure);
        // A response that is here is worth more than one that may come later.
        let someone = others.has_untried(&self.tried) || (!was_delivered && others.may_wait());
        if wanted && self.made <= retry.attempts && someone && others.withdraw() {
            return Next::Again;
        }
        if was_delivered {
            self.tried.truncate(before);
            return Next::Deliver;
        }
        Next::Fail(failure)
    }

    fn note(&mut self, backend: SocketAddr, failure: Failure) {
        self.tried.push(backend);
        self.last = Some(failure);
    }
}

/// True where the upstream wants this failure tried again.
fn is_wanted(failure: Failure, on: &RetryOn) -> bool {
    match failure {
        Failure::Refused | Failure::ConnectTimeout | Failure::ConnectFailed => on.connect,
        Failure::Reset | Failure::BadAnswer => on.reset,
        Failure::Timeout => on.timeout,
        Failure::Status(status) => on.statuses.contains(&status),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::types::Percent;

    struct World {
        untried: bool,
        waits: bool,
        budget: Cell<u32>,
    }

    impl Others for World {
        fn has_untried(&self, _: &[SocketAddr]) -> bool {
            self.untried
        }

        fn may_wait(&self) -> bool {
            self.waits
        }

        fn withdraw(&self) -> bool {
            let left = self.budget.get();
            self.budget.set(left.saturating_sub(1));
            left != 0
        }
    }

    fn retry(attempts: u32) -> RetrySpec {
        let on = RetryOn { connect: true, reset: true, timeout: false, statuses: [502, 503].into() };
        RetrySpec { attempts, on, budget: Percent::parse("20%").unwrap() }
    }

    fn backend() -> SocketAddr {
        "10.0.0.1:80".parse().unwrap()
    }

    #[test]
    fn what_follows_from_an_attempt() {
        use Outcome::{Failed, Stale, Status};
        let world = |untried, waits, budget| World { untried, waits, budget: Cell::new(budget) };
        #[rustfmt::skip]
        let rows = [
            // outcome                  safe   others                   attempts  next
            (Status(200),               true,  world(true, false, 9),   2,        Next::Deliver),
            (Status(503),               true,  world(true, false, 9),   2,        Next::Again),
            (Status(503),               false, world(true, false, 9),   2,        Next::Deliver),
            (Status(503),               true,  world(false, true, 9),   2,        Next::Deliver),
            (Status(503),               true,  world(true, false, 0),   2,        Next::Deliver),
            (Status(503),               true,  world(true, false, 9),   0,        Next::Deliver),
            (Failed(Failure::Reset),    true,  world(true, false, 9),   2,        Next::Again),
            (Failed(Failure::Reset),    false, world(true, false, 9),   2,        Next::Fail(Failure::Reset)),
            (Failed(Failure::Refused),  false, world(true, false, 9),   2,        Next::Again),
            (Failed(Failure::Refused),  false, world(false, true, 9),   2,        Next::Again),
            (Failed(Failure::Refused),  false, world(false, false, 9),  2,        Next::Fail(Failure::Refused)),
            (Failed(Failure::Timeout),  true,  world(true, true, 9),    2,        Next::Fail(Failure::Timeout)),
            (Failed(Failure::Reset),    true,  world(true, true, 0),    2,        Next::Fail(Failure::Reset)),
            (Failed(Failure::Reset),    true,  world(true, true, 9),    0,        Next::Fail(Failure::Reset)),
            (Stale,                     false, world(false, false, 0),  0,        Next::Again),
        ];
        for (outcome, safe, others, most, next) in rows {
            let mut attempts = Attempts::default();
            attempts.begin();
            let found = attempts.after(outcome, backend(), &retry(most), safe, &others);
            assert_eq!(found, next, "{outcome:?}, safe {safe}, at most {most}");
        }
    }

    #[test]
    fn a_stale_connection_is_no_attempt() {
        let (mut attempts, others) = (Attempts::default(), World { untried: true, waits: false, budget: Cell::new(0) });
        attempts.begin();
        attempts.after(Outcome::Stale, backend(), &retry(0), true, &others);
        assert!(attempts.needs_new_connection() && attempts.tried().is_empty());
        attempts.begin();
        assert_eq!(attempts.made(), 1);
        assert_eq!(attempts.after(Outcome::Status(200), backend(), &retry(0), true, &others), Next::Deliver);
        assert!(!attempts.needs_new_connection());
    }

    #[test]
    fn a_backend_that_failed_is_not_asked_again() {
        let (mut attempts, others) = (Attempts::default(), World { untried: true, waits: false, budget: Cell::new(9) });
        attempts.begin();
        attempts.after(Outcome::Failed(Failure::Reset), backend(), &retry(2), true, &others);
        assert_eq!((attempts.tried(), attempts.last()), (&[backend()][..], Some(Failure::Reset)));
    }
}
