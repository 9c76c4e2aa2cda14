//! What requests show under load: who hangs, who errs, who is merely slow, and when it is all too much.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::harness::{OK, Origin, RawOrigin, TestEdge, eventually, free_port, is_full_lane};

/// The check as shipped: far too slow to be what notices here.
const SHIPPED: &str = "{ http: /health, every: 2s, timeout: 2s, fall: 3, rise: 2 }";

fn site(servers: &[String], check: &str, rest: &str) -> String {
    format!("routes:\n  /: pool\nupstreams:\n  pool: {{ servers: [{}], check: {check}{rest} }}\n", servers.join(", "))
}

async fn all_up(edge: &TestEdge) {
    eventually("all are up", || async { edge.states("pool").await.iter().all(|state| state == "up") }).await;
}

/// One request's end.
#[derive(Debug)]
struct Ended {
    method: Method,
    /// 0 where none came.
    status: u16,
    began: Instant,
    took: Duration,
}

/// Requests at a fixed rate and never faster, whether or not they are answered.
struct Load {
    stop: Arc<AtomicBool>,
    all: tokio::task::JoinHandle<Vec<Ended>>,
}

impl Load {
    fn start(edge: &TestEdge, a_second: u32, what: impl Fn(u32) -> (Method, &'static str) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (client, stopped) = (edge.client(), Arc::clone(&stop));
        let all = tokio::spawn(async move {
            let (mut requests, mut ended) = (JoinSet::new(), Vec::new());
            let mut beat = tokio::time::interval(Duration::from_secs(1) / a_second);
            beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            for n in 0.. {
                beat.tick().await;
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let (client, (method, path)) = (client.clone(), what(n));
                requests.spawn(async move {
                    let start = Instant::now();
                    let answer = client.try_send(method.clone(), path, &[], "").await;
                    let status = answer.map_or(0, |answer| answer.status.as_u16());
                    Ended { method, status, began: start, took: start.elapsed() }
                });
                while let Some(request) = requests.try_join_next() {
                    ended.push(request.unwrap());
                }
            }
            while let Some(request) = requests.join_next().await {
                ended.push(request.unwrap());
            }
            ended
        });
        Self { stop, all }
    }

    async fn end(self) -> Vec<Ended> {
        self.stop.store(true, Ordering::Relaxed);
        self.all.await.unwrap()
    }
}

fn failed(ended: &[Ended]) -> Vec<&Ended> {
    ended.iter().filter(|request| request.status != 200).collect()
}

/// How long until `address` is out of rotation; a look takes a few milliseconds.
async fn until_out(edge: &TestEdge, nth: usize) -> Duration {
    let start = Instant::now();
    eventually("it is out", || async { edge.states("pool").await[nth] != "up" }).await;
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_hangs_under_load_is_out_at_once_and_its_gets_go_elsewhere() {
    let origins = [Origin::named("a").await, Origin::named("b").await, Origin::named("c").await];
    let servers: Vec<_> = origins.iter().map(Origin::server).collect();
    let edge = TestEdge::start(&site(&servers, SHIPPED, "")).await;
    all_up(&edge).await;
    let load = Load::start(&edge, 200, |_| (Method::GET, "/"));
    eventually("there is traffic", || async { 40 < origins[1].count() }).await;
    // A machine that is busy with other tests is slow as well: the best of three counts.
    let mut best = [Duration::MAX; 2];
    for round in 0..3 {
        let start = Instant::now();
        origins[1].hang(true);
        let out = until_out(&edge, 1).await;
        eventually("the check says so too", || async { edge.states("pool").await[1] == "down" }).await;
        best = [best[0].min(out), best[1].min(start.elapsed())];
        if round == 2 || (best[0] < Duration::from_millis(500) && best[1] < Duration::from_millis(1_000)) {
            break;
        }
        origins[1].hang(false);
        all_up(&edge).await;
        let before = origins[1].count();
        eventually("there is traffic again", || async { before + 40 < origins[1].count() }).await;
    }
    let [out, down] = best;
    assert!(out < Duration::from_millis(500) && down < Duration::from_millis(1_200), "out {out:?}, down {down:?}");
    // A full lane's reads cannot be ended from outside: those requests wait until the replica goes on.
    if is_full_lane() {
        origins[1].kill();
    }
    let ended = load.end().await;
    assert!(failed(&ended).is_empty(), "{:?}", failed(&ended));
    // Far from the 60 s they would wait there.
    let slowest = ended.iter().map(|request| request.took).max().unwrap();
    assert!(slowest < Duration::from_secs(5) || is_full_lane(), "the slowest took {slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_stays_where_it_hangs() {
    let origins = [Origin::named("a").await, Origin::named("b").await];
    let servers: Vec<_> = origins.iter().map(Origin::server).collect();
    let edge = TestEdge::start(&site(&servers, SHIPPED, ", retry: { attempts: 5 }")).await;
    all_up(&edge).await;
    origins[1].hang(true);
    let posts = Load::start(&edge, 100, |n| (if n % 7 == 0 { Method::POST } else { Method::GET }, "/"));
    eventually("it is down", || async { edge.states("pool").await[1] == "down" }).await;
    let begun = Instant::now();
    // By then every GET has left it.
    if !is_full_lane() {
        eventually("only the POSTs are there", || async {
            let in_flight = edge.status().await["upstreams"][0]["backends"][1]["in_flight"].as_u64().unwrap();
            (1..=12).contains(&in_flight)
        })
        .await;
        assert!(begun.elapsed() < Duration::from_secs(5), "after {:?}", begun.elapsed());
    }
    origins[1].kill();
    let ended = posts.end().await;
    let lost = failed(&ended);
    assert!(!lost.is_empty() && lost.iter().all(|request| request.method == Method::POST), "{lost:?}");
    let answered = ended.iter().filter(|request| request.method == Method::POST && request.status == 200).count();
    let seen = origins[0].seen().iter().filter(|seen| seen.method == "POST").count();
    assert_eq!(seen, answered, "no POST was sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_answers_errors_is_out_after_a_few() {
    let origins = [Origin::named("a").await, Origin::named("b").await, Origin::named("c").await];
    let servers: Vec<_> = origins.iter().map(Origin::server).collect();
    let edge = TestEdge::start(&site(&servers, SHIPPED, "")).await;
    all_up(&edge).await;
    let load = Load::start(&edge, 200, |_| (Method::GET, "/"));
    // It was well for a while before, which must not weigh against what it does now.
    eventually("there is traffic", || async { 200 < origins[1].count() }).await;
    origins[1].answer_with(500);
    origins[1].answer_probes_with(500);
    let out = until_out(&edge, 1).await;
    assert!(out < Duration::from_millis(1_000), "out after {out:?}");
    eventually("the check says so too", || async { edge.states("pool").await[1] == "down" }).await;
    assert!(edge.told("is down: status 500"));
    let ended = load.end().await;
    assert!(failed(&ended).len() <= 15, "{} failed", failed(&ended).len());
}

/// A server with two workers, whose `/slow` takes two seconds of one: its health page waits for a worker too.
async fn two_workers() -> RawOrigin {
    let workers = Arc::new(Semaphore::new(2));
    RawOrigin::serving(move |mut peer| {
        let workers = Arc::clone(&workers);
        async move {
            while let Some(request) = peer.request().await {
                let worker = workers.acquire().await.unwrap();
                let slow = request.line().contains("/slow");
                tokio::time::sleep(Duration::from_millis(if slow { 2_000 } else { 2 })).await;
                drop(worker);
                if !peer.send(OK).await {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_slow_puts_nobody_out() {
    let origins = [two_workers().await, two_workers().await];
    let servers: Vec<_> = origins.iter().map(RawOrigin::server).collect();
    let edge = TestEdge::start(&site(&servers, SHIPPED, "")).await;
    all_up(&edge).await;
    // One slow request holds a worker of a replica, and another 0.4 s later the other: all else waits there until the
    // first is done, while the sibling answers. Then one that comes alone, to either.
    let load = Load::start(&edge, 100, |n| (Method::GET, if [50, 90, 301, 500].contains(&n) { "/slow" } else { "/" }));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(7) {
        assert_eq!(edge.states("pool").await, ["up", "up"]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ended = load.end().await;
    assert!(failed(&ended).is_empty(), "{:?}", failed(&ended));
    assert!(ended.iter().any(|request| Duration::from_secs(2) <= request.took));
    assert!(!edge.logged("ejected"), "{:?}", edge.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_that_wait_for_long_put_nobody_out_and_are_not_refused() {
    // Its polls wait for one event; health and the rest are answered at once.
    async fn polled(event: Arc<Notify>) -> RawOrigin {
        RawOrigin::serving(move |mut peer| {
            let event = Arc::clone(&event);
            async move {
                while let Some(request) = peer.request().await {
                    if request.line().contains("/poll") {
                        event.notified().await;
                    }
                    if !peer.send(OK).await {
                        return;
                    }
                }
            }
        })
        .await
    }
    let (quiet, busy) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let origins = [polled(Arc::clone(&quiet)).await, polled(Arc::clone(&busy)).await];
    let servers: Vec<_> = origins.iter().map(RawOrigin::server).collect();
    let edge = TestEdge::start(&site(&servers, SHIPPED, "")).await;
    all_up(&edge).await;
    let load = Load::start(&edge, 100, |_| (Method::GET, "/poll"));
    // Only one of the two answers its polls: the other looks as if it hung, but for its health page.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        busy.notify_waiters();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(edge.states("pool").await, ["up", "up"]);
    assert!(origins[0].requests().len() > 100, "{}", origins[0].requests().len());
    let releasing = tokio::spawn(async move {
        loop {
            quiet.notify_waiters();
            busy.notify_waiters();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let ended = load.end().await;
    releasing.abort();
    assert!(failed(&ended).is_empty(), "{:?}", failed(&ended));
    assert!(edge.metrics().await.contains("remora_upstream_shed_total{upstream=\"pool\"} 0"));
}

/// A server whose two workers take so long for every request, and for a probe as long as one of them is free.
async fn limited(port: u16, takes: Duration) -> RawOrigin {
    let workers = Arc::new(Semaphore::new(2));
    RawOrigin::serving_at(port, move |mut peer| {
        let workers = Arc::clone(&workers);
        async move {
            while let Some(request) = peer.request().await {
                let worker = workers.acquire().await.unwrap();
                if !request.line().contains("/health") {
                    tokio::time::sleep(takes).await;
                }
                drop(worker);
                if !peer.send(OK).await {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_drains_is_no_overload_for_who_comes_meanwhile() {
    let (port, takes) = (free_port(), Duration::from_millis(10));
    let server = format!("\"127.0.0.1:{port}\"");
    let edge = TestEdge::start(&site(&[server], SHIPPED, "")).await;
    eventually("it is down", || async { edge.states("pool").await == ["down"] }).await;
    let (load, start) = (Load::start(&edge, 100, |_| (Method::GET, "/")), Instant::now());
    // As many as come in three seconds; in HTTP/2 as many as one connection has streams, and the others behind them.
    let many_wait = || async {
        let held = edge.status().await["upstreams"][0]["held"].as_u64();
        held >= Some(90) && Duration::from_secs(3) <= start.elapsed()
    };
    eventually("many wait", many_wait).await;
    // It can do 200 a second: these three seconds' worth, and as much that comes beside it.
    let _origin = limited(port, takes).await;
    eventually("they are served", || async { edge.status().await["upstreams"][0]["held"].as_u64() == Some(0) }).await;
    let ended = load.end().await;
    assert!(failed(&ended).is_empty(), "{:?}", failed(&ended));
    assert!(ended.iter().any(|request| Duration::from_secs(2) < request.took), "nobody waited");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_they_can_answer_is_refused_at_once_and_the_rest_answered() {
    let takes = Duration::from_millis(100);
    let (a, b) = (limited(0, takes).await, limited(0, takes).await);
    let edge = TestEdge::start(&site(&[a.server(), b.server()], SHIPPED, "")).await;
    all_up(&edge).await;
    // Forty a second is what they can do.
    let load = Load::start(&edge, 250, |_| (Method::GET, "/"));
    eventually("it is noticed", || async { edge.logged("upstream pool is overloaded") }).await;
    let noticed = Instant::now();
    let refusal = loop {
        let answer = edge.client().get("/").await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!((refusal.status.as_u16(), refusal.header("retry-after")), (503, "5"));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(6) {
        assert_eq!(edge.states("pool").await, ["up", "up"]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(edge.metrics().await.contains("remora_upstream_overloaded{upstream=\"pool\"} 1"));
    let ended = load.end().await;
    let (well, refused): (Vec<_>, Vec<_>) = ended.iter().partition(|request| request.status == 200);
    assert!(refused.iter().all(|request| request.status == 503), "{refused:?}");
    let late = refused.iter().filter(|request| Duration::from_millis(100) < request.took).count();
    assert!(late * 10 <= refused.len(), "{late} of {} refusals took long", refused.len());
    // What had come before it was noticed is late. Without a limit all that came after would be.
    let after: Vec<_> = well.iter().filter(|request| noticed < request.began).collect();
    let in_time = after.iter().filter(|request| request.took < Duration::from_millis(1_500)).count();
    assert!(40 <= in_time && after.len() * 9 <= in_time * 10, "{in_time} of {} were answered in time", after.len());
    eventually("it is over", || async { edge.logged("no longer overloaded") }).await;
    let metrics = edge.metrics().await;
    assert!(metrics.contains("reason=\"overload\"") && !edge.logged("is down"), "{:?}", edge.log());
    for _ in 0..10 {
        assert_eq!(edge.client().get("/").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sick_upstream_needs_is_probed_at_once() {
    let app = Origin::named("app").await;
    let port = free_port();
    let database = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let slow = "{ tcp: true, every: 60s, timeout: 2s, fall: 3, rise: 1 }";
    let edge = TestEdge::start(&format!(
        "routes:\n  /: pool\nupstreams:\n  pool: {{ servers: {}, check: {SHIPPED}, needs: [database] }}\n  \
         database: {{ servers: \"127.0.0.1:{port}\", check: {slow} }}\n",
        app.server()
    ))
    .await;
    all_up(&edge).await;
    eventually("the database is up", || async { edge.states("database").await == ["up"] }).await;
    drop(database);
    app.answer_with(500);
    let start = Instant::now();
    for _ in 0..5 {
        assert_eq!(edge.client().get("/").await.status, 500);
    }
    eventually("the database is down", || async { edge.states("database").await == ["down"] }).await;
    assert!(start.elapsed() < Duration::from_secs(1), "after {:?}", start.elapsed());
}

#[tokio::test]
async fn what_fell_with_an_upstream_comes_back_with_it() {
    let app = Origin::named("app").await;
    let port = free_port();
    let database = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let slow = "{ http: /health, every: 60s, timeout: 2s, fall: 1, rise: 3 }";
    let edge = TestEdge::start(&format!(
        "routes:\n  /: pool\nupstreams:\n  pool: {{ servers: {}, check: {slow} }}\n  \
         database: {{ servers: \"127.0.0.1:{port}\", check: {{ tcp: true, every: 200ms, fall: 1, rise: 1 }} }}\n",
        app.server()
    ))
    .await;
    all_up(&edge).await;
    eventually("the database is up", || async { edge.states("database").await == ["up"] }).await;
    drop(database);
    app.answer_with(500);
    app.answer_probes_with(500);
    eventually("both are down", || async {
        edge.client().get("/").await;
        edge.states("database").await == ["down"] && edge.states("pool").await == ["down"]
    })
    .await;
    app.answer_with(200);
    app.answer_probes_with(200);
    let _database = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    eventually("the database is up again", || async { edge.states("database").await == ["up"] }).await;
    let start = Instant::now();
    // Three passes, of which the check alone would take 15 s each.
    eventually("the other is up with it", || async { edge.states("pool").await == ["up"] }).await;
    assert!(start.elapsed() < Duration::from_secs(2), "after {:?}", start.elapsed());
}

#[tokio::test]
async fn what_falls_with_a_whole_upstream_is_found_at_once_without_needs() {
    let apps = [Origin::named("app").await, Origin::named("app").await];
    let port = free_port();
    let database = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let slow = "{ tcp: true, every: 60s, timeout: 2s, fall: 3, rise: 1 }";
    let edge = TestEdge::start(&format!(
        "routes:\n  /: pool\nupstreams:\n  pool: {{ servers: [{}, {}], check: {SHIPPED} }}\n  \
         database: {{ servers: \"127.0.0.1:{port}\", check: {slow} }}\n",
        apps[0].server(),
        apps[1].server()
    ))
    .await;
    all_up(&edge).await;
    eventually("the database is up", || async { edge.states("database").await == ["up"] }).await;
    drop(database);
    // One of them alone is no reason to ask.
    apps[0].answer_with(500);
    for _ in 0..20 {
        edge.client().get("/").await;
    }
    assert_eq!(edge.states("database").await, ["up"]);
    apps[1].answer_with(500);
    let start = Instant::now();
    eventually("the database is down", || async {
        edge.client().get("/").await;
        edge.states("database").await == ["down"]
    })
    .await;
    assert!(start.elapsed() < Duration::from_secs(1), "after {:?}", start.elapsed());
}
