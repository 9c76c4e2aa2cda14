//! What an operator asks of the healer: a heal now, a rolling reload, a drill, a pause. One command at a time on an upstream,
//! and none beside a heal of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::{BoxFuture, FutureExt};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::config::model::HealSpec;
use crate::docker::{ContainerId, ContainerState};

use super::attempt::{Attempt, Past, Report};
use super::drill::Drilled;
use super::event::Event;
use super::journal::{AskedBy, Entry, Outcome};
use super::patient::{Key, Patient, Pool, key};
use super::state::Rounds;
use super::tools::HealTools;

/// Pause between two looks at whether enough others are up, and how long that may take.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const OTHERS_WITHIN: Duration = Duration::from_secs(30);

/// What came of a command that ran ladders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Its ladders, in order.
    pub heals: Vec<Entry>,
    /// Why it ended early; `null` where all went well.
    pub stopped: Option<String>,
}

/// A command on its way to the loop.
pub(super) enum Errand {
    Heal { upstream: String, backend: Option<SocketAddr>, reply: oneshot::Sender<Result<Work, String>> },
    Reload { upstream: String, reply: oneshot::Sender<Result<Work, String>> },
    Drill { upstream: String, reply: oneshot::Sender<Result<Drilled, String>> },
    Pause { upstream: Option<String>, span: Option<Duration>, reply: oneshot::Sender<Result<(), String>> },
}

/// Brings commands to the healer.
#[derive(Clone)]
pub struct HealHandle(mpsc::Sender<Errand>);

impl HealHandle {
    pub(super) fn new(errands: mpsc::Sender<Errand>) -> Self {
        Self(errands)
    }

    /// Runs the ladder on one backend, sick or not, or on all that are sick, one after another.
    ///
    /// # Errors
    /// When there is nothing to be done, or not now, and why.
    pub async fn heal(&self, upstream: String, backend: Option<SocketAddr>) -> Result<Work, String> {
        self.ask(|reply| Errand::Heal { upstream, backend, reply }).await
    }

    /// Runs the first step on every backend, one after another, each out of rotation meanwhile.
    ///
    /// # Errors
    /// When it cannot be begun, and why.
    pub async fn reload(&self, upstream: String) -> Result<Work, String> {
        self.ask(|reply| Errand::Reload { upstream, reply }).await
    }

    /// Has one backend pretend to be sick and watches how it is healed.
    ///
    /// # Errors
    /// When it cannot be begun, and why.
    pub async fn drill(&self, upstream: String) -> Result<Drilled, String> {
        self.ask(|reply| Errand::Drill { upstream, reply }).await
    }

    /// Pauses healing of an upstream, or of all, for so long; `None` ends the pause.
    ///
    /// # Errors
    /// When there is no such upstream.
    pub async fn pause(&self, upstream: Option<String>, span: Option<Duration>) -> Result<(), String> {
        self.ask(|reply| Errand::Pause { upstream, span, reply }).await
    }

    async fn ask<T>(&self, errand: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Errand) -> Result<T, String> {
        const ENDING: &str = "the edge is stopping";
        let (reply, answer) = oneshot::channel();
        self.0.send(errand(reply)).await.map_err(|_| ENDING.to_owned())?;
        answer.await.map_err(|_| ENDING.to_owned())?
    }
}

impl Rounds {
    /// Begins what an operator asks for; what cannot be begun is answered at once.
    pub(super) fn on_errand(&mut self, errand: Errand, now: Instant) -> Option<BoxFuture<'static, Event>> {
        match errand {
            Errand::Pause { upstream, span, reply } => {
                let _ = reply.send(self.pause(upstream.as_deref(), span));
                None
            }
            Errand::Drill { upstream, reply } => self.begin_drill(&upstream, reply, now),
            Errand::Reload { upstream, reply } => match self.reload_targets(&upstream) {
                Ok((pool, targets)) => Some(self.work_on(pool, targets, (AskedBy::Reload, false), reply, now)),
                Err(why) => refuse(reply, why),
            },
            Errand::Heal { upstream, backend, reply } => match self.heal_targets(&upstream, backend) {
                Ok((pool, targets)) => {
                    Some(self.work_on(pool, targets, (AskedBy::Hand, backend.is_some()), reply, now))
                }
                Err(why) => refuse(reply, why),
            },
        }
    }

    fn pause(&self, upstream: Option<&str>, span: Option<Duration>) -> Result<(), String> {
        let name = upstream.map(|name| self.pool(name)).transpose()?.map(|pool| pool.spec.name.clone());
        let shown = name.as_ref().map_or_else(|| "all upstreams".to_owned(), ToString::to_string);
        match span {
            Some(span) => log::info!("healing of {shown} paused for {span:?} by an operator"),
            None => log::info!("healing of {shown} resumed by an operator"),
        }
        self.tools.journal.pause(name.as_ref(), span.map(|span| SystemTime::now() + span));
        Ok(())
    }

    fn heal_targets(&self, name: &str, backend: Option<SocketAddr>) -> Result<(Pool, Vec<Arc<dyn Patient>>), String> {
        let pool = self.free_pool(name)?;
        let present = || pool.patients.iter().filter(|one| !one.is_leaving());
        let targets: Vec<_> = match backend {
            Some(address) => present().filter(|one| one.address() == address).cloned().collect(),
            None => present().filter(|one| one.is_sick()).cloned().collect(),
        };
        if targets.is_empty() {
            let all: Vec<_> = present().map(|one| one.address().to_string()).collect();
            let all = all.join(", ");
            return Err(match backend {
                Some(address) => format!("`{name}` has no backend {address}; its backends are: {all}"),
                None => format!("no backend of `{name}` is failing; to heal one anyway, give its address: {all}"),
            });
        }
        Ok((pool, targets))
    }

    fn reload_targets(&self, name: &str) -> Result<(Pool, Vec<Arc<dyn Patient>>), String> {
        let pool = self.free_pool(name)?;
        let targets: Vec<_> = pool.patients.iter().filter(|one| !one.is_leaving()).cloned().collect();
        let min_up = pool.spec.heal.as_ref().map_or(0, |heal| heal.min_up);
        // Alone, its requests may wait.
        let is_held = targets.len() == 1 && !pool.spec.hold.is_zero();
        match targets.len() {
            0 => Err(format!("`{name}` has no backend")),
            count if count <= min_up as usize && !is_held => Err(format!(
                "`{name}` has {count} backends, and `min_up` requires {min_up} others up during a reload; add a \
                 replica, or set `hold` so that requests are queued while an only one reloads"
            )),
            _ => Ok((pool, targets)),
        }
    }

    fn work_on(
        &mut self,
        pool: Pool,
        targets: Vec<Arc<dyn Patient>>,
        (asked_by, is_named): (AskedBy, bool),
        reply: oneshot::Sender<Result<Work, String>>,
        now: Instant,
    ) -> BoxFuture<'static, Event> {
        let name = pool.spec.name.clone();
        self.by_hand.insert(name.clone());
        let pasts = self.treated.keys().map(|id| (id.clone(), self.past(id, now))).collect();
        let series = Series { tools: self.tools.clone(), pool, asked_by, is_named, pasts, ladders: Vec::new() };
        async move {
            let (work, ladders) = series.run(targets).await;
            let _ = reply.send(Ok(work));
            Event::ErrandDone(name, ladders)
        }
        .boxed()
    }
}

fn refuse<T>(reply: oneshot::Sender<Result<T, String>>, why: String) -> Option<BoxFuture<'static, Event>> {
    let _ = reply.send(Err(why));
    None
}

/// Ladders on several backends, one after another.
struct Series {
    tools: HealTools,
    pool: Pool,
    asked_by: AskedBy,
    /// The operator named the backend.
    is_named: bool,
    pasts: HashMap<ContainerId, Past>,
    ladders: Vec<(Key, ContainerId, Report)>,
}

impl Series {
    async fn run(mut self, targets: Vec<Arc<dyn Patient>>) -> (Work, Vec<(Key, ContainerId, Report)>) {
        let mut stopped = None;
        for patient in targets {
            if let Err(why) = self.one(&patient).await {
                stopped = Some(why);
                break;
            }
        }
        let journal = &self.tools.journal;
        let heals = self.ladders.iter().filter_map(|(_, _, report)| journal.entry(report.id)).collect();
        (Work { heals, stopped }, self.ladders)
    }

    async fn one(&mut self, patient: &Arc<dyn Patient>) -> Result<(), String> {
        let address = patient.address();
        let Some(spec) = self.pool.spec.heal.clone() else { return Ok(()) };
        // Who has recovered meanwhile is left alone, unless it was named.
        let is_done = self.asked_by == AskedBy::Hand && !self.is_named && patient.is_up();
        if patient.is_leaving() || is_done {
            return Ok(());
        }
        if self.asked_by == AskedBy::Reload {
            self.wait_for_others(patient, &spec).await?;
        }
        let container =
            self.tools.surgeon.find(&patient.whom()).await.map_err(|error| format!("{address}: {error}"))?;
        if !matches!(container.state, ContainerState::Running | ContainerState::Unknown) {
            return Err(format!("{address}: container `{}` is {}", container.name, container.state));
        }
        // Two backends of one container are reloaded by one step.
        if self.asked_by == AskedBy::Reload && self.ladders.iter().any(|(_, id, _)| *id == container.id) {
            return Ok(());
        }
        let (id, past) = (container.id.clone(), self.pasts.get(&container.id).cloned().unwrap_or_default());
        let attempt = Attempt {
            patient: Arc::clone(patient),
            container,
            spec,
            asked_by: self.asked_by,
            past,
            was_well: patient.is_up(),
        };
        let report = attempt.run(&self.tools).await;
        let outcome = report.outcome;
        self.ladders.push((key(patient), id, report));
        match outcome {
            Outcome::Healed | Outcome::Recovered | Outcome::Left => Ok(()),
            _ if self.asked_by == AskedBy::Reload => {
                Err(format!("{address}: the step failed; the other backends were not reloaded"))
            }
            _ => Err(format!("{address}: no step helped")),
        }
    }

    /// Nobody is taken out before enough others are back.
    async fn wait_for_others(&self, patient: &Arc<dyn Patient>, spec: &HealSpec) -> Result<(), String> {
        let started = Instant::now();
        loop {
            let pools = self.tools.ward.pools();
            let pool = pools.iter().find(|pool| pool.spec.name == self.pool.spec.name);
            let members = pool.map_or(&[][..], |pool| &pool.patients);
            let others: Vec<_> = members.iter().filter(|other| other.address() != patient.address()).collect();
            let up = others.iter().filter(|other| other.is_in_rotation()).count();
            let enough = usize::try_from(spec.min_up).unwrap_or(usize::MAX);
            // Alone, its requests wait; that was seen to when the command began.
            if enough <= up || (others.is_empty() && !self.pool.spec.hold.is_zero()) {
                return Ok(());
            }
            if OTHERS_WITHIN < started.elapsed() {
                return Err(format!("{}: only {up} others are up; `min_up` requires {enough}", patient.address()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
