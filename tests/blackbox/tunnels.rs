//! WebSockets as tunnels: silent for long, full of bytes, and cut on either side.

use std::time::{Duration, Instant};

use crate::harness::{Peer, RawOrigin, TestEdge, Wire, eventually};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

async fn edge_to(origin: &RawOrigin) -> TestEdge {
    let site = format!(
        "routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off, timeouts: {{ read: 500ms, write: 500ms }} }}\n",
        origin.server()
    );
    let limits =
        "limits: { keepalive: 500ms, client_timeout: 500ms, header_timeout: 500ms, lifetime: 1s, min_rate: 1KiB }";
    TestEdge::start_with(limits, &site).await
}

/// A server that upgrades and then says back what it hears.
async fn echo() -> RawOrigin {
    RawOrigin::serving(|mut peer| async move {
        if peer.request().await.is_some() {
            peer.send(SWITCHED).await;
            while let Some(heard) = peer.some().await {
                peer.send(heard).await;
            }
        }
    })
    .await
}

async fn open(edge: &TestEdge) -> Wire {
    let mut client = Wire::saying(edge.address, UPGRADE).await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 101, "{}", answer.head);
    assert_eq!(answer.header("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    client
}

#[tokio::test]
async fn a_silent_tunnel_stays_open_beyond_every_limit_of_requests() {
    let origin = echo().await;
    let edge = edge_to(&origin).await;
    let mut client = open(&edge).await;
    for text in ["one", "two"] {
        // Longer than each limit there is, and than the grace of the minimum rate.
        let (heard, closed) = client.until_silent(Duration::from_secs(6)).await;
        assert!(heard.is_empty() && !closed, "{heard:?}");
        client.send(text).await;
        assert_eq!(client.bytes(3).await, text.as_bytes());
    }
}

#[tokio::test]
async fn a_stream_arrives_as_it_was_sent_in_both_directions() {
    let mib = std::env::var("TUNNEL_MIB").ok().and_then(|mib| mib.parse().ok()).unwrap_or(64);
    let origin = echo().await;
    let edge = edge_to(&origin).await;
    let mut client = open(&edge).await;
    let before = edge.resident_mib();
    let start = Instant::now();
    let mut state = 1_u32;
    for piece in 0..mib {
        let bytes: Vec<u8> = (0..1 << 20)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24).to_le_bytes()[0]
            })
            .collect();
        // In quarters, so that both ends have room to answer.
        for part in bytes.chunks(1 << 18) {
            assert!(client.send(part).await);
            assert!(client.bytes(part.len()).await == part, "MiB {piece} differs");
        }
        origin.forget();
    }
    let grown = edge.resident_mib().saturating_sub(before);
    println!("{mib} MiB each way in {:?}, memory grew by {grown} MiB", start.elapsed());
    assert!(grown < 20, "memory grew by {grown} MiB");
}

#[tokio::test]
async fn an_end_on_one_side_is_an_end_on_the_other() {
    // The backend ends the connection, in order or not; the client sees what came before and the end.
    let ends: [fn(Peer); 2] = [drop, Peer::reset];
    for end in ends {
        let origin = RawOrigin::serving(move |mut peer| async move {
            peer.request().await;
            peer.send(SWITCHED).await;
            peer.some().await;
            peer.send("bye").await;
            peer.some().await;
            end(peer);
        })
        .await;
        let edge = edge_to(&origin).await;
        let mut client = open(&edge).await;
        client.send("x").await;
        assert_eq!(client.bytes(3).await, b"bye");
        client.send("x").await;
        assert_eq!(client.text().await, "");
    }
    // The client ends it; the backend sees the end, and the slot is free.
    let origin = echo().await;
    let edge = edge_to(&origin).await;
    for resets in [false, true] {
        let client = open(&edge).await;
        if resets {
            client.reset();
        } else {
            drop(client);
        }
        eventually("the backend sees the end", || async { origin.open() == 0 }).await;
        eventually("the slot is free", || async {
            edge.status().await["upstreams"][0]["backends"][0]["in_flight"] == 0
        })
        .await;
    }
}
