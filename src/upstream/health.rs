//! What a row of probes says about one backend. Pure: time and thresholds come in as arguments.

use std::time::Instant;

use super::failure::Failure;
use super::probe_result::{ProbeFailure, ProbeResult};

/// The check's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    /// Never probed to an end, or failed before it ever passed fewer than `fall` times.
    New,
    /// Passed last.
    Up,
    /// Failed `fall` times in a row, or once while new.
    Down,
}

/// The record of one backend's probes.
#[derive(Debug, Clone)]
pub struct Health {
    state: CheckState,
    /// Consecutive probes that disagree with the state.
    against: u32,
    since: Instant,
    last_pass: Option<Instant>,
    last_failure: Option<ProbeFailure>,
}

/// Passes and failures that flip the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Consecutive failures that take a backend down.
    pub fall: u32,
    /// Consecutive passes that bring it up.
    pub rise: u32,
}

impl Thresholds {
    /// The same where requests say that it is sick as well: then one failed probe is enough, but two where all it did
    /// wrong was to be late for a deadline that was `hurried`.
    pub fn corroborated(self, failure: Failure, hurried: bool) -> Self {
        let needed = if hurried && failure.is_late() { 2 } else { 1 };
        Self { fall: self.fall.min(needed), ..self }
    }
}

impl Health {
    /// A backend nobody has looked at.
    pub fn new(now: Instant) -> Self {
        Self { state: CheckState::New, against: 0, since: now, last_pass: None, last_failure: None }
    }

    /// A backend without a check: up until evidence says otherwise.
    pub fn assumed_up(now: Instant) -> Self {
        Self { state: CheckState::Up, ..Self::new(now) }
    }

    /// Takes one probe's result into account; true when the state changed.
    pub fn observe(&mut self, result: &ProbeResult, limits: Thresholds, now: Instant) -> bool {
        match result {
            Ok(_) => self.last_pass = Some(now),
            Err(failure) => self.last_failure = Some(failure.clone()),
        }
        let (next, needed) = match (self.state, result.is_ok()) {
            (CheckState::Up, true) | (CheckState::Down, false) => {
                self.against = 0;
                return false;
            }
            (CheckState::New, true) => (CheckState::Up, 1),
            (CheckState::New, false) => (CheckState::Down, 1),
            (CheckState::Up, false) => (CheckState::Down, limits.fall),
            (CheckState::Down, true) => (CheckState::Up, limits.rise),
        };
        self.against += 1;
        if self.against < needed {
            return false;
        }
        self.state = next;
        self.against = 0;
        self.since = now;
        true
    }

    /// What the check says.
    pub fn check_state(&self) -> CheckState {
        self.state
    }

    /// True between the first probe that disagrees with the state and the flip: probes come faster then.
    pub fn is_wavering(&self) -> bool {
        self.against != 0
    }

    /// When the state last changed.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// When a probe last passed.
    pub fn last_pass(&self) -> Option<Instant> {
        self.last_pass
    }

    /// The latest failure, kept after recovery.
    pub fn last_failure(&self) -> Option<&ProbeFailure> {
        self.last_failure.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Thresholds = Thresholds { fall: 3, rise: 2 };

    fn after(results: &str, limits: Thresholds) -> CheckState {
        let now = Instant::now();
        let mut health = Health::new(now);
        for result in results.chars() {
            let result = if result == '+' { Ok(None) } else { Err(Failure::Timeout.into()) };
            health.observe(&result, limits, now);
        }
        health.check_state()
    }

    #[test]
    fn the_last_pass_is_a_probe_s_and_no_verdict_s() {
        let (first, later) = (Instant::now(), Instant::now() + std::time::Duration::from_secs(9));
        let mut health = Health::new(first);
        assert_eq!(health.last_pass(), None);
        health.observe(&Ok(None), LIMITS, first);
        health.observe(&Err(Failure::Timeout.into()), LIMITS, later);
        assert_eq!((health.check_state(), health.last_pass()), (CheckState::Up, Some(first)));
    }

    #[test]
    fn consecutive_probes_decide() {
        #[rustfmt::skip]
        let rows = [
            // probes     state
            ("",          CheckState::New),
            ("+",         CheckState::Up),
            ("-",         CheckState::Down),
            ("+--",       CheckState::Up),
            ("+---",      CheckState::Down),
            ("+--+--",    CheckState::Up),
            ("+---+",     CheckState::Down),
            ("+---++",    CheckState::Up),
            ("+---+-++",  CheckState::Up),
            ("+-+-+-+-",  CheckState::Up),
        ];
        for (probes, state) in rows {
            assert_eq!(after(probes, LIMITS), state, "{probes}");
        }
    }

    #[test]
    fn fewer_failed_probes_are_enough_when_requests_say_so_too() {
        let fast = Thresholds { fall: 1, rise: 1 };
        #[rustfmt::skip]
        let rows = [
            // limits  failure                  hurried  fall
            (LIMITS,   Failure::Refused,        false,   1),
            (LIMITS,   Failure::Refused,        true,    1),
            (LIMITS,   Failure::Status(500),    true,    1),
            (LIMITS,   Failure::Timeout,        false,   1),
            (LIMITS,   Failure::Timeout,        true,    2),
            (LIMITS,   Failure::ConnectTimeout, true,    2),
            (fast,     Failure::Timeout,        true,    1),
        ];
        for (limits, failure, hurried, fall) in rows {
            assert_eq!(limits.corroborated(failure, hurried), Thresholds { fall, ..limits }, "{failure}, {hurried}");
        }
        assert_eq!(after("+-", LIMITS.corroborated(Failure::Refused, false)), CheckState::Down);
    }
}
