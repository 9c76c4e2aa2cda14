//! Checks: who is up, who is not, and when that changes.

use std::time::Duration;

use crate::harness::{Origin, TestEdge, eventually, free_port};

const FAST: &str = "{ http: /health, every: 100ms, timeout: 80ms, fall: 3, rise: 2 }";

fn pool(origins: &[&Origin], rest: &str) -> String {
    let servers: Vec<_> = origins.iter().map(|origin| origin.server()).collect();
    format!("routes:\n  /: pool\nupstreams:\n  pool: {{ servers: [{}], check: {FAST}{rest} }}\n", servers.join(", "))
}

#[tokio::test]
async fn traffic_avoids_a_backend_that_fails_its_check_and_returns_to_it() {
    let (good, bad) = (Origin::named("good").await, Origin::named("bad").await);
    let edge = TestEdge::start(&pool(&[&good, &bad], "")).await;
    eventually("both are up", || async { edge.states("pool").await == ["up", "up"] }).await;
    bad.answer_probes_with(500);
    eventually("one is down", || async { edge.states("pool").await.contains(&"down".into()) }).await;
    let before = bad.count();
    for _ in 0..20 {
        assert_eq!(edge.client().get("/").await.body, "good");
    }
    assert_eq!(bad.count(), before);
    assert!(edge.logged("is down: status 500"), "{:?}", edge.log());
    bad.answer_probes_with(204);
    eventually("both are up again", || async { edge.states("pool").await == ["up", "up"] }).await;
}

#[tokio::test]
async fn a_backend_that_hangs_is_found_by_its_check() {
    let (good, bad) = (Origin::named("good").await, Origin::named("bad").await);
    let edge = TestEdge::start(&pool(&[&good, &bad], "")).await;
    eventually("both are up", || async { edge.states("pool").await == ["up", "up"] }).await;
    bad.hang(true);
    eventually("it is down", || async { edge.logged("is down: no answer in time") }).await;
}

#[tokio::test]
async fn nobody_new_serves_before_its_first_pass() {
    let (good, new) = (Origin::named("good").await, Origin::named("new").await);
    new.answer_probes_with(503);
    let edge = TestEdge::start(&pool(&[&good, &new], "")).await;
    for _ in 0..20 {
        assert_eq!(edge.client().get("/").await.body, "good");
    }
    assert_eq!(new.count(), 0);
}

#[tokio::test]
async fn when_all_fail_their_check_but_answer_they_are_tried_all_the_same() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let edge = TestEdge::start(&pool(&[&a, &b], "")).await;
    a.answer_probes_with(404);
    b.answer_probes_with(404);
    eventually("both are down", || async { edge.states("pool").await == ["down", "down"] }).await;
    for _ in 0..10 {
        assert_eq!(edge.client().get("/").await.status, 200);
    }
    assert!(edge.logged("fail open"));
}

#[tokio::test]
async fn a_killed_backend_costs_no_request_and_comes_back() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let address = b.address;
    let edge = TestEdge::start(&pool(&[&a, &b], "")).await;
    eventually("both are up", || async { edge.states("pool").await == ["up", "up"] }).await;
    b.kill();
    for _ in 0..100 {
        assert_eq!(edge.client().get("/").await.status, 200);
    }
    eventually("it is down", || async { edge.states("pool").await.contains(&"down".into()) }).await;
    let _again = Origin::at("b", address).await;
    eventually("it is back", || async { edge.states("pool").await == ["up", "up"] }).await;
}

#[tokio::test]
async fn five_hundreds_eject_one_that_is_worse_than_its_siblings() {
    let (good, bad) = (Origin::named("good").await, Origin::named("bad").await);
    let edge = TestEdge::start(&pool(&[&good, &bad], "")).await;
    eventually("both are up", || async { edge.states("pool").await == ["up", "up"] }).await;
    bad.answer_with(500);
    eventually("it is ejected", || async {
        edge.client().get("/").await;
        edge.logged("of its answers are errors")
    })
    .await;
    assert!(edge.states("pool").await.contains(&"ejected".into()));
}

#[tokio::test]
async fn a_tcp_check_needs_only_a_listener() {
    let port = free_port();
    let edge = TestEdge::start(&format!(
        "upstreams:\n  db: {{ servers: \"127.0.0.1:{port}\", check: {{ tcp: true, every: 100ms, timeout: 50ms }} }}\nroutes: {{}}\n"
    ))
    .await;
    eventually("it is down", || async { edge.states("db").await == ["down"] }).await;
    let _listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    eventually("it is up", || async { edge.states("db").await == ["up"] }).await;
}

#[tokio::test]
async fn probes_keep_their_pace() {
    let origin = Origin::named("a").await;
    let edge = TestEdge::start(&pool(&[&origin], "")).await;
    eventually("it is up", || async { edge.states("pool").await == ["up"] }).await;
    let before = origin.probes();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let probes = origin.probes() - before;
    assert!((14..=24).contains(&probes), "{probes} probes in 2 s, every 100 ms");
}

#[tokio::test]
async fn a_backend_that_answers_nothing_is_out_before_its_check_has_fallen() {
    let (good, bad) = (Origin::named("good").await, Origin::named("bad").await);
    let check = "{ http: /health, every: 1s, timeout: 500ms, fall: 100, rise: 1 }";
    let servers = format!("{}, {}", good.server(), bad.server());
    let edge = TestEdge::start(&format!(
        "routes:\n  /: pool\nupstreams:\n  pool: {{ servers: [{servers}], check: {check} }}\n"
    ))
    .await;
    eventually("both are up", || async { edge.states("pool").await == ["up", "up"] }).await;
    bad.hang(true);
    // Some of these are given to it, whoever else takes turns meanwhile.
    for _ in 0..6 {
        let client = edge.client();
        tokio::spawn(async move { client.try_send(http::Method::GET, "/", &[], "").await.is_ok() });
    }
    eventually("it is ejected", || async {
        // Its sibling answers meanwhile.
        let answered = tokio::time::timeout(Duration::from_millis(200), edge.client().get("/")).await;
        answered.is_ok() && edge.logged("requests unanswered")
    })
    .await;
    for _ in 0..10 {
        assert_eq!(edge.client().get("/").await.body, "good");
    }
    bad.hang(false);
    eventually("it is back", || async { edge.states("pool").await == ["up", "up"] }).await;
}
