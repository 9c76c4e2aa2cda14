//! The healer's loop run by hand among fakes.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::oneshot;

use crate::config::model::{Preset, Step};

use super::commands::HealCommand;
use super::event::HealEvent;
use super::fakes::{FakeDriver, FakeTarget, FakeWorld};
use super::policy::EDGE_GRACE;
use super::state::HealState;
use super::{AtWork, ContainerDriver, HealTools, HealWorld, Journal};

/// A loop that runs by hand, as if the edge had started long ago.
pub(super) struct TestLoop {
    pub(super) state: HealState,
    pub(super) under_way: FuturesUnordered<BoxFuture<'static, HealEvent>>,
    pub(super) journal: Arc<Journal>,
    pub(super) driver: Arc<FakeDriver>,
}

impl TestLoop {
    pub(super) fn new(world: &Arc<FakeWorld>, driver: FakeDriver) -> Self {
        let (journal, driver) = (Arc::new(Journal::default()), Arc::new(driver));
        let tools = HealTools {
            world: Arc::clone(world) as Arc<dyn HealWorld>,
            driver: Arc::clone(&driver) as Arc<dyn ContainerDriver>,
            journal: Arc::clone(&journal),
            at_work: AtWork::default(),
        };
        let mut state = HealState::new(tools, Instant::now());
        state.started -= EDGE_GRACE * 6;
        Self { state, under_way: FuturesUnordered::new(), journal, driver }
    }

    /// Looks, and lets everything that follows run to its end.
    pub(super) async fn round(&mut self) {
        self.round_at(Instant::now()).await;
    }

    /// The same, as if it were `now`.
    pub(super) async fn round_at(&mut self, now: Instant) {
        self.under_way.extend(self.state.look(now));
        while let Some(event) = self.under_way.next().await {
            self.under_way.extend(self.state.on_event(event, now));
        }
    }

    pub(super) fn reasons(&self) -> Vec<String> {
        self.journal.idle().into_iter().map(|idle| format!("{}: {}", idle.backend, idle.reason)).collect()
    }
}

pub(super) fn reload() -> Vec<Step> {
    vec![Step::Preset(Preset::GunicornReload)]
}

pub(super) fn driver_that_heals(targets: &[&Arc<FakeTarget>]) -> FakeDriver {
    let targets: Vec<_> = targets.iter().map(|target| Arc::clone(target)).collect();
    FakeDriver::new(vec![], move |_| targets.iter().for_each(|target| target.set_up(true)))
}

pub(super) async fn run_all(healing: &mut TestLoop, actions: Vec<BoxFuture<'static, HealEvent>>) -> usize {
    healing.under_way.extend(actions);
    let mut count = 0;
    while let Some(event) = healing.under_way.next().await {
        count += 1;
        healing.under_way.extend(healing.state.on_event(event, Instant::now()));
    }
    count
}

/// Gives a command to the loop and returns its answer.
pub(super) async fn command<T>(
    healing: &mut TestLoop,
    make: impl FnOnce(oneshot::Sender<Result<T, String>>) -> HealCommand,
) -> Result<T, String> {
    let (reply, answer) = oneshot::channel();
    let action = healing.state.on_command(make(reply), Instant::now());
    run_all(healing, action.into_iter().collect()).await;
    answer.await.unwrap()
}
