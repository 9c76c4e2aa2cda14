//! What clients see when backends fail.

use std::time::{Duration, Instant};

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{Origin, TestEdge, eventually, free_port};

/// A server that reads a request's head and then does what `end` says.
async fn breaking(answer: &'static [u8]) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("\"{}\"", listener.local_addr().unwrap());
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            if read != 0 {
                counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let _ = stream.write_all(answer).await;
            }
        }
    });
    (address, count)
}

const DEAD: &str = "\"127.0.0.1:9\"";

#[tokio::test]
async fn a_refused_connection_costs_nobody_a_request() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let edge = TestEdge::start(&format!(
        "routes:\n  /: pool\nupstreams:\n  pool: {{ servers: [{}, {DEAD}, {}], check: off }}\n",
        a.server(),
        b.server()
    ))
    .await;
    let client = edge.client();
    for n in 0..60 {
        let method = if n % 2 == 0 { Method::GET } else { Method::POST };
        assert_eq!(client.send(method, "/", &[], "x").await.status, 200);
    }
    assert_eq!(a.count() + b.count(), 60);
    assert!(edge.told("is ejected"), "{:?}", edge.log());
}

#[tokio::test]
async fn causes_map_to_statuses() {
    let slow = Origin::named("slow").await;
    slow.hang(true);
    let (garbage, _) = breaking(b"SMTP nonsense\r\n\r\n").await;
    let (closing, _) = breaking(b"").await;
    let edge = TestEdge::start(&format!(
        "routes:\n  /refused: refused\n  /slow: slow\n  /garbage: garbage\n  /closing: closing\n  /nobody: nobody\n\
         upstreams:\n  refused: {{ servers: {DEAD}, check: off }}\n  \
         slow: {{ servers: {}, check: off, timeouts: {{ read: 300ms }} }}\n  \
         garbage: {{ servers: {garbage}, check: off }}\n  closing: {{ servers: {closing}, check: off }}\n  \
         nobody: {{ servers: \"nobody.invalid:80\", hold: 0 }}\n",
        slow.server()
    ))
    .await;
    for (path, status) in [("/refused", 502), ("/slow", 504), ("/garbage", 502), ("/closing", 502), ("/nobody", 503)] {
        assert_eq!(edge.client().get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_get_that_broke_off_is_tried_elsewhere_and_a_post_is_not() {
    let good = Origin::named("good").await;
    let (closing, count) = breaking(b"").await;
    let edge = TestEdge::start(&format!(
        "routes:\n  /: pool\nupstreams:\n  pool: {{ servers: [{closing}, {}], check: off }}\n",
        good.server()
    ))
    .await;
    let answer = edge.client().get("/").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 1);
    let statuses = [
        edge.client().send(Method::POST, "/", &[], "x").await.status,
        edge.client().send(Method::POST, "/", &[], "x").await.status,
    ];
    assert!(statuses.contains(&http::StatusCode::BAD_GATEWAY), "{statuses:?}");
    let posts = good.seen().iter().filter(|seen| seen.method == "POST").count();
    assert_eq!(posts, 1, "the POST that broke off was not sent again");
}

#[tokio::test]
async fn listed_statuses_are_tried_elsewhere() {
    let (bad, good) = (Origin::named("bad").await, Origin::named("good").await);
    bad.answer_with(503);
    let edge = TestEdge::start(&format!(
        "routes:\n  /: pool\nupstreams:\n  pool: {{ servers: [{}, {}], check: off, retry: {{ on: [connect, reset, 503] }} }}\n",
        bad.server(), good.server()
    ))
    .await;
    for _ in 0..10 {
        assert_eq!(edge.client().get("/").await.status, 200);
    }
    assert!(bad.count() != 0);
}

#[tokio::test]
async fn retries_are_spent_from_a_budget() {
    let (bad, good) = (Origin::named("bad").await, Origin::named("good").await);
    bad.answer_with(503);
    let edge = TestEdge::start(&format!(
        "routes:\n  /: pool\nupstreams:\n  pool: {{ servers: [{}, {}], check: off, retry: {{ on: [503], budget: 0% }} }}\n",
        bad.server(), good.server()
    ))
    .await;
    let mut failed = 0;
    for _ in 0..10 {
        failed += usize::from(edge.client().get("/").await.status == 503);
    }
    assert_eq!(failed, 5);
}

#[tokio::test]
async fn requests_are_held_until_a_backend_is_up() {
    let port = free_port();
    let edge = TestEdge::start(&format!(
        "routes:\n  /: pool\nupstreams:\n  pool: {{ servers: \"127.0.0.1:{port}\", check: {{ tcp: true, every: 200ms, timeout: 100ms }} }}\n"
    ))
    .await;
    eventually("the backend is down", || async { edge.states("pool").await == ["down"] }).await;
    let client = edge.client();
    let waiting = tokio::spawn(async move { client.send(Method::POST, "/", &[], "x").await });
    eventually("a request is held", || async { edge.status().await["upstreams"][0]["held"].as_u64() == Some(1) }).await;
    let late = Origin::at("late", format!("127.0.0.1:{port}").parse().unwrap()).await;
    assert_eq!(waiting.await.unwrap().body, "late");
    assert_eq!(late.count(), 1);
}

#[tokio::test]
async fn without_hold_nobody_waits() {
    let edge =
        TestEdge::start("routes:\n  /: pool\nupstreams:\n  pool: { servers: \"nobody.invalid:80\", hold: 0 }\n").await;
    let start = Instant::now();
    assert_eq!(edge.client().get("/").await.status, 503);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_truncated_answer_does_not_look_complete() {
    let (cut, _) = breaking(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
    let (cut_chunks, _) = breaking(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    let edge = TestEdge::start(&format!(
        "routes:\n  /length: a\n  /chunks: b\nupstreams:\n  a: {{ servers: {cut}, check: off }}\n  b: {{ servers: {cut_chunks}, check: off }}\n"
    ))
    .await;
    for path in ["/length", "/chunks"] {
        assert!(edge.client().try_send(Method::GET, path, &[], "").await.is_err(), "{path}");
    }
}
