//! kosoku's cases against a WebSocket server, alone and behind the edge: each must come to the same.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::harness::TestEdge;

/// Says back every message.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Both verdicts of each case: of the exchange and of the close.
async fn verdicts(address: SocketAddr) -> BTreeMap<String, (String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/kosoku"));
    // Compression is between the two ends; the server here has none.
    command.args(["-x", "12.*", "-x", "13.*", "-p", "4", "-o"]).arg(folder.path()).arg(address.to_string());
    let ended = tokio::time::timeout(Duration::from_secs(120), command.kill_on_drop(true).output());
    let output = ended.await.unwrap().unwrap();
    let index = std::fs::read_to_string(folder.path().join("index.json"));
    let index =
        index.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat())));
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let cases = index.as_object().unwrap().values().next().unwrap().as_object().unwrap().clone();
    let word = |case: &serde_json::Value, key: &str| case[key].as_str().unwrap_or("?").to_owned();
    cases.iter().map(|(id, case)| (id.clone(), (word(case, "behavior"), word(case, "behaviorClose")))).collect()
}

#[tokio::test]
#[ignore = "needs target/venv: make attacks"]
async fn websocket_cases_come_to_the_same_through_the_edge() {
    let server = echo().await;
    let site = format!("routes:\n  /: ws\nupstreams:\n  ws: {{ servers: \"{server}\", check: off }}\n");
    let edge = TestEdge::start(&site).await;
    let (alone, through) = (verdicts(server).await, verdicts(edge.address).await);
    assert!(200 < alone.len(), "only {} cases", alone.len());
    let mut sums = BTreeMap::new();
    for verdict in through.values() {
        *sums.entry(verdict.clone()).or_insert(0) += 1;
    }
    println!("{} cases through the edge: {sums:?}", through.len());
    let differ: Vec<_> = alone.iter().filter(|(id, verdict)| through.get(*id) != Some(verdict)).collect();
    assert!(
        differ.is_empty(),
        "alone {differ:?}, through {:?}",
        differ.iter().map(|(id, _)| through.get(*id)).collect::<Vec<_>>()
    );
}
