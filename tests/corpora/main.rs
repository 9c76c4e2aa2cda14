//! Other people's request corpora, sent through the edge as they are: gunicorn's and llhttp's, fetched by
//! `scripts/corpora.sh`. `make unit` runs this on both lanes. Verdicts of nginx, HAProxy and Caddy are in `peers.tsv`.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test fails by panicking, prints its figures and may spawn"
)]

#[allow(dead_code, unused_imports, reason = "shared with the black-box tests, which use all of it")]
#[path = "../blackbox/harness/mod.rs"]
mod harness;
mod peers;
#[path = "../../fuzz/properties.rs"]
mod properties;
mod replay;
mod seeds;
mod vectors;
#[path = "../../fuzz/walk.rs"]
mod walk;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use harness::{RawOrigin, TestEdge};
use peers::{NAMES, Peer};
use replay::{Verdict, origin, replay};
use vectors::{Kind, Vector};

/// Edges that replay at a time.
const AT_A_TIME: usize = 12;

/// What an edge's backend made of each vector.
async fn ours(vectors: &[Vector]) -> Vec<Verdict> {
    let shares = vectors.chunks(vectors.len().div_ceil(AT_A_TIME)).map(|share| {
        let share = share.to_vec();
        tokio::spawn(async move {
            let origin = origin().await;
            let site = format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", origin.server());
            let edge = TestEdge::start(&site).await;
            replay(edge.address, &origin, &share, Duration::from_secs(1)).await
        })
    });
    let mut verdicts = Vec::new();
    for share in shares.collect::<Vec<_>>() {
        verdicts.extend(share.await.unwrap());
    }
    verdicts
}

#[tokio::test]
#[ignore = "needs target/corpora: make unit"]
async fn no_vector_gets_further_than_the_peers_let_it() {
    let vectors = vectors::all();
    let invalid = vectors.iter().filter(|vector| vector.kind == Kind::Invalid).count();
    assert!(250 <= vectors.len() && 140 <= invalid, "{} vectors, {invalid} of them invalid", vectors.len());
    let (verdicts, peers) = (ours(&vectors).await, peers::recorded());

    let mut wrong = Vec::new();
    let mut sums: BTreeMap<(&str, Kind), [usize; 5]> = BTreeMap::new();
    println!(
        "{:<60} {:>7} {:>7} {:>7} {:>7}",
        "vectors that not all stop or pass alike", "remora", NAMES[0], NAMES[1], NAMES[2]
    );
    for (vector, verdict) in vectors.iter().zip(&verdicts) {
        let said = peers.get(&vector.name).unwrap_or_else(|| panic!("peers.tsv does not know {}", vector.name));
        let all = [*verdict, said[0], said[1], said[2]];
        let corpus =
            if vector.name.ends_with("+host") { "with a host added" } else { vector.name.split('/').next().unwrap() };
        let sum = sums.entry((corpus, vector.kind)).or_default();
        sum[0] += 1;
        for (count, verdict) in sum[1..].iter_mut().zip(all) {
            *count += usize::from(verdict.is_passed());
        }
        if all.iter().any(|other| other.is_passed() != all[0].is_passed()) {
            println!(
                "{:<60} {:>7} {:>7} {:>7} {:>7}",
                format!("{} ({})", vector.name, vector.kind.name()),
                all[0],
                all[1],
                all[2],
                all[3]
            );
        }
        if *verdict > Verdict::Passed(vector.messages) {
            wrong.push(format!("{} became {verdict} requests, not {}", vector.name, vector.messages));
        }
        let stopped = said.iter().all(|verdict| !verdict.is_passed());
        if vector.kind != Kind::Valid && stopped && verdict.is_passed() {
            wrong.push(format!("{} reaches the backend; every peer stops it", vector.name));
        }
    }
    println!("{:<60} {:>7} {:>7} {:>7} {:>7}", "passed to the backend, of", "remora", NAMES[0], NAMES[1], NAMES[2]);
    for ((corpus, kind), [of, remora, nginx, haproxy, caddy]) in &sums {
        println!("{:<60} {remora:>7} {nginx:>7} {haproxy:>7} {caddy:>7}", format!("{corpus}, {}: {of}", kind.name()));
        if *kind == Kind::Invalid && nginx <= remora {
            wrong.push(format!("{corpus}: {remora} invalid vectors pass, and {nginx} through nginx"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A peer's verdicts, measured now.
async fn measure(name: &'static str, vectors: &[Vector]) -> Vec<Verdict> {
    let shares = vectors.chunks(vectors.len().div_ceil(4)).map(|share| {
        let share = share.to_vec();
        tokio::spawn(async move {
            let origin: RawOrigin = origin().await;
            let peer = Peer::start(name, origin.address).await;
            let front: SocketAddr = peer.address;
            replay(front, &origin, &share, Duration::from_secs(2)).await
        })
    });
    let mut verdicts = Vec::new();
    for share in shares.collect::<Vec<_>>() {
        verdicts.extend(share.await.unwrap());
    }
    verdicts
}

#[tokio::test]
#[ignore = "writes peers.tsv anew; needs target/corpora, nginx, haproxy and caddy"]
async fn the_peers_say_what_they_say() {
    let vectors = vectors::all();
    let mut columns = Vec::new();
    for name in NAMES {
        columns.push(measure(name, &vectors).await);
    }
    let row = |n: usize| [columns[0][n], columns[1][n], columns[2][n]];
    peers::write(&vectors.iter().enumerate().map(|(n, vector)| (vector.name.clone(), row(n))).collect());
}

#[tokio::test]
#[ignore = "writes fuzz/corpus; needs target/corpora: scripts/seeds.sh"]
async fn seeds_are_written() {
    seeds::write(&vectors::all());
}

#[test]
#[ignore = "needs target/corpora: make unit"]
fn the_parsers_keep_their_promises_for_every_vector_and_seed() {
    let vectors = vectors::all();
    let mut taken = BTreeMap::new();
    for vector in &vectors {
        properties::head(&vector.bytes);
        properties::translation(&vector.bytes);
        walk::walk(&[seeds::ROUTES, &vector.bytes].concat());
        for step in [1, 3, 255] {
            let end = vector.bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
            properties::framing(&[&[step], &vector.bytes[end..]].concat());
        }
        let sum: &mut (usize, usize) = taken.entry(vector.kind.name()).or_default();
        *sum = (sum.0 + 1, sum.1 + usize::from(properties::takes(&vector.bytes)));
    }
    let targets = [
        ("head", properties::head as fn(&[u8])),
        ("framing", properties::framing),
        ("translation", properties::translation),
        ("walk", walk::walk),
    ];
    for (target, keep) in targets {
        let seeds = seeds::all(target);
        println!("{} seeds of {target}", seeds.len());
        for (path, bytes) in seeds {
            let kept = std::panic::catch_unwind(|| keep(&bytes));
            assert!(kept.is_ok(), "{} breaks a promise", path.display());
        }
    }
    println!("first heads that are taken, by kind (of, taken): {taken:?}");
}
