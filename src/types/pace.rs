//! How fast the other side moves bytes, counting only the time in which it was waited for.

use std::time::{Duration, Instant};

/// How long a message may flow below the least rate before it is cut off, as in Kestrel.
const GRACE: Duration = Duration::from_secs(5);

/// What is asked of the other side.
#[derive(Debug, Clone, Copy)]
pub struct PaceLimits {
    /// Largest pause between two bytes.
    pub pause: Duration,
    /// Least bytes a second over the time waited, after a grace of 5 s; 0 is none.
    pub min_rate: u64,
}

impl PaceLimits {
    /// How long `bytes` may take in all; `None` is no limit.
    pub fn longest(&self, bytes: u64) -> Option<Duration> {
        let seconds = bytes.checked_div(self.min_rate)?;
        // No deadline is that far away, and so it can be added to any time.
        Some(GRACE + Duration::from_secs(seconds.min(1 << 32)))
    }
}

/// One direction of one message.
#[derive(Debug, Default)]
pub struct Pace {
    waited: Duration,
    since: Option<Instant>,
    bytes: u64,
}

impl Pace {
    /// The other side is waited for, `now` if it was not before: by the time returned it has to move. Asked again while
    /// nothing moves, it answers the same.
    pub fn wait(&mut self, limits: PaceLimits, now: impl FnOnce() -> Instant) -> Instant {
        let since = *self.since.get_or_insert_with(now);
        let pause = since + limits.pause;
        let Some(longest) = limits.longest(self.bytes) else { return pause };
        pause.min(since + longest.saturating_sub(self.waited))
    }

    /// It moved so many bytes. What did not have to be waited for, such as the first bytes that fill the system's own
    /// buffers, says nothing of how fast the other side is.
    pub fn moved(&mut self, bytes: usize, now: impl FnOnce() -> Instant) {
        if let Some(since) = self.since.take() {
            self.waited += now().saturating_duration_since(since);
            self.bytes += bytes as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PaceLimits = PaceLimits { pause: Duration::from_secs(60), min_rate: 100 };

    #[test]
    fn a_pause_ends_it() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        let no_rate = PaceLimits { min_rate: 0, ..LIMITS };
        assert_eq!(pace.wait(no_rate, || start), start + LIMITS.pause);
        assert_eq!(pace.wait(no_rate, || start + LIMITS.pause), start + LIMITS.pause, "asked again, the same");
    }

    #[test]
    fn too_few_bytes_for_the_time_waited_end_it() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        assert_eq!(pace.wait(LIMITS, || start), start + GRACE);
        pace.moved(1000, || start + Duration::from_secs(4));
        pace.moved(1000, || start + Duration::from_secs(9));
        // 4 s of 5 + 10 s were used; nobody waited when the second thousand came.
        let later = start + Duration::from_secs(20);
        assert_eq!(pace.wait(LIMITS, || later), later + Duration::from_secs(11));
    }

    #[test]
    fn how_long_all_of_it_may_take() {
        assert_eq!(LIMITS.longest(1000), Some(Duration::from_secs(15)));
        assert_eq!(PaceLimits { min_rate: 0, ..LIMITS }.longest(1000), None);
        assert!(LIMITS.longest(u64::MAX).is_some_and(|longest| Instant::now().checked_add(longest).is_some()));
    }
}
