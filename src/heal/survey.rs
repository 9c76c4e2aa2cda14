//! What the policy is told: the world around one backend, gathered. Decides nothing.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures_util::future::join_all;

use crate::config::model::HealSpec;
use crate::docker::{ContainerRef, FindError};
use crate::types::UpstreamName;

use super::patient::{Patient, Pool};
use super::policy::{self, Need, PoolView, SETTLE, Sight, View};
use super::rounds::{Doing, Key, Rounds, Treated, key};
use super::surgeon::Surgeon;

/// What was found out about a sick backend before its ladder.
pub(super) struct Findings {
    pub container: Result<ContainerRef, FindError>,
    /// A dependency whose probe failed although its check still has it up.
    pub sick_need: Option<UpstreamName>,
    /// Nobody of any other upstream answers either.
    pub everyone_fails: bool,
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
            everything_sick_since: self.everything_sick_since(now),
            paused_until: self.tools.journal.paused(&pool.spec.name, SystemTime::now()).map(|left| now + left),
            planned: self.plans.has(&key(patient)),
            overloaded: patient.is_overloaded(),
            by_hand: self.by_hand.contains(&pool.spec.name) && !self.drilled.contains(&key(patient)),
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
pub(super) async fn ask(surgeon: &dyn Surgeon, patient: &dyn Patient, needs: &[Pool], others: &[Pool]) -> Findings {
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
    let asked = others.iter().flat_map(|pool| pool.patients.first());
    let answers = join_all(asked.map(|one| one.probe())).await;
    let everyone_fails = !answers.is_empty() && !answers.contains(&true);
    let container = surgeon.find(&patient.whom()).await;
    Findings { container, sick_need, everyone_fails }
}
