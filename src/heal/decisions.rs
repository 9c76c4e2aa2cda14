//! What is to be done about every backend. Decides by `policy` alone; waits for nothing.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::{BoxFuture, FutureExt};

use crate::config::model::HealSpec;
use crate::docker::{ContainerId, ContainerRef};

use super::event::HealEvent;
use super::gather::{Around, Findings, ask};
use super::journal::{AskedBy, LadderOutcome};
use super::ladder::{Ladder, LadderReport};
use super::policy::{self, Decision, Ended, Need, Reason, Sight};
use super::shared_causes::views;
use super::state::{Doing, HealState, KnownBackend};
use super::tools::HealTools;
use super::world::{HealPool, HealTarget, Key, key};

/// How long a backend that left is remembered: a recreated container often gets its old address back.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

impl HealState {
    /// Begins where the edge before ended, as far as the journal's file knows.
    pub(super) fn new(tools: HealTools, now: Instant) -> Self {
        let mut state = Self::empty(tools, now);
        state.remember(now);
        state
    }

    /// Looks at every backend; returns what is to be done about them.
    pub(super) fn look(&mut self, now: Instant) -> Vec<BoxFuture<'static, HealEvent>> {
        let generation = self.tools.world.generation();
        let pools = self.tools.world.pools();
        if generation != self.generation {
            (self.generation, self.reloaded) = (generation, Some(now));
            self.backends.values_mut().for_each(|known| known.record.reconsider());
            self.forget_passes(&pools);
        }
        self.observe(&pools, now);
        let mut actions = Vec::new();
        for pool in pools.iter() {
            let Some(spec) = &pool.spec.heal else { continue };
            for target in &pool.targets {
                actions.extend(self.consider(&pools, pool, spec, target, now));
            }
        }
        actions
    }

    fn observe(&mut self, pools: &[HealPool], now: Instant) {
        for pool in pools {
            for target in &pool.targets {
                let known = self.backends.entry(key(target)).or_insert_with(|| KnownBackend::new(now));
                known.seen = now;
                // Of a container that is being replaced, what its check said last is about another.
                if !self.planned_stops.has(&key(target)) {
                    known.record.observe(target.is_up(), target.last_pass(), now);
                }
                if let Some(spec) = &pool.spec.heal {
                    known.record.trim(spec, now);
                }
            }
            if pool.spec.check.is_some() && !pool.targets.is_empty() && !pool.targets.iter().any(|one| one.is_up()) {
                self.last_sick.insert(pool.spec.name.clone(), now);
            }
        }
        self.note_passes(pools);
        if let Some(since) = policy::everything_sick(&views(pools)) {
            self.all_sick = Some((since, now));
        }
        self.note_causes(pools, now);
        let journal = &self.tools.journal;
        self.backends.retain(|(upstream, backend), known| {
            if known.seen != now && known.reason.take().is_some() {
                journal.set_idle(upstream, *backend, None, false);
            }
            known.doing != Doing::Nothing || now.saturating_duration_since(known.seen) < REMEMBERED
        });
        self.last_heals.retain(|_, last_heal| {
            last_heal.ended.is_none_or(|ended| now.saturating_duration_since(ended) < REMEMBERED)
        });
        self.planned_stops.forget(pools, now);
        self.last_sick.retain(|_, at| now.saturating_duration_since(*at) < REMEMBERED);
    }

    /// First decision, before Docker is asked.
    fn consider(
        &mut self,
        pools: &[HealPool],
        pool: &HealPool,
        spec: &HealSpec,
        target: &Arc<dyn HealTarget>,
        now: Instant,
    ) -> Option<BoxFuture<'static, HealEvent>> {
        let key = key(target);
        let known = self.backends.get(&key)?;
        if known.doing != Doing::Nothing {
            return None;
        }
        let view = self.view(pools, pool, target, Sight::NotLooked, now);
        let decision = policy::decide(&known.record, spec, &view, now);
        if decision == Decision::Heal && known.ask_at.is_some_and(|at| now < at) {
            return None;
        }
        self.settle(&key, decision).then(|| {
            let around = Around::of(pools, pool, target);
            let (driver, target) = (Arc::clone(&self.tools.driver), Arc::clone(target));
            async move { HealEvent::Looked(key, ask(&*driver, &*target, &around).await) }.boxed()
        })
    }

    pub(super) fn on_event(&mut self, event: HealEvent, now: Instant) -> Option<BoxFuture<'static, HealEvent>> {
        match event {
            HealEvent::Looked(key, findings) => self.on_looked(&key, &findings, now),
            HealEvent::Ended(key, container, report) => {
                self.on_ended(&key, &container, &report, now);
                None
            }
            HealEvent::Back(key, turn) => {
                self.planned_stops.back(&key, turn);
                None
            }
            HealEvent::CommandDone(upstream, ladders) => {
                self.commanded.remove(&upstream);
                self.drilled.retain(|(of, _)| *of != upstream);
                for (key, container, report) in ladders {
                    let known = self.backends.entry(key.clone()).or_insert_with(|| KnownBackend::new(now));
                    known.record.begin(now);
                    known.alarmed = false;
                    // Where the policy has a ladder of its own in there by now, that one's end counts.
                    if self.last_heals.get(&container).is_none_or(|last_heal| last_heal.ended.is_some()) {
                        self.note_heal(&container, key.1, report.past.clone());
                    }
                    self.on_ended(&key, &container, &report, now);
                }
                None
            }
        }
    }

    /// Second decision, knowing the container and how its dependencies answer.
    fn on_looked(&mut self, key: &Key, findings: &Findings, now: Instant) -> Option<BoxFuture<'static, HealEvent>> {
        let known = self.backends.get_mut(key)?;
        if known.doing != Doing::Asking {
            return None;
        }
        known.doing = Doing::Nothing;
        known.ask_later(now);
        let pools = self.tools.world.pools();
        self.observe(&pools, now);
        if let Some(cause) = &findings.fell_with {
            self.note_cause(&key.0, cause, now);
        }
        let pool = pools.iter().find(|pool| pool.spec.name == key.0)?;
        let (target, spec) = (pool.targets.iter().find(|one| one.address() == key.1)?, pool.spec.heal.as_ref()?);
        let why = findings.container.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let sight = self.sight(findings, key, &why, spec, now);
        let mut view = self.view(&pools, pool, target, sight, now);
        view.need = view.need.or(findings.sick_need.as_ref().map(Need::Sick));
        view.need = view.need.or(findings.fell_with.as_ref().map(Need::FellWith));
        view.siblings_well = view.siblings_well && findings.sibling_passes;
        if findings.everyone_fails {
            view.everything_sick_since = view.everything_sick_since.or(Some(now));
        }
        let decision = policy::decide(&self.backends.get(key)?.record, spec, &view, now);
        if let (Decision::Heal, Some(Need::Sick(need))) = (&decision, view.need) {
            let (upstream, backend) = key;
            log::info!(
                "heal backend {backend} of {upstream}: healing although `{need}` is not up: other backends of \
                 {upstream} pass their checks"
            );
        }
        if !self.settle(key, decision) {
            return None;
        }
        let container = findings.container.as_ref().ok()?.clone();
        Some(self.begin(key, target, spec, container, now))
    }

    fn begin(
        &mut self,
        key: &Key,
        target: &Arc<dyn HealTarget>,
        spec: &HealSpec,
        container: ContainerRef,
        now: Instant,
    ) -> BoxFuture<'static, HealEvent> {
        if let Some(known) = self.backends.get_mut(key) {
            known.record.begin(now);
            known.doing = Doing::Healing;
            known.alarmed = false;
            known.ask_at_once();
        }
        let past = self.past(&container.id, now);
        self.note_heal(&container.id, key.1, past.clone());
        let (tools, key, id) = (self.tools.clone(), key.clone(), container.id.clone());
        let asked_by = if self.drilled.contains(&key) { AskedBy::Drill } else { AskedBy::Policy };
        let ladder =
            Ladder { target: Arc::clone(target), container, spec: spec.clone(), asked_by, past, was_well: false };
        async move {
            let report = ladder.run(&tools).await;
            HealEvent::Ended(key, id, report)
        }
        .boxed()
    }

    fn on_ended(&mut self, key: &Key, container: &ContainerId, report: &LadderReport, now: Instant) {
        let ended = match report.outcome {
            // There was no sickness to be counted.
            _ if matches!(report.asked_by, AskedBy::Drill | AskedBy::Reload) => Ended::Refunded,
            LadderOutcome::Healed => Ended::Healed,
            LadderOutcome::Failed | LadderOutcome::Running | LadderOutcome::Interrupted => Ended::Failed,
            LadderOutcome::Unrunnable => Ended::Unrunnable,
            LadderOutcome::Recovered | LadderOutcome::Postponed | LadderOutcome::Left if report.acted => Ended::Failed,
            LadderOutcome::Recovered | LadderOutcome::Postponed | LadderOutcome::Left => Ended::Refunded,
        };
        if let Some(last_heal) = self.last_heals.get_mut(container) {
            // What did nothing leaves what was done before.
            let ended_at = if report.acted { Some(now) } else { last_heal.before };
            last_heal.past = report.past.clone();
            match ended_at {
                Some(at) => last_heal.ended = Some(at),
                None => _ = self.last_heals.remove(container),
            }
        }
        let pools = self.tools.world.pools();
        let spec = pools.iter().find(|pool| pool.spec.name == key.0).and_then(|pool| pool.spec.heal.as_ref());
        let Some(known) = self.backends.get_mut(key) else { return };
        if known.doing == Doing::Healing {
            known.doing = Doing::Nothing;
        }
        if let Some(heal) = spec {
            known.record.end(ended, heal, fastrand::f64(), now);
        }
        if ended == Ended::Refunded {
            known.ask_soon(now);
        }
        if ended == Ended::Unrunnable {
            self.alarm(key, &Reason::Unrunnable);
        }
    }

    /// Notes a decision; true when something is to be done.
    fn settle(&mut self, key: &Key, decision: Decision) -> bool {
        let Some(known) = self.backends.get_mut(key) else { return false };
        let (upstream, backend) = key;
        let reason = match decision {
            Decision::Heal => {
                known.doing = Doing::Asking;
                return true;
            }
            Decision::Ignore(reason) => reason,
        };
        let told = reason.told(upstream, self.tools.driver.manual_heals(), SystemTime::now());
        let is_new = !known.reason.as_ref().is_some_and(|before| before.is_like(&reason));
        match &reason {
            Reason::Well | Reason::NotSick => {
                if known.reason.take().is_some() {
                    self.tools.journal.set_idle(upstream, *backend, None, false);
                }
                known.ask_at_once();
                return false;
            }
            Reason::Unrunnable | Reason::NeverPassed(_) => {}
            // Once for each place of the budget that was used.
            Reason::BudgetUsed { .. } if !known.alarmed => {}
            // At the start everyone is new, and whoever stops a container has been told so.
            Reason::EdgeStarted | Reason::Planned => log::debug!("heal backend {backend} of {upstream}: {told}"),
            _ if is_new => log::info!("heal backend {backend} of {upstream}: not healed: {told}"),
            _ => {}
        }
        self.tools.journal.set_idle(upstream, *backend, Some(told), is_new);
        known.reason = Some(reason.clone());
        let is_alarm = matches!(reason, Reason::BudgetUsed { .. }) && !std::mem::replace(&mut known.alarmed, true);
        self.tell_unproven(&reason);
        if is_alarm {
            self.alarm(key, &reason);
        }
        false
    }

    /// Says loudly that a sick backend will not be healed soon: in the log, the metrics and to the webhook.
    fn alarm(&self, (upstream, backend): &Key, reason: &Reason) {
        let told = reason.told(upstream, self.tools.driver.manual_heals(), SystemTime::now());
        log::error!("heal backend {backend} of {upstream}: {told}");
        self.tools.world.gave_up(upstream);
        self.tools.journal.gave_up(upstream, *backend, &told);
    }
}
