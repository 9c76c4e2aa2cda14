//! What `needs` excuses, and what siblings show to the contrary.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::fakes::{FakeDriver, FakeTarget, FakeWorld, heal, upstream};
use super::super::policy::SUPPRESSED_MAX;
use super::super::test_loop::{TestLoop, driver_that_heals, reload};
use super::*;
use crate::config::model::{Preset, Step};

const NEED_SICK: &str =
    "10.0.0.2:80: it needs `database`, which is not up, and no other backend of its upstream passes its check";
const NEED_JUST_BACK: &str = "10.0.0.2:80: it needs `database`, which came back less than 10s ago; \
                              no other backend of its upstream passed its check";

#[tokio::test]
async fn a_database_is_healed_before_those_who_need_it() {
    let (db, api) = (FakeTarget::up("database", "10.0.0.1:3306"), FakeTarget::sick("api", "10.0.0.2:80"));
    let page = FakeTarget::up("page", "10.0.0.3:80");
    let world = FakeWorld::new(vec![
        (upstream("api", &["database"], Some(heal(reload()))), vec![Arc::clone(&api)]),
        (
            upstream("database", &[], Some(heal(vec![Step::Preset(Preset::Systemd("mysql".into()))]))),
            vec![Arc::clone(&db)],
        ),
        (upstream("page", &[], None), vec![page]),
    ]);
    let mut healing = TestLoop::new(&world, driver_that_heals(&[&db]));
    db.set_up(false);
    healing.round().await;
    assert_eq!(healing.driver.performed(), ["systemctl restart mysql in database-3306"]);
    assert_eq!(healing.reasons(), [NEED_SICK]);
    healing.round().await;
    assert_eq!(healing.reasons(), [NEED_JUST_BACK]);
    healing.state.last_sick.clear();
    healing.round().await;
    assert_eq!(healing.driver.performed().len(), 2, "what is still sick then is healed itself");
}

#[tokio::test]
async fn a_dependency_is_probed_before_its_dependent_is_healed() {
    let (api, dying) = (FakeTarget::sick("api", "10.0.0.2:80"), FakeTarget::up("database", "10.0.0.1:3306"));
    // Up by its check, which has not noticed yet; a probe fails.
    dying.dying.store(true, Ordering::SeqCst);
    let world = FakeWorld::new(vec![
        (upstream("api", &["database"], Some(heal(reload()))), vec![api]),
        (upstream("database", &[], None), vec![dying]),
    ]);
    let mut healing = TestLoop::new(&world, FakeDriver::new(vec![], |_| {}));
    healing.round().await;
    assert!(healing.driver.performed().is_empty());
    assert_eq!(healing.reasons(), [NEED_SICK]);
}

/// Replicas of `api`, which needs a `database`, with a page that is up.
fn needy(replicas: &[&Arc<FakeTarget>], database: Vec<Arc<FakeTarget>>) -> Arc<FakeWorld> {
    let replicas = replicas.iter().map(|one| Arc::clone(one)).collect();
    FakeWorld::new(vec![
        (upstream("api", &["database"], Some(heal(reload()))), replicas),
        (upstream("database", &[], None), database),
        (upstream("page", &[], None), vec![FakeTarget::up("page", "10.0.0.9:80")]),
    ])
}

#[tokio::test]
async fn what_siblings_do_not_suffer_from_explains_no_sickness() {
    let down = || vec![FakeTarget::sick("database", "10.0.0.1:3306")];
    // What becomes of the siblings' checks: up and a probe passes, up and it fails, down.
    #[rustfmt::skip]
    let rows = [
        // database        siblings                     healed
        ("down",           down(),  vec!["up", "up"],        true),
        ("does not resolve", vec![], vec!["up", "up"],       true),
        ("down",           down(),  vec!["up", "dying"],     true),
        ("down",           down(),  vec!["dying", "dying"],  false),
        ("down",           down(),  vec!["down", "dying"],   false),
        ("does not resolve", vec![], vec!["dying"],          false),
        ("down",           down(),  vec!["down"],            false),
        ("down",           down(),  vec![],                  false),
        ("does not resolve", vec![], vec![],                 false),
    ];
    for (what, database, states, expected) in rows {
        let case = format!("the database: {what}, siblings: {states:?}");
        let sick = FakeTarget::sick("api", "10.0.0.2:80");
        let sibling = |(n, state): (usize, &&str)| {
            let one = FakeTarget::up("api", &format!("10.0.0.{}:80", n + 3));
            one.set_up(*state != "down");
            one.dying.store(*state == "dying", Ordering::SeqCst);
            one
        };
        let siblings: Vec<_> = states.iter().enumerate().map(sibling).collect();
        let all: Vec<_> = std::iter::once(&sick).chain(&siblings).collect();
        let mut healing = TestLoop::new(&needy(&all, database), driver_that_heals(&[&sick]));
        healing.round().await;
        assert_eq!(healing.driver.performed().len(), usize::from(expected), "{case}");
        assert!(expected || healing.reasons().contains(&NEED_SICK.to_owned()), "{case}: {:?}", healing.reasons());
    }
}

#[tokio::test]
async fn who_fell_with_its_siblings_gets_time_to_recover_with_them() {
    let (sick, sibling) = (FakeTarget::sick("api", "10.0.0.2:80"), FakeTarget::sick("api", "10.0.0.3:80"));
    let database = FakeTarget::sick("database", "10.0.0.1:3306");
    let mut healing =
        TestLoop::new(&needy(&[&sick, &sibling], vec![Arc::clone(&database)]), driver_that_heals(&[&sick]));
    healing.round().await;
    database.set_up(true);
    sibling.set_up(true);
    healing.round().await;
    assert!(healing.driver.performed().is_empty());
    assert_eq!(healing.reasons(), [NEED_JUST_BACK]);
    // Of a sibling that was well all the while nothing is to be waited for.
    healing.state.last_sick.remove(&UpstreamName::parse("api").unwrap());
    healing.round().await;
    assert_eq!(healing.driver.performed().len(), 1);
}

/// Replicas of `api`, a `database` that no file says it needs, and a page that is up.
fn unneedy(replicas: &[&Arc<FakeTarget>], database: &Arc<FakeTarget>) -> Arc<FakeWorld> {
    let restart = || heal(vec![Step::Preset(Preset::Systemd("mysql".into()))]);
    FakeWorld::new(vec![
        (upstream("api", &[], Some(heal(reload()))), replicas.iter().map(|one| Arc::clone(one)).collect()),
        (upstream("database", &[], Some(restart())), vec![Arc::clone(database)]),
        (upstream("page", &[], None), vec![FakeTarget::up("page", "10.0.0.9:80")]),
    ])
}

const FELL_WITH: &str = "all of its upstream failed together with `database`, which does not respond and is healed first; \
                         if it depends on `database`, add it to `needs`";

#[tokio::test]
async fn what_fell_with_a_database_waits_for_its_heal_without_needs() {
    let (a, b) = (FakeTarget::sick("api", "10.0.0.2:80"), FakeTarget::sick("api", "10.0.0.3:80"));
    [&a, &b].iter().for_each(|one| one.answers.store(true, Ordering::SeqCst));
    let database = FakeTarget::sick("database", "10.0.0.1:3306");
    let mut healing = TestLoop::new(&unneedy(&[&a, &b], &database), driver_that_heals(&[&database]));
    healing.round().await;
    assert_eq!(healing.driver.performed(), ["systemctl restart mysql in database-3306"]);
    assert!(healing.reasons().contains(&format!("10.0.0.2:80: {FELL_WITH}")), "{:?}", healing.reasons());
    // It is back, and they have time to follow.
    healing.round().await;
    assert!(healing.reasons().contains(&NEED_JUST_BACK.to_owned()), "{:?}", healing.reasons());
    healing.round_at(Instant::now() + SETTLE).await;
    assert_eq!(
        healing.driver.performed().len(),
        2,
        "what is still sick then is healed itself: {:?}",
        healing.reasons()
    );
}

#[tokio::test]
async fn what_is_about_to_fall_is_asked_before_a_heal() {
    // One replica is down, and the others are about to fall; so is the database, whose check has not noticed.
    let (sick, sibling) = (FakeTarget::sick("api", "10.0.0.2:80"), FakeTarget::up("api", "10.0.0.3:80"));
    let database = FakeTarget::up("database", "10.0.0.1:3306");
    sick.answers.store(true, Ordering::SeqCst);
    [&sibling, &database].iter().for_each(|one| one.dying.store(true, Ordering::SeqCst));
    let mut healing = TestLoop::new(&unneedy(&[&sick, &sibling], &database), driver_that_heals(&[&sick]));
    healing.round().await;
    assert!(healing.driver.performed().is_empty(), "{:?}", healing.driver.performed());
    assert_eq!(healing.reasons(), [format!("10.0.0.2:80: {FELL_WITH}")]);
    // With a sibling that is well it is its own sickness.
    sibling.dying.store(false, Ordering::SeqCst);
    healing.state.backends.values_mut().for_each(|known| known.ask_at = None);
    healing.round().await;
    assert_eq!(healing.driver.performed(), ["gunicorn reload in api-80"]);
}

#[tokio::test]
async fn a_database_that_cannot_be_healed_is_not_waited_for_for_ever() {
    let api = FakeTarget::sick("api", "10.0.0.2:80");
    api.answers.store(true, Ordering::SeqCst);
    let database = FakeTarget::sick("database", "10.0.0.1:3306");
    let mut healing = TestLoop::new(&unneedy(&[&api], &database), FakeDriver::new(vec![], |_| {}));
    healing.round().await;
    assert_eq!(healing.driver.performed(), ["systemctl restart mysql in database-3306"]);
    healing.round_at(Instant::now() + SUPPRESSED_MAX).await;
    assert!(healing.driver.performed().contains(&"gunicorn reload in api-80".to_owned()), "{:?}", healing.reasons());
}
