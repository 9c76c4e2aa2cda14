//! What the policy is told: the world around one backend, gathered. Decides nothing.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::config::model::HealSpec;
use crate::docker::{ContainerRef, FindError};
use crate::types::UpstreamName;

use super::patient::{Key, Patient, Pool, key};
use super::policy::{self, Need, PoolView, SETTLE, Sight, View};
use super::state::{Doing, Rounds, Treated};
use super::surgeon::Surgeon;

/// What was found out about a sick backend before its ladder.
pub(super) struct Findings {
    pub container: Result<ContainerRef, FindError>,
    /// A dependency whose probe failed although its check still has it up.
    pub sick_need: Option<UpstreamName>,
    /// Whether another backend of the upstream passed a probe; `None` where all that it needs is up and nobody was asked.
    pub sibling_passes: Option<bool>,
    /// Nobody of any other upstream answers either.
    pub everyone_fails: bool,
}

/// Who is asked before a ladder, beside Docker.
pub(super) struct Around {
    /// What the upstream needs.
    needs: Vec<Pool>,
    /// Other backends of the upstream that get requests.
    siblings: Vec<Arc<dyn Patient>>,
    /// Where all of the upstream is down: upstreams whose sickness neither explains nor is explained by this one's.
    others: Vec<Pool>,
}

impl Around {
    pub(super) fn of(pools: &[Pool], pool: &Pool, patient: &Arc<dyn Patient>) -> Self {
        let needs = pool.spec.needs.iter().filter_map(|need| pools.iter().find(|other| other.spec.name == *need));
        let is_other = |other: &&Pool| {
            let is_related = other.spec.needs.contains(&pool.spec.name) || pool.spec.needs.contains(&other.spec.name);
            other.spec.name != pool.spec.name && other.spec.check.is_some() && !is_related
        };
        let is_last = !pool.patients.iter().any(|one| one.is_up());
        Self {
            needs: needs.cloned().collect(),
            siblings: well_siblings(pool, patient).cloned().collect(),
            others: pools.iter().filter(is_other).filter(|_| is_last).cloned().collect(),
        }
    }
}

fn well_siblings<'p>(
    pool: &'p Pool,
    patient: &Arc<dyn Patient>,
) -> impl Iterator<Item = &'p Arc<dyn Patient>> + use<'p> {
    let address = patient.address();
    pool.patients.iter().filter(move |other| other.address() != address && other.is_in_rotation())
}

impl Rounds {
    pub(super) fn view<'v>(
        &self,
        pools: &[Pool],
        pool: &'v Pool,
        patient: &Arc<dyn Patient>,
        sight: Sight<'v>,
        now: Instant,
    ) -> View<'v> {
        let others = pool.patients.iter().filter(|other| other.address() != patient.address());
        let is_healing =
            |other: &&Arc<dyn Patient>| self.cases.get(&key(other)).is_some_and(|case| case.doing == Doing::Healing);
        View {
            is_up: patient.is_up(),
            is_sick: patient.is_sick(),
            serves: patient.serves(),
            sick_since: patient.sick_since(),
            others_up: u32::try_from(others.clone().filter(|other| other.is_up()).count()).unwrap_or(u32::MAX),
            sibling: others.clone().find(is_healing).map(|other| other.address()),
            need: self.need(pools, pool, now),
            siblings_well: self.are_siblings_well(pool, patient, now),
            everything_sick_since: self.everything_sick_since(now),
            paused_until: self.tools.journal.paused(&pool.spec.name, SystemTime::now()).map(|left| now + left),
            planned: self.plans.has(&key(patient)),
            overloaded: patient.is_overloaded(),
            by_hand: self.by_hand.contains(&pool.spec.name) && !self.drilled.contains(&key(patient)),
            unproven: self.unproven(pool, patient),
            started: self.started,
            reloaded: self.reloaded,
            sight,
        }
    }

    /// The others come back soon after the first one of all: they are given time for it.
    fn everything_sick_since(&self, now: Instant) -> Option<Instant> {
        let (since, last) = self.all_sick?;
        (now.saturating_duration_since(last) < SETTLE).then_some(since)
    }

    /// Where nobody was up a moment ago the sickness was shared, and they recover one after another.
    fn are_siblings_well(&self, pool: &Pool, patient: &Arc<dyn Patient>, now: Instant) -> bool {
        let settles = |at: &Instant| now.saturating_duration_since(*at) < SETTLE;
        well_siblings(pool, patient).next().is_some() && !self.last_sick.get(&pool.spec.name).is_some_and(settles)
    }

    fn need<'v>(&self, pools: &[Pool], pool: &'v Pool, now: Instant) -> Option<Need<'v>> {
        pool.spec.needs.iter().find_map(|name| {
            let needed = pools.iter().find(|other| other.spec.name == *name)?;
            let has_any_up = needed.patients.iter().any(|one| one.is_up());
            if needed.spec.check.is_some() && !needed.patients.is_empty() && !has_any_up {
                return Some(Need::Sick(name));
            }
            let last_sick = self.last_sick.get(name)?;
            (now.saturating_duration_since(*last_sick) < SETTLE).then_some(Need::JustBack(name))
        })
    }

    pub(super) fn sight<'v>(
        &self,
        findings: &Findings,
        key: &Key,
        why: &'v str,
        spec: &HealSpec,
        now: Instant,
    ) -> Sight<'v> {
        let container = match &findings.container {
            Ok(container) => container,
            Err(FindError::Docker(_)) => return Sight::NoDocker(why),
            Err(_) => return Sight::NotFound(why),
        };
        let age = container.started_at.and_then(|start| SystemTime::now().duration_since(start).ok());
        let is_recent = |treated: &&Treated| match treated.ended {
            None => true,
            Some(ended) => now.saturating_duration_since(ended) < spec.cooldown,
        };
        let treated = self.treated.get(&container.id).filter(is_recent);
        let shared_with = treated.map(|treated| treated.backend).filter(|backend| *backend != key.1);
        Sight::Found { state: container.state, age, start_period: container.start_period, shared_with }
    }
}

pub(super) fn everything_sick(pools: &[Pool]) -> Option<Instant> {
    let views: Vec<PoolView<'_>> = pools
        .iter()
        .map(|pool| {
            let checked: &[Arc<dyn Patient>] = if pool.spec.check.is_some() { &pool.patients } else { &[] };
            let sick = checked.iter().filter(|one| one.is_sick());
            let since = sick.clone().filter_map(|one| one.sick_since()).max();
            PoolView {
                name: &pool.spec.name,
                needs: &pool.spec.needs,
                checked: checked.len(),
                sick: sick.count(),
                since,
            }
        })
        .collect();
    policy::everything_sick(&views)
}

/// Finds the container and probes what the upstream needs: a check may not have noticed yet what its dependents suffer from.
///
/// Where all of its upstream is down the `others` are asked as well: they may be about to fall, too, and then it is the network.
/// Where something it needs is down its siblings are asked too: what they suffer from as well their checks may not have noticed
/// either.
pub(super) async fn ask(surgeon: &dyn Surgeon, patient: &dyn Patient, around: &Around) -> Findings {
    let Around { needs, siblings, others } = around;
    let mut sick_need = None;
    for need in needs.iter().filter(|need| need.spec.check.is_some()) {
        let mut answers = false;
        for one in need.patients.iter().filter(|one| one.is_up()) {
            answers = answers || one.probe().await;
        }
        if !answers {
            sick_need = Some(need.spec.name.clone());
            break;
        }
    }
    let sibling_passes = match sick_need {
        Some(_) => Some(any_passes(siblings).await),
        None => None,
    };
    let asked = others.iter().flat_map(|pool| pool.patients.first());
    let answers = join_all(asked.map(|one| one.probe())).await;
    let everyone_fails = !answers.is_empty() && !answers.contains(&true);
    let container = surgeon.find(&patient.whom()).await;
    Findings { container, sick_need, sibling_passes, everyone_fails }
}

/// One that hangs is not waited for where another answers.
async fn any_passes(patients: &[Arc<dyn Patient>]) -> bool {
    let mut answers: FuturesUnordered<_> = patients.iter().map(|one| one.probe()).collect();
    while let Some(passed) = answers.next().await {
        if passed {
            return true;
        }
    }
    false
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
