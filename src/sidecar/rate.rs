//! So many in a second, and a burst. Pure: the time is an argument.

use std::time::Instant;

/// Tokens that come back with time.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    burst: f64,
    tokens: f64,
    seen: Option<Instant>,
}

impl Rate {
    /// A rate with its burst to spend.
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let (per_second, burst) = (f64::from(per_second), f64::from(burst));
        Self { per_second, burst, tokens: burst, seen: None }
    }

    /// Takes one, where there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = self.seen.map_or(0.0, |seen| now.saturating_duration_since(seen).as_secs_f64());
        self.seen = Some(now);
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        let has = 1.0 <= self.tokens;
        if has {
            self.tokens -= 1.0;
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_and_then_so_many_a_second() {
        let (start, mut rate) = (Instant::now(), Rate::new(10, 20));
        let taken = |rate: &mut Rate, from: u64, to: u64| {
            (from..to).filter(|ms| rate.take(start + Duration::from_millis(*ms))).count()
        };
        assert_eq!(taken(&mut rate, 0, 20), 20);
        assert!((9..=10).contains(&taken(&mut rate, 20, 1000)), "a second later");
        assert_eq!(taken(&mut rate, 60_000, 60_100), 20, "rest gives no more than the burst");
    }
}
