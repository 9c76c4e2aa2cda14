//! Who takes which turn.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::harness::{Origin, TestEdge, eventually};

async fn up(edge: &TestEdge, upstream: &str, count: usize) {
    eventually("all backends are up", || async {
        edge.states(upstream).await.iter().filter(|state| *state == "up").count() == count
    })
    .await;
}

#[tokio::test]
async fn three_thousand_requests_are_a_thousand_each() {
    let origins = [Origin::named("a").await, Origin::named("b").await, Origin::named("c").await];
    let servers: Vec<_> = origins.iter().map(Origin::server).collect();
    let edge =
        TestEdge::start(&format!("routes:\n  /: pool\nupstreams:\n  pool: {{ servers: [{}] }}\n", servers.join(", ")))
            .await;
    up(&edge, "pool", 3).await;
    let clients = (0..10).map(|_| {
        let client = edge.client();
        tokio::spawn(async move {
            for _ in 0..300 {
                assert_eq!(client.get("/").await.status, 200);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let counts: Vec<_> = origins.iter().map(Origin::count).collect();
    assert!(counts.iter().all(|count| count.abs_diff(1000) <= 1), "{counts:?}");
}

#[tokio::test]
async fn weights_come_out_smooth() {
    let origins = [Origin::named("a").await, Origin::named("b").await, Origin::named("c").await];
    let [a, b, c] = origins.each_ref().map(Origin::server);
    let edge = TestEdge::start(&format!(
        "routes:\n  /: pool\nupstreams:\n  pool:\n    servers: [{{ address: {a}, weight: 5 }}, {{ address: {b} }}, {{ address: {c} }}]\n"
    ))
    .await;
    up(&edge, "pool", 3).await;
    let client = edge.client();
    let mut order = String::new();
    for _ in 0..21 {
        order.push_str(&client.get("/").await.body);
    }
    let mut shares = BTreeMap::new();
    for name in order.chars() {
        *shares.entry(name).or_insert(0) += 1;
    }
    assert_eq!(shares, BTreeMap::from([('a', 15), ('b', 3), ('c', 3)]));
    assert!(!order.contains("aaaaa"), "five in a row are not smooth: {order}");
    assert!("aabacaaaabacaaaabacaaaabacaa".contains(&order), "nginx's order is a a b a c a a: {order}");
}

#[tokio::test]
async fn backups_serve_only_when_nobody_else_is_up() {
    let (main, backup) = (Origin::named("main").await, Origin::named("backup").await);
    let edge = TestEdge::start(&format!(
        "routes:\n  /: pool\nupstreams:\n  pool:\n    servers: [{{ address: {} }}, {{ address: {}, backup: true }}]\n    check: {{ http: /health, every: 100ms, timeout: 50ms, fall: 2, rise: 2 }}\n",
        main.server(), backup.server()
    ))
    .await;
    up(&edge, "pool", 2).await;
    for _ in 0..4 {
        assert_eq!(edge.client().get("/").await.body, "main");
    }
    main.answer_probes_with(500);
    eventually("the backup serves", || async { edge.client().get("/").await.body == "backup" }).await;
    main.answer_probes_with(200);
    eventually("the main server is back", || async { edge.client().get("/").await.body == "main" }).await;
    assert_eq!(edge.client().get("/").await.body, "main");
}

#[tokio::test]
async fn a_name_stands_for_all_its_addresses_and_may_be_missing() {
    let api = Origin::named("api").await;
    let port = api.address.port();
    let edge = TestEdge::start(&format!(
        "routes:\n  /: api\n  /later: later\nupstreams:\n  api: {{ servers: \"localhost:{port}\" }}\n  later: {{ servers: \"no-such-name.invalid:80\", hold: 0 }}\n"
    ))
    .await;
    up(&edge, "api", 1).await;
    assert_eq!(edge.client().get("/").await.body, "api");
    let answer = tokio::time::timeout(Duration::from_secs(5), edge.client().get("/later")).await.unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), "5");
    assert!(edge.told("cannot resolve"));
}
