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

use super::drill::DrillReport;
use super::event::HealEvent;
use super::journal::{AskedBy, JournalEntry, LadderOutcome};
use super::ladder::{Ladder, LadderReport, Past};
use super::state::HealState;
use super::tools::HealTools;
use super::world::{HealPool, HealTarget, Key, key};

/// Pause between two looks at whether enough others are up, and how long that may take.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const OTHERS_WITHIN: Duration = Duration::from_secs(30);

/// What came of a command that ran ladders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CommandResult {
    /// Its ladders, in order.
    pub heals: Vec<JournalEntry>,
    /// Why it ended early; `null` where all went well.
    pub stopped: Option<String>,
}

/// A command on its way to the loop.
pub(super) enum HealCommand {
    Heal { upstream: String, backend: Option<SocketAddr>, reply: oneshot::Sender<Result<CommandResult, String>> },
    Reload { upstream: String, reply: oneshot::Sender<Result<CommandResult, String>> },
    Drill { upstream: String, reply: oneshot::Sender<Result<DrillReport, String>> },
    Pause { upstream: Option<String>, span: Option<Duration>, reply: oneshot::Sender<Result<(), String>> },
}

/// Brings commands to the healer.
#[derive(Clone)]
pub struct HealHandle(mpsc::Sender<HealCommand>);

impl HealHandle {
    pub(super) fn new(commands: mpsc::Sender<HealCommand>) -> Self {
        Self(commands)
    }

    /// Runs the ladder on one backend, sick or not, or on all that are sick, one after another.
    ///
    /// # Errors
    /// When there is nothing to be done, or not now, and why.
    pub async fn heal(&self, upstream: String, backend: Option<SocketAddr>) -> Result<CommandResult, String> {
        self.ask(|reply| HealCommand::Heal { upstream, backend, reply }).await
    }

    /// Runs the first step on every backend, one after another, each out of rotation meanwhile.
    ///
    /// # Errors
    /// When it cannot be begun, and why.
    pub async fn reload(&self, upstream: String) -> Result<CommandResult, String> {
        self.ask(|reply| HealCommand::Reload { upstream, reply }).await
    }

    /// Has one backend pretend to be sick and watches how it is healed.
    ///
    /// # Errors
    /// When it cannot be begun, and why.
    pub async fn drill(&self, upstream: String) -> Result<DrillReport, String> {
        self.ask(|reply| HealCommand::Drill { upstream, reply }).await
    }

    /// Pauses healing of an upstream, or of all, for so long; `None` ends the pause.
    ///
    /// # Errors
    /// When there is no such upstream.
    pub async fn pause(&self, upstream: Option<String>, span: Option<Duration>) -> Result<(), String> {
        self.ask(|reply| HealCommand::Pause { upstream, span, reply }).await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, String>>) -> HealCommand,
    ) -> Result<T, String> {
        const ENDING: &str = "the edge is stopping";
        let (reply, answer) = oneshot::channel();
        self.0.send(command(reply)).await.map_err(|_| ENDING.to_owned())?;
        answer.await.map_err(|_| ENDING.to_owned())?
    }
}

impl HealState {
    /// Begins what an operator asks for; what cannot be begun is answered at once.
    pub(super) fn on_command(&mut self, command: HealCommand, now: Instant) -> Option<BoxFuture<'static, HealEvent>> {
        match command {
            HealCommand::Pause { upstream, span, reply } => {
                let _ = reply.send(self.pause(upstream.as_deref(), span));
                None
            }
            HealCommand::Drill { upstream, reply } => self.begin_drill(&upstream, reply, now),
            HealCommand::Reload { upstream, reply } => match self.reload_targets(&upstream) {
                Ok((pool, targets)) => Some(self.heal_in_turn(pool, targets, (AskedBy::Reload, false), reply, now)),
                Err(why) => refuse(reply, why),
            },
            HealCommand::Heal { upstream, backend, reply } => match self.heal_targets(&upstream, backend) {
                Ok((pool, targets)) => {
                    Some(self.heal_in_turn(pool, targets, (AskedBy::Hand, backend.is_some()), reply, now))
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

    fn heal_targets(
        &self,
        name: &str,
        backend: Option<SocketAddr>,
    ) -> Result<(HealPool, Vec<Arc<dyn HealTarget>>), String> {
        let pool = self.free_pool(name)?;
        let present = || pool.targets.iter().filter(|one| !one.is_leaving());
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

    fn reload_targets(&self, name: &str) -> Result<(HealPool, Vec<Arc<dyn HealTarget>>), String> {
        let pool = self.free_pool(name)?;
        let targets: Vec<_> = pool.targets.iter().filter(|one| !one.is_leaving()).cloned().collect();
        let min_up = pool.spec.heal.as_ref().map_or(0, |heal| heal.min_up);
        // Alone, its requests may wait.
        let is_held = targets.len() == 1 && !pool.spec.hold.is_zero();
        match targets.len() {
            0 => Err(format!("`{name}` has no backend")),
            count if count <= min_up as usize && !is_held => Err(format!(
                "`{name}` has {count} backends, and `min_up` requires {min_up} others up during a reload; add a \
                 replica, or remove `hold: 0` so that requests are queued while an only one reloads"
            )),
            _ => Ok((pool, targets)),
        }
    }

    fn heal_in_turn(
        &mut self,
        pool: HealPool,
        targets: Vec<Arc<dyn HealTarget>>,
        (asked_by, is_named): (AskedBy, bool),
        reply: oneshot::Sender<Result<CommandResult, String>>,
        now: Instant,
    ) -> BoxFuture<'static, HealEvent> {
        let name = pool.spec.name.clone();
        self.commanded.insert(name.clone());
        let pasts = self.last_heals.keys().map(|id| (id.clone(), self.past(id, now))).collect();
        let series = Series { tools: self.tools.clone(), pool, asked_by, is_named, pasts, ladders: Vec::new() };
        async move {
            let (work, ladders) = series.run(targets).await;
            let _ = reply.send(Ok(work));
            HealEvent::CommandDone(name, ladders)
        }
        .boxed()
    }
}

fn refuse<T>(reply: oneshot::Sender<Result<T, String>>, why: String) -> Option<BoxFuture<'static, HealEvent>> {
    let _ = reply.send(Err(why));
    None
}

/// Ladders on several backends, one after another.
struct Series {
    tools: HealTools,
    pool: HealPool,
    asked_by: AskedBy,
    /// The operator named the backend.
    is_named: bool,
    pasts: HashMap<ContainerId, Past>,
    ladders: Vec<(Key, ContainerId, LadderReport)>,
}

impl Series {
    async fn run(
        mut self,
        targets: Vec<Arc<dyn HealTarget>>,
    ) -> (CommandResult, Vec<(Key, ContainerId, LadderReport)>) {
        let mut stopped = None;
        for target in targets {
            if let Err(why) = self.one(&target).await {
                stopped = Some(why);
                break;
            }
        }
        let journal = &self.tools.journal;
        let heals = self.ladders.iter().filter_map(|(_, _, report)| journal.entry(report.id)).collect();
        (CommandResult { heals, stopped }, self.ladders)
    }

    async fn one(&mut self, target: &Arc<dyn HealTarget>) -> Result<(), String> {
        let address = target.address();
        let Some(spec) = self.pool.spec.heal.clone() else { return Ok(()) };
        // Who has recovered meanwhile is left alone, unless it was named.
        let is_done = self.asked_by == AskedBy::Hand && !self.is_named && target.is_up();
        if target.is_leaving() || is_done {
            return Ok(());
        }
        if self.asked_by == AskedBy::Reload {
            self.wait_for_others(target, &spec).await?;
        }
        let container =
            self.tools.driver.find(&target.backend_ref()).await.map_err(|error| format!("{address}: {error}"))?;
        if !matches!(container.state, ContainerState::Running | ContainerState::Unknown) {
            return Err(format!("{address}: container `{}` is {}", container.name, container.state));
        }
        // Two backends of one container are reloaded by one step.
        if self.asked_by == AskedBy::Reload && self.ladders.iter().any(|(_, id, _)| *id == container.id) {
            return Ok(());
        }
        let (id, past) = (container.id.clone(), self.pasts.get(&container.id).cloned().unwrap_or_default());
        let ladder = Ladder {
            target: Arc::clone(target),
            container,
            spec,
            asked_by: self.asked_by,
            past,
            was_well: target.is_up(),
        };
        let report = ladder.run(&self.tools).await;
        let outcome = report.outcome;
        self.ladders.push((key(target), id, report));
        match outcome {
            LadderOutcome::Healed | LadderOutcome::Recovered | LadderOutcome::Left => Ok(()),
            _ if self.asked_by == AskedBy::Reload => {
                Err(format!("{address}: the step failed; the other backends were not reloaded"))
            }
            _ => Err(format!("{address}: no step helped")),
        }
    }

    /// Nobody is taken out before enough others are back.
    async fn wait_for_others(&self, target: &Arc<dyn HealTarget>, spec: &HealSpec) -> Result<(), String> {
        let started = Instant::now();
        loop {
            let pools = self.tools.world.pools();
            let pool = pools.iter().find(|pool| pool.spec.name == self.pool.spec.name);
            let members = pool.map_or(&[][..], |pool| &pool.targets);
            let others: Vec<_> = members.iter().filter(|other| other.address() != target.address()).collect();
            let up = others.iter().filter(|other| other.is_in_rotation()).count();
            let enough = usize::try_from(spec.min_up).unwrap_or(usize::MAX);
            // Alone, its requests wait; that was seen to when the command began.
            if enough <= up || (others.is_empty() && !self.pool.spec.hold.is_zero()) {
                return Ok(());
            }
            if OTHERS_WITHIN < started.elapsed() {
                return Err(format!("{}: only {up} others are up; `min_up` requires {enough}", target.address()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
