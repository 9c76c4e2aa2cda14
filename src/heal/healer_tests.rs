//! The loop with fakes: who is healed, in what order, how often, and what is written down about those who are not.

use std::net::{IpAddr, SocketAddr};

use super::super::commands::{CommandResult, HealCommand};
use super::super::fakes::{FakeDriver, FakeTarget, FakeWorld, container, heal, upstream};
use super::super::journal::{AskedBy, Journal, LadderOutcome, StepResult};
use super::super::policy::SETTLE;
use super::super::test_loop::{TestLoop, command, driver_that_heals, reload, run_all};
use super::super::tools::AtWork;
use super::super::world::{HealTarget as _, HealWorld};
use super::*;
use crate::config::model::{Preset, Step};
use crate::docker::{ContainerName, ContainerState, DockerError, FindError, Happening, Seen};

#[tokio::test]
async fn one_backend_of_an_upstream_at_a_time() {
    let (a, b) = (FakeTarget::sick("api", "10.0.0.1:81"), FakeTarget::sick("api", "10.0.0.2:82"));
    let page = FakeTarget::up("page", "10.0.0.3:80");
    let world = FakeWorld::new(vec![
        (upstream("api", &[], Some(heal(reload()))), vec![Arc::clone(&a), Arc::clone(&b)]),
        (upstream("page", &[], None), vec![page]),
    ]);
    let mut healing = TestLoop::new(&world, driver_that_heals(&[&a]));
    healing.round().await;
    assert_eq!(healing.driver.performed(), ["gunicorn reload in api-81"]);
    assert_eq!(healing.reasons(), ["10.0.0.2:82: 10.0.0.1:81 of the same upstream is being healed first"]);
    healing.state.backends.values_mut().for_each(|known| known.ask_at = None);
    healing.round().await;
    assert_eq!(healing.driver.performed().len(), 2, "then the other");
}

#[tokio::test]
async fn two_backends_in_one_container_are_one_heal() {
    let (a, b) = (FakeTarget::sick("one", "10.0.0.1:81"), FakeTarget::sick("two", "10.0.0.1:82"));
    let page = FakeTarget::up("page", "10.0.0.3:80");
    let world = FakeWorld::new(vec![
        (upstream("one", &[], Some(heal(reload()))), vec![Arc::clone(&a)]),
        (upstream("page", &[], None), vec![page]),
        (upstream("two", &[], Some(heal(reload()))), vec![Arc::clone(&b)]),
    ]);
    let driver = FakeDriver { always: Some(container("both")), ..FakeDriver::new(vec![], |_| {}) };
    let mut healing = TestLoop::new(&world, driver);
    healing.round().await;
    assert_eq!(healing.driver.performed().len(), 1);
    assert!(
        healing.reasons().iter().any(|reason| reason.contains("its container is being healed for")),
        "{:?}",
        healing.reasons()
    );
}

#[tokio::test]
async fn everything_at_once_heals_nothing() {
    let (a, b) = (FakeTarget::sick("one", "10.0.0.1:81"), FakeTarget::sick("two", "10.0.0.2:82"));
    let world = FakeWorld::new(vec![
        (upstream("one", &[], Some(heal(reload()))), vec![Arc::clone(&a)]),
        (upstream("two", &[], Some(heal(reload()))), vec![b]),
    ]);
    let mut healing = TestLoop::new(&world, FakeDriver::new(vec![], |_| {}));
    healing.round().await;
    assert!(healing.driver.performed().is_empty());
    assert!(
        healing.reasons().iter().all(|reason| reason.contains("suppressed: global")) && healing.reasons().len() == 2
    );
    // The first is back, and the other has time to follow.
    a.set_up(true);
    healing.round().await;
    assert!(healing.driver.performed().is_empty(), "{:?}", healing.reasons());
    healing.state.all_sick = healing.state.all_sick.map(|(since, last)| (since, last - SETTLE));
    healing.round().await;
    assert_eq!(healing.driver.performed(), ["gunicorn reload in two-82"]);
}

#[tokio::test]
async fn what_cannot_be_reached_costs_nothing_and_is_asked_again() {
    let target = FakeTarget::sick("api", "10.0.0.1:81");
    let world = FakeWorld::new(vec![(upstream("api", &[], Some(heal(reload()))), vec![Arc::clone(&target)])]);
    let driver = driver_that_heals(&[&target]);
    let paused = crate::docker::ContainerRef { state: ContainerState::Paused, ..container("api-1") };
    driver.finds.lock().extend([
        Err(FindError::Docker(DockerError::NoSocket("/var/run/docker.sock".into()))),
        Err(FindError::Gone { address: target.address, server: "api".into() }),
        Ok(paused),
    ]);
    let mut healing = TestLoop::new(&world, driver);
    for expected in ["no Docker: there is no Docker socket", "may have been recreated", "its container is paused"] {
        healing.round().await;
        assert!(healing.reasons()[0].contains(expected), "{:?}", healing.reasons());
        healing.round().await;
        assert!(healing.driver.performed().is_empty() && healing.reasons()[0].contains(expected), "not asked at once");
        let known = healing.state.backends.values_mut().next().unwrap();
        assert!(known.ask_at.take().is_some(), "but soon");
    }
    healing.round().await;
    assert!(target.is_up(), "and healed when it can be");
    healing.round().await;
    assert!(healing.reasons().is_empty());
}

#[tokio::test]
async fn a_backend_broken_for_good_is_healed_as_often_as_the_budget_says() {
    let target = FakeTarget::sick("api", "10.0.0.1:81");
    let mut spec = heal(reload());
    spec.cooldown = Duration::ZERO;
    let world = FakeWorld::new(vec![(upstream("api", &[], Some(spec)), vec![target])]);
    let mut healing = TestLoop::new(&world, FakeDriver::new(vec![], |_| {}));
    for _ in 0..8 {
        healing.round().await;
    }
    assert_eq!(healing.driver.performed().len(), 3, "the budget");
    let reasons = healing.reasons();
    assert!(reasons[0].contains("budget used (3 heals in 600s): the next heal comes at "), "{reasons:?}");
    assert!(reasons[0].ends_with("; to heal now: `remora heal api`"), "{reasons:?}");
    assert_eq!((healing.journal.totals().failed, healing.journal.totals().given_up), (3, 1), "said loudly once");
    // The window frees a place.
    healing.round_at(Instant::now() + Duration::from_secs(601)).await;
    assert_eq!(healing.driver.performed().len(), 4, "{:?}", healing.reasons());
}

#[tokio::test]
async fn the_task_heals_by_its_own_clock() {
    let target = FakeTarget::sick("api", "10.0.0.1:81");
    let world = FakeWorld::new(vec![(upstream("api", &[], Some(heal(reload()))), vec![Arc::clone(&target)])]);
    let tools = HealTools {
        world: Arc::clone(&world) as Arc<dyn HealWorld>,
        driver: Arc::new(driver_that_heals(&[&target])),
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
    let (a, b) = (FakeTarget::up("api", "10.0.0.1:81"), FakeTarget::up("api", "10.0.0.2:81"));
    let page = FakeTarget::up("page", "10.0.0.3:80");
    let world = FakeWorld::new(vec![
        (upstream("api", &[], Some(heal(reload()))), vec![Arc::clone(&a), Arc::clone(&b)]),
        (upstream("page", &[], None), vec![page]),
    ]);
    let mut healing = TestLoop::new(&world, driver_that_heals(&[&a]));
    assert!(healing.state.on_seen(&seen("10.0.0.1", Happening::Stops), Instant::now()).is_empty());
    assert!(a.is_held() && !b.is_held());
    a.set_up(false);
    healing.round().await;
    assert!(healing.driver.performed().is_empty());
    assert!(healing.reasons()[0].contains("planned stop or replacement"), "{:?}", healing.reasons());

    // It is started again, and its check passes only after a while.
    let actions = healing.state.on_seen(&seen("10.0.0.1", Happening::Starts), Instant::now());
    assert_eq!(actions.len(), 1);
    let again = Arc::clone(&a);
    let (back, ()) = tokio::join!(run_all(&mut healing, actions), async move {
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
    let a = FakeTarget::up("api", "10.0.0.1:81");
    let world = FakeWorld::new(vec![(upstream("api", &[], None), vec![Arc::clone(&a)])]);
    let mut healing = TestLoop::new(&world, driver_that_heals(&[]));
    let now = Instant::now();
    healing.state.on_seen(&seen("10.0.0.1", Happening::Stops), now);
    let first = healing.state.on_seen(&seen("10.0.0.1", Happening::Starts), now);
    healing.state.on_seen(&seen("10.0.0.1", Happening::Stops), now);
    run_all(&mut healing, first).await;
    assert!(a.is_held(), "the second stop holds");
    healing.state.look(now + Duration::from_secs(61));
    assert!(!a.is_held(), "who does not stop after all is judged by its check");
}

#[tokio::test]
async fn a_rolling_reload_takes_one_after_another_and_stops_at_the_first_that_fails() {
    let all: Vec<_> = (1..=3).map(|n| FakeTarget::up("api", &format!("10.0.0.{n}:80"))).collect();
    let steps = vec![Step::Preset(Preset::GunicornReload), Step::Restart];
    let world = FakeWorld::new(vec![(upstream("api", &[], Some(heal(steps))), all.clone())]);
    let mut driver = FakeDriver::new(vec![], |_| {});
    for n in 1..=3 {
        driver.finds.get_mut().push_back(Ok(container(&format!("api-{n}"))));
    }
    let mut healing = TestLoop::new(&world, driver);
    let work = command(&mut healing, |reply| HealCommand::Reload { upstream: "api".into(), reply }).await.unwrap();
    assert_eq!(work.stopped, None);
    assert_eq!(
        work.heals.iter().map(|heal| (heal.result, heal.asked_by)).collect::<Vec<_>>(),
        [(LadderOutcome::Healed, AskedBy::Reload); 3]
    );
    let performed = ["gunicorn reload in api-1", "gunicorn reload in api-2", "gunicorn reload in api-3"];
    assert_eq!(healing.driver.performed(), performed, "its first step alone");
    assert!(all.iter().all(|one| !one.is_held()) && healing.state.commanded.is_empty());

    // Of the second that breaks, the third learns nothing.
    let broken = Arc::clone(&all[1]);
    let effect = move |_: &Step| broken.set_up(false);
    let mut driver = FakeDriver::new(vec![], effect);
    for n in 1..=3 {
        driver.finds.get_mut().push_back(Ok(container(&format!("api-{n}"))));
    }
    let mut healing = TestLoop::new(&world, driver);
    let work = command(&mut healing, |reply| HealCommand::Reload { upstream: "api".into(), reply }).await.unwrap();
    assert_eq!(healing.driver.performed().len(), 2, "{work:?}");
    assert!(work.stopped.unwrap().contains("10.0.0.2:80"));
}

#[tokio::test]
async fn commands_say_what_is_wrong_with_them() {
    let one = FakeTarget::up("api", "10.0.0.1:80");
    let world = FakeWorld::new(vec![
        (upstream("api", &[], Some(heal(reload()))), vec![Arc::clone(&one)]),
        (upstream("page", &[], None), vec![FakeTarget::up("page", "10.0.0.3:80")]),
    ]);
    let mut healing = TestLoop::new(&world, driver_that_heals(&[]));
    let mut reload = async |name: &str| {
        let upstream = name.to_owned();
        command::<CommandResult>(&mut healing, |reply| HealCommand::Reload { upstream, reply }).await.unwrap_err()
    };
    assert!(reload("nope").await.contains("the upstreams are: api, page"));
    assert!(reload("page").await.contains("no `heal`"));
    assert!(reload("api").await.contains("add a replica"), "the only one is not taken away");
    let mut heal = async |backend: Option<&str>| {
        let backend = backend.map(|text| text.parse::<SocketAddr>().unwrap());
        command(&mut healing, |reply| HealCommand::Heal { upstream: "api".into(), backend, reply }).await
    };
    assert!(heal(None).await.unwrap_err().contains("10.0.0.1:80"), "nothing is sick, and this is who could be named");
    assert!(heal(Some("10.9.9.9:80")).await.unwrap_err().contains("no backend 10.9.9.9:80"));
    let work = heal(Some("10.0.0.1:80")).await.unwrap();
    assert_eq!(work.heals[0].steps[0].result, StepResult::Helped, "a step although it is up");
    let drill = command(&mut healing, |reply| HealCommand::Drill { upstream: "api".into(), reply }).await.unwrap_err();
    assert!(drill.contains("must be up during this"), "{drill}");
}

#[tokio::test]
async fn a_pause_holds_heals_and_ends_by_itself() {
    let sick = FakeTarget::sick("api", "10.0.0.1:81");
    let page = FakeTarget::up("page", "10.0.0.3:80");
    let world = FakeWorld::new(vec![
        (upstream("api", &[], Some(heal(reload()))), vec![Arc::clone(&sick)]),
        (upstream("page", &[], None), vec![page]),
    ]);
    let mut healing = TestLoop::new(&world, driver_that_heals(&[&sick]));
    let span = Some(Duration::from_secs(600));
    command(&mut healing, |reply| HealCommand::Pause { upstream: None, span, reply }).await.unwrap();
    healing.round().await;
    assert!(healing.driver.performed().is_empty());
    assert!(healing.reasons()[0].contains("healing is paused for"), "{:?}", healing.reasons());
    command(&mut healing, |reply| HealCommand::Pause { upstream: None, span: None, reply }).await.unwrap();
    healing.round().await;
    assert_eq!(healing.driver.performed().len(), 1);
}

#[tokio::test]
async fn a_new_edge_goes_on_with_the_budget_of_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heals.jsonl");
    let sick = FakeTarget::sick("api", "10.0.0.1:81");
    let page = FakeTarget::up("page", "10.0.0.3:80");
    let world = FakeWorld::new(vec![
        (upstream("api", &[], Some(heal(vec![Step::Exec(vec!["true".into()])]))), vec![Arc::clone(&sick)]),
        (upstream("page", &[], None), vec![page]),
    ]);
    let healing = |world: &Arc<FakeWorld>| {
        let mut healing = TestLoop::new(world, FakeDriver::new(vec![], |_| {}));
        healing.journal = Arc::new(Journal::in_file(&path).unwrap());
        healing.state.tools.journal = Arc::clone(&healing.journal);
        healing.state.remember(Instant::now());
        healing
    };
    let mut first = healing(&world);
    first.round().await;
    assert_eq!(first.driver.performed().len(), 1);
    drop(first);
    let mut second = healing(&world);
    second.round().await;
    assert!(second.driver.performed().is_empty(), "the pause of the first edge holds");
    assert!(second.reasons()[0].contains("cooling down"), "{:?}", second.reasons());
    assert_eq!(second.journal.entries().len(), 1);
}
