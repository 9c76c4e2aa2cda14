//! Containers that somebody stops or replaces: a plan, not a sickness. Their backends get no new requests from the moment Docker
//! is told, and come back when the check passes; nothing is healed meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};

use crate::docker::{Happening, Seen};

use super::patient::{Patient, Pool};
use super::rounds::{Doing, Event, Key, Rounds, key};

/// Who was told to stop and is still there after this long is judged by its check again.
const PLAN_MAX: Duration = Duration::from_secs(60);
/// How long a container that was started has to answer its check, and the pause between two questions.
const BACK_WITHIN: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Backends whose containers are being stopped or replaced.
#[derive(Default)]
pub(super) struct Plans {
    held: HashMap<Key, Planned>,
}

struct Planned {
    _held: Box<dyn Send>,
    since: Instant,
    /// Counts the stops, so that what is late does not end a later one.
    turn: u64,
}

impl Plans {
    pub(super) fn has(&self, key: &Key) -> bool {
        self.held.contains_key(key)
    }

    /// Lets a backend back, unless it was stopped again meanwhile.
    pub(super) fn back(&mut self, key: &Key, turn: u64) {
        if self.held.get(key).is_some_and(|planned| planned.turn == turn) {
            self.held.remove(key);
            log::info!("backend {} of {}: its container is back, and so is it", key.1, key.0);
        }
    }

    /// Forgets those who left, and those who did not stop after all.
    pub(super) fn forget(&mut self, pools: &[Pool], now: Instant) {
        if self.held.is_empty() {
            return;
        }
        let is_there = |(upstream, address): &Key| {
            let pool = pools.iter().find(|pool| pool.spec.name == *upstream);
            pool.is_some_and(|pool| pool.patients.iter().any(|one| one.address() == *address && !one.is_leaving()))
        };
        self.held.retain(|key, planned| is_there(key) && now.saturating_duration_since(planned.since) < PLAN_MAX);
    }
}

impl Rounds {
    /// Something happens to a container, and perhaps to backends of ours.
    pub(super) fn on_seen(&mut self, seen: &Seen, now: Instant) -> Vec<BoxFuture<'static, Event>> {
        let pools = self.tools.ward.pools();
        if seen.what == Happening::Starts {
            // Its name may stand for a new address.
            self.tools.ward.resolve_now();
        }
        let mut actions = Vec::new();
        for (pool, patient) in pools.iter().flat_map(|pool| pool.patients.iter().map(move |one| (pool, one))) {
            if !seen.addresses.contains(&patient.address().ip()) || patient.is_leaving() {
                continue;
            }
            match seen.what {
                Happening::Stops => self.plan(seen, patient, now),
                Happening::Freezes => {
                    self.plan(seen, patient, now);
                    // Who is told to stop finishes what it has; who is frozen does not.
                    patient.move_waiting();
                }
                Happening::Starts => actions.extend(self.expect(pool, patient)),
            }
        }
        actions
    }

    fn plan(&mut self, seen: &Seen, patient: &Arc<dyn Patient>, now: Instant) {
        let key = key(patient);
        // A ladder restarts containers, too.
        if self.cases.get(&key).is_some_and(|case| case.doing == Doing::Healing) || self.by_hand.contains(&key.0) {
            return;
        }
        if let Some(planned) = self.plans.held.get_mut(&key) {
            (planned.since, planned.turn) = (now, planned.turn + 1);
            return;
        }
        log::info!(
            "backend {} of {}: container {} is being stopped; no new requests until it is back",
            key.1,
            key.0,
            seen.container
        );
        self.plans.held.insert(key, Planned { _held: patient.set_aside(), since: now, turn: 0 });
    }

    fn expect(&mut self, pool: &Pool, patient: &Arc<dyn Patient>) -> Option<BoxFuture<'static, Event>> {
        let key = key(patient);
        let turn = self.plans.held.get(&key)?.turn;
        let (patient, is_checked) = (Arc::clone(patient), pool.spec.check.is_some());
        let answers = async move {
            while is_checked && !(patient.probe().await && patient.is_up()) {
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        Some(
            async move {
                // Who does not answer in time is judged by the check, which knows by now.
                let _ = tokio::time::timeout(BACK_WITHIN, answers).await;
                Event::Back(key, turn)
            }
            .boxed(),
        )
    }
}
