//! The access log in a file of its own.

use std::fs;

use crate::harness::{Origin, TestEdge, eventually};

#[tokio::test]
async fn lines_go_to_a_file_with_the_id_and_go_on_in_a_new_one_after_a_rotation() {
    let api = Origin::named("api").await;
    let folder = tempfile::tempdir().unwrap();
    let (log, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let site = format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", api.server());
    let process = format!("log: {{ access: {{ file: {}, request_id: true }}, level: info }}\n", log.display());
    let edge = TestEdge::start_with(&process, &site).await;
    let read = |path: &std::path::Path| fs::read_to_string(path).unwrap_or_default();
    let answer = edge.client().get("/one").await;
    let id = answer.header("x-request-id");
    eventually("the line is there", || async { read(&log).contains("GET /one ") }).await;
    assert!(read(&log).ends_with(&format!(" \"{id}\"\n")), "{}", read(&log));

    // As logrotate does it.
    fs::rename(&log, &moved).unwrap();
    edge.signal("USR1");
    eventually("it is begun anew", || async { log.exists() }).await;
    assert_eq!(edge.client().get("/two").await.status, 200);
    eventually("the next line is there", || async { read(&log).contains("GET /two ") }).await;
    assert!(!read(&moved).contains("/two"));
    eventually("it says so", || async { edge.told("SIGUSR1: the access log was opened again") }).await;
}

#[tokio::test]
async fn a_full_disk_stops_no_request_and_is_told() {
    let api = Origin::named("api").await;
    let site = format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", api.server());
    let edge = TestEdge::start_with("log: { access: { file: /dev/full }, level: info }\n", &site).await;
    for _ in 0..20 {
        assert_eq!(edge.client().get("/").await.status, 200);
    }
    eventually("it is told", || async { edge.told("access-log: ") && edge.told("No space left on device") }).await;
    assert_eq!(edge.client().get("/").await.status, 200);
    eventually("they are counted", || async {
        edge.metrics().await.contains("remora_log_lines_dropped_total{log=\"access\"} 21\n")
    })
    .await;
}
