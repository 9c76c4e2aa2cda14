//! What real requests say about one backend: passive evidence, which ejects for a while and asks for a probe at once.
//!
//! Counted without locks on the request path; it never marks anything healthy.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::health::Failure;

/// Consecutive resets or timeouts that eject.
const CONSECUTIVE_FAILURES: u32 = 3;
/// Answers in a window before the share of 5xx counts.
const SHARE_ANSWERS: u32 = 20;
/// Length of the window over which the share of 5xx is taken.
const SHARE_WINDOW: Duration = Duration::from_secs(10);
/// First ejection; each further one is longer by as much, up to ten times.
const EJECTION: Duration = Duration::from_secs(5);
const EJECTIONS_MAX: u32 = 10;
/// A backend that behaved this long starts again from the first ejection.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// Counters of one backend's requests and the ejection they led to.
#[derive(Debug)]
pub struct Evidence {
    born: Instant,
    consecutive: AtomicU32,
    window_start_ms: AtomicU64,
    answers: AtomicU32,
    errors: AtomicU32,
    ejected_until_ms: AtomicU64,
    ejections: AtomicU32,
    ends_with_probe: AtomicBool,
    last_answer_ms: AtomicU64,
    last_failure_ms: AtomicU64,
    /// When the latest answer of any kind came, or the first request after having had none.
    last_sign_ms: AtomicU64,
}

/// What one request adds up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nothing to do.
    Nothing,
    /// Worth a probe at once.
    Suspicious,
    /// Take it out of rotation and probe at once.
    Eject,
}

impl Evidence {
    /// No evidence yet.
    pub fn new(now: Instant) -> Self {
        Self {
            born: now,
            consecutive: AtomicU32::new(0),
            window_start_ms: AtomicU64::new(0),
            answers: AtomicU32::new(0),
            errors: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            ends_with_probe: AtomicBool::new(false),
            last_answer_ms: AtomicU64::new(0),
            last_failure_ms: AtomicU64::new(0),
            last_sign_ms: AtomicU64::new(0),
        }
    }

    fn ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX)
    }

    /// Counts an answer of the backend.
    pub fn answered(&self, status: u16, now: Instant) -> Finding {
        let now_ms = self.ms(now);
        self.roll_window(now_ms);
        self.last_sign_ms.store(now_ms, Ordering::Relaxed);
        self.consecutive.store(0, Ordering::Relaxed);
        let answers = self.answers.fetch_add(1, Ordering::Relaxed) + 1;
        if status < 500 {
            self.last_answer_ms.store(now_ms.max(1), Ordering::Relaxed);
            return Finding::Nothing;
        }
        let errors = self.errors.fetch_add(1, Ordering::Relaxed) + 1;
        if SHARE_ANSWERS <= answers && answers <= errors * 2 { Finding::Eject } else { Finding::Nothing }
    }

    /// Counts a request that got no answer.
    pub fn failed(&self, failure: Failure, now: Instant) -> Finding {
        let now_ms = self.ms(now);
        self.roll_window(now_ms);
        self.last_failure_ms.store(now_ms, Ordering::Relaxed);
        let in_a_row = self.consecutive.fetch_add(1, Ordering::Relaxed) + 1;
        match failure {
            Failure::Refused | Failure::ConnectTimeout | Failure::ConnectFailed => Finding::Eject,
            Failure::Timeout | Failure::Reset | Failure::BadAnswer | Failure::Status(_) => {
                if CONSECUTIVE_FAILURES <= in_a_row { Finding::Eject } else { Finding::Suspicious }
            }
        }
    }

    fn roll_window(&self, now_ms: u64) {
        let start = self.window_start_ms.load(Ordering::Relaxed);
        let ended = u128::from(now_ms.saturating_sub(start)) >= SHARE_WINDOW.as_millis();
        let relaxed = Ordering::Relaxed;
        if ended && self.window_start_ms.compare_exchange(start, now_ms, relaxed, relaxed).is_ok() {
            self.answers.store(0, relaxed);
            self.errors.store(0, relaxed);
        }
    }

    /// Share of 5xx among the answers of the window in percent, once there are enough to tell.
    pub fn error_share(&self) -> Option<u32> {
        let answers = self.answers.load(Ordering::Relaxed);
        (SHARE_ANSWERS <= answers).then(|| self.errors.load(Ordering::Relaxed) * 100 / answers)
    }

    /// Ejects; returns for how long at most. `ends_with_probe`: a probe that passes ends it early.
    pub fn eject(&self, ends_with_probe: bool, now: Instant) -> Duration {
        self.ends_with_probe.store(ends_with_probe, Ordering::Relaxed);
        let now_ms = self.ms(now);
        let until = self.ejected_until_ms.load(Ordering::Relaxed);
        let forgiven = u128::from(now_ms.saturating_sub(until)) >= FORGIVEN_AFTER.as_millis();
        let count = if forgiven { 1 } else { (self.ejections.load(Ordering::Relaxed) + 1).min(EJECTIONS_MAX) };
        self.ejections.store(count, Ordering::Relaxed);
        self.consecutive.store(0, Ordering::Relaxed);
        self.answers.store(0, Ordering::Relaxed);
        self.errors.store(0, Ordering::Relaxed);
        let length = EJECTION * count;
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        self.ejected_until_ms.store(now_ms.saturating_add(length_ms).max(1), Ordering::Relaxed);
        length
    }

    /// A probe passed: ends an ejection that ends with a probe.
    pub fn pardon(&self) {
        if self.ends_with_probe.load(Ordering::Relaxed) {
            self.consecutive.store(0, Ordering::Relaxed);
            self.ejected_until_ms.store(0, Ordering::Relaxed);
        }
    }

    /// True while ejected.
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.ms(now) < self.ejected_until_ms.load(Ordering::Relaxed)
    }

    /// Notes the first request in flight after a time without any: silence counts from here.
    pub fn began(&self, now: Instant) {
        self.last_sign_ms.store(self.ms(now), Ordering::Relaxed);
    }

    /// How long nothing was answered; means something only while requests are in flight.
    pub fn silence(&self, now: Instant) -> Duration {
        Duration::from_millis(self.ms(now).saturating_sub(self.last_sign_ms.load(Ordering::Relaxed)))
    }

    /// True when requests have failed lately, and none was answered since.
    pub fn is_failing(&self, now: Instant) -> bool {
        let age = self.ms(now).saturating_sub(self.last_failure_ms.load(Ordering::Relaxed));
        self.consecutive.load(Ordering::Relaxed) != 0 && u128::from(age) < SHARE_WINDOW.as_millis()
    }

    /// True when a request was answered well within the given time.
    pub fn served_within(&self, time: Duration, now: Instant) -> bool {
        let last = self.last_answer_ms.load(Ordering::Relaxed);
        last != 0 && u128::from(self.ms(now).saturating_sub(last)) <= time.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_ejects_at_once() {
        let now = Instant::now();
        assert_eq!(Evidence::new(now).failed(Failure::Refused, now), Finding::Eject);
    }

    #[test]
    fn three_resets_in_a_row_eject_and_an_answer_between_forgives() {
        let now = Instant::now();
        let evidence = Evidence::new(now);
        assert_eq!(evidence.failed(Failure::Reset, now), Finding::Suspicious);
        assert_eq!(evidence.failed(Failure::Timeout, now), Finding::Suspicious);
        evidence.answered(200, now);
        assert_eq!(evidence.failed(Failure::Reset, now), Finding::Suspicious);
        assert_eq!(evidence.failed(Failure::Reset, now), Finding::Suspicious);
        assert_eq!(evidence.failed(Failure::Reset, now), Finding::Eject);
    }

    #[test]
    fn half_of_twenty_answers_must_be_errors() {
        let now = Instant::now();
        let evidence = Evidence::new(now);
        let findings: Vec<_> = (0..20).map(|n| evidence.answered(if n % 2 == 0 { 200 } else { 500 }, now)).collect();
        assert_eq!(findings[..19], [Finding::Nothing; 19]);
        assert_eq!(findings[19], Finding::Eject);
        assert_eq!(evidence.error_share(), Some(50));
    }

    #[test]
    fn a_new_window_starts_from_nothing() {
        let now = Instant::now();
        let evidence = Evidence::new(now);
        for _ in 0..19 {
            evidence.answered(500, now);
        }
        assert_eq!(evidence.answered(500, now + SHARE_WINDOW), Finding::Nothing);
    }

    #[test]
    fn ejections_grow_and_end() {
        let now = Instant::now();
        let evidence = Evidence::new(now);
        assert_eq!(evidence.eject(true, now), EJECTION);
        assert!(evidence.is_ejected(now));
        assert_eq!(evidence.eject(true, now), EJECTION * 2);
        assert!(!evidence.is_ejected(now + EJECTION * 2));
        assert_eq!(evidence.eject(true, now + FORGIVEN_AFTER * 2), EJECTION);
        evidence.pardon();
        assert!(!evidence.is_ejected(now + FORGIVEN_AFTER * 2));
    }
}
