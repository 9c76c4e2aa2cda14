//! A drill: one backend pretends to be sick, and everything that follows is real. Its process is well all the time, so that
//! no request is at risk but for what the heal itself costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::types::millis;

use super::event::HealEvent;
use super::journal::{AskedBy, JournalEntry, LadderOutcome};
use super::policy::EDGE_GRACE;
use super::state::HealState;
use super::tools::HealTools;
use super::world::{HealPool, HealTarget, Tally, key};

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long detection may take, beside the check's own pace.
const DETECTED_WITHIN: Duration = Duration::from_secs(20);

/// What a drill has shown. Times are milliseconds after its begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrillReport {
    /// Who pretended.
    pub backend: String,
    /// When it got no more requests.
    pub out_ms: Option<u64>,
    /// When the check's result was that it is sick.
    pub detected_ms: Option<u64>,
    /// When its requests were finished and the first step began.
    pub drained_ms: Option<u64>,
    /// When the check passed again.
    pub healed_ms: Option<u64>,
    /// When it got requests again.
    pub back_ms: Option<u64>,
    /// Requests of the upstream that finished meanwhile.
    pub requests: u64,
    /// Of those, the ones that failed.
    pub failed: u64,
    /// Of those, the ones that waited for a backend.
    pub held: u64,
    /// The heal, where there was one.
    pub heal: Option<JournalEntry>,
    /// What went wrong, if something did.
    pub problem: Option<String>,
}

impl HealState {
    pub(super) fn begin_drill(
        &mut self,
        name: &str,
        reply: oneshot::Sender<Result<DrillReport, String>>,
        now: Instant,
    ) -> Option<BoxFuture<'static, HealEvent>> {
        let (pool, target) = match self.drill_target(name, now) {
            Ok(found) => found,
            Err(why) => {
                let _ = reply.send(Err(why));
                return None;
            }
        };
        let name = pool.spec.name.clone();
        self.commanded.insert(name.clone());
        self.drilled.insert(key(&target));
        let drill = Drill { tools: self.tools.clone(), pool, target };
        Some(
            async move {
                let _ = reply.send(Ok(drill.run().await));
                HealEvent::CommandDone(name, Vec::new())
            }
            .boxed(),
        )
    }

    fn drill_target(&self, name: &str, now: Instant) -> Result<(HealPool, Arc<dyn HealTarget>), String> {
        let pool = self.free_pool(name)?;
        if pool.spec.check.is_none() {
            return Err(format!("upstream `{name}` has no check, so no failure would be detected"));
        }
        if now.saturating_duration_since(self.started) < EDGE_GRACE {
            return Err(format!(
                "the edge started less than {EDGE_GRACE:?} ago and does not heal yet; try again shortly"
            ));
        }
        let up: Vec<_> = pool.targets.iter().filter(|one| one.is_in_rotation()).collect();
        let others = pool.spec.heal.as_ref().map_or(1, |heal| heal.min_up.max(1)) as usize;
        match up.last() {
            Some(target) if others < up.len() => Ok((pool.clone(), Arc::clone(target))),
            _ => Err(format!(
                "a drill takes one backend out of rotation, and {others} others must be up during this: `{name}` has \
                 {} up",
                up.len()
            )),
        }
    }
}

struct Drill {
    tools: HealTools,
    pool: HealPool,
    target: Arc<dyn HealTarget>,
}

impl Drill {
    async fn run(self) -> DrillReport {
        let (began, before) = (Instant::now(), self.target.tally());
        let last = self.tools.journal.newest(|_| true).map_or(0, |entry| entry.id);
        let address = self.target.address();
        log::info!("drill: simulating a failing check on backend {address} of {}", self.pool.spec.name);
        let pretence = self.target.pretend_sick();
        let mut shown = DrillReport {
            backend: address.to_string(),
            out_ms: None,
            detected_ms: None,
            drained_ms: None,
            healed_ms: None,
            back_ms: None,
            requests: 0,
            failed: 0,
            held: 0,
            heal: None,
            problem: None,
        };
        let limit = self.limit();
        while shown.back_ms.is_none() && shown.problem.is_none() {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look(&mut shown, began, last);
            if shown.back_ms.is_none() && limit < began.elapsed() {
                shown.problem = Some(self.complaint(&shown, limit));
            }
        }
        drop(pretence);
        let Tally { requests, failed, held } = self.target.tally();
        shown.requests = requests.saturating_sub(before.requests);
        shown.failed = failed.saturating_sub(before.failed);
        shown.held = held.saturating_sub(before.held);
        log::info!("drill: ended on backend {address} of {}", self.pool.spec.name);
        shown
    }

    fn look(&self, shown: &mut DrillReport, began: Instant, last: u64) {
        let now = millis(began.elapsed());
        if !self.target.is_in_rotation() {
            shown.out_ms.get_or_insert(now);
        }
        if self.target.is_sick() {
            shown.detected_ms.get_or_insert(now);
        }
        let address = self.target.address().to_string();
        let is_it =
            |entry: &JournalEntry| last < entry.id && entry.backend == address && entry.asked_by == AskedBy::Drill;
        shown.heal = self.tools.journal.newest(is_it).or(shown.heal.take());
        let Some(heal) = &shown.heal else { return };
        if !heal.steps.is_empty() {
            shown.drained_ms.get_or_insert(now);
        }
        match heal.result {
            LadderOutcome::Running => {}
            LadderOutcome::Healed => {
                shown.healed_ms.get_or_insert(now);
                if self.target.is_up() && self.target.is_in_rotation() {
                    shown.back_ms = Some(now);
                }
            }
            other => shown.problem = Some(format!("the heal ended with `{}`", other.word())),
        }
    }

    /// As long as everything may take that the file allows to take so long.
    fn limit(&self) -> Duration {
        let check =
            self.pool.spec.check.as_ref().map_or(Duration::ZERO, |check| check.every * (check.fall + check.rise));
        let heal = self.pool.spec.heal.as_ref().map_or(Duration::ZERO, |heal| {
            heal.drain + (heal.timeout + heal.verify) * u32::try_from(heal.steps.len()).unwrap_or(u32::MAX)
        });
        DETECTED_WITHIN + check + heal
    }

    fn complaint(&self, shown: &DrillReport, limit: Duration) -> String {
        let address = self.target.address().to_string();
        let idle = self.tools.journal.idle().into_iter().find(|idle| idle.backend == address);
        match (shown.detected_ms, &shown.heal, idle) {
            (None, ..) => format!("the failure was not detected within {limit:?}"),
            (_, None, Some(idle)) => format!("not healed: {}", idle.reason),
            (_, None, None) => format!("not healed within {limit:?}"),
            (_, Some(_), _) => format!("not back in rotation within {limit:?}"),
        }
    }
}
