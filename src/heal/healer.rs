//! The loop that watches every backend and runs ladders: events in, what is to be done about them out. Re-decides on its own
//! clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use crate::docker::Seen;
use crate::types::OwnedTask;

use super::commands::{HealCommand, HealHandle};
use super::container_names::ContainerNames;
use super::event::HealEvent;
use super::state::HealState;
use super::tools::HealTools;

/// How often every backend is looked at, whatever is heard of changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Commands of operators, and events of Docker, that may wait for the loop.
const WAITING: usize = 16;
const SEEN: usize = 256;

/// Heals until it is dropped; a ladder under way is dropped with it and its backend let back.
#[must_use = "dropping this stops healing"]
pub struct Healer {
    _task: OwnedTask,
    _watch: OwnedTask,
    handle: HealHandle,
    names: ContainerNames,
}

impl Healer {
    /// Starts healing, and listening to what Docker does.
    pub fn start(tools: HealTools) -> Self {
        let (commands, waiting) = mpsc::channel(WAITING);
        let (tell, seen) = mpsc::channel(SEEN);
        let driver = Arc::clone(&tools.driver);
        let names = ContainerNames::default();
        Self {
            _watch: OwnedTask::spawn(async move { driver.watch(tell).await }),
            _task: OwnedTask::spawn(run(tools, waiting, seen, names.clone())),
            handle: HealHandle::new(commands),
            names,
        }
    }

    /// By which operators' commands reach it.
    pub fn handle(&self) -> HealHandle {
        self.handle.clone()
    }

    /// The names of containers, as far as they have been told.
    pub fn container_names(&self) -> ContainerNames {
        self.names.clone()
    }
}

async fn run(
    tools: HealTools,
    mut commands: mpsc::Receiver<HealCommand>,
    mut seen: mpsc::Receiver<Seen>,
    names: ContainerNames,
) {
    let mut state = HealState::new(tools, Instant::now());
    let mut changed = state.world().changed();
    let mut under_way: FuturesUnordered<BoxFuture<'static, HealEvent>> = FuturesUnordered::new();
    let mut clock = tokio::time::interval(LOOK_EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_heard = true;
    loop {
        tokio::select! {
            Some(event) = under_way.next() => under_way.extend(state.on_event(event, Instant::now())),
            Some(one) = seen.recv() => {
                names.note(&one);
                under_way.extend(state.on_seen(&one, Instant::now()));
            }
            Some(command) = commands.recv() => under_way.extend(state.on_command(command, Instant::now())),
            heard = changed.changed(), if is_heard => is_heard = heard.is_ok(),
            _ = clock.tick() => {}
        }
        under_way.extend(state.look(Instant::now()));
    }
}

#[cfg(test)]
#[path = "healer_tests.rs"]
mod tests;
