//! What is remembered about one backend: ladders for the budget, failures for the pause, and whether any step can run.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::config::model::{Budget, HealSpec};

use super::pauses::STABLE;

/// Longest pause between two ladders, however often they failed, where `cooldown` is not longer.
pub(in crate::heal) const PAUSE_MAX: Duration = Duration::from_secs(10 * 60);

/// What is remembered about one backend.
#[derive(Debug, Clone, Default)]
pub struct HealRecord {
    /// When ladders began, as far as the budget's window reaches.
    ladders: VecDeque<Instant>,
    /// Ladders in a row that did not help.
    failures: u32,
    not_before: Option<Instant>,
    up_since: Option<Instant>,
    /// When a probe of it passed that had it up.
    last_pass: Option<Instant>,
    unrunnable: bool,
}

/// How a ladder ended, as far as the policy cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The check passes again.
    Healed,
    /// It does not.
    Failed,
    /// No step could be run at all, and trying again will not change that.
    Unrunnable,
    /// Nothing was done, for a reason outside: it does not count.
    Refunded,
}

impl HealRecord {
    /// Takes note of the check's verdict, and of when a probe last passed: an address may be another container's by now, of
    /// which the verdict does not know yet.
    pub fn observe(&mut self, is_up: bool, last_pass: Option<Instant>, now: Instant) {
        if !is_up {
            self.up_since = None;
            return;
        }
        self.last_pass = last_pass.or(self.last_pass);
        let since = *self.up_since.get_or_insert(now);
        if STABLE <= now.saturating_duration_since(since) {
            self.failures = 0;
            self.unrunnable = false;
        }
    }

    /// When the next ladder may begin, if it has to wait.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        self.not_before.map(|end| end.saturating_duration_since(now)).filter(|pause| !pause.is_zero())
    }

    /// When a probe last passed of those that had it up.
    pub(super) fn last_pass(&self) -> Option<Instant> {
        self.last_pass
    }

    /// A ladder begins.
    pub fn begin(&mut self, now: Instant) {
        self.ladders.push_back(now);
    }

    /// The ladder that began last has ended.
    ///
    /// The pause before the next one doubles with every ladder in a row that did not help, and is longer by up to a fifth
    /// as `jitter` says, from 0 to 1: what fell sick together shall not be healed together for ever.
    pub fn end(&mut self, ended: Ended, spec: &HealSpec, jitter: f64, now: Instant) {
        match ended {
            Ended::Refunded => {
                self.ladders.pop_back();
                return;
            }
            Ended::Healed => (self.failures, self.unrunnable) = (0, false),
            Ended::Failed => self.failures = self.failures.saturating_add(1),
            Ended::Unrunnable => self.unrunnable = true,
        }
        let doublings = self.failures.saturating_sub(1).min(16);
        let pause = spec.cooldown.saturating_mul(1 << doublings).min(PAUSE_MAX.max(spec.cooldown));
        self.not_before = Some(now + pause.mul_f64(1.0 + 0.2 * jitter.clamp(0.0, 1.0)));
    }

    /// The file has changed: what could not be done may be possible now. The budget stands.
    pub fn reconsider(&mut self) {
        self.unrunnable = false;
    }

    /// True while no step can run in its container.
    pub fn is_unrunnable(&self) -> bool {
        self.unrunnable
    }

    /// How long until the budget has a place again; `None` while it has one. It is a rate: each ladder takes a place for as
    /// long as the window is.
    pub(super) fn place_in(&self, budget: &Budget, now: Instant) -> Option<Duration> {
        let first = self.ladders.iter().rev().nth(usize::try_from(budget.count).ok()?.checked_sub(1)?)?;
        Some((*first + budget.window).saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Forgets ladders that no budget asks about any more.
    pub fn trim(&mut self, spec: &HealSpec, now: Instant) {
        let start = now.checked_sub(spec.budget.window);
        while self.ladders.front().is_some_and(|at| start.is_some_and(|start| *at <= start)) {
            self.ladders.pop_front();
        }
    }
}
