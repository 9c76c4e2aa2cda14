//! How long the answers of an upstream and the probes of its check take lately: what they may take before it means
//! something follows from that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::types::millis;

/// Shortest deadline of a probe that is made because requests say that something is wrong.
const HURRIED_MIN: Duration = Duration::from_millis(200);
/// How many times as long as the slowest of late a probe may take before it is late.
const TIMES: u32 = 4;

/// How much slower than those before one probe may count, twice as slow apart: one alone proves little.
const STEP: Duration = Duration::from_millis(20);

/// The slowest of late: what is slower counts at once, for a probe in steps, and is forgotten by and by.
#[derive(Debug, Default)]
pub struct Latencies {
    probe_us: AtomicU64,
    answer_ms: AtomicU64,
}

impl Latencies {
    /// A probe passed while nothing was queued before it.
    pub fn probe_passed(&self, took: Duration) {
        let before = self.probe_us.load(Ordering::Relaxed);
        let took = if before == 0 { took } else { took.min(Duration::from_micros(before) * 2 + STEP) };
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.probe_us.store(took.max(before - before / 16), Ordering::Relaxed);
    }

    /// What another generation of the same upstream has learnt.
    pub fn of(other: &Self) -> Self {
        let copy = |one: &AtomicU64| AtomicU64::new(one.load(Ordering::Relaxed));
        Self { probe_us: copy(&other.probe_us), answer_ms: copy(&other.answer_ms) }
    }

    /// The deadline of a probe that should be quick: `usual` at most, and where nothing is known yet.
    pub fn hurried(&self, usual: Duration) -> Duration {
        if self.probe_us.load(Ordering::Relaxed) == 0 { usual } else { self.slow(usual) }
    }

    /// What a probe takes that waits in a queue: `usual` at most. Where nothing is known yet, pages are taken to be quick.
    pub fn slow(&self, usual: Duration) -> Duration {
        let slowest = Duration::from_micros(self.probe_us.load(Ordering::Relaxed));
        slowest.saturating_mul(TIMES).max(HURRIED_MIN).min(usual)
    }

    /// An answer took so long.
    pub fn answered(&self, took: Duration) {
        self.answer_ms.fetch_max(millis(took), Ordering::Relaxed);
    }

    /// How long the slowest answers took lately.
    pub fn slowest_answer(&self) -> Duration {
        Duration::from_millis(self.answer_ms.load(Ordering::Relaxed))
    }

    /// Forgets a little; half of it by the fourteenth call, so call it once a second.
    pub fn forget(&self) {
        let before = self.answer_ms.load(Ordering::Relaxed);
        self.answer_ms.fetch_sub(before / 20, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_may_take_several_times_what_they_took_lately() {
        let (ms, usual) = (Duration::from_millis, Duration::from_secs(2));
        let latencies = Latencies::default();
        assert_eq!(latencies.hurried(usual), usual, "nothing is known");
        latencies.probe_passed(ms(5));
        assert_eq!(latencies.hurried(usual), ms(200));
        latencies.probe_passed(ms(900));
        assert_eq!(latencies.hurried(usual), ms(200), "one alone");
        (0..3).for_each(|_| latencies.probe_passed(ms(160)));
        assert_eq!(latencies.hurried(usual), ms(640), "some of them");
        (0..3).for_each(|_| latencies.probe_passed(ms(900)));
        assert_eq!(latencies.hurried(usual), usual);
        assert_eq!(latencies.hurried(ms(80)), ms(80));
        assert_eq!(Latencies::of(&latencies).hurried(usual), usual, "the next generation knows it too");
        for _ in 0..100 {
            latencies.probe_passed(ms(5));
        }
        assert_eq!(latencies.hurried(usual), ms(200));
        let slow = Latencies::default();
        slow.probe_passed(ms(450));
        assert_eq!(slow.hurried(usual), ms(1_800), "the first counts whole");
    }

    #[test]
    fn slow_answers_are_remembered_for_a_while() {
        let latencies = Latencies::default();
        latencies.answered(Duration::from_secs(3));
        latencies.answered(Duration::from_secs(1));
        assert_eq!(latencies.slowest_answer(), Duration::from_secs(3));
        (0..14).for_each(|_| latencies.forget());
        assert!(latencies.slowest_answer() < Duration::from_millis(1_500));
        (0..60).for_each(|_| latencies.forget());
        assert!(latencies.slowest_answer() < Duration::from_millis(100));
    }
}
