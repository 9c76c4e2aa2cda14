//! What never passed its check is not healed, and what shows that it may be.

use std::sync::Arc;
use std::time::Instant;

use super::super::commands::HealCommand;
use super::super::fakes::{FakeTarget, FakeWorld, container, heal, upstream};
use super::super::journal::{AskedBy, Journal, LadderOutcome};
use super::super::test_loop::{TestLoop, command, driver_that_heals, reload};
use crate::config::model::{CheckKind, CheckSpec, Protocol, UpstreamSpec};

/// `api`, which was never well, on one port, and a page that is up.
fn never_well(replicas: &[&Arc<FakeTarget>]) -> Vec<(Arc<UpstreamSpec>, Vec<Arc<FakeTarget>>)> {
    vec![
        (upstream("api", &[], Some(heal(reload()))), replicas.iter().map(|one| Arc::clone(one)).collect()),
        (upstream("page", &[], None), vec![FakeTarget::up("page", "10.0.0.9:80")]),
    ]
}

#[tokio::test]
async fn what_never_passed_its_check_is_not_healed_but_by_hand() {
    let (a, b) = (FakeTarget::never_up("api", "10.0.0.1:81"), FakeTarget::never_up("api", "10.0.0.2:81"));
    let mut healing = TestLoop::new(&FakeWorld::new(never_well(&[&a, &b])), driver_that_heals(&[&a]));
    healing.round().await;
    assert!(healing.driver.performed().is_empty());
    let why = "no backend of `api` has ever passed its check on port 81 (tcp within 1s), so the file may be wrong; \
               correct `servers` or `check`, or heal it manually: `remora heal api`";
    assert_eq!(healing.reasons(), [format!("10.0.0.1:81: {why}"), format!("10.0.0.2:81: {why}")]);
    assert_eq!(healing.state.told.len(), 1, "the log says it once");

    healing.driver.finds.lock().extend(["api-1", "api-2"].map(|name| Ok(container(name))));
    let backend = Some(a.address);
    let work =
        command(&mut healing, |reply| HealCommand::Heal { upstream: "api".into(), backend, reply }).await.unwrap();
    assert_eq!((work.heals[0].result, work.heals[0].asked_by), (LadderOutcome::Healed, AskedBy::Hand));
    // It passes now: the file is right, and the other one is sick.
    healing.round().await;
    assert_eq!(healing.driver.performed().len(), 2);
    assert_eq!(healing.journal.entries()[0].backend, "10.0.0.2:81");
}

#[tokio::test]
async fn a_new_replica_is_healed_where_a_sibling_has_passed_on_the_same_port() {
    for (sibling, expected) in [("10.0.0.2:81", 1), ("10.0.0.2:82", 0)] {
        let (new, sibling) = (FakeTarget::never_up("api", "10.0.0.1:81"), FakeTarget::up("api", sibling));
        let mut healing = TestLoop::new(&FakeWorld::new(never_well(&[&new, &sibling])), driver_that_heals(&[&new]));
        healing.round().await;
        assert_eq!(healing.driver.performed().len(), expected, "{:?}", healing.reasons());
    }
}

#[tokio::test]
async fn after_a_reload_what_is_defined_anew_has_to_pass_again() {
    let before = FakeTarget::up("api", "10.0.0.1:81");
    let world = FakeWorld::new(never_well(&[&before]));
    let mut healing = TestLoop::new(&world, driver_that_heals(&[]));
    healing.round().await;
    let mut another = (*upstream("api", &[], Some(heal(reload())))).clone();
    another.check = another.check.map(|check| CheckSpec { kind: CheckKind::Greeting(Protocol::Redis), ..check });
    #[rustfmt::skip]
    let rows = [
        // what was saved                                      address        healed
        ("the same",      upstream("api", &[], Some(heal(reload()))), "10.0.0.1:81", 1),
        ("another port",  upstream("api", &[], Some(heal(reload()))), "10.0.0.1:82", 0),
        ("another check", Arc::new(another),                          "10.0.0.1:81", 0),
        ("back again",    upstream("api", &[], Some(heal(reload()))), "10.0.0.1:81", 1),
    ];
    for (what, spec, address, expected) in rows {
        let sick = FakeTarget::never_up("api", address);
        world.reload(vec![(spec, vec![sick]), never_well(&[]).remove(1)]);
        healing.state.look(Instant::now()).clear();
        (healing.state.reloaded, healing.state.backends, healing.state.last_heals) = Default::default();
        let before = healing.driver.performed().len();
        healing.round().await;
        assert_eq!(healing.driver.performed().len() - before, expected, "{what}: {:?}", healing.reasons());
    }
}

#[tokio::test]
async fn a_new_edge_heals_what_worked_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heals.jsonl");
    let edge = |target: &Arc<FakeTarget>| {
        let mut healing = TestLoop::new(&FakeWorld::new(never_well(&[target])), driver_that_heals(&[]));
        healing.journal = Arc::new(Journal::in_file(&path).unwrap());
        healing.state.tools.journal = Arc::clone(&healing.journal);
        healing
    };
    let sick = FakeTarget::never_up("api", "10.0.0.1:81");
    edge(&sick).round().await;
    let mut healing = edge(&sick);
    healing.round().await;
    assert!(healing.driver.performed().is_empty(), "an edge that is new does not make it work");
    edge(&FakeTarget::up("api", "10.0.0.7:81")).round().await;
    let mut healing = edge(&sick);
    healing.round().await;
    assert_eq!(healing.driver.performed().len(), 1);
}
