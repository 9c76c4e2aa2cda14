//! HTTP/2 frame by frame: malformed requests, floods, and clients that stop halfway. The same with more of everything is in
//! `tests/attacks`.

use std::time::{Duration, Instant};

use crate::harness::frames::*;
use crate::harness::{Client, OK, RawOrigin, TestEdge, Wire, eventually};

/// What a deadline may be late by on a busy machine.
const LATE: Duration = Duration::from_millis(1500);

async fn edge_with(limits: &str, origin: &RawOrigin, upstream: &str) -> TestEdge {
    let site = format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off{upstream} }}\n", origin.server());
    TestEdge::start_with(&format!("log: {{ access: json }}\nlimits: {{ {limits} }}"), &site).await
}

/// What the `h2` crate answers to names and values that no field can have: the whole connection ends, not the stream alone.
const CONNECTION_ERROR: Outcome = Outcome::GoneAway(1);
type Fields<'a> = Vec<(&'a str, &'a str)>;

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", "/");
const AUTHORITY: (&str, &str) = (":authority", "a");

#[tokio::test]
async fn malformed_requests_never_reach_the_backend_nor_harm_others() {
    let alone: Vec<(&str, Fields)> = vec![
        ("no method", vec![SCHEME, PATH, AUTHORITY]),
        ("no path", vec![METHOD, SCHEME, AUTHORITY]),
        ("no scheme", vec![METHOD, PATH, AUTHORITY]),
        ("an empty path", vec![METHOD, SCHEME, (":path", ""), AUTHORITY]),
        ("a path without a slash", vec![METHOD, SCHEME, (":path", "x"), AUTHORITY]),
        ("two paths", vec![METHOD, SCHEME, PATH, (":path", "/x"), AUTHORITY]),
        ("two methods", vec![METHOD, METHOD, SCHEME, PATH, AUTHORITY]),
        ("a field of answers", vec![METHOD, SCHEME, PATH, AUTHORITY, (":status", "200")]),
        ("a pseudo field behind a field", vec![METHOD, SCHEME, PATH, ("x", "y"), AUTHORITY]),
        ("a connection field", vec![METHOD, SCHEME, PATH, AUTHORITY, ("connection", "close")]),
        ("a transfer coding", vec![METHOD, SCHEME, PATH, AUTHORITY, ("transfer-encoding", "chunked")]),
        ("an upgrade", vec![METHOD, SCHEME, PATH, AUTHORITY, ("upgrade", "websocket")]),
        ("te other than trailers", vec![METHOD, SCHEME, PATH, AUTHORITY, ("te", "gzip")]),
        ("CR LF in the path", vec![METHOD, SCHEME, (":path", "/ HTTP/1.1\r\nx: y\r\n\r\n"), AUTHORITY]),
        ("a space in the path", vec![METHOD, SCHEME, (":path", "/a b"), AUTHORITY]),
        ("CR LF in the authority", vec![METHOD, SCHEME, PATH, (":authority", "a\r\nx: y")]),
        ("userinfo", vec![METHOD, SCHEME, PATH, (":authority", "u@a")]),
        ("a host that is another", vec![METHOD, SCHEME, PATH, AUTHORITY, ("host", "b")]),
        ("two hosts", vec![METHOD, SCHEME, PATH, ("host", "a"), ("host", "b")]),
        ("neither host nor authority", vec![METHOD, SCHEME, PATH]),
        ("two lengths", vec![METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "1"), ("content-length", "2")]),
        ("a length and no body", vec![METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "5")]),
        ("a length of letters", vec![METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "x")]),
    ];
    let with_their_connection: Vec<(&str, Fields)> = vec![
        ("an unknown pseudo field", vec![METHOD, SCHEME, PATH, AUTHORITY, (":x", "y")]),
        ("a capital letter", vec![METHOD, SCHEME, PATH, AUTHORITY, ("X-A", "y")]),
        ("CR LF in a value", vec![METHOD, SCHEME, PATH, AUTHORITY, ("x", "a\r\ny: z")]),
        ("LF in a value", vec![METHOD, SCHEME, PATH, AUTHORITY, ("x", "a\ny: z")]),
        ("NUL in a value", vec![METHOD, SCHEME, PATH, AUTHORITY, ("x", "a\0")]),
        ("CR LF in the method", vec![(":method", "GET / HTTP/1.1\r\nx"), SCHEME, PATH, AUTHORITY]),
        ("an empty name", vec![METHOD, SCHEME, PATH, AUTHORITY, ("", "y")]),
        ("a space in a name", vec![METHOD, SCHEME, PATH, AUTHORITY, ("x y", "z")]),
        ("a colon in a name", vec![METHOD, SCHEME, PATH, AUTHORITY, ("x:y", "z")]),
    ];
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_with("", &origin, "").await;
    let mut wrong = Vec::new();
    let alone = alone.into_iter().map(|row| (row, false));
    for ((what, fields), ends_connection) in alone.chain(with_their_connection.into_iter().map(|row| (row, true))) {
        origin.forget();
        let mut client = Http2Wire::to(edge.address, &[]).await;
        client.request(1, &block(&fields)).await;
        match client.outcome(1).await {
            Outcome::Reset(_) | Outcome::Answered(400) => {}
            CONNECTION_ERROR if ends_connection => client = Http2Wire::to(edge.address, &[]).await,
            other => wrong.push(format!("{what}: {other:?}")),
        }
        if !origin.text().is_empty() {
            wrong.push(format!("{what}: the backend saw {:?}", origin.text()));
        }
        client.request(3, &get("/sibling")).await;
        if client.outcome(3).await != Outcome::Answered(200) {
            wrong.push(format!("{what}: its sibling is not served"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_it_says_is_never_completed() {
    let origin = RawOrigin::answering(OK).await;
    for upstream in ["", ", request_buffer: 0"] {
        let edge = edge_with("", &origin, upstream).await;
        let head = block(&[(":method", "POST"), SCHEME, PATH, AUTHORITY, ("content-length", "5")]);
        for body in ["hell", "hello!"] {
            let mut client = Http2Wire::to(edge.address, &[]).await;
            client.send(HEADERS, END_HEADERS, 1, &head).await;
            client.send(DATA, END_STREAM, 1, body.as_bytes()).await;
            let outcome = client.outcome(1).await;
            assert!(matches!(outcome, Outcome::Reset(_) | Outcome::Answered(400)), "{body}: {outcome:?}");
            client.request(3, &get("/sibling")).await;
            assert_eq!(client.outcome(3).await, Outcome::Answered(200), "{body}");
        }
    }
    assert!(origin.requests().iter().all(|request| request.line().contains("sibling")));
}

#[tokio::test]
async fn a_preface_that_never_comes_has_a_deadline() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_with("header_timeout: 500ms, keepalive: 500ms", &origin, "").await;
    for (what, bytes) in
        [("its first bytes", &PREFACE[..5]), ("all but the last", &PREFACE[..23]), ("no settings", PREFACE)]
    {
        let start = Instant::now();
        let mut wire = Wire::saying(edge.address, bytes).await;
        wire.rest().await;
        assert!(start.elapsed() < Duration::from_millis(500) + LATE, "{what}: {:?}", start.elapsed());
    }
    let start = Instant::now();
    let mut idle = Http2Wire::to(edge.address, &[]).await;
    while idle.next().await.is_some() {}
    assert!(start.elapsed() < Duration::from_millis(500) + LATE, "idle: {:?}", start.elapsed());
}

#[tokio::test]
async fn a_body_that_never_ends_has_a_deadline_and_its_siblings_none() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_with("client_timeout: 500ms", &origin, "").await;
    let mut client = Http2Wire::to(edge.address, &[]).await;
    let start = Instant::now();
    let head = block(&[(":method", "POST"), SCHEME, (":path", "/stuck"), AUTHORITY, ("content-length", "5")]);
    client.send(HEADERS, END_HEADERS, 1, &head).await;
    client.request(3, &get("/sibling")).await;
    assert_eq!(client.outcome(3).await, Outcome::Answered(200));
    let outcome = client.outcome(1).await;
    assert!(matches!(outcome, Outcome::Answered(408) | Outcome::Reset(_)), "{outcome:?}");
    assert!(start.elapsed() < Duration::from_millis(500) + LATE, "{:?}", start.elapsed());
    assert!(!origin.text().contains("stuck"), "the backend was not asked");
}

#[tokio::test]
async fn a_window_that_never_opens_has_a_deadline() {
    let origin =
        RawOrigin::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000))).await;
    let edge = edge_with("client_timeout: 500ms", &origin, "").await;
    // SETTINGS_INITIAL_WINDOW_SIZE is 0: not a byte of a body may be sent.
    let mut client = Http2Wire::to(edge.address, &[(4, 0)]).await;
    let start = Instant::now();
    client.request(1, &get("/")).await;
    assert_eq!(client.outcome(1).await, Outcome::Answered(200));
    let outcome = client.outcome(1).await;
    assert!(!matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
    assert!(start.elapsed() < Duration::from_millis(500) + LATE * 2, "{:?}", start.elapsed());
    eventually("the slot is free", || async { edge.status().await["upstreams"][0]["backends"][0]["in_flight"] == 0 })
        .await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let origin = RawOrigin::serving(|mut peer| async move {
        while peer.request().await.is_some() {
            tokio::time::sleep(Duration::from_millis(500)).await;
            peer.send(OK).await;
        }
    })
    .await;
    let edge = edge_with("", &origin, "").await;
    let mut client = Http2Wire::to(edge.address, &[]).await;
    for n in 0..101 {
        client.request(2 * n + 1, &get("/")).await;
    }
    let (mut answered, mut refused) = (0, 0);
    while answered + refused < 101 {
        let Some(found) = client.next().await else { panic!("closed after {answered} answers") };
        match found.kind {
            HEADERS => answered += usize::from(found.status() == Some(200) || found.status().is_none()),
            RST_STREAM if found.code() == Some(REFUSED_STREAM) => refused += 1,
            RST_STREAM | GOAWAY => panic!("{found:?}"),
            _ => {}
        }
    }
    assert_eq!((answered, refused), (100, 1));
}

#[tokio::test]
async fn a_head_without_end_ends_the_connection() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_with("", &origin, "").await;
    let before = edge.resident_mib();
    let mut client = Http2Wire::to(edge.address, &[]).await;
    client.send(HEADERS, END_STREAM, 1, &get("/")).await;
    let piece = block(&[("x", &"x".repeat(1000))]);
    let mut sent = 0;
    while client.send(CONTINUATION, 0, 1, &piece).await {
        sent += piece.len();
        assert!(sent < 64 << 20, "64 MiB were taken");
    }
    let outcome = client.outcome(1).await;
    assert!(matches!(outcome, Outcome::GoneAway(_) | Outcome::Closed), "{outcome:?}");
    let grown = edge.resident_mib().saturating_sub(before);
    assert!(grown < 20, "memory grew by {grown} MiB");
    assert_eq!(Client::http2(edge.address).get("/").await.status, 200);
    assert!(origin.requests().len() == 1);
}

#[tokio::test]
async fn a_small_head_that_unpacks_to_a_large_one_is_refused() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_with("", &origin, "").await;
    let before = edge.resident_mib();
    let mut client = Http2Wire::to(edge.address, &[]).await;
    // One field of 3.9 KiB goes into the table; then it is named 14 000 times, a byte each: 54 MiB.
    let mut bomb = get("/");
    let stored = block(&[("x", &"x".repeat(3900))]);
    bomb.push(0x40);
    bomb.extend(&stored[1..]);
    bomb.extend(vec![0x80 | 62; 12_000]);
    client.request(1, &bomb).await;
    let outcome = client.outcome(1).await;
    assert!(
        matches!(outcome, Outcome::Answered(400 | 431) | Outcome::Reset(_) | Outcome::GoneAway(_) | Outcome::Closed),
        "{outcome:?}"
    );
    let grown = edge.resident_mib().saturating_sub(before);
    assert!(grown < 20, "memory grew by {grown} MiB");
    assert!(origin.text().is_empty());
    assert_eq!(Client::http2(edge.address).get("/").await.status, 200);
}

#[tokio::test]
async fn heads_have_the_same_limits_as_in_http1() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_with("", &origin, "").await;
    let (long, path) = ("x".repeat(33 * 1024), format!("/{}", "x".repeat(9 * 1024)));
    let many: Vec<_> =
        [METHOD, SCHEME, PATH, AUTHORITY].into_iter().chain(std::iter::repeat_n(("x", "y"), 101)).collect();
    let rows: Vec<(&str, Fields, &[u16])> = vec![
        ("33 KiB in one field", vec![METHOD, SCHEME, PATH, AUTHORITY, ("x", &long)], &[400, 431]),
        ("101 fields", many, &[400, 431]),
        ("a target of 9 KiB", vec![METHOD, SCHEME, (":path", &path), AUTHORITY], &[414]),
    ];
    for (what, fields, statuses) in rows {
        let mut client = Http2Wire::to(edge.address, &[]).await;
        let whole = block(&fields);
        let mut pieces = whole.chunks(16_000).peekable();
        let (mut kind, mut flags) = (HEADERS, END_STREAM);
        while let Some(piece) = pieces.next() {
            let end = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            client.send(kind, flags | end, 1, piece).await;
            (kind, flags) = (CONTINUATION, 0);
        }
        let outcome = client.outcome(1).await;
        let refused = matches!(outcome, Outcome::Answered(status) if statuses.contains(&status));
        assert!(refused || matches!(outcome, Outcome::Reset(_)), "{what}: {outcome:?}");
        client.request(3, &get("/sibling")).await;
        assert_eq!(client.outcome(3).await, Outcome::Answered(200), "{what}");
    }
    assert!(origin.requests().iter().all(|request| request.line().contains("sibling")));
}

#[tokio::test]
async fn frames_of_control_without_end_end_the_connection() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_with("", &origin, "").await;
    let mut client = Http2Wire::to(edge.address, &[]).await;
    client.request(1, &get("/")).await;
    assert_eq!(client.outcome(1).await, Outcome::Answered(200));
    let pings = frame(PING, 0, 0, b"attacker").repeat(1000);
    let mut sent = 0;
    while sent < 1000 && client.wire.send(&pings).await && client.wire.bytes(pings.len()).await.len() == pings.len() {
        sent += 1;
    }
    // An eighth has to be of use, beyond a first mebibyte.
    assert!(
        (8 << 20) / pings.len() - 10 < sent && sent < (9 << 20) / pings.len(),
        "{sent} thousand pings were answered"
    );
    let metrics = edge.metrics().await;
    assert!(metrics.contains("remora_connections_refused_total{reason=\"http2_flood\"} 1"), "{metrics}");
    assert_eq!(Client::http2(edge.address).get("/").await.status, 200);
}

#[tokio::test]
async fn requests_taken_back_at_once_end_the_connection() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_with("", &origin, "").await;
    let mut client = Http2Wire::to(edge.address, &[]).await;
    let mut sent = 0;
    for n in 0..10_000 {
        let stream = 2 * n + 1;
        let cancel = 8_u32.to_be_bytes();
        let both = [frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/")), frame(RST_STREAM, 0, stream, &cancel)];
        if !client.wire.send(both.concat()).await {
            break;
        }
        sent += 1;
    }
    let mut outcome = client.outcome(u32::MAX).await;
    if matches!(outcome, Outcome::Answered(_)) {
        outcome = client.outcome(u32::MAX).await;
    }
    println!(
        "of 10000 requests taken back {sent} were sent, {} reached the backend; then {outcome:?}",
        origin.requests().len()
    );
    assert!(matches!(outcome, Outcome::GoneAway(ENHANCE_YOUR_CALM) | Outcome::Closed), "{outcome:?}");
    assert!(origin.requests().len() < 1000, "{} reached the backend", origin.requests().len());
    assert_eq!(Client::http2(edge.address).get("/").await.status, 200);
}
