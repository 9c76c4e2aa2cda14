//! Bad networks: resets by the hundred, loss and latency. Nothing leaks, and what can be answered is.

use std::time::{Duration, Instant};

use http::Method;

use crate::harness::{Link, OK, Origin, RawOrigin, TestEdge, Weather, Wire, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Waits until nothing is in flight and no descriptor beyond `files` is open.
async fn quiet(edge: &TestEdge, files: usize) {
    eventually("nothing is in flight", || async {
        let status = edge.status().await;
        let backends = status["upstreams"][0]["backends"].as_array().unwrap().clone();
        backends.iter().all(|backend| backend["in_flight"] == 0)
    })
    .await;
    eventually("descriptors are back", || async { edge.open_files() <= files + 25 }).await;
}

#[tokio::test]
async fn resets_from_both_sides_leave_nothing_behind() {
    let origin = RawOrigin::serving(|mut peer| async move {
        let Some(request) = peer.request().await else { return };
        match request.line().split(' ').nth(1) {
            Some("/before") => peer.reset(),
            Some("/within") => {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
                peer.reset();
            }
            _ => _ = peer.send(OK).await,
        }
    })
    .await;
    let site = format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", origin.server());
    let edge = TestEdge::start(&site).await;
    assert_eq!(Wire::saying(edge.address, GET).await.answer().await.status(), 200);
    let (files, memory) = (edge.open_files(), edge.resident_mib());
    let storm = (0..8).map(|n| {
        let address = edge.address;
        tokio::spawn(async move {
            for round in 0..100 {
                let path = ["/", "/before", "/within"][(n + round) % 3];
                let mut client = Wire::saying(address, format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
                match round % 4 {
                    0 => client.reset(),
                    1 => drop(client),
                    _ => drop(client.try_answer().await),
                }
            }
        })
    });
    for client in storm.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    quiet(&edge, files).await;
    let grown = edge.resident_mib().saturating_sub(memory);
    println!("800 connections, most of them reset: memory grew by {grown} MiB");
    assert!(grown < 20, "memory grew by {grown} MiB");
    eventually("it serves", || async {
        Wire::saying(edge.address, GET).await.try_answer().await.is_some_and(|answer| answer.status() == 200)
    })
    .await;
}

#[tokio::test]
async fn loss_latency_and_resets_are_bounded_and_leave_nothing_behind() {
    let weather = Weather { latency: Duration::from_millis(100), loss: 5, resets: 25 };
    let origins = [Origin::named("a").await, Origin::named("b").await];
    let links = [Link::to(origins[0].address, weather).await, Link::to(origins[1].address, weather).await];
    let site = format!(
        "routes:\n  /: a\nupstreams:\n  a: {{ servers: [{}, {}], check: off, timeouts: {{ connect: 2s, read: 5s, idle: 1s }} }}\n",
        links[0].server(),
        links[1].server()
    );
    let edge = TestEdge::start(&site).await;
    let files = edge.open_files();
    let clients = (0..10).map(|_| {
        let client = edge.client();
        tokio::spawn(async move {
            let mut taken = Vec::new();
            for _ in 0..20 {
                let start = Instant::now();
                let answer = client.try_send(Method::GET, "/", &[], "").await;
                taken.push((start.elapsed(), answer.is_ok_and(|answer| answer.status == 200)));
            }
            taken
        })
    });
    let mut taken = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        taken.extend(client.await.unwrap());
    }
    taken.sort();
    let failed = taken.iter().filter(|(_, ok)| !ok).count();
    let (median, worst) = (taken[taken.len() / 2].0, taken[taken.len() - 1].0);
    let resets = links[0].resets() + links[1].resets();
    println!(
        "200 ms away, 5 % lost, {resets} resets: median {median:?}, worst {worst:?}, {failed} of {} failed",
        taken.len()
    );
    assert!(resets != 0);
    assert!(median < Duration::from_millis(500), "{median:?}");
    assert!(worst < Duration::from_secs(3), "{worst:?}");
    assert!(failed <= 2, "{failed} of {} GETs failed", taken.len());
    quiet(&edge, files).await;
}
