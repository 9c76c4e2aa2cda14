//! What never passed its check is not healed, and what shows that it may be.

use std::sync::Arc;
use std::time::Instant;

use super::super::bench::{Bench, command, curing, reload};
use super::super::fakes::{FakePatient, FakeWard, container, heal, upstream};
use super::super::hand::Errand;
use super::super::journal::{AskedBy, Journal, Outcome};
use crate::config::model::{CheckKind, CheckSpec, Protocol, UpstreamSpec};

/// `api`, which was never well, on one port, and a page that is up.
fn never_well(replicas: &[&Arc<FakePatient>]) -> Vec<(Arc<UpstreamSpec>, Vec<Arc<FakePatient>>)> {
    vec![
        (upstream("api", &[], Some(heal(reload()))), replicas.iter().map(|one| Arc::clone(one)).collect()),
        (upstream("page", &[], None), vec![FakePatient::up("page", "10.0.0.9:80")]),
    ]
}

#[tokio::test]
async fn what_never_passed_its_check_is_not_healed_but_by_hand() {
    let (a, b) = (FakePatient::never_up("api", "10.0.0.1:81"), FakePatient::never_up("api", "10.0.0.2:81"));
    let mut bench = Bench::new(&FakeWard::new(never_well(&[&a, &b])), curing(&[&a]));
    bench.round().await;
    assert!(bench.surgeon.performed().is_empty());
    let why = "no backend of `api` has ever passed its check on port 81 (tcp within 1s), so the file may be wrong; \
               correct `servers` or `check`, or heal it manually: `remora heal api`";
    assert_eq!(bench.reasons(), [format!("10.0.0.1:81: {why}"), format!("10.0.0.2:81: {why}")]);
    assert_eq!(bench.rounds.told.len(), 1, "the log says it once");

    bench.surgeon.finds.lock().extend(["api-1", "api-2"].map(|name| Ok(container(name))));
    let backend = Some(a.address);
    let work = command(&mut bench, |reply| Errand::Heal { upstream: "api".into(), backend, reply }).await.unwrap();
    assert_eq!((work.heals[0].result, work.heals[0].asked_by), (Outcome::Healed, AskedBy::Hand));
    // It passes now: the file is right, and the other one is sick.
    bench.round().await;
    assert_eq!(bench.surgeon.performed().len(), 2);
    assert_eq!(bench.journal.entries()[0].backend, "10.0.0.2:81");
}

#[tokio::test]
async fn a_new_replica_is_healed_where_a_sibling_has_passed_on_the_same_port() {
    for (sibling, expected) in [("10.0.0.2:81", 1), ("10.0.0.2:82", 0)] {
        let (new, sibling) = (FakePatient::never_up("api", "10.0.0.1:81"), FakePatient::up("api", sibling));
        let mut bench = Bench::new(&FakeWard::new(never_well(&[&new, &sibling])), curing(&[&new]));
        bench.round().await;
        assert_eq!(bench.surgeon.performed().len(), expected, "{:?}", bench.reasons());
    }
}

#[tokio::test]
async fn after_a_reload_what_is_defined_anew_has_to_pass_again() {
    let before = FakePatient::up("api", "10.0.0.1:81");
    let ward = FakeWard::new(never_well(&[&before]));
    let mut bench = Bench::new(&ward, curing(&[]));
    bench.round().await;
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
        let sick = FakePatient::never_up("api", address);
        ward.reload(vec![(spec, vec![sick]), never_well(&[]).remove(1)]);
        bench.rounds.look(Instant::now()).clear();
        (bench.rounds.reloaded, bench.rounds.cases, bench.rounds.treated) = Default::default();
        let before = bench.surgeon.performed().len();
        bench.round().await;
        assert_eq!(bench.surgeon.performed().len() - before, expected, "{what}: {:?}", bench.reasons());
    }
}

#[tokio::test]
async fn a_new_edge_heals_what_worked_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heals.jsonl");
    let edge = |patient: &Arc<FakePatient>| {
        let mut bench = Bench::new(&FakeWard::new(never_well(&[patient])), curing(&[]));
        bench.journal = Arc::new(Journal::in_file(&path).unwrap());
        bench.rounds.tools.journal = Arc::clone(&bench.journal);
        bench
    };
    let sick = FakePatient::never_up("api", "10.0.0.1:81");
    edge(&sick).round().await;
    let mut bench = edge(&sick);
    bench.round().await;
    assert!(bench.surgeon.performed().is_empty(), "an edge that is new does not make it work");
    edge(&FakePatient::up("api", "10.0.0.7:81")).round().await;
    let mut bench = edge(&sick);
    bench.round().await;
    assert_eq!(bench.surgeon.performed().len(), 1);
}
