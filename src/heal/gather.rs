//! What the policy is told: the world around one backend, gathered. Decides nothing.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::config::model::HealSpec;
use crate::docker::{ContainerRef, FindError};
use crate::types::UpstreamName;

use super::container_driver::ContainerDriver;
use super::policy::{BackendView, Need, SETTLE, Sight, Symptoms};
use super::state::{Doing, HealState, LastHeal};
use super::world::{HealPool, HealTarget, Key, key};

/// What was found out about a sick backend before its ladder.
pub(super) struct Findings {
    pub container: Result<ContainerRef, FindError>,
    /// A dependency whose probe failed although its check still has it up.
    pub sick_need: Option<UpstreamName>,
    /// Whether another backend of the upstream passed a probe.
    pub sibling_passes: bool,
    /// Nobody of any other upstream answers either.
    pub everyone_fails: bool,
    /// Another upstream that has fallen silent in the same moments as all of this one.
    pub fell_with: Option<UpstreamName>,
}

/// Who is asked before a ladder, beside Docker.
pub(super) struct Around {
    /// What the upstream needs.
    needs: Vec<HealPool>,
    /// Other backends of the upstream that get requests.
    siblings: Vec<Arc<dyn HealTarget>>,
    /// Upstreams of which the file does not say that their sickness explains this one's, or is explained by it.
    others: Vec<HealPool>,
    /// How the upstream fails.
    symptoms: Symptoms,
}

impl Around {
    pub(super) fn of(pools: &[HealPool], pool: &HealPool, target: &Arc<dyn HealTarget>) -> Self {
        let needs = pool.spec.needs.iter().filter_map(|need| pools.iter().find(|other| other.spec.name == *need));
        let is_other = |other: &&HealPool| {
            let is_related = other.spec.needs.contains(&pool.spec.name) || pool.spec.needs.contains(&other.spec.name);
            other.spec.name != pool.spec.name && other.spec.check.is_some() && !is_related
        };
        Self {
            needs: needs.cloned().collect(),
            siblings: well_siblings(pool, target).cloned().collect(),
            others: pools.iter().filter(is_other).cloned().collect(),
            symptoms: pool.symptoms(),
        }
    }
}

fn well_siblings<'p>(
    pool: &'p HealPool,
    target: &Arc<dyn HealTarget>,
) -> impl Iterator<Item = &'p Arc<dyn HealTarget>> + use<'p> {
    let address = target.address();
    pool.targets.iter().filter(move |other| other.address() != address && other.is_in_rotation())
}

impl HealState {
    pub(super) fn view<'v>(
        &'v self,
        pools: &[HealPool],
        pool: &'v HealPool,
        target: &Arc<dyn HealTarget>,
        sight: Sight<'v>,
        now: Instant,
    ) -> BackendView<'v> {
        let others = pool.targets.iter().filter(|other| other.address() != target.address());
        let is_healing = |other: &&Arc<dyn HealTarget>| {
            self.backends.get(&key(other)).is_some_and(|known| known.doing == Doing::Healing)
        };
        BackendView {
            is_up: target.is_up(),
            is_sick: target.is_sick(),
            unready: target.unready(),
            serves: target.serves(),
            sick_since: target.sick_since(),
            others_up: u32::try_from(others.clone().filter(|other| other.is_up()).count()).unwrap_or(u32::MAX),
            sibling: others.clone().find(is_healing).map(|other| other.address()),
            need: self.need(pools, pool, now).or_else(|| self.fell_with(pools, pool, now)),
            siblings_well: self.are_siblings_well(pool, target, now),
            everything_sick_since: self.everything_sick_since(now),
            paused_until: self.tools.journal.paused(&pool.spec.name, SystemTime::now()).map(|left| now + left),
            planned: self.planned_stops.has(&key(target)),
            overloaded: target.is_overloaded(),
            commanded: self.commanded.contains(&pool.spec.name) && !self.drilled.contains(&key(target)),
            unproven: self.unproven(pool, target),
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
    fn are_siblings_well(&self, pool: &HealPool, target: &Arc<dyn HealTarget>, now: Instant) -> bool {
        let settles = |at: &Instant| now.saturating_duration_since(*at) < SETTLE;
        well_siblings(pool, target).next().is_some() && !self.last_sick.get(&pool.spec.name).is_some_and(settles)
    }

    fn need<'v>(&self, pools: &[HealPool], pool: &'v HealPool, now: Instant) -> Option<Need<'v>> {
        pool.spec.needs.iter().find_map(|name| {
            let needed = pools.iter().find(|other| other.spec.name == *name)?;
            let has_any_up = needed.targets.iter().any(|one| one.is_up());
            if needed.spec.check.is_some() && !needed.targets.is_empty() && !has_any_up {
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
        let is_recent = |last_heal: &&LastHeal| match last_heal.ended {
            None => true,
            Some(ended) => now.saturating_duration_since(ended) < spec.cooldown,
        };
        let last_heal = self.last_heals.get(&container.id).filter(is_recent);
        let shared_with = last_heal.map(|last_heal| last_heal.backend).filter(|backend| *backend != key.1);
        Sight::Found { state: container.state, age, start_period: container.start_period, shared_with }
    }
}

/// Finds the container and probes what the upstream needs: a check may not have noticed yet what its dependents suffer from.
///
/// Where nobody else of its upstream passes a probe, all of it is about to fall, or has fallen: then every other upstream is
/// asked as well, for what falls sick together has one cause. One that is silent may be it; where all are, it is the network.
pub(super) async fn ask(driver: &dyn ContainerDriver, target: &dyn HealTarget, around: &Around) -> Findings {
    let Around { needs, siblings, others, symptoms } = around;
    let backend = target.backend_ref();
    // Each takes a moment, and the heal waits for all of them.
    let asking_others = async {
        let sibling_passes = any_passes(siblings).await;
        let answers = if sibling_passes { Vec::new() } else { ask_all(others).await };
        (sibling_passes, answers)
    };
    let (sick_need, (sibling_passes, answers), container) =
        tokio::join!(sick_need(needs), asking_others, driver.find(&backend));
    let silent = || answers.iter().filter(|answer| !answer.passes);
    // One that has been down for long did not fall with it.
    let is_cause = |OtherUpstream { pool, was_up, .. }: &&OtherUpstream<'_>| {
        let answers = pool.targets.iter().any(|one| one.answers());
        *was_up && Symptoms { answers, routed: pool.routed }.may_explain(*symptoms)
    };
    let fell_with = silent().find(is_cause).map(|answer| answer.pool.spec.name.clone());
    let everyone_fails =
        !answers.is_empty() && silent().count() == answers.len() && !(symptoms.answers && fell_with.is_some());
    Findings { container, sick_need, sibling_passes, everyone_fails, fell_with }
}

/// What another upstream's checks said when they were asked.
struct OtherUpstream<'p> {
    pool: &'p HealPool,
    /// A backend of it was up before.
    was_up: bool,
    passes: bool,
}

async fn ask_all(pools: &[HealPool]) -> Vec<OtherUpstream<'_>> {
    let asked = pools.iter().filter(|pool| !pool.targets.is_empty()).map(async |pool| {
        let was_up = pool.targets.iter().any(|one| one.is_up());
        OtherUpstream { pool, was_up, passes: any_passes(&pool.targets).await }
    });
    join_all(asked).await
}

/// The first of these upstreams, in the file's order, of which no backend passes a probe.
async fn sick_need(needs: &[HealPool]) -> Option<UpstreamName> {
    let checked = needs.iter().filter(|need| need.spec.check.is_some());
    let asked = checked.map(async |need| {
        let up: Vec<_> = need.targets.iter().filter(|one| one.is_up()).cloned().collect();
        (!any_passes(&up).await).then(|| need.spec.name.clone())
    });
    join_all(asked).await.into_iter().flatten().next()
}

/// One that hangs is not waited for where another answers.
async fn any_passes(targets: &[Arc<dyn HealTarget>]) -> bool {
    let mut answers: FuturesUnordered<_> = targets.iter().map(|one| one.probe()).collect();
    while let Some(passed) = answers.next().await {
        if passed {
            return true;
        }
    }
    false
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
