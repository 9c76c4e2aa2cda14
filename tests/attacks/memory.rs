//! What clients cost in memory that hold on to what they have, and what is left of it once they went.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Client, OK, RawOrigin, TestEdge, eventually};

const LIMITS: &str = "limits: { connections: 19000, connections_per_client: 19000 }";
const UPLOADS: usize = 800;
const UPLOAD: usize = 1 << 20;
/// MiB above the idle edge, 30 s after the last client of stalled uploads left.
const LEFT_BY_UPLOADS: usize = 10;
const CONNECTIONS: usize = 10_000;
/// MiB above the idle edge.
const IDLE_CONNECTIONS: usize = 250;

async fn edge(origin: &RawOrigin) -> TestEdge {
    let site = format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", origin.server());
    let edge = TestEdge::start_with(&format!("log: {{ access: off }}\n{LIMITS}"), &site).await;
    // The first of everything is not theirs.
    assert_eq!(edge.client().get("/").await.status, 200);
    assert_eq!(Client::http2(edge.address).get("/").await.status, 200);
    edge
}

async fn open_connections(edge: &TestEdge) -> u64 {
    edge.status().await["process"]["connections"].as_u64().unwrap()
}

/// All of an upload but its last byte.
async fn stalled_upload(address: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {UPLOAD}\r\n\r\n");
    socket.write_all(&[head.as_bytes(), &vec![b'x'; UPLOAD - 1]].concat()).await.unwrap();
    socket
}

#[tokio::test]
#[ignore = "takes 40 s and 800 MiB: make attacks"]
async fn stalled_uploads_leave_nothing_behind() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge(&origin).await;
    let before = edge.resident_mib();
    let mut stalled = Vec::new();
    for _ in 0..UPLOADS {
        stalled.push(tokio::time::timeout(Duration::from_secs(5), stalled_upload(edge.address)).await);
    }
    let at_most = edge.resident_mib();
    let whole = stalled.iter().filter(|one| one.is_ok()).count();
    drop(stalled);
    eventually("they left", || async { open_connections(&edge).await == 0 }).await;
    // The figure is that of half a minute later.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(edge.client().get("/").await.status, 200);
    let after = edge.resident_mib();
    println!(
        "{whole} of {UPLOADS} stalled uploads of 1 MiB were taken in; memory {before} -> {at_most} -> {after} MiB"
    );
    assert!(after <= before + LEFT_BY_UPLOADS, "{before} -> {at_most} -> {after} MiB");
}

#[tokio::test]
#[ignore = "opens 10,000 connections: make attacks"]
async fn idle_connections_of_http2_are_small() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge(&origin).await;
    let before = edge.resident_mib();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut socket = TcpStream::connect(edge.address).await.unwrap();
        socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
        // Its settings: then the connection stands.
        socket.read_exact(&mut [0; 9]).await.unwrap();
        connections.push(socket);
    }
    assert_eq!(open_connections(&edge).await, CONNECTIONS as u64);
    let after = edge.resident_mib();
    println!("{CONNECTIONS} idle connections of HTTP/2; memory {before} -> {after} MiB");
    assert!(after <= before + IDLE_CONNECTIONS, "{before} -> {after} MiB");
}
