//! What probes and requests say about a backend, and what comes of it: a verdict, an ejection, a line in the log.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::telemetry::CheckResult;

use super::backend::{Backend, BackendState, CheckRecord};
use super::evidence::Finding;
use super::health::{Failure, Thresholds, Verdict};
use super::pool::Pool;

impl Pool {
    /// Asks for a probe of every backend that has work and answers none of it.
    pub fn probe_the_silent(&self) {
        for backend in self.present() {
            if backend.is_silent() && backend.state() == BackendState::Up {
                backend.vitals().probe_now.notify_one();
            }
        }
    }

    /// Takes one probe's result into account.
    pub fn observe(&self, backend: &Backend, result: Result<(), Failure>, took: Duration) {
        let Some(check) = &self.spec.check else { return };
        let vitals = backend.vitals();
        let now = Instant::now();
        let thresholds = Thresholds { fall: check.fall, rise: check.rise };
        let corroborated = vitals.evidence.is_ejected(now) || vitals.evidence.is_failing(now);
        let was_ejected = vitals.evidence.is_ejected(now);
        let (before, flipped, after) = {
            let mut health = vitals.health.lock();
            let before = health.verdict();
            let flipped = health.observe(result, thresholds, corroborated, now);
            (before, flipped, health.verdict())
        };
        vitals.metrics.checked(if result.is_ok() { CheckResult::Passed } else { CheckResult::Failed }, took);
        if result.is_ok() {
            vitals.evidence.pardon();
        }
        *vitals.last_check.lock() = Some(CheckRecord { at: SystemTime::now(), result, took });
        if let Err(failure) = result
            && !flipped
            && backend.is_silent()
        {
            self.eject_silent(backend, failure);
        }
        if flipped {
            self.tell_verdict(backend, before, after, result);
        }
        if flipped || (was_ejected && result.is_ok()) {
            self.refresh();
        } else {
            self.changed.send_modify(|count| *count += 1);
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

    pub fn failed(&self, backend: &Arc<Backend>, kind: Failure) {
        let vitals = backend.vitals();
        vitals.metrics.failed(kind.kind());
        let finding = vitals.evidence.failed(kind, Instant::now());
        self.resolve_now.notify_one();
        vitals.probe_now.notify_one();
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
        let length = backend.vitals().evidence.eject(true, Instant::now());
        backend.vitals().metrics.ejected();
        let (address, name) = (backend.address(), &self.spec.name);
        log::warn!("backend {address} of {name} is ejected until a probe passes, {length:?} at most: {kind}");
        self.refresh();
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
        let length = backend.vitals().evidence.eject(true, Instant::now());
        backend.vitals().metrics.ejected();
        let (address, name, in_flight) = (backend.address(), &self.spec.name, backend.in_flight());
        log::warn!(
            "backend {address} of {name} is ejected until a probe passes, {length:?} at most: {failure}, and {in_flight} requests unanswered"
        );
        self.refresh();
    }

    /// Ejects a backend whose answers are errors, where its siblings' are not; their share must be less than half.
    pub fn eject_for_errors(&self, backend: &Arc<Backend>) {
        let share = backend.vitals().evidence.error_share().unwrap_or(0);
        let worse_than = |sibling: &Backend| {
            let theirs = sibling.vitals().evidence.error_share().unwrap_or(0);
            sibling.address() != backend.address() && sibling.state() == BackendState::Up && theirs * 2 < share
        };
        let has_better = self.present().iter().any(|sibling| worse_than(sibling));
        if backend.state() != BackendState::Up || !has_better {
            return;
        }
        let length = backend.vitals().evidence.eject(false, Instant::now());
        backend.vitals().metrics.ejected();
        let (address, name) = (backend.address(), &self.spec.name);
        log::warn!("backend {address} of {name} is ejected for {length:?}: {share} % of its answers are errors");
        backend.vitals().probe_now.notify_one();
        self.refresh();
    }
}
