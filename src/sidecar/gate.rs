//! Whether a step may run now: the sidecar's own limits, whoever asks. Pure: reads no clock and no file; times are since 1970,
//! so that they mean the same to the next process.
//!
//! A ladder is a run of steps with rising numbers in one container. A step that does not continue one begins one, and a
//! beginning is what `cooldown` and `budget` are about.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::model::Budget;
use crate::docker::SidecarRefusal;
use crate::types::UpstreamName;

/// Nothing is remembered for longer: no cooldown and no window of a budget is.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// What the file says about an upstream's heals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HealTerms {
    /// Pause between two ladders.
    pub cooldown: Duration,
    /// Ladders in a window.
    pub budget: Budget,
    /// How long after a step the next one of its ladder may come.
    pub patience: Duration,
    /// The longest a step may run.
    pub longest: Duration,
}

/// What has been done to each container, by its id.
#[derive(Debug, Default)]
pub(super) struct StepGate(BTreeMap<String, ContainerHistory>);

/// What has been done to one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ContainerHistory {
    /// When ladders began, by upstream, as far as its budget looks back.
    ladders: BTreeMap<String, VecDeque<Duration>>,
    open: Option<OpenLadder>,
    running: Option<RunningStep>,
    /// When the last step ended.
    ended: Option<Duration>,
}

/// The latest ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OpenLadder {
    upstream: String,
    step: usize,
    /// One of its steps was run.
    acted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RunningStep {
    upstream: String,
    /// It has certainly ended then.
    until: Duration,
    /// From its begin until then, for a clock that is set back meanwhile.
    #[serde(default)]
    span: Duration,
}

/// Something that changed the counters; the file keeps these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CounterEntry {
    /// Everything about a container so far.
    #[serde(rename = "chart")]
    History {
        container: String,
        #[serde(rename = "chart")]
        history: ContainerHistory,
    },
    /// A step begins.
    Step { container: String, upstream: String, step: usize, begins_ladder: bool, at: Duration, until: Duration },
    /// It has ended; `acted` unless Docker says that nothing was done.
    End { container: String, acted: bool, at: Duration },
}

impl StepGate {
    /// Whether a ladder may begin.
    ///
    /// # Errors
    /// When it may not: why, and when it may.
    pub(super) fn may_begin(
        &mut self,
        upstream: &UpstreamName,
        container: &str,
        terms: &HealTerms,
        now: Duration,
    ) -> Result<(), SidecarRefusal> {
        self.settle(now);
        self.is_idle(upstream.as_str(), container, now)?;
        self.0.get(container).map_or(Ok(()), |history| history.may_begin(upstream.as_str(), terms, now))
    }

    /// Counts a step that is about to run.
    ///
    /// # Errors
    /// When it may not run: why, and when it may. Then nothing is counted.
    pub(super) fn begin(
        &mut self,
        upstream: &UpstreamName,
        container: &str,
        step: usize,
        terms: &HealTerms,
        now: Duration,
    ) -> Result<CounterEntry, SidecarRefusal> {
        self.settle(now);
        let upstream = upstream.as_str();
        self.is_idle(upstream, container, now)?;
        let history = self.0.get(container).cloned().unwrap_or_default();
        let begins_ladder = !history.continues(upstream, step, terms, now);
        if begins_ladder {
            history.may_begin(upstream, terms, now)?;
        }
        let (container, upstream) = (container.to_owned(), upstream.to_owned());
        let entry =
            CounterEntry::Step { container, upstream, step, begins_ladder, at: now, until: now + terms.longest };
        self.apply(entry.clone());
        self.trim(terms, &entry, now);
        Ok(entry)
    }

    /// Counts the end of the step that runs in a container. `acted` unless it is certain that nothing was done.
    pub(super) fn end(&mut self, container: &str, acted: bool, now: Duration) -> CounterEntry {
        let entry = CounterEntry::End { container: container.to_owned(), acted, at: now };
        self.apply(entry.clone());
        entry
    }

    /// Steps that run.
    pub(super) fn running(&self) -> usize {
        self.0.values().filter(|history| history.running.is_some()).count()
    }

    /// Takes in what was written down before.
    pub(super) fn apply(&mut self, entry: CounterEntry) {
        match entry {
            CounterEntry::History { container, history } => {
                self.0.insert(container, history);
            }
            CounterEntry::Step { container, upstream, step, begins_ladder, at, until } => {
                let history = self.0.entry(container).or_default();
                if begins_ladder {
                    history.ladders.entry(upstream.clone()).or_default().push_back(at);
                }
                let acted = !begins_ladder && history.open.as_ref().is_some_and(|open| open.acted);
                history.running =
                    Some(RunningStep { upstream: upstream.clone(), until, span: until.saturating_sub(at) });
                history.open = Some(OpenLadder { upstream, step, acted });
            }
            CounterEntry::End { container, acted, at } => {
                let Some(history) = self.0.get_mut(&container) else { return };
                history.running = None;
                history.end(acted, at);
            }
        }
    }

    /// All of it, for a file that starts anew. Forgets what nothing asks about any more.
    pub(super) fn histories(&mut self, now: Duration) -> Vec<CounterEntry> {
        self.settle(now);
        let is_old = |at: &Duration| *at + REMEMBERED <= now;
        self.0.retain(|_, history| {
            for begun in history.ladders.values_mut() {
                begun.retain(|at| !is_old(at));
            }
            history.ladders.retain(|_, begun| !begun.is_empty());
            history.running.is_some() || !history.ladders.is_empty() || history.ended.is_some_and(|at| !is_old(&at))
        });
        self.0
            .iter()
            .map(|(id, history)| CounterEntry::History { container: id.clone(), history: history.clone() })
            .collect()
    }

    /// A step whose process died with a sidecar before this one has ended by its deadline. A clock that was set back must
    /// not lock anything for longer than the terms do.
    fn settle(&mut self, now: Duration) {
        for history in self.0.values_mut() {
            if let Some(running) = &mut history.running {
                running.until = running.until.min(now + running.span);
            }
            if let Some(until) = history.running.as_ref().map(|running| running.until).filter(|until| *until <= now) {
                history.running = None;
                history.end(true, until);
            }
            history.ended = history.ended.map(|at| at.min(now));
            for at in history.ladders.values_mut().flatten() {
                *at = (*at).min(now);
            }
        }
    }

    /// One step at a time in a container, and in an upstream.
    fn is_idle(&self, upstream: &str, container: &str, now: Duration) -> Result<(), SidecarRefusal> {
        for (id, history) in &self.0 {
            let Some(running) = &history.running else { continue };
            if id == container || running.upstream == upstream {
                let place = if id == container { "this container" } else { "another container of this upstream" };
                let again_in = Some(running.until.saturating_sub(now).min(REMEMBERED));
                return Err(SidecarRefusal { why: format!("a step is still running in {place}"), again_in });
            }
        }
        Ok(())
    }

    fn trim(&mut self, terms: &HealTerms, entry: &CounterEntry, now: Duration) {
        let CounterEntry::Step { container, upstream, .. } = entry else { return };
        let begun = self.0.get_mut(container).and_then(|history| history.ladders.get_mut(upstream));
        let start = now.saturating_sub(terms.budget.window);
        if let Some(begun) = begun {
            begun.retain(|at| start < *at);
        }
    }
}

impl ContainerHistory {
    /// True for a later step of the ladder that is open.
    fn continues(&self, upstream: &str, step: usize, terms: &HealTerms, now: Duration) -> bool {
        let Some(open) = &self.open else { return false };
        let is_late = self.ended.is_none_or(|ended| ended + terms.patience < now);
        open.upstream == upstream && open.step < step && !is_late
    }

    fn may_begin(&self, upstream: &str, terms: &HealTerms, now: Duration) -> Result<(), SidecarRefusal> {
        if let Some(rest) =
            self.ended.map(|ended| (ended + terms.cooldown).saturating_sub(now)).filter(|r| !r.is_zero())
        {
            return Err(SidecarRefusal { why: "cooling down".into(), again_in: Some(rest) });
        }
        let start = now.saturating_sub(terms.budget.window);
        let mut counted = self.ladders.get(upstream).into_iter().flatten().rev().filter(|at| start < **at);
        let Budget { count, window } = terms.budget;
        // Each takes a place for as long as the window is. The file may say less than it did.
        let place = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(1);
        let Some(first) = counted.nth(place) else { return Ok(()) };
        let again_in = Some((*first + window).saturating_sub(now));
        Err(SidecarRefusal { why: format!("budget used ({count} heals in {window:?})"), again_in })
    }

    fn end(&mut self, acted: bool, at: Duration) {
        let Some(open) = &mut self.open else { return };
        if acted || open.acted {
            open.acted = true;
            self.ended = Some(at);
            return;
        }
        // Nothing was done in this ladder: it has not begun.
        if let Some(begun) = self.ladders.get_mut(&open.upstream) {
            begun.pop_back();
        }
        self.open = None;
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
