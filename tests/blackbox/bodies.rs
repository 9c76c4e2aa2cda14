//! Request bodies: whole, limited, and kept away from workers while they are slow.

use std::time::Duration;

use bytes::Bytes;
use http::Method;

use crate::harness::{Client, Origin, RawOrigin, TestEdge, Wire, eventually, raw};

async fn edge_to(origin: &Origin, upstream: &str) -> TestEdge {
    TestEdge::start(&format!(
        "routes:\n  /: api\nupstreams:\n  api: {{ servers: {}, check: off{upstream} }}\n",
        origin.server()
    ))
    .await
}

#[tokio::test]
async fn bodies_of_every_size_arrive_whole() {
    let api = Origin::named("api").await;
    let (edge, streaming) = (edge_to(&api, "").await, edge_to(&api, ", request_buffer: 0").await);
    for client in [edge.client(), Client::http2(edge.address), streaming.client()] {
        for size in [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000, 1_000_000, 5_000_000] {
            let sent: Bytes = (0..size).map(|n: usize| u8::try_from(n % 251).unwrap()).collect();
            let answer = client.send(Method::POST, "/", &[], sent.clone()).await;
            assert_eq!(answer.status, 200, "{size}");
            assert!(api.seen().last().unwrap().body == sent, "{size} bytes differ");
        }
    }
}

#[tokio::test]
async fn answers_of_every_size_arrive_whole() {
    let origin = RawOrigin::serving(|mut peer| async move {
        while let Some(request) = peer.request().await {
            let size: usize = request.line().split(['/', ' ']).nth(2).unwrap().parse().unwrap();
            let body: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
            peer.send([format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes(), &body].concat()).await;
        }
    })
    .await;
    let edge = TestEdge::start(&format!(
        "routes:\n  /: api\nupstreams:\n  api: {{ servers: {}, check: off }}\n",
        origin.server()
    ))
    .await;
    let mut wire = Wire::to(edge.address).await;
    for size in [0, 1, 65_000, 65_536, 131_072, 131_073, 1_000_000, 5_000_000, 3] {
        wire.send(format!("GET /{size} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let head = wire.head().await.unwrap();
        assert!(head.contains("200 OK"), "{size}: {head}");
        let expected: Vec<u8> = (0..size).map(|n: usize| u8::try_from(n % 251).unwrap()).collect();
        assert!(wire.bytes(size).await == expected, "{size} bytes differ");
    }
    assert_eq!(origin.connections(), 1, "what carried a large answer is used again");
}

#[tokio::test]
async fn chunked_bodies_arrive_whole() {
    let api = Origin::named("api").await;
    let edge = edge_to(&api, "").await;
    let mut request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".to_vec();
    let piece = "0123456789".repeat(1000);
    for _ in 0..20 {
        request.extend_from_slice(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes());
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let answer = raw(edge.address, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(api.seen()[0].body.len(), 200_000);
}

#[tokio::test]
async fn what_is_sent_ahead_of_a_small_buffer_is_the_next_request() {
    let api = Origin::named("api").await;
    let edge = edge_to(&api, ", request_buffer: 16B").await;
    // More waits behind the chunks than a small buffer holds: the edge has read all of it with the first head.
    let pad = format!("X-Pad: {}\r\n", "p".repeat(5000));
    let first =
        format!("POST /first HTTP/1.1\r\nHost: a\r\n{pad}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let second = format!("GET /second HTTP/1.1\r\nHost: a\r\n{pad}\r\n");
    let mut wire = Wire::saying(edge.address, format!("{first}{second}")).await;
    assert_eq!((wire.answer().await.status(), wire.answer().await.status()), (200, 200));
    let seen: Vec<_> = api.seen().iter().map(|seen| (seen.target.clone(), seen.body.len())).collect();
    assert_eq!(seen, [("/first".to_owned(), 5), ("/second".to_owned(), 0)]);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_by_its_length_and_by_its_bytes() {
    let api = Origin::named("api").await;
    let edge = TestEdge::start_with(
        "limits: { body: 100KiB }",
        &format!(
            "routes:\n  /: api\n  /big: {{ to: api, limits: {{ body: 1MiB }} }}\nupstreams:\n  api: {{ servers: {}, check: off }}\n",
            api.server()
        ),
    )
    .await;
    assert_eq!(edge.client().send(Method::POST, "/", &[], vec![b'x'; 102_400]).await.status, 200);
    assert_eq!(edge.client().send(Method::POST, "/big", &[], vec![b'x'; 200_000]).await.status, 200);
    let declared = raw(edge.address, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 102401\r\n\r\n").await;
    assert!(declared.starts_with("HTTP/1.1 413"), "{declared}");
    let mut chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..30 {
        chunked.extend_from_slice(format!("1000\r\n{}\r\n", "x".repeat(4096)).as_bytes());
    }
    let crossed = raw(edge.address, &chunked).await;
    assert!(crossed.starts_with("HTTP/1.1 413"), "{crossed}");
}

#[tokio::test]
async fn a_slow_client_holds_no_backend() {
    let api = Origin::named("api").await;
    let edge = edge_to(&api, "").await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nConnection: close\r\n\r\n12345";
    let mut slow = Wire::saying(edge.address, head).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(edge.status().await["upstreams"][0]["backends"][0]["in_flight"], 0);
    }
    slow.send("67890").await;
    assert_eq!(slow.answer().await.status(), 200);
    assert_eq!(api.seen()[0].body, "1234567890");
}

#[tokio::test]
async fn without_a_buffer_the_first_byte_goes_through() {
    let api = Origin::named("api").await;
    let edge = edge_to(&api, ", request_buffer: 0").await;
    let _slow = Wire::saying(edge.address, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n1").await;
    eventually("the backend works on it", || async {
        edge.status().await["upstreams"][0]["backends"][0]["in_flight"] == 1
    })
    .await;
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it() {
    let api = Origin::named("api").await;
    for buffer in ["", ", request_buffer: 0"] {
        let edge = edge_to(&api, buffer).await;
        let head =
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
        let mut client = Wire::saying(edge.address, head).await;
        let first = client.head().await.unwrap();
        assert!(first.starts_with("HTTP/1.1 100 Continue"), "{first}");
        client.send("hello").await;
        assert_eq!(client.answer().await.status(), 200);
    }
    assert!(api.seen().iter().all(|seen| seen.body == "hello"));
}

#[tokio::test]
async fn a_client_that_leaves_during_its_upload_is_logged_as_499() {
    let api = Origin::named("api").await;
    let edge = edge_to(&api, "").await;
    drop(Wire::saying(edge.address, "POST /left HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n1").await);
    eventually("it is logged", || async {
        edge.access_log().iter().any(|line| line.contains("POST /left") && line.contains(" 499 "))
    })
    .await;
    assert_eq!(api.count(), 0);
}

#[tokio::test]
async fn a_slow_upload_of_a_hundred_kilobytes_waits_here_and_is_replayed_whole() {
    let api = Origin::named("api").await;
    let closing = RawOrigin::serving(|mut peer| async move { drop(peer.head().await) }).await;
    let edge = TestEdge::start(&format!(
        "routes:\n  /: api\nupstreams:\n  api: {{ servers: [{}, {}], check: off }}\n",
        closing.server(),
        api.server()
    ))
    .await;
    let body: Vec<u8> = (0..100_000).map(|n: u32| u8::try_from(n % 251).unwrap()).collect();
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n";
    let mut slow = Wire::saying(edge.address, head).await;
    slow.send(&body[..99_999]).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let status = edge.status().await;
        let backends = status["upstreams"][0]["backends"].as_array().unwrap();
        assert!(backends.iter().all(|backend| backend["in_flight"] == 0), "{status}");
    }
    slow.send(&body[99_999..]).await;
    assert_eq!(slow.answer().await.status(), 200);
    assert!(api.seen()[0].body == body, "the body differs");
}
