//! What probes and requests say about a backend, and what comes of it: a verdict, an ejection, a line in the log.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use crate::telemetry::CheckResult;

use super::backend::{Backend, BackendState, CheckRecord};
use super::evidence::Finding;
use super::health::{Failure, Thresholds, Verdict};
use super::lease::Lease;
use super::lookout::BEAT;
use super::pile_up::{SILENCE_MAX, explained};
use super::pool::Pool;
use super::rotation::Serving;

/// How long what an upstream needs is in doubt when it is sick itself.
const DOUBT_OF_NEEDS: Duration = Duration::from_secs(1);
/// Looks around that an answer has to take to be slow.
const SLOW_BEATS: u16 = 4;
/// Waiting requests from which they delay a probe.
const UNDISTURBED: usize = 4;

impl Pool {
    /// Has the check of a backend look at once, and those of what its upstream needs: requests say that it is sick.
    pub fn suspect(&self, backend: &Backend) {
        backend.vitals().probe_now.notify_one();
        self.suspect_needs();
    }

    /// The same, but not over and over.
    pub fn suspect_now(&self, backend: &Backend, now: Instant) {
        if backend.vitals().evidence.may_suspect(now) {
            self.suspect(backend);
        }
    }

    fn suspect_needs(&self) {
        let needs = self.needs.lock().clone();
        for need in needs.iter().filter_map(Weak::upgrade) {
            need.doubt();
        }
    }

    /// Who needs this upstream is sick: it may be the reason, and then one failed probe is not the first sign of it.
    fn doubt(&self) {
        let now = Instant::now();
        for backend in self.present() {
            let vitals = backend.vitals();
            if vitals.evidence.may_suspect(now) {
                vitals.evidence.doubt(DOUBT_OF_NEEDS, now);
                vitals.probe_now.notify_one();
            }
        }
    }

    /// Remembers an answer that took long, unless it was the backend's sickness that made it so.
    pub fn note_slow(&self, lease: &Lease) {
        let beats = self.beat.load(Ordering::Relaxed).wrapping_sub(lease.beat());
        if SLOW_BEATS <= beats {
            let backend = lease.backend();
            if !lease.is_evicted() && !backend.is_limited() && backend.state() == BackendState::Up {
                self.patience.answered(BEAT * u32::from(beats));
            }
        }
    }

    /// Takes one probe's result into account. `hurried`: its deadline was shorter than the check's own.
    pub fn observe(&self, backend: &Backend, result: Result<(), Failure>, took: Duration, hurried: bool) {
        let Some(check) = &self.spec.check else { return };
        let (vitals, now) = (backend.vitals(), Instant::now());
        vitals.metrics.checked(if result.is_ok() { CheckResult::Passed } else { CheckResult::Failed }, took);
        *vitals.last_check.lock() = Some(CheckRecord { at: SystemTime::now(), result, took });
        let is_late = result.is_err_and(Failure::is_late) && !backend.pretends_sick();
        if is_late && self.is_just_busy(backend, took, now) {
            self.changed.send_modify(|count| *count += 1);
            return;
        }
        let evidence = &vitals.evidence;
        let was_ejected = evidence.is_ejected(now);
        let mut thresholds = Thresholds { fall: check.fall, rise: check.rise };
        let corroborated = was_ejected || evidence.is_failing(now) || evidence.is_erring() || evidence.is_doubted(now);
        if let (Err(failure), true) = (result, corroborated) {
            thresholds = thresholds.corroborated(failure, hurried);
        }
        let (before, flipped, after) = {
            let mut health = vitals.health.lock();
            let before = health.verdict();
            let flipped = health.observe(result, thresholds, now);
            (before, flipped, health.verdict())
        };
        match result {
            Ok(()) => {
                backend.pass();
                if flipped && before == Verdict::Down {
                    evidence.acquit(now);
                }
                evidence.pardon(now);
                let before = vitals.probing.waiting();
                // While there is overload one more is a queue already.
                let undisturbed = if backend.is_limited() { 2 } else { UNDISTURBED };
                if before.max(backend.waiting()) < undisturbed {
                    self.patience.probe_passed(took);
                }
            }
            Err(failure) if !flipped && self.is_silent(backend, now) => self.eject_silent(backend, failure),
            Err(_) => {}
        }
        if flipped {
            self.tell_verdict(backend, before, after, result);
        }
        if flipped || (was_ejected && result.is_ok()) {
            self.refresh();
        } else {
            self.changed.send_modify(|count| *count += 1);
        }
        if flipped && after == Verdict::Down {
            vitals.evict();
            self.suspect_needs();
        } else if was_ejected && result.is_err() && evidence.may_evict() {
            vitals.evict();
        }
    }

    fn tell_verdict(&self, backend: &Backend, before: Verdict, after: Verdict, result: Result<(), Failure>) {
        let (address, name) = (backend.address(), &self.spec.name);
        match (after, result) {
            (Verdict::Up, _) => log::info!("backend {address} of {name} is up"),
            (_, Err(kind)) if before == Verdict::New => log::warn!("backend {address} of {name} is not up yet: {kind}"),
            (_, Err(kind)) => log::warn!("backend {address} of {name} is down: {kind}"),
            (_, Ok(())) => {}
        }
    }

    /// Counts a request that got no answer, and looks again at once: at the backend, its name and what it needs.
    pub fn failed(&self, backend: &Arc<Backend>, kind: Failure) {
        let (vitals, now) = (backend.vitals(), Instant::now());
        vitals.metrics.failed(kind.kind());
        let finding = vitals.evidence.failed(kind, now);
        self.look_up_names();
        vitals.probe_now.notify_one();
        self.suspect_now(backend, now);
        match finding {
            Finding::Nothing | Finding::Suspicious => {}
            Finding::Eject => self.eject(backend, kind),
        }
    }

    /// Ejects a backend that gave no answer, unless that would leave nobody and nobody waits either.
    fn eject(&self, backend: &Arc<Backend>, kind: Failure) {
        let alone = self.rotation.load().backends() <= 1;
        if backend.state() != BackendState::Up || (alone && self.spec.hold.is_zero()) {
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

    /// Ejects a backend that answers neither requests nor a probe while a sibling does answer: it hangs. Its verdict is
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
        let share = backend.vitals().evidence.error_share();
        let is_better = |sibling: &Backend| {
            let evidence = &sibling.vitals().evidence;
            sibling.address() != backend.address()
                && sibling.state() == BackendState::Up
                && evidence.is_better_than(share)
                && (!misses_a_need || evidence.is_free_of_errors(now))
        };
        let has_better = self.present().iter().any(|sibling| is_better(sibling));
        if misses_a_need && !has_better {
            // Nor once it is back, for what came before.
            backend.vitals().evidence.forget_errors();
            return;
        }
        if backend.state() != BackendState::Up || !has_better {
            return;
        }
        self.put_out(backend, false, true, &format!("{share} % of its responses are errors"));
        backend.vitals().probe_now.notify_one();
    }

    /// Takes a backend out of rotation for a while, on the evidence of requests. `evicts`: those that wait in it may go
    /// elsewhere at once.
    fn put_out(&self, backend: &Backend, until_a_probe: bool, evicts: bool, why: &str) {
        let vitals = backend.vitals();
        let length = vitals.evidence.eject(until_a_probe, Instant::now());
        vitals.metrics.ejected();
        let (address, name) = (backend.address(), &self.spec.name);
        if until_a_probe {
            log::warn!("backend {address} of {name} is ejected until a probe passes, for {length:?} at most: {why}");
        } else {
            log::warn!("backend {address} of {name} is ejected for {length:?}: {why}");
        }
        self.refresh();
        if evicts && vitals.evidence.may_evict() {
            vitals.evict();
        }
    }

    /// True where a backend has been silent for longer than the slowest answers of late explain.
    fn is_silent(&self, backend: &Backend, now: Instant) -> bool {
        backend.is_silent() && explained(self.patience.slowest_answer()) <= backend.vitals().evidence.silence(now)
    }

    /// True for a backend with much to do that answers it, if slowly: its probe waits in the same queue.
    fn is_just_busy(&self, backend: &Backend, took: Duration, now: Instant) -> bool {
        let slowest = self.patience.slowest_answer();
        let evidence = &backend.vitals().evidence;
        let hangs = evidence.is_ejected(now) && explained(slowest) <= evidence.silence(now);
        let lately = took.max((slowest * 2).min(SILENCE_MAX));
        UNDISTURBED <= backend.waiting() && !hangs && evidence.served_within(lately, now)
    }
}
