//! Changing the file while requests flow.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::{Origin, Running, TestEdge, eventually, lane};

fn site(upstream: &Origin) -> String {
    format!("routes:\n  /: pool\nupstreams:\n  pool: {{ servers: {} }}\n", upstream.server())
}

async fn answers(edge: &TestEdge, name: &str) -> bool {
    edge.client().get("/").await.body == name
}

#[tokio::test]
async fn an_edit_a_signal_and_a_command_do_the_same() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let edge = TestEdge::start(&site(&a)).await;
    assert!(answers(&edge, "a").await);
    edge.edit(&site(&b));
    eventually("the edit is in force", || answers(&edge, "b")).await;
    std::fs::write(edge.file(), format!("{}{}", edge.head(), site(&a))).unwrap();
    edge.signal("HUP");
    eventually("the signal is obeyed", || answers(&edge, "a")).await;
    std::fs::write(edge.file(), format!("{}{}", edge.head(), site(&b))).unwrap();
    let told = edge.command(&["reload"]).await;
    assert!(told.status.success(), "{told:?}");
    assert!(answers(&edge, "b").await, "the command answers when the new file is in force");
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_why() {
    let a = Origin::named("a").await;
    let edge = TestEdge::start(&site(&a)).await;
    edge.edit("routes:\n  /: nowhere\nupstreams: {}\n");
    eventually("the log says why", || async { edge.logged("no upstream is named `nowhere`") }).await;
    assert!(answers(&edge, "a").await);
    let told = edge.command(&["reload"]).await;
    assert_eq!(told.status.code(), Some(2));
    let text = format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    let line = edge.head().lines().count() + 2;
    assert!(text.contains(&format!("remora.yaml:{line}:")), "{text}");
    assert!(edge.status().await["process"]["last_reload"]["error"].as_str().is_some_and(|e| e.contains("nowhere")));
}

#[tokio::test]
async fn process_settings_are_refused_by_name() {
    let a = Origin::named("a").await;
    let edge = TestEdge::start(&site(&a)).await;
    let text = std::fs::read_to_string(edge.file()).unwrap();
    std::fs::write(edge.file(), format!("threads: 7\n{text}")).unwrap();
    let told = edge.command(&["reload"]).await;
    assert_eq!(told.status.code(), Some(2));
    let text = format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(text.contains("threads") && text.contains("restart"), "{text}");
}

#[tokio::test]
async fn twenty_edits_under_load_cost_no_request() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let edge = Arc::new(TestEdge::start(&site(&a)).await);
    let (stop, sent, failed) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (client, stop, sent, failed) =
                (edge.client(), Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&failed));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.try_send(http::Method::GET, "/", &[], "").await;
                    sent.fetch_add(1, Ordering::Relaxed);
                    failed.fetch_add(usize::from(!answer.is_ok_and(|answer| answer.status == 200)), Ordering::Relaxed);
                }
            })
        })
        .collect();
    for n in 0..20 {
        let (origin, name) = if n % 2 == 0 { (&b, "b") } else { (&a, "a") };
        if n % 4 == 3 {
            edge.edit("routes: [broken");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        edge.edit(&site(origin));
        eventually("the edit is in force", || answers(&edge, name)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    assert!(sent.load(Ordering::Relaxed) > 100);
    assert_eq!(failed.load(Ordering::Relaxed), 0, "of {}", sent.load(Ordering::Relaxed));
}

#[tokio::test]
async fn health_and_counters_survive_a_change_of_the_same_upstream() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    b.answer_probes_with(500);
    let with = |extra: &str| {
        format!(
            "routes:\n  /: pool\nupstreams:\n  pool: {{ servers: [{}, {}], check: {{ http: /health, every: 200ms, timeout: 100ms }}{extra} }}\n",
            a.server(),
            b.server()
        )
    };
    let edge = TestEdge::start(&with("")).await;
    eventually("one is down", || async {
        edge.states("pool").await == ["up", "down"] || edge.states("pool").await == ["down", "up"]
    })
    .await;
    for _ in 0..5 {
        assert!(answers(&edge, "a").await);
    }
    edge.edit(&with(", hold: 1s"));
    eventually("it is in force", || async { edge.status().await["process"]["generation"] == 2 }).await;
    assert!(!edge.states("pool").await.contains(&"new".into()));
    let status = edge.status().await;
    let requests: u64 =
        status["upstreams"][0]["backends"].as_array().unwrap().iter().map(|b| b["requests"].as_u64().unwrap()).sum();
    assert_eq!(requests, 5);
}

#[tokio::test]
async fn a_request_in_flight_finishes_on_the_old_configuration() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let edge = TestEdge::start(&site(&a)).await;
    a.answer_after(Duration::from_secs(2));
    let client = edge.client();
    let slow = tokio::spawn(async move { client.get("/slow").await });
    eventually("it is in flight", || async { a.count() == 1 }).await;
    edge.edit(&site(&b));
    eventually("the edit is in force", || answers(&edge, "b")).await;
    assert_eq!(slow.await.unwrap().body, "a");
}

#[tokio::test]
async fn an_edge_without_an_admin_listener_reloads_too() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("remora.yaml");
    let port = crate::harness::free_port();
    let write = |origin: &Origin| {
        let text = format!("listen: \"127.0.0.1:{port}\"\nadmin: off\n{}{}", lane(), site(origin));
        std::fs::write(&file, text).unwrap();
    };
    write(&a);
    let _edge = Running::start(Command::new(env!("CARGO_BIN_EXE_remora")).arg("run").arg(&file));
    let client = crate::harness::Client::new(([127, 0, 0, 1], port).into());
    let says = async |name: &str| {
        client.try_send(http::Method::GET, "/", &[], "").await.is_ok_and(|answer| answer.body == name)
    };
    eventually("it listens", || says("a")).await;
    write(&b);
    eventually("the edit is in force", || says("b")).await;
}
