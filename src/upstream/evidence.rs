//! What real requests say about one backend: passive evidence, which ejects for a while and asks for a probe at once.
//!
//! Counted without locks on the request path; it never marks anything healthy.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::types::millis;

use super::failure::Failure;

/// Consecutive resets or timeouts that eject.
const CONSECUTIVE_FAILURES: u32 = 3;
/// Answers in a window before the share of 5xx counts.
const SHARE_ANSWERS: u32 = 20;
/// Answers that end a window: one that was well for long must not hide that it no longer is.
const WINDOW_ANSWERS: u32 = 64;
/// Longest window over which the share of 5xx is taken.
const SHARE_WINDOW: Duration = Duration::from_secs(10);
/// 5xx in a row that eject, whatever came before them.
const ERRORS_IN_A_ROW: u32 = 10;
/// 5xx in a row that are worth a probe.
const ERRORS_SUSPICIOUS: u32 = 4;
/// Shortest time between two suspicions: what stays as it is need not be asked about over and over.
const SUSPICION_PAUSE: Duration = Duration::from_millis(300);
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
    /// Answers ever.
    answers: AtomicU64,
    /// Those before the window.
    window_base: AtomicU64,
    /// 5xx of the window.
    errors: AtomicU32,
    /// Share of 5xx in the window before, in percent.
    share_before: AtomicU32,
    errors_in_a_row: AtomicU32,
    ejected_until_ms: AtomicU64,
    ejections: AtomicU32,
    ends_with_probe: AtomicBool,
    /// Who waits has been told to go elsewhere, in this ejection.
    evicted: AtomicBool,
    last_answer_ms: AtomicU64,
    last_failure_ms: AtomicU64,
    /// When the latest answer of any kind came, or the first request after having had none.
    last_sign_ms: AtomicU64,
    last_suspicion_ms: AtomicU64,
    doubted_until_ms: AtomicU64,
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
            answers: AtomicU64::new(0),
            window_base: AtomicU64::new(0),
            errors: AtomicU32::new(0),
            share_before: AtomicU32::new(0),
            errors_in_a_row: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            ends_with_probe: AtomicBool::new(false),
            evicted: AtomicBool::new(false),
            last_answer_ms: AtomicU64::new(0),
            last_failure_ms: AtomicU64::new(0),
            last_sign_ms: AtomicU64::new(0),
            last_suspicion_ms: AtomicU64::new(0),
            doubted_until_ms: AtomicU64::new(0),
        }
    }

    fn ms(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.born))
    }

    /// Counts an answer of the backend.
    pub fn answered(&self, status: u16, now: Instant) -> Finding {
        let now_ms = self.ms(now);
        self.last_sign_ms.store(now_ms, Ordering::Relaxed);
        self.consecutive.store(0, Ordering::Relaxed);
        self.answers.fetch_add(1, Ordering::Relaxed);
        let answers = self.roll_window(now_ms);
        if status < 500 {
            self.last_answer_ms.store(now_ms.max(1), Ordering::Relaxed);
            if self.errors_in_a_row.load(Ordering::Relaxed) != 0 {
                self.errors_in_a_row.store(0, Ordering::Relaxed);
            }
            return Finding::Nothing;
        }
        let errors = self.errors.fetch_add(1, Ordering::Relaxed) + 1;
        let in_a_row = self.errors_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        if ERRORS_IN_A_ROW <= in_a_row || (SHARE_ANSWERS <= answers && answers <= errors * 2) {
            Finding::Eject
        } else if in_a_row.is_multiple_of(ERRORS_SUSPICIOUS) {
            Finding::Suspicious
        } else {
            Finding::Nothing
        }
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

    /// Begins the next window where this one has ended. Returns how many answers are in it.
    fn roll_window(&self, now_ms: u64) -> u32 {
        let relaxed = Ordering::Relaxed;
        let (start, answers) = (self.window_start_ms.load(relaxed), self.answers_in_window());
        let ended = u128::from(now_ms.saturating_sub(start)) >= SHARE_WINDOW.as_millis();
        if !ended && answers <= WINDOW_ANSWERS {
            return answers;
        }
        if self.window_start_ms.compare_exchange(start, now_ms.max(start + 1), relaxed, relaxed).is_ok() {
            let share = if ended { 0 } else { self.errors.load(relaxed) * 100 / answers.max(1) };
            self.share_before.store(share, relaxed);
            self.window_base.store(self.answers.load(relaxed).saturating_sub(1), relaxed);
            self.errors.store(0, relaxed);
        }
        1
    }

    fn answers_in_window(&self) -> u32 {
        let answers = self.answers.load(Ordering::Relaxed).saturating_sub(self.window_base.load(Ordering::Relaxed));
        u32::try_from(answers).unwrap_or(u32::MAX)
    }

    /// Answers ever, of any kind.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Share of 5xx among the latest answers in percent; 0 where there are too few to tell.
    pub fn error_share(&self) -> u32 {
        let answers = self.answers_in_window();
        if ERRORS_IN_A_ROW <= self.errors_in_a_row.load(Ordering::Relaxed) {
            return 100;
        }
        if answers < SHARE_ANSWERS {
            return self.share_before.load(Ordering::Relaxed);
        }
        self.errors.load(Ordering::Relaxed) * 100 / answers
    }

    /// True where what it answers is errors now.
    pub fn is_erring(&self) -> bool {
        ERRORS_SUSPICIOUS <= self.errors_in_a_row.load(Ordering::Relaxed)
    }

    /// True where requests say that it fails now: it errs, or gives no answers.
    pub fn is_in_trouble(&self, now: Instant) -> bool {
        self.is_erring() || self.is_failing(now)
    }

    /// True where a sibling with the given share of errors is worse: by far, and this one has none in a row.
    pub fn is_better_than(&self, share: u32) -> bool {
        self.errors_in_a_row.load(Ordering::Relaxed) < ERRORS_SUSPICIOUS && self.error_share() * 3 < share
    }

    /// True where enough was answered of late, and none of it was an error.
    pub fn is_free_of_errors(&self, now: Instant) -> bool {
        let relaxed = Ordering::Relaxed;
        let age = self.ms(now).saturating_sub(self.window_start_ms.load(relaxed));
        let errors = [&self.errors, &self.errors_in_a_row, &self.share_before];
        u128::from(age) < SHARE_WINDOW.as_millis()
            && ERRORS_IN_A_ROW <= self.answers_in_window()
            && errors.iter().all(|count| count.load(relaxed) == 0)
    }

    /// True where a suspicion may be acted on now.
    pub fn may_suspect(&self, now: Instant) -> bool {
        let (now_ms, last) = (self.ms(now), self.last_suspicion_ms.load(Ordering::Relaxed));
        let pause = millis(SUSPICION_PAUSE);
        (last == 0 || last + pause <= now_ms)
            && self
                .last_suspicion_ms
                .compare_exchange(last, now_ms.max(1), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Requests say it is sick, its own or those of who needs it: for so long a failed probe is not the first sign.
    pub fn doubt(&self, time: Duration, now: Instant) {
        self.doubted_until_ms.fetch_max(self.ms(now + time), Ordering::Relaxed);
    }

    /// True while in doubt.
    pub fn is_doubted(&self, now: Instant) -> bool {
        self.ms(now) < self.doubted_until_ms.load(Ordering::Relaxed)
    }

    /// Counts errors from none again.
    pub fn forget_errors(&self) {
        self.window_base.store(self.answers.load(Ordering::Relaxed), Ordering::Relaxed);
        for count in [&self.errors, &self.errors_in_a_row, &self.share_before] {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// Ejects; returns for how long at most. `ends_with_probe`: a probe that passes ends it early.
    pub fn eject(&self, ends_with_probe: bool, now: Instant) -> Duration {
        self.ends_with_probe.store(ends_with_probe, Ordering::Relaxed);
        self.evicted.store(false, Ordering::Relaxed);
        let now_ms = self.ms(now);
        let until = self.ejected_until_ms.load(Ordering::Relaxed);
        let forgiven = u128::from(now_ms.saturating_sub(until)) >= FORGIVEN_AFTER.as_millis();
        let count = if forgiven { 1 } else { (self.ejections.load(Ordering::Relaxed) + 1).min(EJECTIONS_MAX) };
        self.ejections.store(count, Ordering::Relaxed);
        self.consecutive.store(0, Ordering::Relaxed);
        self.forget_errors();
        let length = EJECTION * count;
        let length_ms = millis(length);
        self.ejected_until_ms.store(now_ms.saturating_add(length_ms).max(1), Ordering::Relaxed);
        length
    }

    /// True once an ejection: who waits is told to go elsewhere.
    pub fn may_evict(&self) -> bool {
        !self.evicted.swap(true, Ordering::Relaxed)
    }

    /// A probe passed: ends all doubt, and an ejection that ends with a probe. Silence counts anew.
    pub fn clear_suspicion(&self, now: Instant) {
        self.doubted_until_ms.store(0, Ordering::Relaxed);
        self.last_sign_ms.store(self.ms(now), Ordering::Relaxed);
        if self.ends_with_probe.load(Ordering::Relaxed) {
            self.consecutive.store(0, Ordering::Relaxed);
            self.ejected_until_ms.store(0, Ordering::Relaxed);
        }
    }

    /// It was down and is up again, whatever it did before: ends any ejection.
    pub fn clear_ejection(&self, now: Instant) {
        self.ends_with_probe.store(true, Ordering::Relaxed);
        self.clear_suspicion(now);
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
#[path = "evidence_tests.rs"]
mod tests;
