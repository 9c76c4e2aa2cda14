//! Checks: who is up, who is not, and when that changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::{Origin, RawOrigin, TestEdge, eventually, free_port};

const FAST: &str = "{ http: /health, every: 100ms, timeout: 80ms, fall: 3, rise: 2 }";

fn pool(origins: &[&Origin], rest: &str) -> String {
    let servers: Vec<_> = origins.iter().map(|origin| origin.server()).collect();
    format!("routes:\n  /: pool\nupstreams:\n  pool: {{ servers: [{}], check: {FAST}{rest} }}\n", servers.join(", "))
}

#[tokio::test]
async fn traffic_avoids_a_backend_that_fails_its_check_and_returns_to_it() {
    let (good, bad) = (Origin::named("good").await, Origin::named("bad").await);
    let edge = TestEdge::start(&pool(&[&good, &bad], "")).await;
    eventually("both are up", || async { edge.states("pool").await == ["up", "up"] }).await;
    bad.answer_probes_with(500);
    eventually("one is down", || async { edge.states("pool").await.contains(&"down".into()) }).await;
    let before = bad.count();
    for _ in 0..20 {
        assert_eq!(edge.client().get("/").await.body, "good");
    }
    assert_eq!(bad.count(), before);
    eventually("it is logged", || async { edge.logged("is down: status 500") }).await;
    bad.answer_probes_with(204);
    eventually("both are up again", || async { edge.states("pool").await == ["up", "up"] }).await;
}

#[tokio::test]
async fn a_backend_that_hangs_is_found_by_its_check() {
    let (good, bad) = (Origin::named("good").await, Origin::named("bad").await);
    let edge = TestEdge::start(&pool(&[&good, &bad], "")).await;
    eventually("both are up", || async { edge.states("pool").await == ["up", "up"] }).await;
    bad.hang(true);
    eventually("it is down", || async { edge.logged("is down: response timed out") }).await;
}

#[tokio::test]
async fn nobody_new_serves_before_its_first_pass() {
    let (good, new) = (Origin::named("good").await, Origin::named("new").await);
    new.answer_probes_with(503);
    let edge = TestEdge::start(&pool(&[&good, &new], "")).await;
    for _ in 0..20 {
        assert_eq!(edge.client().get("/").await.body, "good");
    }
    assert_eq!(new.count(), 0);
}

#[tokio::test]
async fn when_all_fail_their_check_but_answer_they_are_tried_all_the_same() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let edge = TestEdge::start(&pool(&[&a, &b], "")).await;
    a.answer_probes_with(404);
    b.answer_probes_with(404);
    eventually("both are down", || async { edge.states("pool").await == ["down", "down"] }).await;
    for _ in 0..10 {
        assert_eq!(edge.client().get("/").await.status, 200);
    }
    assert!(edge.told("failing open"));
}

#[tokio::test]
async fn a_killed_backend_costs_no_request_and_comes_back() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let address = b.address;
    let edge = TestEdge::start(&pool(&[&a, &b], "")).await;
    eventually("both are up", || async { edge.states("pool").await == ["up", "up"] }).await;
    b.kill();
    for _ in 0..100 {
        assert_eq!(edge.client().get("/").await.status, 200);
    }
    eventually("it is down", || async { edge.states("pool").await.contains(&"down".into()) }).await;
    let _again = Origin::at("b", address).await;
    eventually("it is back", || async { edge.states("pool").await == ["up", "up"] }).await;
}

#[tokio::test]
async fn five_hundreds_eject_one_that_is_worse_than_its_siblings() {
    let (good, bad) = (Origin::named("good").await, Origin::named("bad").await);
    let edge = TestEdge::start(&pool(&[&good, &bad], "")).await;
    eventually("both are up", || async { edge.states("pool").await == ["up", "up"] }).await;
    bad.answer_with(500);
    eventually("it is ejected", || async {
        edge.client().get("/").await;
        edge.logged("of its responses are errors")
    })
    .await;
    assert!(edge.states("pool").await.contains(&"ejected".into()));
}

/// Two replicas, and a database that is down.
async fn without_its_database(good: &Origin, bad: &Origin) -> (TestEdge, u16) {
    let port = free_port();
    let needs = format!(
        ", needs: [database] }}\n  database: {{ servers: \"127.0.0.1:{port}\", check: {{ tcp: true, every: 100ms, fall: 1, rise: 1 }}"
    );
    let edge = TestEdge::start(&pool(&[good, bad], &needs)).await;
    eventually("both are up", || async { edge.states("pool").await == ["up", "up"] }).await;
    eventually("the database is down", || async { edge.states("database").await == ["down"] }).await;
    (edge, port)
}

/// By chance one replica gets more of the requests that ask for it.
#[tokio::test]
async fn nobody_is_ejected_for_errors_that_a_needed_upstream_explains() {
    let (good, bad) = (Origin::named("good").await, Origin::named("bad").await);
    let (edge, port) = without_its_database(&good, &bad).await;
    bad.answer_with(500);
    for n in 0..200 {
        // Its sibling gets some of them, too.
        good.answer_with(if n % 16 < 2 { 500 } else { 200 });
        edge.client().get("/").await;
    }
    good.answer_with(200);
    assert_eq!(edge.states("pool").await, ["up", "up"]);
    let _database = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    eventually("it is ejected now", || async {
        edge.client().get("/").await;
        edge.logged("of its responses are errors")
    })
    .await;
}

#[tokio::test]
async fn one_that_errs_alone_is_ejected_whatever_its_upstream_needs() {
    let (good, bad) = (Origin::named("good").await, Origin::named("bad").await);
    let (edge, _) = without_its_database(&good, &bad).await;
    bad.answer_with(500);
    eventually("it is ejected", || async {
        edge.client().get("/").await;
        edge.logged("of its responses are errors")
    })
    .await;
    assert!(edge.states("pool").await.contains(&"ejected".into()));
}

#[tokio::test]
async fn a_tcp_check_needs_only_a_listener() {
    let port = free_port();
    let edge = TestEdge::start(&format!(
        "upstreams:\n  db: {{ servers: \"127.0.0.1:{port}\", check: {{ tcp: true, every: 100ms, timeout: 50ms }} }}\nroutes: {{}}\n"
    ))
    .await;
    eventually("it is down", || async { edge.states("db").await == ["down"] }).await;
    let _listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    eventually("it is up", || async { edge.states("db").await == ["up"] }).await;
}

#[tokio::test]
async fn probes_keep_their_pace() {
    let origin = Origin::named("a").await;
    let edge = TestEdge::start(&pool(&[&origin], "")).await;
    eventually("it is up", || async { edge.states("pool").await == ["up"] }).await;
    let before = origin.probes();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let probes = origin.probes() - before;
    assert!((14..=24).contains(&probes), "{probes} probes in 2 s, every 100 ms");
}

#[tokio::test]
async fn a_backend_that_answers_nothing_is_out_before_its_check_has_fallen() {
    let (good, bad) = (Origin::named("good").await, Origin::named("bad").await);
    let check = "{ http: /health, every: 1s, timeout: 500ms, fall: 100, rise: 1 }";
    let servers = format!("{}, {}", good.server(), bad.server());
    let edge = TestEdge::start(&format!(
        "routes:\n  /: pool\nupstreams:\n  pool: {{ servers: [{servers}], check: {check} }}\n"
    ))
    .await;
    eventually("both are up", || async { edge.states("pool").await == ["up", "up"] }).await;
    bad.hang(true);
    // Some of these are given to it, whoever else takes turns meanwhile.
    for _ in 0..6 {
        let client = edge.client();
        tokio::spawn(async move { client.try_send(http::Method::GET, "/", &[], "").await.is_ok() });
    }
    eventually("it is ejected", || async {
        // Its sibling answers meanwhile.
        let answered = tokio::time::timeout(Duration::from_millis(200), edge.client().get("/")).await;
        answered.is_ok() && edge.logged("requests waiting")
    })
    .await;
    for _ in 0..10 {
        assert_eq!(edge.client().get("/").await.body, "good");
    }
    bad.hang(false);
    eventually("it is back", || async { edge.states("pool").await == ["up", "up"] }).await;
}

#[tokio::test]
async fn health_pages_of_every_kind_are_understood() {
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", 1 << 20, "x".repeat(1 << 20));
    #[rustfmt::skip]
    let rows: [(&str, String, &str); 8] = [
        ("no content",            "HTTP/1.1 204 No Content\r\n\r\n".into(),                                        "up"),
        ("a redirect",            "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n".into(),    "up"),
        ("a megabyte",            large,                                                                           "up"),
        ("to the end of the connection", "HTTP/1.1 200 OK\r\n\r\nwell".into(),                                     "up"),
        ("a client error",        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),                    "down"),
        ("a server error",        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".into(),          "down"),
        ("no HTTP",               "PONG\r\n".into(),                                                               "down"),
        ("nothing",               String::new(),                                                                   "down"),
    ];
    for (what, answer, state) in rows {
        let origin = RawOrigin::answering_once(answer).await;
        let edge = TestEdge::start(&format!(
            "routes:\n  /: pool\nupstreams:\n  pool: {{ servers: {}, check: {{ http: /health, every: 1s, timeout: 1s, fall: 1, rise: 1 }} }}\n",
            origin.server()
        ))
        .await;
        eventually(&format!("{what} is {state}"), || async { edge.states("pool").await == [state] }).await;
        let lines = origin.requests();
        assert!(lines.iter().all(|request| request.line() == "GET /health HTTP/1.1"), "{what}: {lines:?}");
    }
}

#[tokio::test]
async fn a_health_page_in_drops_is_no_answer_in_time() {
    let origin = RawOrigin::serving(|mut peer| async move {
        peer.request().await;
        peer.dribble("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Duration::from_millis(50)).await;
    })
    .await;
    let edge = TestEdge::start(&format!(
        "upstreams:\n  pool: {{ servers: {}, check: {FAST} }}\nroutes: {{}}\n",
        origin.server()
    ))
    .await;
    eventually("it is down", || async { edge.states("pool").await == ["down"] }).await;
}

#[tokio::test]
async fn a_backend_that_fails_every_second_probe_does_not_oscillate() {
    let count = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&count);
    let origin = RawOrigin::serving(move |mut peer| {
        let asked = Arc::clone(&asked);
        async move {
            while peer.request().await.is_some() {
                let status = if asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) { "200 OK" } else { "500 Oh" };
                peer.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
            }
        }
    })
    .await;
    let edge = TestEdge::start(&format!(
        "upstreams:\n  pool: {{ servers: {}, check: {FAST} }}\nroutes: {{}}\n",
        origin.server()
    ))
    .await;
    eventually("it was asked often", || async { 40 <= count.load(Ordering::Relaxed) }).await;
    let changes = edge.log().into_iter().filter(|line| line.contains(" is down") || line.contains(" is up")).count();
    assert!(changes <= 1, "{changes} changes: {:#?}", edge.log());
}

#[tokio::test]
async fn a_backend_that_is_dead_at_the_start_gets_no_request() {
    let good = Origin::named("good").await;
    let dead = RawOrigin::answering_once("").await;
    let edge = TestEdge::start(&format!(
        "routes:\n  /: pool\nupstreams:\n  pool: {{ servers: [{}, {}], check: {FAST}, retry: {{ attempts: 0 }} }}\n",
        dead.server(),
        good.server()
    ))
    .await;
    for _ in 0..20 {
        assert_eq!(edge.client().get("/").await.body, "good");
    }
    assert!(dead.requests().iter().all(|request| request.line().contains("/health")), "{}", dead.text());
}

/// An upstream `db` at an origin, with a check that is quick.
fn database(origin: &RawOrigin, check: &str) -> String {
    let check = format!("{{ {check}: true, every: 100ms, timeout: 80ms, fall: 2, rise: 1 }}");
    format!("upstreams:\n  db: {{ servers: {}, check: {check} }}\nroutes: {{}}\n", origin.server())
}

/// An ERR packet of MySQL's.
fn mysql_error(code: u16, text: &str) -> Vec<u8> {
    let body = [&[0xff], &code.to_le_bytes()[..], text.as_bytes()].concat();
    [&[u8::try_from(body.len()).unwrap(), 0, 0, 0], &body[..]].concat()
}

/// An ErrorResponse of PostgreSQL's.
fn postgres_error(code: &str, text: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0");
    [b"E", &u32::try_from(fields.len() + 4).unwrap().to_be_bytes()[..], fields.as_bytes()].concat()
}

#[tokio::test]
async fn a_database_says_itself_what_is_wrong_with_it() {
    const STARTS: &str = "the database system is starting up";
    const BLOCKED: &str = "Host '172.18.0.5' is blocked because of many connection errors";
    const FOREIGN: &str = "Host '172.18.0.5' is not allowed to connect to this MariaDB server";
    let asks = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0".to_vec();
    #[rustfmt::skip]
    let rows: [(&str, Vec<u8>, &str, String); 15] = [
        ("mysql",    b"\x06\0\0\0\x0a8.0.1\0".to_vec(),                 "up",   "passed".into()),
        ("mysql",    mysql_error(1040, "#08004Too many connections"),     "down", "Too many connections".into()),
        ("mysql",    mysql_error(1130, FOREIGN),                          "up",   format!("passed: {FOREIGN}")),
        ("mysql",    mysql_error(1129, BLOCKED),                          "up",   format!("passed: {BLOCKED}")),
        ("mysql",    b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),        "down", "no response of MySQL".into()),
        ("postgres", asks,                                                "up",   "passed".into()),
        ("postgres", postgres_error("57P03", STARTS),                     "down", STARTS.into()),
        ("postgres", postgres_error("53300", "sorry, too many clients"),  "down", "sorry, too many clients".into()),
        ("postgres", postgres_error("28000", "no pg_hba.conf entry"),     "up",   "passed: no pg_hba.conf entry".into()),
        ("redis",    b"+PONG\r\n".to_vec(),                               "up",   "passed".into()),
        ("redis",    b"-NOAUTH Authentication required.\r\n".to_vec(),    "up",   "passed: NOAUTH Authentication required.".into()),
        ("redis",    b"-DENIED Redis is protected\r\n".to_vec(),          "up",   "passed: DENIED Redis is protected".into()),
        ("redis",    b"-LOADING Redis is loading\r\n".to_vec(),           "down", "LOADING Redis is loading".into()),
        ("redis",    b"-MASTERDOWN Link is down\r\n".to_vec(),            "down", "MASTERDOWN Link is down".into()),
        ("redis",    b"-ERR max number of clients reached\r\n".to_vec(),  "down", "ERR max number of clients reached".into()),
    ];
    for (check, answer, state, result) in rows {
        let speaks_first = check == "mysql";
        let origin = RawOrigin::serving(move |mut peer| {
            let answer = answer.clone();
            async move {
                if speaks_first || peer.some().await.is_some() {
                    peer.send(answer).await;
                }
            }
        })
        .await;
        let edge = TestEdge::start(&database(&origin, check)).await;
        eventually(&format!("{check} that says `{result}` is {state}"), || async {
            let backend = &edge.status().await["upstreams"][0]["backends"][0];
            (&backend["state"], &backend["last_check"]["result"]) == (&state.into(), &result.as_str().into())
        })
        .await;
        let words = result.strip_prefix("passed: ").unwrap_or(&result);
        let line = match (state, result.as_str()) {
            (_, "passed") => " is up".to_owned(),
            ("up", _) => format!("does not accept the check, which passes: {words}"),
            _ => format!("is not up yet: {words}"),
        };
        eventually(&format!("{line} is logged"), || async { edge.logged(&line) }).await;
    }
}

#[tokio::test]
async fn a_database_that_has_started_up_is_up() {
    let count = Arc::new(AtomicUsize::new(0));
    let origin = RawOrigin::serving(move |mut peer| {
        let count = Arc::clone(&count);
        async move {
            peer.some().await;
            let is_ready = 5 <= count.fetch_add(1, Ordering::Relaxed);
            let starts = postgres_error("57P03", "the database system is in recovery mode");
            peer.send(if is_ready { b"R\0\0\0\x08\0\0\0\x03".to_vec() } else { starts }).await;
        }
    })
    .await;
    let edge = TestEdge::start(&database(&origin, "postgres")).await;
    eventually("it is up", || async { edge.states("db").await == ["up"] }).await;
    assert!(edge.logged("is not up yet: the database system is in recovery mode"));
}

#[tokio::test]
async fn interim_responses_of_a_health_page_are_read_past() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    #[rustfmt::skip]
    let rows = [
        ("HTTP/1.1 100 Continue\r\n\r\n".to_owned(),   "200 OK",  "up"),
        ("HTTP/1.1 102 Processing\r\n\r\n".to_owned(), "200 OK",  "up"),
        (format!("{hints}{hints}"),                    "200 OK",  "up"),
        (hints.to_owned(),                             "500 Oh",  "down"),
    ];
    for (interim, status, state) in rows {
        let answer = format!("{interim}HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
        let origin = RawOrigin::answering_once(answer.clone()).await;
        let edge = TestEdge::start(&format!(
            "upstreams:\n  pool: {{ servers: {}, check: {FAST} }}\nroutes: {{}}\n",
            origin.server()
        ))
        .await;
        eventually(&format!("{answer:?} is {state}"), || async { edge.states("pool").await == [state] }).await;
    }
}

#[tokio::test]
async fn a_check_asks_as_the_file_says() {
    let service = Origin::named("service").await;
    let health = RawOrigin::answering_once("HTTP/1.1 204 No Content\r\n\r\n").await;
    let edge = TestEdge::start(&format!(
        "routes:\n  /: pool\nupstreams:\n  pool:\n    servers: {}\n    check:\n      http: /health\n      \
         port: {}\n      method: HEAD\n      host: app.example\n      \
         headers: {{ Authorization: Bearer x, User-Agent: mine }}\n      every: 100ms\n",
        service.server(),
        health.address.port()
    ))
    .await;
    eventually("it is up", || async { edge.states("pool").await == ["up"] }).await;
    assert_eq!(edge.client().get("/").await.body, "service");
    assert_eq!(service.probes(), 0);
    let asked = &health.requests()[0];
    assert_eq!(asked.line(), "HEAD /health HTTP/1.1");
    for (name, value) in [("Host", "app.example"), ("Authorization", "Bearer x"), ("User-Agent", "mine")] {
        assert_eq!(asked.values(name), [value], "{name}");
    }
}
