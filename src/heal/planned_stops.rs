//! Containers that somebody stops or replaces: a plan, not a sickness. Their backends get no new requests from the moment Docker
//! is told, and come back when the check passes; nothing is healed meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::world::{HealPool, HealTarget, Key, key};

/// Who was told to stop and is still there after this long is judged by its check again.
const PLAN_MAX: Duration = Duration::from_secs(60);
/// Backends whose containers are being stopped or replaced.
#[derive(Default)]
pub(super) struct PlannedStops {
    held: HashMap<Key, PlannedStop>,
}

struct PlannedStop {
    _held: Box<dyn Send>,
    since: Instant,
    /// Counts the stops, so that what is late does not end a later one.
    turn: u64,
}

impl PlannedStops {
    pub(super) fn has(&self, key: &Key) -> bool {
        self.held.contains_key(key)
    }

    /// Counts the stops of a backend that is to come back.
    pub(super) fn turn(&self, key: &Key) -> Option<u64> {
        self.held.get(key).map(|planned| planned.turn)
    }

    /// Its container is being stopped, perhaps once more; true where that is new.
    pub(super) fn hold(&mut self, target: &Arc<dyn HealTarget>, now: Instant) -> bool {
        let key = key(target);
        if let Some(planned) = self.held.get_mut(&key) {
            (planned.since, planned.turn) = (now, planned.turn + 1);
            return false;
        }
        self.held.insert(key, PlannedStop { _held: target.set_aside(), since: now, turn: 0 });
        true
    }

    /// Lets a backend back, unless it was stopped again meanwhile.
    pub(super) fn back(&mut self, key: &Key, turn: u64) {
        if self.held.get(key).is_some_and(|planned| planned.turn == turn) {
            self.held.remove(key);
            log::info!("backend {} of {}: container restarted; backend back in rotation", key.1, key.0);
        }
    }

    /// Forgets those who left, and those who did not stop after all.
    pub(super) fn forget(&mut self, pools: &[HealPool], now: Instant) {
        if self.held.is_empty() {
            return;
        }
        let is_there = |(upstream, address): &Key| {
            let pool = pools.iter().find(|pool| pool.spec.name == *upstream);
            pool.is_some_and(|pool| pool.targets.iter().any(|one| one.address() == *address && !one.is_leaving()))
        };
        self.held.retain(|key, planned| is_there(key) && now.saturating_duration_since(planned.since) < PLAN_MAX);
    }
}
