//! Clients that hold on to what they have: heads and bodies in drops, answers never read, connections never used.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{OK, RawOrigin, TestEdge, Wire, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// What a deadline may be late by on a busy machine.
const LATE: Duration = Duration::from_millis(1500);
/// After which a minimum rate is asked for.
const GRACE: Duration = Duration::from_secs(5);

async fn edge_with(limits: &str, origin: &RawOrigin, upstream: &str) -> TestEdge {
    let site = format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off{upstream} }}\n", origin.server());
    TestEdge::start_with(&format!("log: {{ access: json }}\nlimits: {{ {limits} }}"), &site).await
}

/// Runs `attack` while a new client every 50 ms must be served within two seconds.
async fn others_are_served<T>(edge: &TestEdge, attack: impl Future<Output = T>) -> T {
    let others = async {
        loop {
            let start = Instant::now();
            assert_eq!(Wire::saying(edge.address, GET).await.answer().await.status(), 200);
            assert!(start.elapsed() < Duration::from_secs(2), "a new client waited {:?}", start.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        done = attack => done,
        () = others => unreachable!(),
    }
}

/// Sends `piece` every `pause` until the other side closes; what it said, and how long it took.
async fn dribble(wire: &mut Wire, piece: &str, pause: Duration) -> (String, Duration) {
    let start = Instant::now();
    loop {
        wire.send(piece).await;
        let (said, closed) = wire.until_silent(pause).await;
        if closed || !said.is_empty() {
            let rest = if closed { String::new() } else { wire.text().await };
            return (said + &rest, start.elapsed());
        }
        assert!(start.elapsed() < GRACE * 3, "still open after {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn heads_in_drops_end_with_their_deadline() {
    let origin = RawOrigin::answering(OK).await;
    let limit = Duration::from_millis(700);
    let edge = edge_with("header_timeout: 700ms", &origin, "").await;
    let before = edge.resident_mib();
    let drops = async {
        let clients = (0..200).map(|n| {
            let address = edge.address;
            tokio::spawn(async move {
                // Some in the request line, some in a field.
                let start = if n % 2 == 0 { "GET /" } else { "GET / HTTP/1.1\r\nHost: a\r\nX: " };
                let mut wire = Wire::saying(address, start).await;
                dribble(&mut wire, "x", Duration::from_millis(100)).await
            })
        });
        let mut longest = Duration::ZERO;
        for client in clients.collect::<Vec<_>>() {
            let (said, took) = client.await.unwrap();
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{said}");
            longest = longest.max(took);
        }
        longest
    };
    let longest = others_are_served(&edge, drops).await;
    println!("200 heads in drops: the last ended after {longest:?}");
    assert!(longest < limit + LATE, "{longest:?}");
    let grown = edge.resident_mib().saturating_sub(before);
    assert!(grown < 20, "memory grew by {grown} MiB");
    assert!(!origin.text().contains("xxx"));
}

#[tokio::test]
async fn the_second_head_of_a_connection_has_a_deadline_too() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_with("header_timeout: 500ms", &origin, "").await;
    let mut wire = Wire::saying(edge.address, GET).await;
    assert_eq!(wire.answer().await.status(), 200);
    wire.send("GET / HTTP/1.1\r\nX: ").await;
    let (_, took) = dribble(&mut wire, "x", Duration::from_millis(50)).await;
    assert!(took < Duration::from_millis(500) + LATE, "{took:?}");
}

#[tokio::test]
async fn a_body_in_drops_ends_at_the_minimum_rate_and_holds_no_backend() {
    let origin = RawOrigin::answering(OK).await;
    for (upstream, in_flight) in [("", 0), (", request_buffer: 0", 1)] {
        let edge = edge_with("min_rate: 1KiB", &origin, upstream).await;
        let slow = async {
            let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n";
            let mut wire = Wire::saying(edge.address, head).await;
            dribble(&mut wire, "xxxxx", Duration::from_millis(100)).await
        };
        let busy = async {
            tokio::time::sleep(GRACE / 2).await;
            let busy = || async { edge.status().await["upstreams"][0]["backends"][0]["in_flight"] == in_flight };
            eventually("the backend is busy, or not", busy).await;
            std::future::pending::<()>().await;
        };
        let (said, took) = tokio::select! {
            done = others_are_served(&edge, slow) => done,
            () = busy => unreachable!(),
        };
        println!("a body of 50 B/s{upstream}: ended after {took:?}");
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{said}");
        assert!(took < GRACE + LATE, "{took:?}");
    }
    assert!(origin.requests().iter().all(|request| request.line().starts_with("GET")), "half a body was completed");
}

#[tokio::test]
async fn a_body_that_pauses_too_long_is_a_timeout() {
    let origin = RawOrigin::answering(OK).await;
    for upstream in ["", ", request_buffer: 0"] {
        let edge = edge_with("client_timeout: 400ms", &origin, upstream).await;
        for head in ["Content-Length: 10\r\n\r\n12345", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
            let start = Instant::now();
            let mut wire = Wire::saying(edge.address, format!("POST / HTTP/1.1\r\nHost: a\r\n{head}")).await;
            let said = wire.text().await;
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{said}");
            assert!(start.elapsed() < Duration::from_millis(400) + LATE, "{:?}", start.elapsed());
            eventually("the slot is free", || async {
                edge.status().await["upstreams"][0]["backends"][0]["in_flight"] == 0
            })
            .await;
        }
        eventually("both are logged", || async {
            let slow = |line: &&String| line.contains("\"note\":\"client_timeout\"");
            edge.access_log().iter().filter(slow).count() == 2
        })
        .await;
    }
    assert!(origin.requests().is_empty(), "half a body was completed");
}

/// An origin whose every answer is ten megabytes, but for `GET /`.
async fn large() -> RawOrigin {
    RawOrigin::serving(|mut peer| async move {
        while let Some(request) = peer.request().await {
            if request.line().starts_with("GET / ") {
                peer.send(OK).await;
            } else {
                peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 10 << 20)).await;
                peer.send(vec![b'x'; 10 << 20]).await;
            }
        }
    })
    .await
}

const LARGE: &str = "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn an_answer_nobody_reads_frees_its_backend() {
    let origin = large().await;
    let edge = edge_with("client_timeout: 500ms", &origin, ", timeouts: { write: 60s, read: 60s }").await;
    let mut wire = Wire::with_a_tiny_window(edge.address).await;
    let start = Instant::now();
    wire.send(LARGE).await;
    let freed = async {
        eventually("the slot is taken", || async {
            edge.status().await["upstreams"][0]["backends"][0]["in_flight"].as_u64() >= Some(1)
        })
        .await;
        eventually("it is logged", || async { edge.access_log().iter().any(|line| line.contains("/large")) }).await;
    };
    others_are_served(&edge, freed).await;
    assert!(start.elapsed() < Duration::from_millis(500) + LATE * 2, "{:?}", start.elapsed());
    eventually("the slot is free", || async { edge.status().await["upstreams"][0]["backends"][0]["in_flight"] == 0 })
        .await;
    drop(wire);
}

#[tokio::test]
async fn an_answer_read_in_drops_ends_at_the_minimum_rate() {
    let origin = large().await;
    let edge = edge_with("min_rate: 100KiB", &origin, "").await;
    let before = edge.resident_mib();
    let mut wires = Vec::new();
    for _ in 0..20 {
        let mut wire = Wire::with_a_tiny_window(edge.address).await;
        wire.send(LARGE).await;
        wires.push(wire);
    }
    let start = Instant::now();
    let reading = async {
        loop {
            for wire in &mut wires {
                wire.bytes(100).await;
            }
            let slow = |line: &&String| line.contains("/large") && line.contains("\"note\":\"client_timeout\"");
            if edge.access_log().iter().filter(slow).count() == 20 {
                return start.elapsed();
            }
            assert!(start.elapsed() < GRACE * 3, "{:#?}", edge.access_log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let took = others_are_served(&edge, reading).await;
    println!("20 answers read in drops: the last ended after {took:?}");
    assert!(took < GRACE + LATE * 2, "{took:?}");
    let grown = edge.resident_mib().saturating_sub(before);
    assert!(grown < 40, "memory grew by {grown} MiB");
}

#[tokio::test]
async fn connections_without_a_request_end_and_leave_nothing_behind() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_with("keepalive: 1s, header_timeout: 1s", &origin, "").await;
    let files = edge.open_files();
    let mut wires = Vec::new();
    for n in 0..500 {
        let mut wire = Wire::to(edge.address).await;
        // Half say nothing, half were clients once.
        if n % 2 == 0 {
            wire.send(GET).await;
            assert_eq!(wire.answer().await.status(), 200);
        }
        wires.push(wire);
    }
    let start = Instant::now();
    let ended = async {
        for wire in &mut wires {
            assert_eq!(wire.text().await, "");
        }
    };
    others_are_served(&edge, ended).await;
    assert!(start.elapsed() < Duration::from_secs(1) + LATE, "{:?}", start.elapsed());
    drop(wires);
    eventually("all descriptors are back", || async { edge.open_files() <= files + 25 }).await;
}

#[tokio::test]
async fn a_client_may_have_so_many_connections_and_no_more() {
    let origin = RawOrigin::answering(OK).await;
    for limits in ["connections_per_client: 10", "connections: 10, connections_per_client: 10", "connections: 20"] {
        let edge = edge_with(limits, &origin, "").await;
        // What the harness connected with to see it listen has ended by now.
        eventually("it is idle", || async {
            Wire::saying(edge.address, GET).await.try_answer().await.is_some_and(|answer| answer.status() == 200)
        })
        .await;
        let mut kept = Vec::new();
        let mut refused = 0;
        for _ in 0..14 {
            let mut wire = Wire::saying(edge.address, GET).await;
            match wire.try_answer().await {
                Some(answer) if answer.status() == 200 => kept.push(wire),
                Some(answer) if matches!(answer.status(), 429 | 503) => refused += 1,
                None => refused += 1,
                Some(answer) => panic!("{limits}: {}", answer.head),
            }
        }
        assert!((9..=10).contains(&kept.len()), "{limits}: {} kept, {refused} refused", kept.len());
        drop(kept.pop());
        eventually("another may come", || async {
            Wire::saying(edge.address, GET).await.try_answer().await.is_some_and(|answer| answer.status() == 200)
        })
        .await;
        for wire in &mut kept {
            wire.send(GET).await;
            assert_eq!(wire.answer().await.status(), 200, "{limits}: those who were first are served on");
        }
    }
}

#[tokio::test]
async fn a_connection_ends_after_so_many_requests_and_so_much_time() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_with("requests: 3", &origin, "").await;
    let mut wire = Wire::to(edge.address).await;
    for n in 1..=3 {
        wire.send(GET).await;
        let answer = wire.answer().await;
        assert_eq!(answer.header("connection").eq_ignore_ascii_case("close"), n == 3, "request {n}: {}", answer.head);
    }
    assert_eq!(wire.text().await, "");

    let edge = edge_with("lifetime: 1s", &origin, "").await;
    let mut wire = Wire::to(edge.address).await;
    let start = Instant::now();
    loop {
        wire.send(GET).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status(), 200);
        if answer.header("connection").eq_ignore_ascii_case("close") {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(1) + LATE, "it is kept for {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(Duration::from_millis(900) < start.elapsed(), "closed after {:?}", start.elapsed());
    assert_eq!(wire.text().await, "");
}

#[tokio::test]
async fn an_edge_out_of_descriptors_waits_and_recovers() {
    let origin = RawOrigin::answering(OK).await;
    let check = "{ tcp: true, every: 200ms, fall: 1 }";
    let site = format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: {check} }}\n", origin.server());
    let limits = "limits: { connections: 1000, connections_per_client: 1000 }";
    let mut edge = TestEdge::start_through("ulimit -n 64; exec", limits, &site).await;
    let mut wires = Vec::new();
    for _ in 0..150 {
        // In plain also where others use TLS: who is not accepted gets no handshake.
        let mut stream = TcpStream::connect(edge.address).await.unwrap();
        stream.write_all(GET.as_bytes()).await.unwrap();
        wires.push(stream);
    }
    eventually("it has hardly a descriptor left", || async { 40 <= edge.open_files() }).await;
    // Long enough to fill a log that has no limit.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let lines = edge.log().len();
    assert!(lines < 100, "{lines} lines: {:#?}", &edge.log()[..20]);
    let is_blamed = edge.log().iter().any(|line| line.contains("is down"));
    assert!(!is_blamed, "the backend is blamed for what ran out here: {:#?}", edge.log());
    drop(wires);
    eventually("new clients are served", || async {
        Wire::saying(edge.address, GET).await.try_answer().await.is_some_and(|answer| answer.status() == 200)
    })
    .await;
    eventually("descriptors are back", || async { edge.open_files() < 40 }).await;
    edge.signal("TERM");
    assert_eq!(edge.ended().await, Some(0));
}
