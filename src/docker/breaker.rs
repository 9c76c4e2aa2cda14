//! When the daemon may be asked again after it failed. Pure: reads no clock, logs nothing.

use std::time::{Duration, Instant};

use super::error::DockerError;

/// Pause after the first failure; doubles up to the longest.
const PAUSE_FIRST: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Remembers how the latest calls to the daemon ended.
#[derive(Debug)]
pub struct Breaker {
    state: BreakerState,
    pause_max: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::pausing(PAUSE_MAX)
    }
}

#[derive(Debug, Default)]
enum BreakerState {
    /// Never asked.
    #[default]
    Untried,
    /// Answers.
    Closed,
    /// Does not answer; not asked before `until`.
    Open { error: DockerError, until: Instant, pause: Duration },
}

/// What an operator should hear about, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It answers, for the first time or again.
    Answers {
        /// It did not before.
        again: bool,
    },
    /// It does not, or for another reason than before.
    Fails(DockerError),
}

impl Breaker {
    /// One whose pauses do not grow beyond `most`.
    pub fn pausing(most: Duration) -> Self {
        Self { state: BreakerState::default(), pause_max: most }
    }

    /// Whether the daemon may be asked.
    ///
    /// # Errors
    /// The remembered error while it may not.
    pub fn check(&self, now: Instant) -> Result<(), DockerError> {
        match &self.state {
            BreakerState::Open { error, until, .. } if now < *until => Err(error.clone()),
            BreakerState::Open { .. } | BreakerState::Untried | BreakerState::Closed => Ok(()),
        }
    }

    /// The error it is open for, due to be retried or not.
    pub fn error(&self) -> Option<&DockerError> {
        match &self.state {
            BreakerState::Open { error, .. } => Some(error),
            BreakerState::Untried | BreakerState::Closed => None,
        }
    }

    /// True once a call has succeeded and none failed since.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, BreakerState::Closed)
    }

    /// A call was answered.
    pub fn succeeded(&mut self) -> Option<Change> {
        let change = match &self.state {
            BreakerState::Untried => Some(Change::Answers { again: false }),
            BreakerState::Open { .. } => Some(Change::Answers { again: true }),
            BreakerState::Closed => None,
        };
        self.state = BreakerState::Closed;
        change
    }

    /// A call failed because of the daemon.
    pub fn failed(&mut self, error: &DockerError, now: Instant) -> Option<Change> {
        let (same, pause) = match &self.state {
            // A second caller that was under way when the first failed adds nothing.
            BreakerState::Open { until, .. } if now < *until => return None,
            BreakerState::Open { error: before, pause, .. } => {
                (std::mem::discriminant(before) == std::mem::discriminant(error), (*pause * 2).min(self.pause_max))
            }
            BreakerState::Untried | BreakerState::Closed => (false, PAUSE_FIRST.min(self.pause_max)),
        };
        self.state = BreakerState::Open { error: error.clone(), until: now + pause, pause };
        (!same).then(|| Change::Fails(error.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_daemon_is_told_once_and_asked_rarely() {
        let start = Instant::now();
        let dead = DockerError::Silent("timed out".into());
        let mut breaker = Breaker::default();
        assert_eq!(breaker.check(start), Ok(()));
        assert_eq!(breaker.failed(&dead, start), Some(Change::Fails(dead.clone())));
        assert_eq!(breaker.check(start + Duration::from_secs(1)), Err(dead.clone()));

        let mut now = start;
        for pause in [2, 4, 8, 16, 32, 60, 60] {
            assert!(breaker.check(now + Duration::from_millis(pause * 1000 - 1)).is_err(), "open for {pause} s");
            now += Duration::from_secs(pause);
            assert_eq!(breaker.check(now), Ok(()));
            assert_eq!(breaker.failed(&dead, now), None, "told once");
        }
        assert_eq!(breaker.succeeded(), Some(Change::Answers { again: true }));
        assert_eq!(breaker.succeeded(), None);
        assert!(breaker.is_closed());
    }

    #[test]
    fn another_reason_is_told_again() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        assert_eq!(breaker.succeeded(), Some(Change::Answers { again: false }));
        let (silent, denied) = (DockerError::Silent("x".into()), DockerError::Denied("/s".into()));
        assert_eq!(breaker.failed(&silent, now), Some(Change::Fails(silent.clone())));
        assert_eq!(breaker.failed(&denied, now), None, "still pausing");
        let later = now + PAUSE_FIRST;
        assert_eq!(breaker.failed(&denied, later), Some(Change::Fails(denied.clone())));
        assert_eq!(breaker.error(), Some(&denied));
    }
}
