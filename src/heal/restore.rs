//! What the journal's file tells a new edge about the heals of the one before: budgets, pauses and containers go on.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use crate::config::model::{HealSpec, Preset, Step};
use crate::docker::ContainerId;
use crate::types::UpstreamName;

use super::journal::{AskedBy, JournalEntry, LadderOutcome, StepResult, parse_time};
use super::ladder::{Past, RELOAD_PAUSE};
use super::policy::{Ended, PAUSE_MAX};
use super::state::{HealState, KnownBackend, LastHeal};

impl HealState {
    /// Takes up what was left.
    pub(super) fn remember(&mut self, now: Instant) {
        let (pools, clock) = (self.tools.world.pools(), SystemTime::now());
        for entry in self.tools.journal.entries().iter().rev() {
            let pool = pools.iter().find(|pool| pool.spec.name.as_str() == entry.upstream);
            let Some((name, spec)) = pool.and_then(|pool| Some((&pool.spec.name, pool.spec.heal.as_ref()?))) else {
                continue;
            };
            let age = parse_time(&entry.started_at).and_then(|at| clock.duration_since(at).ok());
            // A clock that was set back, or a machine that has not been up for so long: too old to matter.
            if let Some(began) = age.and_then(|age| now.checked_sub(age)) {
                self.remember_one(entry, name, spec, began, now);
            }
        }
    }

    fn remember_one(
        &mut self,
        entry: &JournalEntry,
        name: &UpstreamName,
        spec: &HealSpec,
        began: Instant,
        now: Instant,
    ) {
        let Ok(backend) = entry.backend.parse::<SocketAddr>() else { return };
        let ended_at = (began + Duration::from_millis(entry.took_ms)).min(now);
        // Whoever was well since is not remembered for it; what is this old decides nothing.
        if spec.budget.window.max(PAUSE_MAX) < now.saturating_duration_since(ended_at) {
            return;
        }
        let ended = match entry.result {
            _ if matches!(entry.asked_by, AskedBy::Drill | AskedBy::Reload) => return,
            LadderOutcome::Healed => Ended::Healed,
            LadderOutcome::Failed | LadderOutcome::Interrupted | LadderOutcome::Running => Ended::Failed,
            LadderOutcome::Unrunnable => Ended::Unrunnable,
            LadderOutcome::Recovered | LadderOutcome::Postponed | LadderOutcome::Left => return,
        };
        let known = self.backends.entry((name.clone(), backend)).or_insert_with(|| KnownBackend::new(now));
        known.record.begin(began);
        known.record.end(ended, spec, 0.0, ended_at);
        let Ok(container) = ContainerId::parse(&entry.container_id) else { return };
        let reload = Step::Preset(Preset::GunicornReload).to_string();
        let reloads = |one: &super::journal::StepEntry| {
            one.step == reload && matches!(one.result, StepResult::Helped | StepResult::InVain)
        };
        let is_recent = now.saturating_duration_since(began) < RELOAD_PAUSE;
        let reloaded = (is_recent && entry.steps.iter().any(reloads)).then_some(began);
        let past = Past { reloaded, ..Past::default() };
        self.last_heals.insert(container, LastHeal { backend, ended: Some(ended_at), before: None, past });
    }
}
