//! Answers' heads and what belongs to no body.

use crate::harness::{Origin, RawOrigin, TestEdge, Wire, raw};

async fn through(answer: &'static str, request: &str) -> String {
    let origin = RawOrigin::answering_once(answer).await;
    let edge =
        TestEdge::start(&format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", origin.server()))
            .await;
    Wire::saying(edge.address, request).await.text().await
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn early_hints_come_before_the_answer() {
    let answer = through(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        GET,
    )
    .await;
    let (hints, rest) = answer.split_once("\r\n\r\n").unwrap();
    assert!(hints.starts_with("HTTP/1.1 103") && hints.to_lowercase().contains("link: </a.css>"), "{answer}");
    assert!(rest.starts_with("HTTP/1.1 200") && rest.ends_with("ok"), "{answer}");
}

#[tokio::test]
async fn an_answer_to_head_has_its_length_and_no_body() {
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = through("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", head).await;
    assert!(answer.to_lowercase().contains("content-length: 1234") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn statuses_without_a_body_have_none() {
    for status in ["204 No Content", "304 Not Modified"] {
        let answer: &'static str = format!("HTTP/1.1 {status}\r\nETag: \"x\"\r\n\r\n").leak();
        let got = through(answer, GET).await;
        assert!(got.starts_with(&format!("HTTP/1.1 {status}")) && got.ends_with("\r\n\r\n"), "{got}");
        assert!(!got.to_lowercase().contains("transfer-encoding"), "{got}");
    }
}

#[tokio::test]
async fn a_connection_that_may_hold_a_body_of_204_is_not_used_again() {
    for announced in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let origin = RawOrigin::answering(format!("HTTP/1.1 204 No Content\r\n{announced}\r\n\r\n").into_bytes()).await;
        let site = format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", origin.server());
        let edge = TestEdge::start(&site).await;
        let mut client = Wire::to(edge.address).await;
        for count in 1..=5 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(client.answer().await.status(), 204, "{announced}");
            assert_eq!(origin.connections(), count, "{announced}");
        }
    }
}

#[tokio::test]
async fn fields_pass_unchanged() {
    let cookies: String = (0..200).map(|n| format!("Set-Cookie: c{n}={n}\r\n")).collect();
    let answer: &'static str = format!("HTTP/1.1 200 OK\r\n{cookies}Content-Length: 0\r\n\r\n").leak();
    let got = through(answer, GET).await;
    assert_eq!(got.matches("et-Cookie: ").count() + got.matches("et-cookie: ").count(), 200, "{got}");
}

#[tokio::test]
async fn clients_of_http_1_0_are_served() {
    let api = Origin::named("api").await;
    let edge =
        TestEdge::start(&format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", api.server()))
            .await;
    let answer = raw(edge.address, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.contains(" 200 ") && answer.ends_with("api"), "{answer}");
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let api = Origin::named("api").await;
    let edge =
        TestEdge::start(&format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", api.server()))
            .await;
    let mut client = Wire::to(edge.address).await;
    for _ in 0..5 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.answer().await.text(), "api");
    }
    assert_eq!(api.count(), 5);
}

#[tokio::test]
async fn clients_of_http_1_0_never_see_chunks() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let answer = through(chunked, "GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    assert!(!answer.to_lowercase().contains("transfer-encoding"), "{answer}");
}

#[tokio::test]
async fn a_failed_head_ends_cleanly_in_http2_and_a_failure_says_that_it_closes() {
    let edge = TestEdge::start("routes:\n  /: a\nupstreams:\n  a: { servers: \"nobody.invalid:80\", hold: 0 }\n").await;
    let answer = crate::harness::Client::http2(edge.address).send(http::Method::HEAD, "/", &[], "").await;
    assert_eq!(answer.status, 503);
    // Either the client is told that the connection closes, or its next request is served.
    let answer = raw(edge.address, &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2)).await;
    let closes = answer.to_lowercase().contains("connection: close");
    assert_eq!(answer.matches("HTTP/1.1 503").count(), if closes { 1 } else { 2 }, "{answer}");
}
