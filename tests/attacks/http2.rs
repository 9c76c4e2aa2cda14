//! HTTP/2 attacks, each from several connections at a time, by `http2_attacks.py`.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use crate::harness::{Client, OK, RawOrigin, TestEdge};
use crate::watch::Watch;

const ATTACKERS: usize = 4;
const SECONDS: u64 = 4;
const ENHANCE_YOUR_CALM: u64 = 11;

/// How an attack has to end.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// GOAWAY with `ENHANCE_YOUR_CALM`.
    Calm,
    /// GOAWAY with any error, or a close.
    Any,
    /// It may go on, at a bounded cost.
    Bounded,
}

/// Memory that an attack may cost, MiB. A stalled response holds what was read of it; there are 400.
const GROWTH: usize = 60;
const GROWTH_STALLED: usize = 40;

const ATTACKS: [(&str, End); 11] = [
    ("rapid_reset", End::Calm),
    ("made_you_reset", End::Any),
    ("continuation_flood", End::Calm),
    ("empty_data_flood", End::Calm),
    ("settings_flood", End::Any),
    ("settings_flood_unread", End::Bounded),
    ("ping_flood", End::Any),
    ("ping_flood_unread", End::Bounded),
    ("hpack_bomb", End::Any),
    ("window_stall", End::Bounded),
    ("preface_never_sent", End::Any),
];

async fn run(edge: &TestEdge, name: &str) -> Vec<serde_json::Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let attackers = (0..ATTACKERS).map(|_| {
        let mut command = Command::new(root.join("target/venv/bin/python"));
        command.arg(root.join("tests/attacks/http2_attacks.py"));
        command.args([edge.address.to_string(), name.to_owned(), SECONDS.to_string()]).kill_on_drop(true);
        tokio::time::timeout(Duration::from_secs(SECONDS * 4), command.output())
    });
    let mut outcomes = Vec::new();
    for ended in futures_util::future::join_all(attackers).await {
        let output = ended.unwrap().unwrap();
        let told = serde_json::from_slice(&output.stdout);
        outcomes.push(told.unwrap_or_else(|_| panic!("{name}: {}", String::from_utf8_lossy(&output.stderr))));
    }
    outcomes
}

#[tokio::test]
#[ignore = "needs target/venv: make attacks"]
async fn floods_and_stalls_of_http2_harm_nobody_else() {
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", 256 << 10, "x".repeat(256 << 10));
    let origin = RawOrigin::serving(move |mut peer| {
        let large = large.clone();
        async move {
            while let Some(request) = peer.request().await {
                peer.send(if request.line().contains("/large") { &large } else { OK }).await;
            }
        }
    })
    .await;
    let edge = TestEdge::start_with(
        "log: { access: off }\nlimits: { header_timeout: 2s, client_timeout: 2s, keepalive: 2s }",
        &format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", origin.server()),
    )
    .await;
    // The first of everything is not the attack's.
    assert_eq!(Client::http2(edge.address).get("/").await.status, 200);
    let mut wrong = Vec::new();
    for (name, end) in ATTACKS {
        origin.forget();
        let watch = Watch::start(&edge);
        let outcomes = run(&edge, name).await;
        let harm = watch.end();
        let attacked = origin.requests().iter().filter(|request| request.head.contains("attack.test")).count();
        let (frames, first) =
            (outcomes.iter().filter_map(|outcome| outcome["frames"].as_u64()).sum::<u64>(), &outcomes[0]);
        println!(
            "{name}: {frames} frames, {} {}, after {} s; {attacked} requests at the backend; {harm}",
            first["outcome"].as_str().unwrap(),
            first["goaway"],
            first["seconds"]
        );
        for outcome in &outcomes {
            let well = match end {
                End::Calm => outcome["goaway"] == ENHANCE_YOUR_CALM,
                End::Any => outcome["outcome"] != "still open",
                End::Bounded => true,
            };
            if !well {
                wrong.push(format!("{name}: {outcome}"));
            }
        }
        if harm.failed != 0 || Duration::from_secs(2) < harm.worst {
            wrong.push(format!("{name}: others suffer: {harm}"));
        }
        let allowed = if name == "window_stall" { GROWTH_STALLED } else { GROWTH };
        if allowed < harm.highest_mib.saturating_sub(harm.before_mib) {
            wrong.push(format!("{name}: memory grows: {harm}"));
        }
        assert_eq!(Client::http2(edge.address).get("/").await.status, 200, "after {name}");
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
