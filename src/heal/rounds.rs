//! What is to be done about every backend. Decides by `policy` alone; waits for nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};

use crate::config::model::HealSpec;
use crate::docker::{ContainerId, ContainerRef};

use super::attempt::{Attempt, Report};
use super::event::Event;
use super::journal::{AskedBy, Outcome};
use super::patient::{Key, Patient, Pool, key};
use super::policy::{self, Decision, Ended, Need, Reason, Sight};
use super::state::{Case, Doing, Rounds};
use super::survey::{Around, Findings, ask, everything_sick};
use super::tools::HealTools;

/// How long a backend that left is remembered: a recreated container often gets its old address back.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

impl Rounds {
    /// Begins where the edge before ended, as far as the journal's file knows.
    pub(super) fn new(tools: HealTools, now: Instant) -> Self {
        let mut rounds = Self::empty(tools, now);
        rounds.remember(now);
        rounds
    }

    /// Looks at every backend; returns what is to be done about them.
    pub(super) fn look(&mut self, now: Instant) -> Vec<BoxFuture<'static, Event>> {
        let generation = self.tools.ward.generation();
        let pools = self.tools.ward.pools();
        if generation != self.generation {
            (self.generation, self.reloaded) = (generation, Some(now));
            self.cases.values_mut().for_each(|case| case.record.reconsider());
            self.forget_passes(&pools);
        }
        self.observe(&pools, now);
        let mut actions = Vec::new();
        for pool in pools.iter() {
            let Some(spec) = &pool.spec.heal else { continue };
            for patient in &pool.patients {
                actions.extend(self.consider(&pools, pool, spec, patient, now));
            }
        }
        actions
    }

    fn observe(&mut self, pools: &[Pool], now: Instant) {
        for pool in pools {
            for patient in &pool.patients {
                let case = self.cases.entry(key(patient)).or_insert_with(|| Case::new(now));
                case.seen = now;
                // Of a container that is being replaced, what its check said last is about another.
                if !self.plans.has(&key(patient)) {
                    case.record.observe(patient.is_up(), now);
                }
                if let Some(spec) = &pool.spec.heal {
                    case.record.trim(spec, now);
                }
            }
            if pool.spec.check.is_some() && !pool.patients.is_empty() && !pool.patients.iter().any(|one| one.is_up()) {
                self.last_sick.insert(pool.spec.name.clone(), now);
            }
        }
        self.note_passes(pools);
        if let Some(since) = everything_sick(pools) {
            self.all_sick = Some((since, now));
        }
        let journal = &self.tools.journal;
        self.cases.retain(|(upstream, backend), case| {
            if case.seen != now && case.reason.take().is_some() {
                journal.set_idle(upstream, *backend, None, false);
            }
            case.doing != Doing::Nothing || now.saturating_duration_since(case.seen) < REMEMBERED
        });
        self.treated
            .retain(|_, treated| treated.ended.is_none_or(|ended| now.saturating_duration_since(ended) < REMEMBERED));
        self.plans.forget(pools, now);
        self.last_sick.retain(|_, at| now.saturating_duration_since(*at) < REMEMBERED);
    }

    /// First decision, before Docker is asked.
    fn consider(
        &mut self,
        pools: &[Pool],
        pool: &Pool,
        spec: &HealSpec,
        patient: &Arc<dyn Patient>,
        now: Instant,
    ) -> Option<BoxFuture<'static, Event>> {
        let key = key(patient);
        let case = self.cases.get(&key)?;
        if case.doing != Doing::Nothing {
            return None;
        }
        let view = self.view(pools, pool, patient, Sight::NotLooked, now);
        let decision = policy::decide(&case.record, spec, &view, now);
        if decision == Decision::Heal && case.ask_at.is_some_and(|at| now < at) {
            return None;
        }
        self.settle(&key, decision, now).then(|| {
            let around = Around::of(pools, pool, patient);
            let (surgeon, patient) = (Arc::clone(&self.tools.surgeon), Arc::clone(patient));
            async move { Event::Looked(key, ask(&*surgeon, &*patient, &around).await) }.boxed()
        })
    }

    pub(super) fn on_event(&mut self, event: Event, now: Instant) -> Option<BoxFuture<'static, Event>> {
        match event {
            Event::Looked(key, findings) => self.on_looked(&key, &findings, now),
            Event::Ended(key, container, report) => {
                self.on_ended(&key, &container, &report, now);
                None
            }
            Event::Back(key, turn) => {
                self.plans.back(&key, turn);
                None
            }
            Event::ErrandDone(upstream, ladders) => {
                self.by_hand.remove(&upstream);
                self.drilled.retain(|(of, _)| *of != upstream);
                for (key, container, report) in ladders {
                    self.cases.entry(key.clone()).or_insert_with(|| Case::new(now)).record.begin(now);
                    // Where the policy has a ladder of its own in there by now, that one's end counts.
                    if self.treated.get(&container).is_none_or(|treated| treated.ended.is_some()) {
                        self.treat(&container, key.1, report.past.clone());
                    }
                    self.on_ended(&key, &container, &report, now);
                }
                None
            }
        }
    }

    /// Second decision, knowing the container and how its dependencies answer.
    fn on_looked(&mut self, key: &Key, findings: &Findings, now: Instant) -> Option<BoxFuture<'static, Event>> {
        let case = self.cases.get_mut(key)?;
        if case.doing != Doing::Asking {
            return None;
        }
        case.doing = Doing::Nothing;
        case.ask_later(now);
        let pools = self.tools.ward.pools();
        self.observe(&pools, now);
        let pool = pools.iter().find(|pool| pool.spec.name == key.0)?;
        let (patient, spec) = (pool.patients.iter().find(|one| one.address() == key.1)?, pool.spec.heal.as_ref()?);
        let why = findings.container.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let sight = self.sight(findings, key, &why, spec, now);
        let mut view = self.view(&pools, pool, patient, sight, now);
        view.need = view.need.or(findings.sick_need.as_ref().map(Need::Sick));
        // Of a need that fell after all had been asked nothing is known yet; that takes another look.
        let passes = findings.sibling_passes.unwrap_or(!matches!(view.need, Some(Need::Sick(_))));
        view.siblings_well = view.siblings_well && passes;
        if findings.everyone_fails {
            view.everything_sick_since = view.everything_sick_since.or(Some(now));
        }
        let decision = policy::decide(&self.cases.get(key)?.record, spec, &view, now);
        if let (Decision::Heal, Some(Need::Sick(need))) = (&decision, view.need) {
            let (upstream, backend) = key;
            log::info!(
                "heal backend {backend} of {upstream}: healing although `{need}` is not up: other backends of \
                 {upstream} pass their checks"
            );
        }
        if !self.settle(key, decision, now) {
            return None;
        }
        let container = findings.container.as_ref().ok()?.clone();
        Some(self.begin(key, patient, spec, container, now))
    }

    fn begin(
        &mut self,
        key: &Key,
        patient: &Arc<dyn Patient>,
        spec: &HealSpec,
        container: ContainerRef,
        now: Instant,
    ) -> BoxFuture<'static, Event> {
        if let Some(case) = self.cases.get_mut(key) {
            case.record.begin(now);
            case.doing = Doing::Healing;
            case.ask_at_once();
        }
        let past = self.past(&container.id, now);
        self.treat(&container.id, key.1, past.clone());
        let (tools, key, id) = (self.tools.clone(), key.clone(), container.id.clone());
        let asked_by = if self.drilled.contains(&key) { AskedBy::Drill } else { AskedBy::Policy };
        let attempt =
            Attempt { patient: Arc::clone(patient), container, spec: spec.clone(), asked_by, past, was_well: false };
        async move {
            let report = attempt.run(&tools).await;
            Event::Ended(key, id, report)
        }
        .boxed()
    }

    fn on_ended(&mut self, key: &Key, container: &ContainerId, report: &Report, now: Instant) {
        let ended = match report.outcome {
            // There was no sickness to be counted.
            _ if matches!(report.asked_by, AskedBy::Drill | AskedBy::Reload) => Ended::Refunded,
            Outcome::Healed => Ended::Healed,
            Outcome::Failed | Outcome::Running | Outcome::Interrupted => Ended::Failed,
            Outcome::Unrunnable => Ended::Unrunnable,
            Outcome::Recovered | Outcome::Postponed | Outcome::Left if report.acted => Ended::Failed,
            Outcome::Recovered | Outcome::Postponed | Outcome::Left => Ended::Refunded,
        };
        if let Some(treated) = self.treated.get_mut(container) {
            // What did nothing leaves what was done before.
            let ended_at = if report.acted { Some(now) } else { treated.before };
            treated.past = report.past.clone();
            match ended_at {
                Some(at) => treated.ended = Some(at),
                None => _ = self.treated.remove(container),
            }
        }
        let pools = self.tools.ward.pools();
        let spec = pools.iter().find(|pool| pool.spec.name == key.0).and_then(|pool| pool.spec.heal.as_ref());
        let Some(case) = self.cases.get_mut(key) else { return };
        if case.doing == Doing::Healing {
            case.doing = Doing::Nothing;
        }
        if let Some(heal) = spec {
            case.record.end(ended, heal, fastrand::f64(), now);
        }
        if ended == Ended::Refunded {
            case.ask_soon(now);
        }
        if ended == Ended::Unrunnable {
            self.tell_gave_up(key, policy::GaveUp::Unrunnable);
        }
    }

    /// Notes a decision; true when something is to be done.
    fn settle(&mut self, key: &Key, decision: Decision, now: Instant) -> bool {
        let Some(case) = self.cases.get_mut(key) else { return false };
        let (upstream, backend) = key;
        let mut gave_up = None;
        let reason = match decision {
            Decision::Heal => {
                case.doing = Doing::Asking;
                return true;
            }
            Decision::Ignore(reason) => reason,
            Decision::GiveUp(why) => {
                case.record.give_up(now);
                gave_up = Some(why);
                Reason::GaveUp
            }
        };
        let is_new = !case.reason.as_ref().is_some_and(|before| before.is_like(&reason));
        match &reason {
            Reason::Well | Reason::NotSick => {
                if case.reason.take().is_some() {
                    self.tools.journal.set_idle(upstream, *backend, None, false);
                }
                case.ask_at_once();
                return false;
            }
            Reason::GaveUp | Reason::NeverPassed(_) => {}
            // At the start everyone is new, and whoever stops a container has been told so.
            Reason::EdgeStarted | Reason::Planned => log::debug!("heal backend {backend} of {upstream}: {reason}"),
            _ if is_new => log::info!("heal backend {backend} of {upstream}: not healed: {reason}"),
            _ => {}
        }
        self.tools.journal.set_idle(upstream, *backend, Some(reason.to_string()), is_new);
        case.reason = Some(reason.clone());
        self.tell_unproven(&reason);
        if let Some(why) = gave_up {
            self.tell_gave_up(key, why);
        }
        false
    }

    /// Loudly: in the log, the metrics and to the webhook.
    fn tell_gave_up(&self, (upstream, backend): &Key, why: policy::GaveUp) {
        log::error!("heal backend {backend} of {upstream}: healing stopped: {why}");
        self.tools.ward.gave_up(upstream);
        self.tools.journal.gave_up(upstream, *backend, &why.to_string());
    }
}
