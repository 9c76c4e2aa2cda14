//! What is known of every backend, and what is to be done about it. Decides by `policy` alone; waits for nothing.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};

use crate::config::model::HealSpec;
use crate::docker::{ContainerId, ContainerRef};
use crate::types::UpstreamName;

use super::attempt::{Attempt, Past, RELOAD_PAUSE, Report};
use super::healer::HealTools;
use super::journal::{AskedBy, Outcome};
use super::patient::{Patient, Pool, Ward};
use super::plans::Plans;
use super::policy::{self, Decision, Definition, Ended, Need, Reason, Record, Sight};
use super::survey::{Around, Findings, ask, everything_sick};

/// Pause after Docker was asked in vain; doubles up to the longest.
const ASK_FIRST: Duration = Duration::from_secs(2);
const ASK_MAX: Duration = Duration::from_secs(30);
/// How long a backend that left is remembered: a recreated container often gets its old address back.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

pub(super) type Key = (UpstreamName, SocketAddr);

/// What came of something that was under way.
pub(super) enum Event {
    Looked(Key, Findings),
    Ended(Key, ContainerId, Report),
    /// A container that had been stopped answers again, unless it was stopped once more since.
    Back(Key, u64),
    /// An operator's command has ended; these ladders were part of it.
    ErrandDone(UpstreamName, Vec<(Key, ContainerId, Report)>),
}

/// What is under way for one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Nothing,
    /// Its container is being looked for.
    Asking,
    Healing,
}

/// One backend's case.
pub(super) struct Case {
    pub record: Record,
    pub doing: Doing,
    pub ask_at: Option<Instant>,
    /// It has passed its check since the configuration changed, and that is written down.
    pub has_passed: bool,
    ask_pause: Duration,
    reason: Option<Reason>,
    seen: Instant,
}

impl Case {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            record: Record::default(),
            doing: Doing::Nothing,
            ask_at: None,
            has_passed: false,
            ask_pause: ASK_FIRST,
            reason: None,
            seen: now,
        }
    }
}

/// The latest heal in one container.
pub(super) struct Treated {
    pub backend: SocketAddr,
    /// `None` while it is under way.
    pub ended: Option<Instant>,
    /// When the one before ended.
    pub before: Option<Instant>,
    pub past: Past,
}

pub(super) struct Rounds {
    pub tools: HealTools,
    pub started: Instant,
    generation: u64,
    pub reloaded: Option<Instant>,
    pub cases: HashMap<Key, Case>,
    pub treated: HashMap<ContainerId, Treated>,
    /// When an upstream last had no backend up.
    pub last_sick: HashMap<UpstreamName, Instant>,
    /// Since when everything was sick together, and when that was last so.
    pub all_sick: Option<(Instant, Instant)>,
    /// Containers that are being stopped or replaced.
    pub plans: Plans,
    /// Upstreams that an operator's command works on.
    pub by_hand: HashSet<UpstreamName>,
    /// Backends that only pretend to be sick.
    pub drilled: HashSet<Key>,
    /// Definitions of which the log says that they never worked.
    pub told: HashSet<Definition>,
}

impl Rounds {
    pub(super) fn new(tools: HealTools, now: Instant) -> Self {
        let generation = tools.ward.generation();
        let mut rounds = Self {
            tools,
            started: now,
            generation,
            reloaded: None,
            cases: HashMap::new(),
            treated: HashMap::new(),
            last_sick: HashMap::new(),
            all_sick: None,
            plans: Plans::default(),
            by_hand: HashSet::new(),
            drilled: HashSet::new(),
            told: HashSet::new(),
        };
        rounds.remember(now);
        rounds
    }

    pub(super) fn ward(&self) -> &Arc<dyn Ward> {
        &self.tools.ward
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
        for pool in &pools {
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
        case.ask_at = Some(now + case.ask_pause);
        case.ask_pause = (case.ask_pause * 2).min(ASK_MAX);
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
            log::info!("heal backend {backend} of {upstream}: `{need}` is not up, but others of {upstream} are well");
        }
        if !self.settle(key, decision, now) {
            return None;
        }
        let container = findings.container.as_ref().ok()?.clone();
        Some(self.begin(key, patient, spec, container, now))
    }

    /// What earlier ladders have shown of a container.
    pub(super) fn past(&self, container: &ContainerId, now: Instant) -> Past {
        let mut past = self.treated.get(container).map(|treated| treated.past.clone()).unwrap_or_default();
        past.reloaded = past.reloaded.filter(|at| now.saturating_duration_since(*at) < RELOAD_PAUSE);
        past
    }

    /// A ladder begins in a container, or began.
    fn treat(&mut self, container: &ContainerId, backend: SocketAddr, past: Past) {
        let before = self.treated.get(container).and_then(|treated| treated.ended);
        self.treated.insert(container.clone(), Treated { backend, ended: None, before, past });
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
            (case.ask_at, case.ask_pause) = (None, ASK_FIRST);
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
        let spec = self.tools.ward.pools().into_iter().find(|pool| pool.spec.name == key.0).map(|pool| pool.spec);
        let Some(case) = self.cases.get_mut(key) else { return };
        if case.doing == Doing::Healing {
            case.doing = Doing::Nothing;
        }
        if let Some(heal) = spec.as_ref().and_then(|spec| spec.heal.as_ref()) {
            case.record.end(ended, heal, fastrand::f64(), now);
        }
        if ended == Ended::Refunded {
            case.ask_at = Some(now + ASK_FIRST);
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
                (case.ask_at, case.ask_pause) = (None, ASK_FIRST);
                return false;
            }
            Reason::GaveUp | Reason::NeverPassed(_) => {}
            // At the start everyone is new, and whoever stops a container has been told so.
            Reason::EdgeStarted | Reason::Planned => log::debug!("heal backend {backend} of {upstream}: {reason}"),
            _ if is_new => log::info!("heal backend {backend} of {upstream}: nothing done: {reason}"),
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
        log::error!("heal backend {backend} of {upstream}: gave up: {why}");
        self.tools.ward.gave_up(upstream);
        self.tools.journal.gave_up(upstream, *backend, &why.to_string());
    }
}

pub(super) fn key(patient: &Arc<dyn Patient>) -> Key {
    (patient.upstream().clone(), patient.address())
}
