//! What Docker does with containers, and what that means for backends: who is stopped gets no new requests, who is started is
//! asked until it answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};

use crate::docker::{Happening, Seen};

use super::event::HealEvent;
use super::state::{Doing, HealState};
use super::world::{HealPool, HealTarget, key};

/// How long a container that was started has to answer its check, and the pause between two questions.
const BACK_WITHIN: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(100);

impl HealState {
    /// Something happens to a container, and perhaps to backends of ours.
    pub(super) fn on_seen(&mut self, seen: &Seen, now: Instant) -> Vec<BoxFuture<'static, HealEvent>> {
        let pools = self.tools.world.pools();
        if seen.what == Happening::Starts {
            // Its name may stand for a new address.
            self.tools.world.resolve_now();
        }
        let mut actions = Vec::new();
        for (pool, target) in pools.iter().flat_map(|pool| pool.targets.iter().map(move |one| (pool, one))) {
            if !seen.addresses.contains(&target.address().ip()) || target.is_leaving() {
                continue;
            }
            match seen.what {
                Happening::Stops => self.plan(seen, target, now),
                Happening::Freezes => {
                    self.plan(seen, target, now);
                    // Who is told to stop finishes what it has; who is frozen does not.
                    target.move_waiting();
                }
                Happening::Starts => actions.extend(self.expect(pool, target)),
            }
        }
        actions
    }

    fn plan(&mut self, seen: &Seen, target: &Arc<dyn HealTarget>, now: Instant) {
        let key = key(target);
        // A ladder restarts containers, too.
        if self.backends.get(&key).is_some_and(|known| known.doing == Doing::Healing) || self.commanded.contains(&key.0)
        {
            return;
        }
        if self.planned_stops.hold(target, now) {
            let (upstream, backend) = &key;
            log::info!(
                "backend {backend} of {upstream}: container {} is stopping; no new requests until it is back",
                seen.container
            );
        }
    }

    fn expect(&mut self, pool: &HealPool, target: &Arc<dyn HealTarget>) -> Option<BoxFuture<'static, HealEvent>> {
        let key = key(target);
        let turn = self.planned_stops.turn(&key)?;
        let (target, is_checked) = (Arc::clone(target), pool.spec.check.is_some());
        let answers = async move {
            while is_checked && !(target.probe().await && target.is_up()) {
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        Some(
            async move {
                // Who does not answer in time is judged by the check, which knows by now.
                let _ = tokio::time::timeout(BACK_WITHIN, answers).await;
                HealEvent::Back(key, turn)
            }
            .boxed(),
        )
    }
}
