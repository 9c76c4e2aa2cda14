//! How the process ends, and how it does not start.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Origin, TestEdge, eventually, free_port};

async fn slow_edge() -> (Origin, TestEdge) {
    let api = Origin::named("api").await;
    let edge =
        TestEdge::start(&format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", api.server()))
            .await;
    api.answer_after(Duration::from_secs(1));
    (api, edge)
}

#[tokio::test]
async fn term_and_quit_finish_what_is_in_flight_and_then_end() {
    for signal in ["TERM", "QUIT"] {
        let (api, mut edge) = slow_edge().await;
        let client = edge.client();
        let slow = tokio::spawn(async move { client.get("/").await });
        eventually("it is in flight", || async { api.count() == 1 }).await;
        edge.signal(signal);
        assert_eq!(slow.await.unwrap().body, "api");
        let start = Instant::now();
        assert_eq!(edge.ended().await, Some(0));
        assert!(start.elapsed() < Duration::from_secs(1), "it ends as soon as it is idle");
        assert!(edge.access_log().iter().any(|line| line.contains("GET / ")), "the last line is written");
    }
}

#[tokio::test]
async fn an_idle_edge_ends_at_once_and_int_does_not_wait() {
    let (_api, mut edge) = slow_edge().await;
    let _idle = tokio::net::TcpStream::connect(edge.address).await.unwrap();
    let start = Instant::now();
    edge.signal("TERM");
    assert_eq!(edge.ended().await, Some(0));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());

    let (api, mut edge) = slow_edge().await;
    api.answer_after(Duration::from_secs(10));
    let client = edge.client();
    let _slow = tokio::spawn(async move { client.try_send(http::Method::GET, "/", &[], "").await.is_ok() });
    eventually("it is in flight", || async { api.count() == 1 }).await;
    let start = Instant::now();
    edge.signal("INT");
    edge.ended().await;
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_second_term_does_not_wait() {
    let (api, mut edge) = slow_edge().await;
    api.answer_after(Duration::from_secs(10));
    let client = edge.client();
    let _slow = tokio::spawn(async move { client.try_send(http::Method::GET, "/", &[], "").await.is_ok() });
    eventually("it is in flight", || async { api.count() == 1 }).await;
    edge.signal("TERM");
    eventually("it drains", || async { edge.logged("draining") }).await;
    edge.signal("TERM");
    let start = Instant::now();
    edge.ended().await;
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn signals_of_log_rotation_and_upgrades_end_nobody_and_are_answered_by_a_line() {
    let api = Origin::named("api").await;
    let folder = tempfile::tempdir().unwrap();
    let (journal, moved) = (folder.path().join("heals.jsonl"), folder.path().join("rotated"));
    let site = format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", api.server());
    let edge = TestEdge::start_with(&format!("journal: {}\n", journal.display()), &site).await;
    std::fs::rename(&journal, moved).unwrap();
    edge.signal("USR1");
    eventually("the journal is begun anew", || async { journal.exists() }).await;
    assert!(edge.told("SIGUSR1: the heal journal was opened again"));
    for (signal, said) in [("USR2", "SIGUSR2 ignored"), ("WINCH", "SIGWINCH ignored")] {
        // Lines that come often are kept to one a second.
        eventually("it is answered", || async {
            edge.signal(signal);
            edge.told(said)
        })
        .await;
    }
    assert_eq!(edge.client().get("/").await.status, 200);
}

#[tokio::test]
async fn no_signal_ends_an_edge_that_listens_already_and_still_waits_for_its_first_checks() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("remora.yaml");
    let (port, server) = (free_port(), silent.local_addr().unwrap());
    let site = format!("routes: {{ /: a }}\nupstreams: {{ a: {{ servers: \"{server}\", check: /health }} }}\n");
    std::fs::write(&file, format!("listen: \"127.0.0.1:{port}\"\nadmin: off\ndocker: off\n{site}")).unwrap();
    let mut edge = Command::new(env!("CARGO_BIN_EXE_remora")).arg("run").arg(&file).spawn().unwrap();
    eventually("it listens", || async { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() }).await;
    for signal in ["HUP", "USR1", "USR2", "WINCH"] {
        assert!(Command::new("kill").arg(format!("-{signal}")).arg(edge.id().to_string()).status().unwrap().success());
    }
    assert!(Command::new("kill").arg("-INT").arg(edge.id().to_string()).status().unwrap().success());
    assert_eq!(edge.wait().unwrap().code(), Some(0), "it ends as INT says, and not by a signal before");
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_immediate_clear_exit() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("remora.yaml");
    let site = "routes: { /: a }\nupstreams: { a: { servers: \"127.0.0.1:9\" } }\n";
    let address = taken.local_addr().unwrap();
    std::fs::write(&file, format!("listen: \"{address}\"\nadmin: \"127.0.0.1:{}\"\n{site}", free_port())).unwrap();
    let start = Instant::now();
    let ended = Command::new(env!("CARGO_BIN_EXE_remora")).arg("run").arg(&file).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(start.elapsed() < Duration::from_secs(2));
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(text.contains(&format!("cannot listen on {address}: the address is in use")), "{text}");
}
