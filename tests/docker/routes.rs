//! What clients see of replicas that are gone, and what replicas see of clients that are.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::bench::{Box, eventually, get, programs, project, say};
use crate::edge::Edge;

const GUNICORN: &str = "exec gunicorn -w 2 -b 0.0.0.0:80 app:wsgi";

fn replica(project: &str, service: &str) -> (Box, SocketAddr) {
    let container = Box::run_in(project, service, &[], &programs(), &["sh", "-c", GUNICORN]);
    let address = container.answers();
    (container, address)
}

/// 1000 clients that connect and say nothing, or half a request, or leave before the answer: a sync worker serves one connection
/// at a time, so one that says nothing to it would be as bad as a hang.
#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_thousand_clients_that_leave_hold_no_sync_worker() {
    let project = project();
    let (container, address) = replica(&project, "api");
    let before = container.identity();
    let site =
        format!("routes: {{ /: api }}\nupstreams:\n  api: {{ servers: \"{address}\", check: /, heal: gunicorn }}\n");
    let edge = Edge::start(&project, &site);
    eventually("it is up", || edge.state("api") == "up");
    let beginnings = ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n", "GET /?0.002 HTTP/1.1\r\nHost: x\r\n\r\n"];
    for round in 0..1000 {
        let mut client = TcpStream::connect(edge.front).unwrap();
        client.write_all(beginnings[round % beginnings.len()].as_bytes()).unwrap();
    }
    let started = Instant::now();
    let slowest = (0..50)
        .map(|_| {
            let asked = Instant::now();
            assert_eq!(get(edge.front, "/", Duration::from_secs(5)).unwrap().0, 200);
            asked.elapsed()
        })
        .max();
    println!("fifty answers in {:?}, the slowest {slowest:?}", started.elapsed());
    // Idle now: whatever the edge keeps open to it must not keep its two workers from others.
    let direct = Instant::now();
    for _ in 0..10 {
        assert_eq!(get(address, "/", Duration::from_secs(2)).unwrap().0, 200);
    }
    assert!(direct.elapsed() < Duration::from_secs(5), "{:?}", direct.elapsed());
    assert_eq!(
        (edge.state("api").as_str(), edge.says("is down"), edge.says("ejected")),
        ("up", 0, 0),
        "{}",
        edge.log()
    );
    assert_eq!(container.identity(), before);
}

/// Also where the edge has no socket to hear of it.
#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_route_keeps_its_path_when_every_replica_is_gone() {
    const HOLD: Duration = Duration::from_secs(2);
    for docker in ["", "docker: off\n"] {
        let project = project();
        let (one, first) = replica(&project, "api");
        let (two, second) = replica(&project, "api");
        let (_page, page) = replica(&project, "page");
        let site = format!(
            "{docker}routes: {{ /: page, /api: api }}\nupstreams:\n  page: {{ servers: \"{page}\", check: / }}\n  api: {{ servers: \
             [\"{first}\", \"{second}\"], check: {{ http: /, every: 500ms, timeout: 500ms }}, hold: 2s }}\n"
        );
        let edge = Edge::start(&project, &site);
        eventually("they are up", || edge.state("api") == "up");
        say(&["kill", &one.name, &two.name]);
        eventually("both are out", || edge.states("api").iter().all(|state| state != "up"));
        for round in 0..2 {
            let asked = Instant::now();
            let answer = get(edge.front, "/api/notes", Duration::from_secs(20)).unwrap();
            println!("{docker:?} {round}: {} after {:?}", answer.0, asked.elapsed());
            assert_eq!(answer.0, 503, "held, then refused, and never the page: {answer:?}");
            assert!(HOLD <= asked.elapsed(), "{:?}", asked.elapsed());
            assert_eq!(get(edge.front, "/", Duration::from_secs(2)).unwrap().0, 200, "the page is well");
        }
        say(&["start", &one.name]);
        let held = get(edge.front, "/api/notes", Duration::from_secs(20)).unwrap();
        println!("held until it is back: {held:?}");
        eventually("it is served again", || {
            get(edge.front, "/api/notes", Duration::from_secs(20)).is_ok_and(|(code, _)| code == 200)
        });
    }
}
