//! When the probes of one backend begin and end, as far as the stall monitor asks.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::types::millis;

/// What is known of a backend's probe under way and the one before.
#[derive(Debug)]
pub(super) struct ProbeTimes {
    born: Instant,
    /// When the one under way began, ms since `born`; 0 where there is none.
    began_ms: AtomicU64,
    waiting: AtomicUsize,
    ended: AtomicU32,
    took_ms: AtomicU64,
}

impl ProbeTimes {
    pub fn new(now: Instant) -> Self {
        Self {
            born: now,
            began_ms: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            ended: AtomicU32::new(0),
            took_ms: AtomicU64::new(0),
        }
    }

    fn ms(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.born))
    }

    /// One begins, with so many requests waiting before it.
    pub fn begin(&self, waiting: usize, now: Instant) {
        self.waiting.store(waiting, Ordering::Relaxed);
        self.began_ms.store(self.ms(now).max(1), Ordering::Relaxed);
    }

    /// Requests that waited when the latest began.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// It has ended.
    pub fn end(&self, took: Duration) {
        self.began_ms.store(0, Ordering::Relaxed);
        self.took_ms.store(millis(took), Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// How many have ended, and how long the latest took.
    pub fn ended(&self) -> (u32, Duration) {
        (self.ended.load(Ordering::Relaxed), Duration::from_millis(self.took_ms.load(Ordering::Relaxed)))
    }

    /// How long the one under way takes already.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let began = self.began_ms.load(Ordering::Relaxed);
        (began != 0).then(|| Duration::from_millis(self.ms(now).saturating_sub(began)))
    }
}
