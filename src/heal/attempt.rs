//! One run of a ladder on one backend: out of rotation, drain, step, check, next step, back. Never marks anything healthy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::model::{HealSpec, Preset, Step};
use crate::docker::{ContainerRef, ExecError};

use super::journal::{Journal, Outcome, StepEntry, millis, shown};
use super::patient::Patient;
use super::surgeon::{Done, Order, Surgeon};

/// Pause between two looks at what drains or two probes of what recovers.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const PROBE_EVERY: Duration = Duration::from_millis(200);
/// How long a backend that answers nothing at all is drained.
const DRAIN_SILENT: Duration = Duration::from_secs(1);
/// A step that says it failed most likely changed nothing: the check is given this long, not the whole `verify`.
const VERIFY_FAILED: Duration = Duration::from_secs(2);
/// Gunicorn's default `graceful_timeout`. After a reload its master waits that long for old workers that hang, and obeys no
/// second HUP meanwhile.
pub(super) const RELOAD_PAUSE: Duration = Duration::from_secs(30);

/// What a ladder works on.
pub(super) struct Attempt {
    /// The backend.
    pub patient: Arc<dyn Patient>,
    /// Its container.
    pub container: ContainerRef,
    /// Steps and limits.
    pub spec: HealSpec,
    /// When Gunicorn in this container was last told to reload.
    pub reloaded: Option<Instant>,
}

/// How a ladder ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    /// The journal's word.
    pub outcome: Outcome,
    /// When Gunicorn in the container was last told to reload.
    pub reloaded: Option<Instant>,
    /// True when a step was run: something in the container may have changed.
    pub acted: bool,
}

/// What a step led to.
enum Next {
    Passed(Duration),
    Fails,
    Stop(Outcome),
}

impl Attempt {
    /// Runs the ladder. Dropping the future lets requests back at once and leaves the container as it is.
    pub(super) async fn run(mut self, surgeon: &dyn Surgeon, journal: &Journal) -> Report {
        let started = Instant::now();
        let patient = Arc::clone(&self.patient);
        let id = journal.open(patient.upstream(), patient.address(), &self.container, &patient.cause());
        let held = patient.hold_out();
        self.drain(journal, id).await;
        let (outcome, acted) = self.climb(surgeon, journal, id).await;
        drop(held);
        journal.close(id, outcome, started.elapsed());
        self.tell_end(outcome, started.elapsed());
        Report { outcome, reloaded: self.reloaded, acted }
    }

    /// The beginning of every line about this ladder.
    fn who(&self) -> String {
        format!("heal backend {} ({})", self.patient.address(), self.container.name)
    }

    async fn drain(&self, journal: &Journal, id: u64) {
        let started = Instant::now();
        let in_flight = self.patient.in_flight();
        let (who, upstream) = (self.who(), self.patient.upstream());
        log::info!("{who}: starts, {}; out of rotation of {upstream}, {in_flight} in flight", self.patient.cause());
        // What hangs will not finish what it has; waiting would only keep it out for longer.
        let hangs = || self.patient.is_silent() && DRAIN_SILENT < started.elapsed();
        while self.patient.in_flight() != 0 && started.elapsed() < self.spec.drain && !hangs() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let (left, took) = (self.patient.in_flight(), started.elapsed());
        if left != 0 {
            log::warn!("{who}: {left} still in flight after {took:.1?} of draining; they may be lost");
        }
        journal.edit(id, |entry| {
            (entry.in_flight, entry.in_flight_after_drain, entry.drain_ms) = (in_flight, left, millis(took));
        });
    }

    async fn climb(&mut self, surgeon: &dyn Surgeon, journal: &Journal, id: u64) -> (Outcome, bool) {
        let (steps, whom) = (self.spec.steps.clone(), self.patient.whom());
        let (mut acted, mut permanent) = (false, 0);
        for (index, step) in steps.iter().enumerate() {
            if self.patient.is_up() {
                return (if acted { Outcome::Healed } else { Outcome::Recovered }, acted);
            }
            let place = format!("step {}/{} {step}", index + 1, steps.len());
            if let Some(why) = self.reason_to_skip(step, index + 1 == steps.len()) {
                log::info!("{}: {place}: skipped, {why}", self.who());
                journal.edit(id, |entry| entry.steps.push(skipped(step, &why)));
                continue;
            }
            let began = Instant::now();
            let order = Order { whom: &whom, container: &self.container, index, step, limit: self.spec.timeout };
            let result = surgeon.perform(&order).await;
            if matches!(step, Step::Preset(Preset::GunicornReload)) && result.is_ok() {
                self.reloaded = Some(Instant::now());
            }
            self.tell_step(&place, &result);
            journal.edit(id, |entry| entry.steps.push(step_entry(step, &result, began.elapsed())));
            permanent += usize::from(result.as_ref().is_err_and(ExecError::is_permanent));
            acted |= did_something(&result);
            let next = self.verify(&result, acted).await;
            self.patient.count_step(step, word(&result, &next));
            match next {
                Next::Fails => {}
                Next::Stop(outcome) => return (outcome, acted),
                Next::Passed(after) => {
                    journal.edit(id, |entry| {
                        if let Some(last) = entry.steps.last_mut() {
                            last.passed_after_ms = Some(millis(after));
                        }
                    });
                    log::info!("{}: {place}: the check passes, {:.2}s after", self.who(), after.as_secs_f64());
                    return (Outcome::Healed, acted);
                }
            }
        }
        (if permanent == steps.len() { Outcome::Unrunnable } else { Outcome::Failed }, acted)
    }

    /// A second reload while the first still waits for hung workers does nothing for 26 s; the next step is quicker.
    fn reason_to_skip(&self, step: &Step, is_last: bool) -> Option<String> {
        if is_last || !matches!(step, Step::Preset(Preset::GunicornReload)) {
            return None;
        }
        let age = self.reloaded?.elapsed();
        let ago = age.as_secs();
        (age < RELOAD_PAUSE)
            .then(|| format!("one was sent {ago} s ago and the master may still wait for its old workers"))
    }

    /// Asks the check, never the step, whether it helped.
    async fn verify(&self, result: &Result<Done, ExecError>, acted: bool) -> Next {
        let limit = match result {
            Ok(Done { code: None | Some(0), .. }) => self.spec.verify,
            Ok(_) => self.spec.verify.min(VERIFY_FAILED),
            Err(error) if error.is_elsewhere() && !acted => return Next::Stop(Outcome::Postponed),
            Err(error) if did_something_before_failing(error) => self.spec.verify.min(VERIFY_FAILED),
            Err(_) => return Next::Fails,
        };
        let started = Instant::now();
        while started.elapsed() < limit {
            if self.patient.is_leaving() {
                return Next::Stop(Outcome::Left);
            }
            // The result is counted by the check; what it makes of it is the verdict.
            let _passed = self.patient.probe().await;
            if self.patient.is_up() {
                return Next::Passed(started.elapsed());
            }
            tokio::time::sleep(PROBE_EVERY).await;
        }
        Next::Fails
    }

    fn tell_step(&self, place: &str, result: &Result<Done, ExecError>) {
        let who = self.who();
        match result {
            Ok(Done { code: None | Some(0), took, .. }) => {
                log::info!("{who}: {place}: ok in {:.2}s", took.as_secs_f64());
            }
            Ok(Done { code: Some(code), took, output }) => {
                let (said, seconds) = (one_line(output), took.as_secs_f64());
                log::warn!("{who}: {place}: exit code {code} in {seconds:.2}s: {said}");
            }
            Err(error) => log::warn!("{who}: {place}: {error}"),
        }
    }

    fn tell_end(&self, outcome: Outcome, took: Duration) {
        let (who, seconds) = (self.who(), took.as_secs_f64());
        match outcome {
            Outcome::Healed => log::info!("{who}: healed in {seconds:.2}s, back in rotation"),
            Outcome::Recovered => log::info!("{who}: recovered by itself, nothing done"),
            Outcome::Failed => log::error!("{who}: every step was tried in {seconds:.1}s and the check still fails"),
            Outcome::Unrunnable => log::error!("{who}: none of its steps can run in this container"),
            Outcome::Postponed => log::warn!("{who}: nothing done; looked at again soon"),
            Outcome::Left => log::info!("{who}: the backend left its upstream meanwhile"),
            Outcome::Running => {}
        }
    }
}

/// One word for the metrics.
fn word(result: &Result<Done, ExecError>, next: &Next) -> &'static str {
    match next {
        Next::Passed(_) => "helped",
        Next::Fails | Next::Stop(_) if did_something(result) => "in_vain",
        Next::Fails | Next::Stop(_) => "not_run",
    }
}

fn did_something(result: &Result<Done, ExecError>) -> bool {
    match result {
        Ok(_) => true,
        Err(error) => did_something_before_failing(error),
    }
}

fn did_something_before_failing(error: &ExecError) -> bool {
    matches!(error, ExecError::TimedOut { .. })
}

fn step_entry(step: &Step, result: &Result<Done, ExecError>, took: Duration) -> StepEntry {
    let (outcome, code, output) = match result {
        Ok(Done { code: None | Some(0), output, .. }) => ("ok".to_owned(), Some(0), shown(output)),
        Ok(Done { code: Some(code), output, .. }) => (format!("exit {code}"), Some(*code), shown(output)),
        Err(error) => (error.to_string(), None, String::new()),
    };
    StepEntry { step: step.to_string(), outcome, code, output, duration_ms: millis(took), passed_after_ms: None }
}

fn skipped(step: &Step, why: &str) -> StepEntry {
    StepEntry {
        step: step.to_string(),
        outcome: format!("skipped: {why}"),
        code: None,
        output: String::new(),
        duration_ms: 0,
        passed_after_ms: None,
    }
}

/// The end of an output for a log line.
fn one_line(output: &str) -> String {
    let words: Vec<&str> = output.split_whitespace().collect();
    let text = shown(&words.join(" "));
    let over = text.chars().count().saturating_sub(200);
    if over == 0 { text } else { format!("…{}", text.chars().skip(over).collect::<String>()) }
}

#[cfg(test)]
#[path = "attempt_tests.rs"]
mod tests;
