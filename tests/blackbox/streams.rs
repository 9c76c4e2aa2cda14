//! What flows: server-sent events, WebSockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{PATIENCE, RawOrigin, TestEdge, Wire};

/// A WebSocket server that greets before it is asked, so that its first frame rides with the 101.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("\"{}\"", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                let _ = socket.send(Message::text("hello")).await;
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() && socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

async fn talk(edge: &TestEdge, n: usize) {
    let (mut socket, answer) = tokio_tungstenite::connect_async(format!("ws://{}/ws", edge.address)).await.unwrap();
    assert_eq!(answer.status(), 101);
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    let sent = Message::text(format!("message {n}"));
    socket.send(sent.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), sent);
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn websockets_pass_one_after_another() {
    let edge =
        TestEdge::start(&format!("routes:\n  /: ws\nupstreams:\n  ws: {{ servers: {}, check: off }}\n", echo().await))
            .await;
    let count = std::env::var("WEBSOCKETS").ok().and_then(|count| count.parse().ok()).unwrap_or(500);
    for n in 0..count {
        tokio::time::timeout(Duration::from_secs(5), talk(&edge, n)).await.unwrap();
    }
}

#[tokio::test]
async fn other_upgrades_are_not_passed_on() {
    let api = crate::harness::Origin::named("api").await;
    let edge =
        TestEdge::start(&format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", api.server()))
            .await;
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n";
    let answer = crate::harness::raw(edge.address, request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!api.seen()[0].headers.contains_key("upgrade"));
}

#[tokio::test]
async fn events_pass_without_delay() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("\"{}\"", listener.local_addr().unwrap());
    let start = Instant::now();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let event = format!("data: {}\n\n", start.elapsed().as_nanos());
            if stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let edge =
        TestEdge::start(&format!("routes:\n  /: sse\nupstreams:\n  sse: {{ servers: {server}, check: off }}\n")).await;
    let mut client = TcpStream::connect(edge.address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n").await.unwrap();
    let mut delays = Vec::new();
    let mut buffer = vec![0; 4096];
    while delays.len() < 100 {
        let read = tokio::time::timeout(PATIENCE, client.read(&mut buffer)).await.unwrap().unwrap();
        let now = start.elapsed();
        let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
        for sent in text.lines().filter_map(|line| line.strip_prefix("data: ")?.parse::<u64>().ok()) {
            delays.push(now.saturating_sub(Duration::from_nanos(sent)));
        }
    }
    delays.sort();
    println!("event delay: median {:?}, p99 {:?}", delays[50], delays[98]);
    assert!(delays[50] < Duration::from_millis(5), "{delays:?}");
}

#[tokio::test]
async fn nothing_of_ours_is_written_into_a_tunnel_that_breaks() {
    let seen = Arc::new(Notify::new());
    let told = Arc::clone(&seen);
    let origin = RawOrigin::serving(move |mut peer| {
        let told = Arc::clone(&told);
        async move {
            peer.request().await;
            peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
                .await;
            told.notified().await;
            peer.reset();
        }
    })
    .await;
    let edge = TestEdge::start(&format!(
        "routes:\n  /: ws\nupstreams:\n  ws: {{ servers: {}, check: off }}\n",
        origin.server()
    ))
    .await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut client = Wire::saying(edge.address, request).await;
    assert_eq!(client.answer().await.status(), 101);
    assert_eq!(client.bytes(5).await, b"first");
    seen.notify_one();
    assert_eq!(client.text().await, "");
}
