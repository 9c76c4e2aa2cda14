//! The loop with fakes: who is healed, in what order, how often, and what is written down about those who are not.

use super::super::fakes::{FakePatient, FakeSurgeon, FakeWard, container, heal, upstream};
use super::*;
use crate::config::model::{Preset, Step};
use crate::docker::{ContainerState, DockerError, FindError};

/// A loop that runs by hand, as if the edge had started long ago.
struct Bench {
    rounds: Rounds,
    under_way: FuturesUnordered<BoxFuture<'static, Event>>,
    journal: Arc<Journal>,
    surgeon: Arc<FakeSurgeon>,
}

impl Bench {
    fn new(ward: &Arc<FakeWard>, surgeon: FakeSurgeon) -> Self {
        let (journal, surgeon) = (Arc::new(Journal::default()), Arc::new(surgeon));
        let tools = HealTools {
            ward: Arc::clone(ward) as Arc<dyn Ward>,
            surgeon: Arc::clone(&surgeon) as Arc<dyn Surgeon>,
            journal: Arc::clone(&journal),
        };
        let mut rounds = Rounds::new(tools);
        rounds.started -= Duration::from_secs(60);
        Self { rounds, under_way: FuturesUnordered::new(), journal, surgeon }
    }

    /// Looks, and lets everything that follows run to its end.
    async fn round(&mut self) {
        self.under_way.extend(self.rounds.look(Instant::now()));
        while let Some(event) = self.under_way.next().await {
            self.under_way.extend(self.rounds.on_event(event, Instant::now()));
        }
    }

    fn reasons(&self) -> Vec<String> {
        self.journal.idle().into_iter().map(|idle| format!("{}: {}", idle.backend, idle.reason)).collect()
    }
}

fn reload() -> Vec<Step> {
    vec![Step::Preset(Preset::GunicornReload)]
}

fn curing(patients: &[&Arc<FakePatient>]) -> FakeSurgeon {
    let patients: Vec<_> = patients.iter().map(|patient| Arc::clone(patient)).collect();
    FakeSurgeon::new(vec![], move |_| patients.iter().for_each(|patient| patient.set_up(true)))
}

#[tokio::test]
async fn one_backend_of_an_upstream_at_a_time() {
    let (a, b) = (FakePatient::sick("api", "10.0.0.1:81"), FakePatient::sick("api", "10.0.0.2:82"));
    let page = FakePatient::up("page", "10.0.0.3:80");
    let ward = FakeWard::new(vec![
        (upstream("api", &[], Some(heal(reload()))), vec![Arc::clone(&a), Arc::clone(&b)]),
        (upstream("page", &[], None), vec![page]),
    ]);
    let mut bench = Bench::new(&ward, curing(&[&a]));
    bench.round().await;
    assert_eq!(bench.surgeon.performed(), ["gunicorn reload in api-81"]);
    assert_eq!(bench.reasons(), ["10.0.0.2:82: 10.0.0.1:81 of the same upstream is being healed first"]);
    bench.rounds.cases.values_mut().for_each(|case| case.ask_at = None);
    bench.round().await;
    assert_eq!(bench.surgeon.performed().len(), 2, "then the other");
}

#[tokio::test]
async fn a_database_is_healed_before_those_who_need_it() {
    let (db, api) = (FakePatient::up("database", "10.0.0.1:3306"), FakePatient::sick("api", "10.0.0.2:80"));
    let page = FakePatient::up("page", "10.0.0.3:80");
    let ward = FakeWard::new(vec![
        (upstream("api", &["database"], Some(heal(reload()))), vec![Arc::clone(&api)]),
        (
            upstream("database", &[], Some(heal(vec![Step::Preset(Preset::Systemd("mysql".into()))]))),
            vec![Arc::clone(&db)],
        ),
        (upstream("page", &[], None), vec![page]),
    ]);
    let mut bench = Bench::new(&ward, curing(&[&db]));
    db.set_up(false);
    bench.round().await;
    assert_eq!(bench.surgeon.performed(), ["systemctl restart mysql in database-3306"]);
    assert_eq!(bench.reasons(), ["10.0.0.2:80: it needs `database`, which is not up"]);
    bench.round().await;
    assert_eq!(bench.reasons(), ["10.0.0.2:80: it needs `database`, which came back less than 10s ago"]);
    bench.rounds.last_sick.clear();
    bench.round().await;
    assert_eq!(bench.surgeon.performed().len(), 2, "what is still sick then is healed itself");
}

#[tokio::test]
async fn two_backends_in_one_container_are_one_heal() {
    let (a, b) = (FakePatient::sick("one", "10.0.0.1:81"), FakePatient::sick("two", "10.0.0.1:82"));
    let page = FakePatient::up("page", "10.0.0.3:80");
    let ward = FakeWard::new(vec![
        (upstream("one", &[], Some(heal(reload()))), vec![Arc::clone(&a)]),
        (upstream("page", &[], None), vec![page]),
        (upstream("two", &[], Some(heal(reload()))), vec![Arc::clone(&b)]),
    ]);
    let surgeon = FakeSurgeon { always: Some(container("both")), ..FakeSurgeon::new(vec![], |_| {}) };
    let mut bench = Bench::new(&ward, surgeon);
    bench.round().await;
    assert_eq!(bench.surgeon.performed().len(), 1);
    assert!(
        bench.reasons().iter().any(|reason| reason.contains("its container is healed for")),
        "{:?}",
        bench.reasons()
    );
}

#[tokio::test]
async fn everything_at_once_heals_nothing() {
    let (a, b) = (FakePatient::sick("one", "10.0.0.1:81"), FakePatient::sick("two", "10.0.0.2:82"));
    let ward = FakeWard::new(vec![
        (upstream("one", &[], Some(heal(reload()))), vec![a]),
        (upstream("two", &[], Some(heal(reload()))), vec![b]),
    ]);
    let mut bench = Bench::new(&ward, FakeSurgeon::new(vec![], |_| {}));
    bench.round().await;
    assert!(bench.surgeon.performed().is_empty());
    assert!(bench.reasons().iter().all(|reason| reason.contains("suppressed: global")) && bench.reasons().len() == 2);
}

#[tokio::test]
async fn what_cannot_be_reached_costs_nothing_and_is_asked_again() {
    let patient = FakePatient::sick("api", "10.0.0.1:81");
    let ward = FakeWard::new(vec![(upstream("api", &[], Some(heal(reload()))), vec![Arc::clone(&patient)])]);
    let surgeon = curing(&[&patient]);
    let paused = crate::docker::ContainerRef { state: ContainerState::Paused, ..container("api-1") };
    surgeon.finds.lock().extend([
        Err(FindError::Docker(DockerError::NoSocket("/var/run/docker.sock".into()))),
        Err(FindError::Gone { address: patient.address, server: "api".into() }),
        Ok(paused),
    ]);
    let mut bench = Bench::new(&ward, surgeon);
    for expected in ["no Docker: there is no Docker socket", "may have been recreated", "its container is paused"] {
        bench.round().await;
        assert!(bench.reasons()[0].contains(expected), "{:?}", bench.reasons());
        bench.round().await;
        assert!(bench.surgeon.performed().is_empty() && bench.reasons()[0].contains(expected), "not asked at once");
        let case = bench.rounds.cases.values_mut().next().unwrap();
        assert!(case.ask_at.take().is_some(), "but soon");
    }
    bench.round().await;
    assert!(patient.is_up(), "and healed when it can be");
    bench.round().await;
    assert!(bench.reasons().is_empty());
}

#[tokio::test]
async fn a_backend_broken_for_good_is_given_up() {
    let patient = FakePatient::sick("api", "10.0.0.1:81");
    let mut spec = heal(reload());
    spec.cooldown = Duration::ZERO;
    let ward = FakeWard::new(vec![(upstream("api", &[], Some(spec)), vec![patient])]);
    let mut bench = Bench::new(&ward, FakeSurgeon::new(vec![], |_| {}));
    for _ in 0..8 {
        bench.round().await;
    }
    assert_eq!(bench.surgeon.performed().len(), 3, "the budget");
    assert!(bench.reasons()[0].contains("given up"), "{:?}", bench.reasons());
    assert_eq!((bench.journal.totals().failed, bench.journal.totals().given_up), (3, 1));
}

#[tokio::test]
async fn a_dependency_is_probed_before_its_dependent_is_healed() {
    /// Up by its check, which has not noticed yet; a probe fails.
    struct Dying(Arc<FakePatient>);
    impl Patient for Dying {
        fn upstream(&self) -> &UpstreamName {
            self.0.upstream()
        }
        fn address(&self) -> SocketAddr {
            self.0.address()
        }
        fn server(&self) -> &crate::types::ServerAddress {
            self.0.server()
        }
        fn is_up(&self) -> bool {
            true
        }
        fn is_sick(&self) -> bool {
            false
        }
        fn serves(&self) -> bool {
            false
        }
        fn is_leaving(&self) -> bool {
            false
        }
        fn sick_since(&self) -> Option<Instant> {
            None
        }
        fn cause(&self) -> String {
            String::new()
        }
        fn is_silent(&self) -> bool {
            false
        }

        fn in_flight(&self) -> usize {
            0
        }
        fn hold_out(&self) -> Box<dyn Send> {
            self.0.hold_out()
        }
        fn probe(&self) -> BoxFuture<'_, bool> {
            async { false }.boxed()
        }
    }
    let api = FakePatient::sick("api", "10.0.0.2:80");
    let ward = FakeWard::new(vec![(upstream("api", &["database"], Some(heal(reload()))), vec![api])]);
    let dying = Arc::new(Dying(FakePatient::up("database", "10.0.0.1:3306")));
    ward.pools.lock().push(Pool { spec: upstream("database", &[], None), patients: vec![dying] });
    let mut bench = Bench::new(&ward, FakeSurgeon::new(vec![], |_| {}));
    bench.round().await;
    assert!(bench.surgeon.performed().is_empty());
    assert_eq!(bench.reasons(), ["10.0.0.2:80: it needs `database`, which is not up"]);
}

#[tokio::test]
async fn the_task_heals_by_its_own_clock() {
    let patient = FakePatient::sick("api", "10.0.0.1:81");
    let ward = FakeWard::new(vec![(upstream("api", &[], Some(heal(reload()))), vec![Arc::clone(&patient)])]);
    let tools = HealTools {
        ward: Arc::clone(&ward) as Arc<dyn Ward>,
        surgeon: Arc::new(curing(&[&patient])),
        journal: Arc::new(Journal::default()),
    };
    let healer = Healer::start(tools.clone());
    let idle = async {
        while tools.journal.idle().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), idle).await.expect("a first look within seconds");
    assert!(tools.journal.idle()[0].reason.contains("the edge started less than"), "{:?}", tools.journal.idle());
    drop(healer);
}
