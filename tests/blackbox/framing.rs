//! Where a message ends: chunks that lie, trailers, bodies beyond the limit, pipelines, and clients that leave halfway.

use std::time::Duration;

use crate::harness::{OK, RawOrigin, TestEdge, Wire, eventually};

async fn edge_to(origin: &RawOrigin, upstream: &str) -> TestEdge {
    let site = format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off{upstream} }}\n", origin.server());
    TestEdge::start_with("log: { access: json }", &site).await
}

fn chunked(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Bodies whose end is in doubt, each behind a chunk that is well.
fn broken_chunks() -> Vec<(&'static str, String)> {
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(9 * 1024));
    let trailers = format!("0\r\n{}\r\n", format!("X: {}\r\n", "x".repeat(1000)).repeat(66));
    let rows = [
        ("a sign", "+5\r\nhello\r\n0\r\n\r\n"),
        ("a minus", "-5\r\nhello\r\n0\r\n\r\n"),
        ("a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("an underscore", "_\r\nhello\r\n0\r\n\r\n"),
        ("digits with an underscore", "1_0\r\nhello\r\n0\r\n\r\n"),
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
        ("17 digits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("17 digits with zeros before", "00000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("a space before", " 5\r\nhello\r\n0\r\n\r\n"),
        ("letters", "xyz\r\nhello\r\n0\r\n\r\n"),
        ("no end of the data", "5\r\nhello0\r\n\r\n"),
        ("more data than said", "5\r\nhello!\r\n0\r\n\r\n"),
        ("a line feed alone after the size", "5\nhello\r\n0\r\n\r\n"),
        ("a line feed alone after the data", "5\r\nhello\n0\r\n\r\n"),
        ("a carriage return alone after the size", "5\rhello\r\n0\r\n\r\n"),
        ("NUL in an extension", "5;\0\r\nhello\r\n0\r\n\r\n"),
        ("a line feed in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        ("a carriage return in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        ("an extension of 9 KiB", &extension),
        ("66 KiB of trailers", &trailers),
        ("a trailer without a colon", "0\r\nnonsense\r\n\r\n"),
        ("a trailer with a line feed alone", "0\r\nX: a\nY: b\r\n\r\n"),
        ("a folded trailer", "0\r\nX: a\r\n b\r\n\r\n"),
    ];
    rows.into_iter().map(|(what, rest)| (what, chunked("/broken", &format!("3\r\nabc\r\n{rest}{GET}")))).collect()
}

#[tokio::test]
async fn chunks_that_lie_are_never_completed_for_the_backend() {
    let mut wrong = Vec::new();
    for upstream in ["", ", request_buffer: 0"] {
        let origin = RawOrigin::answering(OK).await;
        let edge = edge_to(&origin, upstream).await;
        for (what, bytes) in broken_chunks() {
            origin.forget();
            let before = origin.connections();
            let (text, closed) = Wire::saying(edge.address, bytes).await.until_silent(Duration::from_secs(2)).await;
            if !(text.is_empty() || text.starts_with("HTTP/1.1 400 ")) || 1 < text.matches("HTTP/1.1 ").count() {
                wrong.push(format!("{what}{upstream}: answered {text:?}"));
            }
            if !closed {
                wrong.push(format!("{what}{upstream}: the connection stays open"));
            }
            if !origin.requests().is_empty() {
                wrong.push(format!("{what}{upstream}: the backend took it for whole: {:?}", origin.text()));
            }
            // What was begun there is nobody else's beginning.
            let used = before != origin.connections();
            let answer = Wire::saying(edge.address, GET).await.answer().await;
            let last = origin.requests().pop().map(|request| request.connection);
            if answer.status() != 200 || (used && last.is_none_or(|last| last == before)) {
                wrong.push(format!("{what}{upstream}: the next client got {} on {last:?}", answer.status()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn trailers_never_become_fields() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_to(&origin, "").await;
    let trailers = "Content-Length: 99\r\nTransfer-Encoding: gzip\r\nHost: evil\r\nAuthorization: evil\r\nX-Forwarded-For: 6.6.6.6\r\nX-Sum: 1\r\n";
    let body = format!("3\r\nabc\r\n0\r\n{trailers}\r\n");
    assert_eq!(Wire::saying(edge.address, chunked("/", &body)).await.answer().await.status(), 200);
    let seen = origin.requests().remove(0);
    assert_eq!(seen.body, b"abc");
    assert_eq!(seen.values("host"), ["a"]);
    assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.1"]);
    for name in ["content-length", "authorization", "x-sum"] {
        assert!(!seen.head.to_lowercase().contains(&format!("\r\n{name}: 99")), "{}", seen.head);
        assert!(seen.values(name).iter().all(|value| *value != "99" && *value != "evil"), "{}", seen.head);
    }
    for name in ["content-length", "transfer-encoding", "host", "authorization", "x-forwarded-for"] {
        assert!(!seen.trailers.to_lowercase().contains(name), "{}", seen.trailers);
    }
}

#[tokio::test]
async fn a_client_that_still_sends_can_read_why_it_was_refused() {
    let origin = RawOrigin::answering(OK).await;
    let edge = TestEdge::start_with(
        "limits: { body: 100KiB }",
        &format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", origin.server()),
    )
    .await;
    let megabytes = "x".repeat(4 << 20);
    let chunks = format!("{:x}\r\n{megabytes}\r\n0\r\n\r\n", megabytes.len());
    let length = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{megabytes}", megabytes.len());
    let malformed = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{megabytes}", megabytes.len());
    for (what, bytes, status) in
        [("by its length", length, 413), ("by its bytes", chunked("/", &chunks), 413), ("malformed", malformed, 400)]
    {
        let mut client = Wire::to(edge.address).await;
        client.send(bytes).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), status, "{what}");
        assert!(answer.whole && !answer.body.is_empty(), "{what}: {answer:?}");
    }
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin = RawOrigin::serving(|mut peer| async move {
        while let Some(request) = peer.request().await {
            let path = request.line().split(' ').nth(1).unwrap().to_owned();
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len())).await;
        }
    })
    .await;
    let edge = edge_to(&origin, "").await;
    let post = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let sent = [get("/1"), get("/2"), post("/3"), chunked("/4", "2\r\nab\r\n0\r\n\r\n"), get("/5")].concat();
    let mut client = Wire::saying(edge.address, sent).await;
    for path in ["/1", "/2", "/3", "/4", "/5"] {
        let answer = client.try_answer().await.unwrap_or_else(|| panic!("closed before the answer to {path}"));
        assert_eq!((answer.status(), answer.text().as_str()), (200, path));
    }
    let mut bodies: Vec<_> = origin.requests().iter().map(|r| (r.line().to_owned(), r.body.clone())).collect();
    bodies.sort();
    let bodies: Vec<_> = bodies.into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, [&b""[..], b"", b"", b"hello", b"ab"], "GET /1, /2, /5, then POST /3, /4");
}

/// Waits until nothing of a request is left: its slot, its connection, and a line that says the client left.
async fn nothing_is_left(edge: &TestEdge, origin: &RawOrigin, path: &str) {
    eventually("the backend's connection is closed", || async { origin.open() == 0 }).await;
    eventually("the slot is free", || async { edge.status().await["upstreams"][0]["backends"][0]["in_flight"] == 0 })
        .await;
    eventually("it is logged as the client's doing", || async {
        edge.access_log().iter().any(|line| line.contains(path) && line.contains("\"note\":\"client_abort\""))
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_during_its_upload_takes_its_backend_connection_along() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_to(&origin, ", request_buffer: 0").await;
    let rows = [
        ("POST /left-length HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc".to_owned(), "/left-length"),
        (chunked("/left-chunks", "3\r\nabc\r\n"), "/left-chunks"),
    ];
    for (bytes, path) in rows {
        let client = Wire::saying(edge.address, bytes).await;
        eventually("the backend sees its beginning", || async { origin.text().contains("abc") }).await;
        client.reset();
        nothing_is_left(&edge, &origin, path).await;
        assert!(origin.requests().is_empty(), "the backend took half of it for whole");
        origin.forget();
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_its_download_takes_its_backend_connection_along() {
    let origin = RawOrigin::serving(|mut peer| async move {
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        while peer.send(format!("{:x}\r\n{}\r\n", 1000, "x".repeat(1000))).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let edge = edge_to(&origin, "").await;
    let mut client = Wire::saying(edge.address, "GET /left HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.head().await.is_some());
    assert_eq!(client.bytes(5000).await.len(), 5000);
    drop(client);
    nothing_is_left(&edge, &origin, "/left").await;
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_takes_its_backend_connection_along() {
    let origin = RawOrigin::serving(|mut peer| async move {
        peer.request().await;
        peer.drain().await;
    })
    .await;
    let edge = edge_to(&origin, "").await;
    let client = Wire::saying(edge.address, "GET /left HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the backend works on it", || async { origin.requests().len() == 1 }).await;
    client.reset();
    nothing_is_left(&edge, &origin, "/left").await;
}

/// As nginx, which takes a client that closes its side for one that left: an abandoned request holds no backend.
#[tokio::test]
async fn a_client_that_closes_its_side_is_taken_to_have_left() {
    let origin = RawOrigin::serving(|mut peer| async move {
        peer.request().await;
        peer.drain().await;
    })
    .await;
    let edge = edge_to(&origin, "").await;
    let mut client = Wire::saying(edge.address, "GET /left HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the backend works on it", || async { origin.requests().len() == 1 }).await;
    client.half_close().await;
    nothing_is_left(&edge, &origin, "/left").await;
}

#[tokio::test]
async fn only_an_answered_upgrade_opens_a_tunnel() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_to(&origin, "").await;
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let frame = "\u{1}\u{5}frame";
    for together in [true, false] {
        origin.forget();
        let mut client = Wire::saying(edge.address, upgrade).await;
        if together {
            client.send(frame).await;
        }
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
        client.send(frame).await;
        let (rest, closed) = client.until_silent(Duration::from_secs(2)).await;
        assert!(closed && (rest.is_empty() || rest.starts_with("HTTP/1.1 400 ")), "{rest:?}");
        assert!(!origin.text().contains("frame"), "{}", origin.text());
        assert_eq!(origin.requests().len(), 1);
    }
}

#[tokio::test]
async fn upgrades_other_than_websocket_are_plain_requests() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_to(&origin, "").await;
    for (upgrade, more) in [("h2c", "HTTP2-Settings: AAMAAABkAAQAAP__\r\n"), ("foo/2", ""), ("TLS/1.0", "")] {
        origin.forget();
        let names = if more.is_empty() { "Upgrade" } else { "Upgrade, HTTP2-Settings" };
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {names}\r\nUpgrade: {upgrade}\r\n{more}\r\n");
        let answer = Wire::saying(edge.address, request).await.answer().await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"), "{upgrade}");
        let seen = origin.requests().remove(0);
        assert!(seen.values("upgrade").is_empty() && seen.values("http2-settings").is_empty(), "{}", seen.head);
    }
}
