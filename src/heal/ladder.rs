//! One run of a ladder on one backend: out of rotation, drain, step, check, next step, back. Never marks anything healthy.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::model::{HealSpec, Preset, Step};
use crate::docker::{ContainerRef, ExecError};
use crate::types::millis;

use super::container_driver::{ContainerDriver, Order, StepDone, step_place};
use super::journal::{AskedBy, Journal, LadderOutcome, StepEntry, StepResult, shown};
use super::preset;
use super::tools::HealTools;
use super::world::HealTarget;

/// Pause between two looks at what drains or two probes of what recovers.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const PROBE_EVERY: Duration = Duration::from_millis(200);
/// How long a backend that answers nothing at all is drained.
const DRAIN_SILENT: Duration = Duration::from_millis(300);
/// How long a program that was well takes to come to its reload: before that, the old processes answer the check.
const RELOADING: Duration = Duration::from_secs(1);
/// A step that says it failed most likely changed nothing: the check is given this long, not the whole `verify`.
const VERIFY_FAILED: Duration = Duration::from_secs(2);
/// Gunicorn's default `graceful_timeout`. After a reload its master waits that long for old workers that hang, and obeys no
/// second HUP meanwhile.
pub(super) const RELOAD_PAUSE: Duration = Duration::from_secs(30);

/// What a ladder works on.
pub(super) struct Ladder {
    /// The backend.
    pub target: Arc<dyn HealTarget>,
    /// Its container.
    pub container: ContainerRef,
    /// Steps and limits.
    pub spec: HealSpec,
    /// Who wants it. For [`AskedBy::Reload`] the first step alone is run.
    pub asked_by: AskedBy,
    /// What is known of the container from earlier ladders.
    pub past: Past,
    /// Its check passes before anything is done.
    pub was_well: bool,
}

/// What earlier ladders have shown of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Past {
    /// When Gunicorn in it was last told to reload.
    pub reloaded: Option<Instant>,
    /// Steps that cannot run in it, as the file words them: the image or the line would have to change.
    pub unrunnable: BTreeSet<String>,
}

/// How a ladder ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LadderReport {
    /// The journal's word.
    pub outcome: LadderOutcome,
    /// What is known of the container now.
    pub past: Past,
    /// True when a step was run: something in the container may have changed.
    pub acted: bool,
    /// The journal's entry.
    pub id: u64,
    /// Who wanted it.
    pub asked_by: AskedBy,
}

/// What a step led to.
enum AfterStep {
    Passed(Duration),
    Fails,
    Stop(LadderOutcome),
}

impl Ladder {
    /// Runs the ladder. Dropping the future lets requests back at once and leaves the container as it is.
    pub(super) async fn run(mut self, tools: &HealTools) -> LadderReport {
        let (driver, journal) = (&*tools.driver, &*tools.journal);
        let (started, target, container) = (Instant::now(), Arc::clone(&self.target), self.container.clone());
        let id = journal.open(target.upstream(), target.address(), &container, self.asked_by, &self.cause());
        let (before, backend) = (target.tally(), target.backend_ref());
        let Some(_alone) = tools.at_work.enter(&container.id) else {
            log::info!("{}: another heal is running in its container", self.who());
            journal.close(id, LadderOutcome::Postponed, started.elapsed());
            return LadderReport {
                outcome: LadderOutcome::Postponed,
                past: self.past,
                acted: false,
                id,
                asked_by: self.asked_by,
            };
        };
        let held = target.hold_out();
        let ladder = async {
            self.drain(journal, id).await;
            self.climb(driver, journal, id).await
        };
        let (logs, (outcome, acted)) = tokio::join!(driver.logs(&backend, &container), ladder);
        drop(held);
        let (after, took) = (target.tally(), started.elapsed());
        journal.edit(id, |entry| {
            entry.logs = shown(&logs);
            entry.requests_held = after.held.saturating_sub(before.held);
            entry.requests_failed = after.failed.saturating_sub(before.failed);
        });
        journal.close(id, outcome, took);
        target.count_ladder(outcome, took);
        self.tell_end(outcome, took);
        LadderReport { outcome, past: self.past, acted, id, asked_by: self.asked_by }
    }

    /// The beginning of every line about this ladder.
    fn who(&self) -> String {
        format!("heal backend {} ({})", self.target.address(), self.container.name)
    }

    fn cause(&self) -> String {
        if self.target.is_up() { "requested by an operator".to_owned() } else { self.target.cause() }
    }

    async fn drain(&self, journal: &Journal, id: u64) {
        let started = Instant::now();
        let in_flight = self.target.in_flight();
        let (who, upstream) = (self.who(), self.target.upstream());
        log::info!("{who}: starts: {}; out of rotation in {upstream}, draining {in_flight} requests", self.cause());
        // What hangs will not finish what it has; waiting would only keep it out for longer. Out it is since it is sick.
        let since = self.target.sick_since().map_or(started, |since| since.min(started));
        let hangs = || self.target.is_silent() && DRAIN_SILENT < since.elapsed();
        while self.target.in_flight() != 0 && started.elapsed() < self.spec.drain && !hangs() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let (left, took) = (self.target.in_flight(), started.elapsed());
        if left != 0 {
            log::warn!("{who}: {left} requests still in flight after draining for {took:.1?}; they may be lost");
        }
        journal.edit(id, |entry| {
            (entry.in_flight, entry.in_flight_after_drain, entry.drain_ms) = (in_flight, left, millis(took));
        });
    }

    async fn climb(&mut self, driver: &dyn ContainerDriver, journal: &Journal, id: u64) -> (LadderOutcome, bool) {
        let (mut steps, backend) = (self.spec.steps.clone(), self.target.backend_ref());
        if self.asked_by == AskedBy::Reload {
            steps.truncate(1);
        }
        let mut acted = false;
        for (index, step) in steps.iter().enumerate() {
            if self.is_done(acted) {
                return (if acted { LadderOutcome::Healed } else { LadderOutcome::Recovered }, acted);
            }
            let place = self.place(index, step);
            if let Some(why) = self.reason_to_skip(step, index, steps.len()) {
                log::info!("{}: {place}: skipped: {why}", self.who());
                journal.edit(id, |entry| entry.steps.push(skipped(step, &why)));
                self.target.count_step(step, StepResult::Skipped);
                continue;
            }
            let began = Instant::now();
            let order = Order { backend: &backend, container: &self.container, index, step, limit: self.spec.timeout };
            let result = driver.perform(&order).await;
            // A drill ends as a sickness would: a step that did not work leaves it to the next.
            if matches!(result, Ok(StepDone { code: None | Some(0), .. })) {
                self.target.end_pretence();
            }
            if matches!(step, Step::Preset(Preset::GunicornReload)) && result.is_ok() {
                self.past.reloaded = Some(Instant::now());
            }
            self.tell_step(&place, &result);
            journal.edit(id, |entry| entry.steps.push(step_entry(step, &result, began.elapsed())));
            if result.as_ref().is_err_and(ExecError::is_permanent) {
                self.past.unrunnable.insert(step.to_string());
            }
            acted |= did_something(&result);
            let next = self.verify(&result, acted).await;
            let word = if let AfterStep::Passed(_) = next { StepResult::Helped } else { in_vain(step, &result) };
            self.target.count_step(step, word);
            let after = if let AfterStep::Passed(after) = next { Some(after) } else { None };
            journal.edit(id, |entry| {
                if let Some(last) = entry.steps.last_mut() {
                    (last.result, last.passed_after_ms) = (word, after.map(millis));
                }
            });
            match next {
                AfterStep::Fails => {}
                AfterStep::Stop(outcome) => return (outcome, acted),
                AfterStep::Passed(after) => {
                    log::info!("{}: {place}: the check passes after {:.2}s", self.who(), after.as_secs_f64());
                    return (LadderOutcome::Healed, acted);
                }
            }
        }
        let none_can_run = steps.iter().all(|step| self.past.unrunnable.contains(&step.to_string()));
        (if none_can_run { LadderOutcome::Unrunnable } else { LadderOutcome::Failed }, acted)
    }

    /// Of all steps in the file, as the sidecar counts them, also where only the first is wanted.
    fn place(&self, index: usize, step: &Step) -> String {
        step_place(index, self.spec.steps.len(), step)
    }

    /// True where the check passes already; a person who asks for a step gets one all the same.
    fn is_done(&self, acted: bool) -> bool {
        let wants_a_step = matches!(self.asked_by, AskedBy::Hand | AskedBy::Reload) && !acted;
        self.target.is_up() && !wants_a_step
    }

    /// A second reload while the first still waits for hung workers does nothing for 26 s; the next step is quicker.
    fn reason_to_skip(&self, step: &Step, index: usize, steps: usize) -> Option<String> {
        if self.past.unrunnable.contains(&step.to_string()) {
            return Some("an earlier heal showed that it cannot run in this container".to_owned());
        }
        if index + 1 == steps || !matches!(step, Step::Preset(Preset::GunicornReload)) {
            return None;
        }
        let age = self.past.reloaded?.elapsed();
        let ago = age.as_secs();
        (age < RELOAD_PAUSE)
            .then(|| format!("a reload was sent {ago} s ago and the master may still wait for its old workers"))
    }

    /// Asks the check, never the step, whether it helped.
    async fn verify(&self, result: &Result<StepDone, ExecError>, acted: bool) -> AfterStep {
        let limit = match result {
            Ok(StepDone { code: None | Some(0), .. }) => self.spec.verify,
            // Of one that was well the check says nothing about a step that says itself that it failed.
            Ok(_) | Err(ExecError::TimedOut { .. }) if self.was_well => return AfterStep::Fails,
            Ok(_) => self.spec.verify.min(VERIFY_FAILED),
            Err(error) if error.is_elsewhere() && !acted => return AfterStep::Stop(LadderOutcome::Postponed),
            Err(error) if did_something_before_failing(error) => self.spec.verify.min(VERIFY_FAILED),
            Err(_) => return AfterStep::Fails,
        };
        let started = Instant::now();
        let wait = if self.was_well { RELOADING.min(limit) } else { Duration::ZERO };
        tokio::time::sleep(wait).await;
        while started.elapsed() < limit + wait {
            if self.target.is_leaving() {
                return AfterStep::Stop(LadderOutcome::Left);
            }
            // The result is counted by the check; whether it is up then is what counts.
            let passes = self.target.probe().await;
            if passes && self.target.is_up() {
                return AfterStep::Passed(started.elapsed());
            }
            // One that passes is asked again at once: it is as many passes as `rise` says away from serving.
            tokio::time::sleep(if passes { LOOK_EVERY } else { PROBE_EVERY }).await;
        }
        // A database that starts or recovers takes the time it takes: a further step would have it begin anew.
        if self.target.unready().is_some() { AfterStep::Stop(LadderOutcome::Postponed) } else { AfterStep::Fails }
    }

    fn tell_step(&self, place: &str, result: &Result<StepDone, ExecError>) {
        let who = self.who();
        match result {
            Ok(StepDone { code: None | Some(0), took, .. }) => {
                log::info!("{who}: {place}: ok in {:.2}s", took.as_secs_f64());
            }
            Ok(StepDone { code: Some(code), took, output }) => {
                let (said, seconds) = (one_line(output), took.as_secs_f64());
                log::warn!("{who}: {place}: exit code {code} in {seconds:.2}s: {said}");
            }
            Err(error) => log::warn!("{who}: {place}: {error}"),
        }
    }

    fn tell_end(&self, outcome: LadderOutcome, took: Duration) {
        let (who, seconds) = (self.who(), took.as_secs_f64());
        match outcome {
            LadderOutcome::Healed => log::info!("{who}: healed in {seconds:.2}s, back in rotation"),
            LadderOutcome::Recovered => log::info!("{who}: recovered before any step ran"),
            LadderOutcome::Failed => {
                log::error!("{who}: failed: all steps tried in {seconds:.1}s, and the check still fails");
            }
            LadderOutcome::Unrunnable => log::error!("{who}: failed: no step can run in this container"),
            LadderOutcome::Postponed => log::warn!("{who}: postponed, will retry"),
            LadderOutcome::Left => log::info!("{who}: the backend left its upstream during the heal"),
            LadderOutcome::Running | LadderOutcome::Interrupted => {}
        }
    }
}

/// What a step came to that did not help.
fn in_vain(step: &Step, result: &Result<StepDone, ExecError>) -> StepResult {
    match (result, step) {
        (Ok(StepDone { code: None | Some(0), .. }), _) => StepResult::InVain,
        (Ok(StepDone { code: Some(1), .. }), Step::Exec(argv)) if matches_names(argv) => StepResult::NoMatch,
        (Ok(StepDone { code: Some(preset::NO_PROCESS), .. }), Step::Preset(_)) => StepResult::NoMatch,
        (Ok(_), _) => StepResult::ExitCode,
        (Err(error), _) => StepResult::of_error(error),
    }
}

/// True for programs that look for processes by name and end with 1 where there is none.
fn matches_names(argv: &[String]) -> bool {
    let program = argv.first().and_then(|program| program.rsplit('/').next());
    matches!(program, Some("pkill" | "killall" | "skill"))
}

fn did_something(result: &Result<StepDone, ExecError>) -> bool {
    match result {
        Ok(_) => true,
        Err(error) => did_something_before_failing(error),
    }
}

fn did_something_before_failing(error: &ExecError) -> bool {
    matches!(error, ExecError::TimedOut { .. })
}

fn step_entry(step: &Step, result: &Result<StepDone, ExecError>, took: Duration) -> StepEntry {
    let (outcome, code, output) = match result {
        Ok(StepDone { code: None | Some(0), output, .. }) => ("ok".to_owned(), Some(0), shown(output)),
        Ok(StepDone { code: Some(code), output, .. }) => (format!("exit {code}"), Some(*code), shown(output)),
        Err(error) => (error.to_string(), None, String::new()),
    };
    let result = in_vain(step, result);
    StepEntry {
        step: step.to_string(),
        result,
        outcome,
        code,
        output,
        duration_ms: millis(took),
        passed_after_ms: None,
    }
}

fn skipped(step: &Step, why: &str) -> StepEntry {
    StepEntry {
        step: step.to_string(),
        result: StepResult::Skipped,
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
#[path = "ladder_tests.rs"]
mod tests;
