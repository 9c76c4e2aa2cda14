//! What Docker does with containers, and what that means for backends: who is stopped gets no new requests, who is started is
//! asked until it answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};

use crate::docker::{Happening, Seen};

use super::event::Event;
use super::patient::{Patient, Pool, key};
use super::state::{Doing, Rounds};

/// How long a container that was started has to answer its check, and the pause between two questions.
const BACK_WITHIN: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(100);

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
        if self.plans.hold(patient, now) {
            let (upstream, backend) = &key;
            log::info!(
                "backend {backend} of {upstream}: container {} is stopping; no new requests until it is back",
                seen.container
            );
        }
    }

    fn expect(&mut self, pool: &Pool, patient: &Arc<dyn Patient>) -> Option<BoxFuture<'static, Event>> {
        let key = key(patient);
        let turn = self.plans.turn(&key)?;
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
