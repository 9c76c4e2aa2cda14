//! Which upstream is why another one fails, without a word of it in the file: what fell sick together has one cause.

use std::sync::Arc;
use std::time::Instant;

use crate::types::UpstreamName;

use super::policy::{self, Need, PoolView, SETTLE, SUPPRESSED_MAX, Symptoms};
use super::state::{HealState, SharedCause};
use super::world::{HealPool, HealTarget};

impl HealPool {
    /// How it fails, and who asks it.
    pub(super) fn symptoms(&self) -> Symptoms {
        let answers = self.targets.iter().any(|one| one.is_sick() && one.answers());
        Symptoms { answers, routed: self.routed }
    }
}

/// The upstreams as the policy sees them.
pub(super) fn views<'p>(pools: &'p [HealPool]) -> Vec<PoolView<'p>> {
    let view = |pool: &'p HealPool| {
        let checked: &[Arc<dyn HealTarget>] = if pool.spec.check.is_some() { &pool.targets } else { &[] };
        let fell = || checked.iter().filter_map(|one| one.sick_since());
        PoolView {
            name: &pool.spec.name,
            needs: &pool.spec.needs,
            checked: checked.len(),
            sick: checked.iter().filter(|one| one.is_sick()).count(),
            fell: fell().min().zip(fell().max()),
            symptoms: pool.symptoms(),
        }
    };
    pools.iter().map(view).collect()
}

impl HealState {
    /// Notes what has fallen sick together, and forgets what is over.
    pub(super) fn note_causes(&mut self, pools: &[HealPool], now: Instant) {
        let views = views(pools);
        for view in &views {
            if let Some(cause) = policy::cause_of(view, &views) {
                self.note_cause(view.name, cause, now);
            }
        }
        let last_sick = &self.last_sick;
        self.causes.retain(|name, cause| {
            let is_sick = views.iter().any(|view| view.name == name && view.sick != 0);
            let settles = last_sick.get(&cause.name).is_some_and(|at| now.saturating_duration_since(*at) < SETTLE);
            is_sick && (settles || now == cause.since)
        });
    }

    /// Notes that one upstream most likely fails because of another.
    pub(super) fn note_cause(&mut self, name: &UpstreamName, cause: &UpstreamName, now: Instant) {
        if self.causes.get(name).is_none_or(|known| known.name != *cause) {
            self.causes.insert(name.clone(), SharedCause { name: cause.clone(), since: now });
        }
    }

    /// The upstream that a sick one waits for, though its file does not say so. What is wrong for long is no cause that is
    /// about to be healed: then it is healed itself.
    pub(super) fn fell_with<'v>(&'v self, pools: &[HealPool], pool: &HealPool, now: Instant) -> Option<Need<'v>> {
        let cause = self.causes.get(&pool.spec.name)?;
        if SUPPRESSED_MAX <= now.saturating_duration_since(cause.since) {
            return None;
        }
        let has_any_up =
            pools.iter().any(|other| other.spec.name == cause.name && other.targets.iter().any(|one| one.is_up()));
        if !has_any_up {
            return Some(Need::FellWith(&cause.name));
        }
        let last_sick = self.last_sick.get(&cause.name)?;
        (now.saturating_duration_since(*last_sick) < SETTLE).then_some(Need::JustBack(&cause.name))
    }
}
