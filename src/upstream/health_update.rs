//! What probes and requests say about a backend, and what comes of it: a state, an ejection, a line in the log.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use crate::telemetry::CheckResult;

use super::backend::{Backend, BackendState, CheckRecord};
use super::evidence::Finding;
use super::failure::Failure;
use super::health::{CheckState, Thresholds};
use super::lease::Lease;
use super::pile_up::{SILENCE_MAX, explained};
use super::pool::BackendPool;
use super::probe_result::{ProbeFailure, ProbeResult};
use super::rotation::Serving;
use super::stall_monitor::BEAT;

/// How long what an upstream needs is in doubt when it is sick itself.
const DOUBT_OF_NEEDS: Duration = Duration::from_secs(1);
/// Looks around that an answer has to take to be slow.
const SLOW_BEATS: u16 = 4;
/// Waiting requests from which they delay a probe.
const UNDISTURBED: usize = 4;

impl BackendPool {
    /// Has the check of a backend look at once, and those of what its upstream needs: requests say that it is sick.
    pub fn suspect(&self, backend: &Backend) {
        backend.lasting().probe_now.notify_one();
        self.look_for_a_cause();
    }

    /// The same, but not over and over.
    pub fn suspect_now(&self, backend: &Backend, now: Instant) {
        if backend.lasting().evidence.may_suspect(now) {
            self.suspect(backend);
        }
    }

    /// Has the checks of what this upstream needs look at once; and those of every other upstream where all of this one
    /// fails, for what falls sick together has one cause.
    fn look_for_a_cause(&self) {
        let needs = self.needs.lock().clone();
        for need in needs.iter().filter_map(Weak::upgrade) {
            need.doubt();
        }
        let now = Instant::now();
        if !all_fail(
            self.present().iter().map(|backend| (backend.state(), backend.lasting().evidence.is_in_trouble(now))),
        ) {
            return;
        }
        let all = Arc::clone(&self.all.lock());
        for other in all.iter().filter_map(Weak::upgrade).filter(|other| !std::ptr::eq(&**other, self)) {
            other.ask_after();
        }
    }

    /// Another upstream fails as a whole. Of one that answers requests well that is no sign; it is asked all the same.
    fn ask_after(&self) {
        let now = Instant::now();
        for backend in self.present() {
            let lasting = backend.lasting();
            if lasting.evidence.may_suspect(now) {
                if !lasting.evidence.served_within(DOUBT_OF_NEEDS, now) {
                    lasting.evidence.doubt(DOUBT_OF_NEEDS, now);
                }
                lasting.probe_now.notify_one();
            }
        }
    }

    /// Of all backends only one is up: a moment ago there was none.
    fn is_first_up(&self) -> bool {
        self.present().iter().filter(|backend| backend.check_state() == CheckState::Up).count() == 1
    }

    /// Has the checks of everybody who is down look at once: what falls with an upstream comes back with it.
    fn look_who_comes_back(&self) {
        let all = Arc::clone(&self.all.lock());
        for other in all.iter().filter_map(Weak::upgrade).filter(|other| !std::ptr::eq(&**other, self)) {
            for backend in other.present().iter().filter(|backend| backend.check_state() == CheckState::Down) {
                backend.lasting().probe_now.notify_one();
            }
        }
    }

    /// Who needs this upstream is sick: it may be the reason, and then one failed probe is not the first sign of it.
    fn doubt(&self) {
        let now = Instant::now();
        for backend in self.present() {
            let lasting = backend.lasting();
            if lasting.evidence.may_suspect(now) {
                lasting.evidence.doubt(DOUBT_OF_NEEDS, now);
                lasting.probe_now.notify_one();
            }
        }
    }

    /// Remembers an answer that took long, unless it was the backend's sickness that made it so.
    pub fn note_slow(&self, lease: &Lease) {
        let beats = self.beat.load(Ordering::Relaxed).wrapping_sub(lease.beat());
        if SLOW_BEATS <= beats {
            let backend = lease.backend();
            if !lease.is_evicted() && !backend.is_limited() && backend.state() == BackendState::Up {
                self.latencies.answered(BEAT * u32::from(beats));
            }
        }
    }

    /// Takes one probe's result into account. `hurried`: its deadline was shorter than the check's own.
    pub fn observe(&self, backend: &Backend, result: &ProbeResult, took: Duration, hurried: bool) {
        let Some(check) = &self.spec.check else { return };
        let (lasting, now) = (backend.lasting(), Instant::now());
        lasting.metrics.checked(if result.is_ok() { CheckResult::Passed } else { CheckResult::Failed }, took);
        let record = CheckRecord { at: SystemTime::now(), result: result.clone(), took };
        let last = lasting.last_check.lock().replace(record);
        let failure = result.as_ref().err().map(ProbeFailure::kind);
        let is_late = failure.is_some_and(Failure::is_late) && !backend.pretends_sick();
        if is_late && self.is_just_busy(backend, took, now) {
            self.changed.send_modify(|count| *count += 1);
            return;
        }
        let evidence = &lasting.evidence;
        let was_ejected = evidence.is_ejected(now);
        let mut thresholds = Thresholds { fall: check.fall, rise: check.rise };
        let corroborated = was_ejected || evidence.is_failing(now) || evidence.is_erring() || evidence.is_doubted(now);
        if let (Some(failure), true) = (failure, corroborated) {
            thresholds = thresholds.corroborated(failure, hurried);
        }
        let (before, flipped, after) = {
            let mut health = lasting.health.lock();
            let before = health.check_state();
            let flipped = health.observe(result, thresholds, now);
            (before, flipped, health.check_state())
        };
        match failure {
            None => {
                backend.pass();
                if flipped && before == CheckState::Down {
                    evidence.clear_ejection(now);
                }
                evidence.clear_suspicion(now);
                let before = lasting.probe_times.waiting();
                // While there is overload one more is a queue already.
                let undisturbed = if backend.is_limited() { 2 } else { UNDISTURBED };
                if before.max(backend.waiting()) < undisturbed {
                    self.latencies.probe_passed(took);
                }
            }
            Some(failure) if !flipped && self.is_silent(backend, now) => self.eject_silent(backend, failure),
            Some(_) => {}
        }
        if flipped {
            self.tell_check_state(backend, before, after, result);
        }
        self.tell_refusal(backend, last.as_ref(), result);
        if flipped || (was_ejected && failure.is_none()) {
            self.refresh();
        } else {
            self.changed.send_modify(|count| *count += 1);
        }
        if flipped && after == CheckState::Down {
            lasting.evict();
            self.look_for_a_cause();
        } else if flipped && before == CheckState::Down && self.is_first_up() {
            self.look_who_comes_back();
        } else if was_ejected && failure.is_some() && evidence.may_evict() {
            lasting.evict();
        }
    }

    fn tell_check_state(&self, backend: &Backend, before: CheckState, after: CheckState, result: &ProbeResult) {
        let (address, name) = (backend.address(), &self.spec.name);
        match (after, result) {
            (CheckState::Up, _) => log::info!("backend {address} of {name} is up"),
            (_, Err(failure)) if before == CheckState::New => {
                log::warn!("backend {address} of {name} is not up yet: {failure}");
            }
            (_, Err(failure)) => log::warn!("backend {address} of {name} is down: {failure}"),
            (_, Ok(_)) => {}
        }
    }

    /// Says once that a server lives and does not let the edge in, and not again while it does so.
    fn tell_refusal(&self, backend: &Backend, last: Option<&CheckRecord>, result: &ProbeResult) {
        let refused_before = matches!(last, Some(CheckRecord { result: Ok(Some(_)), .. }));
        if let (Ok(Some(words)), false) = (result, refused_before) {
            let (address, name) = (backend.address(), &self.spec.name);
            log::info!("backend {address} of {name} is alive but does not accept the check, which passes: {words}");
        }
    }

    /// Counts a request that got no answer, and looks again at once: at the backend, its name and what it needs.
    pub fn failed(&self, backend: &Arc<Backend>, kind: Failure) {
        let (lasting, now) = (backend.lasting(), Instant::now());
        lasting.metrics.failed(kind.kind());
        let finding = lasting.evidence.failed(kind, now);
        self.look_up_names();
        lasting.probe_now.notify_one();
        self.suspect_now(backend, now);
        match finding {
            Finding::Nothing | Finding::Suspicious => {}
            Finding::Eject => self.eject(backend, kind),
        }
    }

    /// Ejects a backend that gave no answer. The last one only where requests wait for it meanwhile, and where a probe can
    /// let it back at once: else a few requests that it breaks off would stop all of the others for seconds.
    fn eject(&self, backend: &Arc<Backend>, kind: Failure) {
        let alone = self.rotation.load().backends() <= 1;
        let waits_for_a_probe = !self.spec.hold.is_zero() && self.spec.check.is_some();
        if backend.state() != BackendState::Up || (alone && !waits_for_a_probe) {
            return;
        }
        // A queue that takes nobody in may still be worked on; then a probe decides.
        self.put_out(backend, true, kind != Failure::ConnectTimeout, &kind.to_string());
    }

    /// Ejects a backend where requests pile up. They stay until a probe has failed too: where one passes nothing has
    /// happened.
    pub fn eject_hanging(&self, backend: &Backend, waiting: usize, silence: Duration) {
        let why = format!("{waiting} requests waiting, no response for {} ms", silence.as_millis());
        self.put_out(backend, true, false, &why);
        self.suspect(backend);
    }

    /// Ejects a backend that answers neither requests nor a probe while a sibling does answer: it hangs. Its state is
    /// left to the check, for under overload nobody answers in time.
    fn eject_silent(&self, backend: &Backend, failure: Failure) {
        let answers = |sibling: &Backend| {
            sibling.address() != backend.address() && sibling.state() == BackendState::Up && !sibling.is_silent()
        };
        let has_better = self.present().iter().any(|sibling| answers(sibling));
        if backend.state() != BackendState::Up || !has_better {
            return;
        }
        let why = format!("{failure}; {} requests waiting", backend.in_flight());
        self.put_out(backend, true, true, &why);
    }

    /// True while an upstream that this one needs has nobody up: what goes wrong here is most likely wrong there.
    fn misses_a_need(&self) -> bool {
        let is_away = |need: Arc<Self>| matches!(need.rotation.load().serving, Serving::FailOpen | Serving::Nobody);
        self.needs.lock().iter().filter_map(Weak::upgrade).any(is_away)
    }

    /// Ejects a backend whose answers are errors, where its siblings' are not. While something that its upstream needs is
    /// away a sibling has to be without any: then the need explains nothing.
    pub fn eject_for_errors(&self, backend: &Arc<Backend>) {
        let (misses_a_need, now) = (self.misses_a_need(), Instant::now());
        let share = backend.lasting().evidence.error_share();
        let is_better = |sibling: &Backend| {
            let evidence = &sibling.lasting().evidence;
            sibling.address() != backend.address()
                && sibling.state() == BackendState::Up
                && evidence.is_better_than(share)
                && (!misses_a_need || evidence.is_free_of_errors(now))
        };
        let has_better = self.present().iter().any(|sibling| is_better(sibling));
        if misses_a_need && !has_better {
            // Nor once it is back, for what came before.
            backend.lasting().evidence.forget_errors();
            return;
        }
        if backend.state() != BackendState::Up || !has_better {
            return;
        }
        self.put_out(backend, false, true, &format!("{share} % of its responses are errors"));
        backend.lasting().probe_now.notify_one();
    }

    /// Takes a backend out of rotation for a while, on the evidence of requests. `evicts`: those that wait in it may go
    /// elsewhere at once.
    fn put_out(&self, backend: &Backend, until_a_probe: bool, evicts: bool, why: &str) {
        let lasting = backend.lasting();
        let length = lasting.evidence.eject(until_a_probe, Instant::now());
        lasting.metrics.ejected();
        let (address, name) = (backend.address(), &self.spec.name);
        if until_a_probe {
            log::warn!("backend {address} of {name} is ejected until a probe passes, for {length:?} at most: {why}");
        } else {
            log::warn!("backend {address} of {name} is ejected for {length:?}: {why}");
        }
        self.refresh();
        if evicts && lasting.evidence.may_evict() {
            lasting.evict();
        }
    }

    /// True where a backend has been silent for longer than the slowest answers of late explain.
    fn is_silent(&self, backend: &Backend, now: Instant) -> bool {
        backend.is_silent() && explained(self.latencies.slowest_answer()) <= backend.lasting().evidence.silence(now)
    }

    /// True for a backend with much to do that answers it, if slowly: its probe waits in the same queue.
    fn is_just_busy(&self, backend: &Backend, took: Duration, now: Instant) -> bool {
        let slowest = self.latencies.slowest_answer();
        let evidence = &backend.lasting().evidence;
        let hangs = evidence.is_ejected(now) && explained(slowest) <= evidence.silence(now);
        let lately = took.max((slowest * 2).min(SILENCE_MAX));
        UNDISTURBED <= backend.waiting() && !hangs && evidence.served_within(lately, now)
    }
}

/// True where whoever could serve fails, by its check or by its requests; what is new, stopped or leaving says nothing.
fn all_fail(backends: impl Iterator<Item = (BackendState, bool)>) -> bool {
    let (mut any, mut all) = (false, true);
    for (state, is_in_trouble) in backends {
        match state {
            BackendState::Down | BackendState::Ejected | BackendState::Healing => any = true,
            BackendState::Up if is_in_trouble => any = true,
            BackendState::Up => all = false,
            BackendState::New | BackendState::Held | BackendState::Draining => {}
        }
    }
    any && all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_fails_as_a_whole_where_nobody_is_well() {
        use BackendState::{Down, Draining, Ejected, Healing, Held, New, Up};
        #[rustfmt::skip]
        let rows: [(&[(BackendState, bool)], bool); 9] = [
            (&[],                                              false),
            (&[(Up, false)],                                   false),
            (&[(Up, true)],                                    true),
            (&[(Down, false), (Up, false)],                    false),
            (&[(Down, false), (Up, true), (Ejected, false)],   true),
            (&[(Healing, false), (Down, true)],                true),
            (&[(New, false), (Held, false)],                   false),
            (&[(New, false), (Down, false), (Draining, true)], true),
            (&[(Held, false), (Up, false)],                    false),
        ];
        for (backends, expected) in rows {
            assert_eq!(all_fail(backends.iter().copied()), expected, "{backends:?}");
        }
    }
}
