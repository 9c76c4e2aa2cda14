//! Request bodies: whole, limited, and kept away from workers while they are slow.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Client, Origin, TestEdge, eventually, raw};

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
    let edge = edge_to(&api, "").await;
    for client in [edge.client(), Client::http2(edge.address)] {
        for size in [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000, 1_000_000, 5_000_000] {
            let sent: Bytes = (0..size).map(|n: usize| u8::try_from(n % 251).unwrap()).collect();
            let answer = client.send(Method::POST, "/", &[], sent.clone()).await;
            assert_eq!(answer.status, 200, "{size}");
            assert!(api.seen().last().unwrap().body == sent, "{size} bytes differ");
        }
    }
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
    let mut slow = TcpStream::connect(edge.address).await.unwrap();
    slow.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nConnection: close\r\n\r\n12345")
        .await
        .unwrap();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(edge.status().await["upstreams"][0]["backends"][0]["in_flight"], 0);
    }
    slow.write_all(b"67890").await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(api.seen()[0].body, "1234567890");
}

#[tokio::test]
async fn without_a_buffer_the_first_byte_goes_through() {
    let api = Origin::named("api").await;
    let edge = edge_to(&api, ", request_buffer: 0").await;
    let mut slow = TcpStream::connect(edge.address).await.unwrap();
    slow.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n1").await.unwrap();
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
        let mut client = TcpStream::connect(edge.address).await.unwrap();
        let head =
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 25];
        client.read_exact(&mut first).await.unwrap();
        assert!(first.starts_with(b"HTTP/1.1 100 Continue"), "{}", String::from_utf8_lossy(&first));
        client.write_all(b"hello").await.unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert!(rest.contains("HTTP/1.1 200"), "{rest}");
    }
    assert!(api.seen().iter().all(|seen| seen.body == "hello"));
}

#[tokio::test]
async fn a_client_that_leaves_during_its_upload_is_logged_as_499() {
    let api = Origin::named("api").await;
    let edge = edge_to(&api, "").await;
    let mut client = TcpStream::connect(edge.address).await.unwrap();
    client.write_all(b"POST /left HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n1").await.unwrap();
    drop(client);
    eventually("it is logged", || async {
        edge.access_log().iter().any(|line| line.contains("POST /left") && line.contains(" 499 "))
    })
    .await;
    assert_eq!(api.count(), 0);
}

#[tokio::test]
async fn a_slow_upload_of_a_hundred_kilobytes_waits_here_and_is_replayed_whole() {
    let (api, closing) = (Origin::named("api").await, tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap());
    let broken = format!("\"{}\"", closing.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = closing.accept().await {
            let mut buffer = vec![0; 200_000];
            let _ = stream.read(&mut buffer).await;
        }
    });
    let edge = TestEdge::start(&format!(
        "routes:\n  /: api\nupstreams:\n  api: {{ servers: [{broken}, {}], check: off }}\n",
        api.server()
    ))
    .await;
    let body: Vec<u8> = (0..100_000).map(|n: u32| u8::try_from(n % 251).unwrap()).collect();
    let mut slow = TcpStream::connect(edge.address).await.unwrap();
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.write_all(&body[..99_999]).await.unwrap();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let status = edge.status().await;
        let backends = status["upstreams"][0]["backends"].as_array().unwrap();
        assert!(backends.iter().all(|backend| backend["in_flight"] == 0), "{status}");
    }
    slow.write_all(&body[99_999..]).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(api.seen()[0].body == body, "the body differs");
}
