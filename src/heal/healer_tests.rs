//! The loop with fakes: who is healed, in what order, how often, and what is written down about those who are not.

use std::net::{IpAddr, SocketAddr};

use super::super::bench::{Bench, bench_run, command, curing, reload};
use super::super::fakes::{FakePatient, FakeSurgeon, FakeWard, container, heal, upstream};
use super::super::hand::{Errand, Work};
use super::super::journal::{AskedBy, Journal, Outcome, StepResult};
use super::super::patient::{Patient as _, Ward};
use super::super::policy::SETTLE;
use super::super::tools::AtWork;
use super::*;
use crate::config::model::{Preset, Step};
use crate::docker::{ContainerName, ContainerState, DockerError, FindError, Happening, Seen};

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
        bench.reasons().iter().any(|reason| reason.contains("its container is being healed for")),
        "{:?}",
        bench.reasons()
    );
}

#[tokio::test]
async fn everything_at_once_heals_nothing() {
    let (a, b) = (FakePatient::sick("one", "10.0.0.1:81"), FakePatient::sick("two", "10.0.0.2:82"));
    let ward = FakeWard::new(vec![
        (upstream("one", &[], Some(heal(reload()))), vec![Arc::clone(&a)]),
        (upstream("two", &[], Some(heal(reload()))), vec![b]),
    ]);
    let mut bench = Bench::new(&ward, FakeSurgeon::new(vec![], |_| {}));
    bench.round().await;
    assert!(bench.surgeon.performed().is_empty());
    assert!(bench.reasons().iter().all(|reason| reason.contains("suppressed: global")) && bench.reasons().len() == 2);
    // The first is back, and the other has time to follow.
    a.set_up(true);
    bench.round().await;
    assert!(bench.surgeon.performed().is_empty(), "{:?}", bench.reasons());
    bench.rounds.all_sick = bench.rounds.all_sick.map(|(since, last)| (since, last - SETTLE));
    bench.round().await;
    assert_eq!(bench.surgeon.performed(), ["gunicorn reload in two-82"]);
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
    assert!(bench.reasons()[0].contains("healing stopped"), "{:?}", bench.reasons());
    assert_eq!((bench.journal.totals().failed, bench.journal.totals().given_up), (3, 1));
}

#[tokio::test]
async fn the_task_heals_by_its_own_clock() {
    let patient = FakePatient::sick("api", "10.0.0.1:81");
    let ward = FakeWard::new(vec![(upstream("api", &[], Some(heal(reload()))), vec![Arc::clone(&patient)])]);
    let tools = HealTools {
        ward: Arc::clone(&ward) as Arc<dyn Ward>,
        surgeon: Arc::new(curing(&[&patient])),
        journal: Arc::new(Journal::default()),
        at_work: AtWork::default(),
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

fn seen(ip: &str, what: Happening) -> Seen {
    Seen { addresses: vec![ip.parse::<IpAddr>().unwrap()], container: ContainerName::parse("api-1").unwrap(), what }
}

#[tokio::test]
async fn a_container_that_is_stopped_is_drained_and_not_healed() {
    let (a, b) = (FakePatient::up("api", "10.0.0.1:81"), FakePatient::up("api", "10.0.0.2:81"));
    let page = FakePatient::up("page", "10.0.0.3:80");
    let ward = FakeWard::new(vec![
        (upstream("api", &[], Some(heal(reload()))), vec![Arc::clone(&a), Arc::clone(&b)]),
        (upstream("page", &[], None), vec![page]),
    ]);
    let mut bench = Bench::new(&ward, curing(&[&a]));
    assert!(bench.rounds.on_seen(&seen("10.0.0.1", Happening::Stops), Instant::now()).is_empty());
    assert!(a.is_held() && !b.is_held());
    a.set_up(false);
    bench.round().await;
    assert!(bench.surgeon.performed().is_empty());
    assert!(bench.reasons()[0].contains("planned stop or replacement"), "{:?}", bench.reasons());

    // It is started again, and its check passes only after a while.
    let actions = bench.rounds.on_seen(&seen("10.0.0.1", Happening::Starts), Instant::now());
    assert_eq!(actions.len(), 1);
    let again = Arc::clone(&a);
    let (back, ()) = tokio::join!(bench_run(&mut bench, actions), async move {
        while again.probes.load(std::sync::atomic::Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        assert!(again.is_held(), "not before it answers");
        again.set_up(true);
    });
    assert_eq!(back, 1);
    assert!(!a.is_held());
}

#[tokio::test]
async fn a_container_stopped_twice_is_not_let_back_by_the_first_start() {
    let a = FakePatient::up("api", "10.0.0.1:81");
    let ward = FakeWard::new(vec![(upstream("api", &[], None), vec![Arc::clone(&a)])]);
    let mut bench = Bench::new(&ward, curing(&[]));
    let now = Instant::now();
    bench.rounds.on_seen(&seen("10.0.0.1", Happening::Stops), now);
    let first = bench.rounds.on_seen(&seen("10.0.0.1", Happening::Starts), now);
    bench.rounds.on_seen(&seen("10.0.0.1", Happening::Stops), now);
    bench_run(&mut bench, first).await;
    assert!(a.is_held(), "the second stop holds");
    bench.rounds.look(now + Duration::from_secs(61));
    assert!(!a.is_held(), "who does not stop after all is judged by its check");
}

#[tokio::test]
async fn a_rolling_reload_takes_one_after_another_and_stops_at_the_first_that_fails() {
    let all: Vec<_> = (1..=3).map(|n| FakePatient::up("api", &format!("10.0.0.{n}:80"))).collect();
    let steps = vec![Step::Preset(Preset::GunicornReload), Step::Restart];
    let ward = FakeWard::new(vec![(upstream("api", &[], Some(heal(steps))), all.clone())]);
    let mut surgeon = FakeSurgeon::new(vec![], |_| {});
    for n in 1..=3 {
        surgeon.finds.get_mut().push_back(Ok(container(&format!("api-{n}"))));
    }
    let mut bench = Bench::new(&ward, surgeon);
    let work = command(&mut bench, |reply| Errand::Reload { upstream: "api".into(), reply }).await.unwrap();
    assert_eq!(work.stopped, None);
    assert_eq!(
        work.heals.iter().map(|heal| (heal.result, heal.asked_by)).collect::<Vec<_>>(),
        [(Outcome::Healed, AskedBy::Reload); 3]
    );
    let performed = ["gunicorn reload in api-1", "gunicorn reload in api-2", "gunicorn reload in api-3"];
    assert_eq!(bench.surgeon.performed(), performed, "its first step alone");
    assert!(all.iter().all(|one| !one.is_held()) && bench.rounds.by_hand.is_empty());

    // Of the second that breaks, the third learns nothing.
    let broken = Arc::clone(&all[1]);
    let effect = move |_: &Step| broken.set_up(false);
    let mut surgeon = FakeSurgeon::new(vec![], effect);
    for n in 1..=3 {
        surgeon.finds.get_mut().push_back(Ok(container(&format!("api-{n}"))));
    }
    let mut bench = Bench::new(&ward, surgeon);
    let work = command(&mut bench, |reply| Errand::Reload { upstream: "api".into(), reply }).await.unwrap();
    assert_eq!(bench.surgeon.performed().len(), 2, "{work:?}");
    assert!(work.stopped.unwrap().contains("10.0.0.2:80"));
}

#[tokio::test]
async fn commands_say_what_is_wrong_with_them() {
    let one = FakePatient::up("api", "10.0.0.1:80");
    let ward = FakeWard::new(vec![
        (upstream("api", &[], Some(heal(reload()))), vec![Arc::clone(&one)]),
        (upstream("page", &[], None), vec![FakePatient::up("page", "10.0.0.3:80")]),
    ]);
    let mut bench = Bench::new(&ward, curing(&[]));
    let mut reload = async |name: &str| {
        let upstream = name.to_owned();
        command::<Work>(&mut bench, |reply| Errand::Reload { upstream, reply }).await.unwrap_err()
    };
    assert!(reload("nope").await.contains("the upstreams are: api, page"));
    assert!(reload("page").await.contains("no `heal`"));
    assert!(reload("api").await.contains("add a replica"), "the only one is not taken away");
    let mut heal = async |backend: Option<&str>| {
        let backend = backend.map(|text| text.parse::<SocketAddr>().unwrap());
        command(&mut bench, |reply| Errand::Heal { upstream: "api".into(), backend, reply }).await
    };
    assert!(heal(None).await.unwrap_err().contains("10.0.0.1:80"), "nothing is sick, and this is who could be named");
    assert!(heal(Some("10.9.9.9:80")).await.unwrap_err().contains("no backend 10.9.9.9:80"));
    let work = heal(Some("10.0.0.1:80")).await.unwrap();
    assert_eq!(work.heals[0].steps[0].result, StepResult::Helped, "a step although it is up");
    let drill = command(&mut bench, |reply| Errand::Drill { upstream: "api".into(), reply }).await.unwrap_err();
    assert!(drill.contains("must be up during this"), "{drill}");
}

#[tokio::test]
async fn a_pause_holds_heals_and_ends_by_itself() {
    let sick = FakePatient::sick("api", "10.0.0.1:81");
    let page = FakePatient::up("page", "10.0.0.3:80");
    let ward = FakeWard::new(vec![
        (upstream("api", &[], Some(heal(reload()))), vec![Arc::clone(&sick)]),
        (upstream("page", &[], None), vec![page]),
    ]);
    let mut bench = Bench::new(&ward, curing(&[&sick]));
    let span = Some(Duration::from_secs(600));
    command(&mut bench, |reply| Errand::Pause { upstream: None, span, reply }).await.unwrap();
    bench.round().await;
    assert!(bench.surgeon.performed().is_empty());
    assert!(bench.reasons()[0].contains("healing is paused for"), "{:?}", bench.reasons());
    command(&mut bench, |reply| Errand::Pause { upstream: None, span: None, reply }).await.unwrap();
    bench.round().await;
    assert_eq!(bench.surgeon.performed().len(), 1);
}

#[tokio::test]
async fn a_new_edge_goes_on_with_the_budget_of_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heals.jsonl");
    let sick = FakePatient::sick("api", "10.0.0.1:81");
    let page = FakePatient::up("page", "10.0.0.3:80");
    let ward = FakeWard::new(vec![
        (upstream("api", &[], Some(heal(vec![Step::Exec(vec!["true".into()])]))), vec![Arc::clone(&sick)]),
        (upstream("page", &[], None), vec![page]),
    ]);
    let bench = |ward: &Arc<FakeWard>| {
        let mut bench = Bench::new(ward, FakeSurgeon::new(vec![], |_| {}));
        bench.journal = Arc::new(Journal::in_file(&path).unwrap());
        bench.rounds.tools.journal = Arc::clone(&bench.journal);
        bench.rounds.remember(Instant::now());
        bench
    };
    let mut first = bench(&ward);
    first.round().await;
    assert_eq!(first.surgeon.performed().len(), 1);
    drop(first);
    let mut second = bench(&ward);
    second.round().await;
    assert!(second.surgeon.performed().is_empty(), "the pause of the first edge holds");
    assert!(second.reasons()[0].contains("cooling down"), "{:?}", second.reasons());
    assert_eq!(second.journal.entries().len(), 1);
}
