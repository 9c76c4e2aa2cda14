//! How many requests a backend may have waiting while it gets more than it can answer. Pure: one step a beat.
//!
//! What shows a queue is a probe that waits in it: requests that wait for long behind an idle server (long polling, slow
//! endpoints) do not delay one. So nothing is limited before probes are late too, and the limit follows the probes: down
//! while they wait too long, up while they do not, and up as well where a lower limit turned out to cost answers.

use std::time::{Duration, Instant};

/// No limit.
pub const UNLIMITED: usize = usize::MAX;
/// Least limit. Two sync workers need no more to be busy at all times.
const LIMIT_MIN: usize = 4;
/// Waiting requests from which a probe is asked whether there is a queue.
const CROWD: usize = 6;
/// Waiting requests without which nothing is ever limited.
const FULL: usize = 16;
/// Requests that are answered sooner than this are no queue worth the name.
const WAIT: Duration = Duration::from_millis(300);
/// How long a slow probe counts.
const SLOW_COUNTS: Duration = Duration::from_millis(500);
/// Pauses between probes that are asked for: while limited, and while there are just many requests, growing.
const ASK_PAUSE: Duration = Duration::from_millis(250);
const ASK_PAUSE_MAX: Duration = Duration::from_secs(8);
/// Time between two looks at what the limit costs.
const COMPARE_EVERY: Duration = Duration::from_secs(2);
/// Share of a beat in the mean rate of answers: slow ones come in bursts.
const MEAN_PART: f64 = 0.0125;
/// Share of the best rate of answers below which the limit is too low.
const RATE_KEPT: f64 = 0.7;
/// What remains of the best rate whenever the limit was raised for its sake.
const RATE_FORGOTTEN: f64 = 0.85;
/// How long probes may be late at the least limit before hardly anybody is let in for one of them, to see what it takes by
/// itself: doubles each time. And how long that may take.
const MEASURE_FIRST: Duration = Duration::from_secs(3);
const MEASURE_MAX: Duration = Duration::from_secs(60);
const MEASURE_WITHIN: Duration = Duration::from_secs(3);
/// How long there has to be room before the limit goes.
const CALM: Duration = Duration::from_millis(500);

/// The limit of one backend.
#[derive(Debug)]
pub struct OverloadGate {
    limit: usize,
    slow_at: Option<Instant>,
    ask_at: Option<Instant>,
    ask_pause: Duration,
    mean_rate: f64,
    best_rate: f64,
    compared_at: Option<Instant>,
    calm_since: Option<Instant>,
    /// Since when probes are late although the limit is the least.
    late_since: Option<Instant>,
    measure_pause: Duration,
    measuring_since: Option<Instant>,
}

/// What is seen of a backend at a beat.
#[derive(Debug, Clone, Copy)]
pub struct OverloadSample {
    /// Requests that wait for the head of an answer.
    pub waiting: usize,
    /// Answers a second, lately.
    pub rate: f64,
    /// How long the probe under way has taken so far.
    pub probe_age: Option<Duration>,
    /// A probe that ended since the last beat: how long it took, and how many requests waited when it began.
    pub probe_ended: Option<(Duration, usize)>,
    /// A probe that takes longer is slow.
    pub slow: Duration,
    /// A probe takes this long at most.
    pub timeout: Duration,
}

/// A gate that stands open.
impl Default for OverloadGate {
    fn default() -> Self {
        Self {
            limit: UNLIMITED,
            slow_at: None,
            ask_at: None,
            ask_pause: ASK_PAUSE,
            mean_rate: 0.0,
            best_rate: 0.0,
            compared_at: None,
            calm_since: None,
            late_since: None,
            measure_pause: MEASURE_FIRST,
            measuring_since: None,
        }
    }
}

impl OverloadSample {
    fn lag(&self) -> Duration {
        self.probe_age.into_iter().chain(self.probe_ended.map(|(took, _)| took)).max().unwrap_or_default()
    }

    /// How long a probe should wait in the queue at most.
    fn target(&self) -> Duration {
        (self.slow * 2).min(self.timeout * 3 / 4).max(self.slow)
    }

    fn is_crowded(&self) -> bool {
        CROWD <= self.waiting && self.rate * WAIT.as_secs_f64() <= amount(self.waiting)
    }
}

fn amount(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

impl OverloadGate {
    /// Requests that may wait at a time; [`UNLIMITED`] unless there is overload.
    pub fn limit(&self) -> usize {
        if self.measuring_since.is_some() { 1 } else { self.limit }
    }

    /// True while there is a limit.
    pub fn is_limiting(&self) -> bool {
        self.limit != UNLIMITED
    }

    /// Takes one beat into account; true when a probe should be made now.
    pub fn step(&mut self, seen: &OverloadSample, now: Instant) -> bool {
        if seen.target() <= seen.lag() {
            self.slow_at = Some(now);
        }
        if self.is_limiting() {
            self.adjust(seen, now);
            let ended = seen.probe_age.is_none();
            return self.is_limiting() && ended && self.may_ask(ASK_PAUSE, now);
        }
        if !seen.is_crowded() {
            (self.ask_at, self.ask_pause) = (None, ASK_PAUSE);
            return false;
        }
        let is_slow = self.slow_at.is_some_and(|at| now.saturating_duration_since(at) <= SLOW_COUNTS);
        if is_slow && FULL <= seen.waiting && 0.0 < seen.rate {
            self.begin(seen, now);
        }
        let pause = self.ask_pause;
        let asks = self.may_ask(pause, now);
        if asks {
            self.ask_pause = if is_slow { ASK_PAUSE } else { (pause * 2).min(ASK_PAUSE_MAX) };
        }
        asks
    }

    fn may_ask(&mut self, pause: Duration, now: Instant) -> bool {
        let due = self.ask_at.is_none_or(|at| at <= now);
        if due {
            self.ask_at = Some(now + pause);
        }
        due
    }

    /// The first limit: what is answered within about twice the time that requests should wait.
    fn begin(&mut self, seen: &OverloadSample, now: Instant) {
        let answered = (seen.rate * 2.0 * seen.target().as_secs_f64()).ceil();
        let mut limit = LIMIT_MIN;
        while amount(limit) < answered && limit < seen.waiting {
            limit += 1;
        }
        (self.limit, self.mean_rate, self.best_rate) = (limit, seen.rate, seen.rate);
        (self.compared_at, self.calm_since) = (Some(now), None);
    }

    /// A check's page that is slow by itself is no queue: where no limit makes it quicker, it is seen what it takes with hardly
    /// anybody before it, and whoever learns from probes learns that.
    fn measure(&mut self, seen: &OverloadSample, now: Instant) {
        if let Some(since) = self.measuring_since {
            let was_quick = seen.probe_ended.is_some_and(|(took, before)| before <= 1 && took < seen.slow);
            if was_quick || MEASURE_WITHIN <= now.saturating_duration_since(since) {
                (self.measuring_since, self.late_since) = (None, None);
            }
            return;
        }
        let Some((took, before)) = seen.probe_ended else { return };
        if took <= seen.target() || LIMIT_MIN < self.limit {
            self.late_since = None;
        } else if before <= LIMIT_MIN + 1 {
            let since = *self.late_since.get_or_insert(now);
            if self.measure_pause <= now.saturating_duration_since(since) {
                self.measure_pause = (self.measure_pause * 2).min(MEASURE_MAX);
                self.measuring_since = Some(now);
            }
        }
    }

    fn adjust(&mut self, seen: &OverloadSample, now: Instant) {
        self.measure(seen, now);
        if self.measuring_since.is_some() {
            return;
        }
        let is_used = self.limit <= seen.waiting + 1;
        self.mean_rate += (seen.rate - self.mean_rate) * MEAN_PART;
        // A probe that began behind more than the limit says nothing about the limit.
        if let Some((took, _)) = seen.probe_ended.filter(|(_, before)| *before <= self.limit + 1) {
            if seen.target() < took {
                self.limit = (self.limit - (self.limit / 6).max(1)).max(LIMIT_MIN);
            } else if is_used {
                // One that did not wait at all shows that there is someone idle.
                let part = if took < seen.slow / 4 { 4 } else { 10 };
                self.limit += (self.limit / part).max(1);
            }
        }
        if self.compared_at.is_none_or(|at| COMPARE_EVERY <= now.saturating_duration_since(at)) {
            self.compared_at = Some(now);
            self.best_rate = (self.best_rate * 0.98).max(self.mean_rate);
            if is_used && self.mean_rate < self.best_rate * RATE_KEPT {
                self.limit += self.limit / 2;
                // It may be that less can be answered than before: then this ends after a few times.
                self.best_rate *= RATE_FORGOTTEN;
            }
        }
        let is_calm = !is_used && seen.lag() < seen.target();
        // A limit that is nearly reached has to prove for longer that nobody needs it.
        let is_idle = seen.waiting * 4 <= self.limit * 3 && seen.lag() < seen.slow;
        let calm = if is_idle { CALM } else { CALM * 10 };
        let since = *self.calm_since.get_or_insert(now);
        if !is_calm {
            self.calm_since = None;
        } else if calm <= now.saturating_duration_since(since) {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
#[path = "overload_tests.rs"]
mod tests;
