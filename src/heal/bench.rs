//! The healer's loop run by hand among fakes.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::oneshot;

use crate::config::model::{Preset, Step};

use super::event::Event;
use super::fakes::{FakePatient, FakeSurgeon, FakeWard};
use super::hand::Errand;
use super::policy::EDGE_GRACE;
use super::state::Rounds;
use super::{AtWork, HealTools, Journal, Surgeon, Ward};

/// A loop that runs by hand, as if the edge had started long ago.
pub(super) struct Bench {
    pub(super) rounds: Rounds,
    pub(super) under_way: FuturesUnordered<BoxFuture<'static, Event>>,
    pub(super) journal: Arc<Journal>,
    pub(super) surgeon: Arc<FakeSurgeon>,
}

impl Bench {
    pub(super) fn new(ward: &Arc<FakeWard>, surgeon: FakeSurgeon) -> Self {
        let (journal, surgeon) = (Arc::new(Journal::default()), Arc::new(surgeon));
        let tools = HealTools {
            ward: Arc::clone(ward) as Arc<dyn Ward>,
            surgeon: Arc::clone(&surgeon) as Arc<dyn Surgeon>,
            journal: Arc::clone(&journal),
            at_work: AtWork::default(),
        };
        let mut rounds = Rounds::new(tools, Instant::now());
        rounds.started -= EDGE_GRACE * 6;
        Self { rounds, under_way: FuturesUnordered::new(), journal, surgeon }
    }

    /// Looks, and lets everything that follows run to its end.
    pub(super) async fn round(&mut self) {
        self.under_way.extend(self.rounds.look(Instant::now()));
        while let Some(event) = self.under_way.next().await {
            self.under_way.extend(self.rounds.on_event(event, Instant::now()));
        }
    }

    pub(super) fn reasons(&self) -> Vec<String> {
        self.journal.idle().into_iter().map(|idle| format!("{}: {}", idle.backend, idle.reason)).collect()
    }
}

pub(super) fn reload() -> Vec<Step> {
    vec![Step::Preset(Preset::GunicornReload)]
}

pub(super) fn curing(patients: &[&Arc<FakePatient>]) -> FakeSurgeon {
    let patients: Vec<_> = patients.iter().map(|patient| Arc::clone(patient)).collect();
    FakeSurgeon::new(vec![], move |_| patients.iter().for_each(|patient| patient.set_up(true)))
}

pub(super) async fn bench_run(bench: &mut Bench, actions: Vec<BoxFuture<'static, Event>>) -> usize {
    bench.under_way.extend(actions);
    let mut count = 0;
    while let Some(event) = bench.under_way.next().await {
        count += 1;
        bench.under_way.extend(bench.rounds.on_event(event, Instant::now()));
    }
    count
}

/// Gives a command to the loop and returns its answer.
pub(super) async fn command<T>(
    bench: &mut Bench,
    make: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Errand,
) -> Result<T, String> {
    let (reply, answer) = oneshot::channel();
    let action = bench.rounds.on_errand(make(reply), Instant::now());
    bench_run(bench, action.into_iter().collect()).await;
    answer.await.unwrap()
}
