//! Names whose addresses change: containers recreated, scaled and gone. Each edge has an `/etc/hosts` of its own, and a
//! `/etc/resolv.conf` whose name server is not there. Names under `invalid` are known not to exist without asking anybody
//! (RFC 6761, section 6.4), so they are gone when the file no longer has them; of others then nobody can say anything.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Origin, TestEdge, eventually};

/// An edge and the file it resolves names by.
struct Named {
    edge: TestEdge,
    hosts: tempfile::NamedTempFile,
    _resolv: tempfile::NamedTempFile,
}

impl Named {
    /// Starts an edge in a mount namespace, where the file stands for `/etc/hosts`.
    async fn start(lines: &str, site: &str) -> Self {
        let hosts = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(hosts.path(), lines).unwrap();
        let resolv = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(resolv.path(), "nameserver 127.0.0.9\noptions timeout:1 attempts:1\n").unwrap();
        let bind = format!(
            "mount --bind {} /etc/hosts && mount --bind {} /etc/resolv.conf && exec \"$0\" \"$@\"",
            hosts.path().display(),
            resolv.path().display()
        );
        let shell = format!("exec unshare --map-root-user --mount sh -c '{bind}'");
        let edge = TestEdge::start_through(&shell, "", site).await;
        Self { edge, hosts, _resolv: resolv }
    }

    fn say(&self, lines: &str) {
        std::fs::write(self.hosts.path(), lines).unwrap();
    }

    /// Who answers, over so many requests.
    async fn answers(&self, requests: usize) -> BTreeSet<String> {
        let client = self.edge.client();
        let mut names = BTreeSet::new();
        for _ in 0..requests {
            let answer = client.get("/").await;
            assert_eq!(answer.status, 200);
            names.insert(answer.body);
        }
        names
    }
}

/// Replicas that all listen on one port, each at an address of its own.
async fn replicas<const N: usize>() -> ([Origin; N], u16) {
    let first = Origin::at("2", "127.0.0.2:0".parse().unwrap()).await;
    let port = first.address.port();
    let mut found = vec![first];
    for n in 3..3 + N - 1 {
        found.push(Origin::at(&n.to_string(), format!("127.0.0.{n}:{port}").parse().unwrap()).await);
    }
    (found.try_into().ok().unwrap(), port)
}

const CHECK: &str = "check: { tcp: true, every: 200ms, timeout: 100ms }";

#[tokio::test]
async fn a_recreated_container_is_found_at_its_new_address() {
    let ([old], port) = replicas().await;
    let site =
        format!("routes:\n  /: api\nupstreams:\n  api: {{ servers: \"api.test:{port}\", hold: 10s, {CHECK} }}\n");
    let named = Named::start("127.0.0.2 api.test\n", &site).await;
    assert_eq!(named.answers(3).await, ["2".into()].into());

    let (stop, sent, failed) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let client = named.edge.client();
            let (stop, sent, failed) = (Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&failed));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.try_send(http::Method::GET, "/", &[], "").await;
                    sent.fetch_add(1, Ordering::Relaxed);
                    failed.fetch_add(usize::from(!answer.is_ok_and(|answer| answer.status == 200)), Ordering::Relaxed);
                }
            })
        })
        .collect();
    eventually("clients are at work", || async { 20 < sent.load(Ordering::Relaxed) }).await;
    old.kill();
    let new = Origin::at("3", SocketAddr::from(([127, 0, 0, 3], port))).await;
    named.say("127.0.0.3 api.test\n");
    let start = Instant::now();
    eventually("the new address serves", || async { new.count() != 0 }).await;
    let moved = start.elapsed();
    let served = sent.load(Ordering::Relaxed);
    eventually("clients go on", || async { served + 20 < sent.load(Ordering::Relaxed) }).await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    println!(
        "moved after {moved:?}; {} requests, {} failed",
        sent.load(Ordering::Relaxed),
        failed.load(Ordering::Relaxed)
    );
    assert!(moved < Duration::from_secs(3), "{moved:?}");
    // A request of each client was in flight when the old container was killed.
    assert!(failed.load(Ordering::Relaxed) <= 4);
}

#[tokio::test]
async fn the_rotation_follows_the_scale_and_loses_nothing() {
    let ([two, three, four], port) = replicas().await;
    let site = format!("routes:\n  /: api\nupstreams:\n  api: {{ servers: \"api.test:{port}\", {CHECK} }}\n");
    let named = Named::start("127.0.0.2 api.test\n", &site).await;
    assert_eq!(named.answers(3).await, ["2".into()].into());
    named.say("127.0.0.2 api.test\n127.0.0.3 api.test\n127.0.0.4 api.test\n");
    eventually("all three are up", || async { named.edge.states("api").await == ["up", "up", "up"] }).await;
    assert_eq!(named.answers(6).await, ["2".into(), "3".into(), "4".into()].into());

    // Each has a request in flight while two of them are taken away.
    for origin in [&two, &three, &four] {
        origin.answer_after(Duration::from_secs(2));
    }
    let before = [&two, &three, &four].map(Origin::count);
    let slow: Vec<_> = (0..6)
        .map(|_| {
            let client = named.edge.client();
            tokio::spawn(async move { client.try_send(http::Method::POST, "/", &[], "x").await })
        })
        .collect();
    eventually("all work", || async {
        [&two, &three, &four].iter().zip(before).all(|(origin, before)| before < origin.count())
    })
    .await;
    named.say("127.0.0.2 api.test\n");
    eventually("one is left", || async { named.edge.states("api").await == ["up"] }).await;
    for request in slow {
        assert_eq!(request.await.unwrap().unwrap().status, 200, "what was in flight is finished");
    }
    for origin in [&two, &three, &four] {
        origin.answer_after(Duration::ZERO);
    }
    let after = three.count() + four.count();
    assert_eq!(named.answers(6).await, ["2".into()].into());
    assert_eq!(three.count() + four.count(), after, "those that left get nothing more");
}

#[tokio::test]
async fn a_name_nobody_answers_for_keeps_its_last_address_and_one_that_never_was_harms_only_itself() {
    let ([api], port) = replicas().await;
    let site = format!(
        "routes:\n  /: api\n  /never: never\nupstreams:\n  api: {{ servers: \"api.test:{port}\", {CHECK} }}\n  never: {{ servers: \"never.test:{port}\", hold: 0 }}\n"
    );
    let named = Named::start("127.0.0.2 api.test\n", &site).await;
    assert_eq!(named.answers(3).await, ["2".into()].into());
    named.say("");
    let failures = || async {
        let metrics = named.edge.metrics().await;
        let line =
            metrics.lines().find(|line| line.starts_with("remora_upstream_resolve_failures_total{upstream=\"api\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    eventually("lookups fail", || async { 2 <= failures().await }).await;
    assert_eq!(named.answers(6).await, ["2".into()].into());
    let answer = named.edge.client().get("/never").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "5"));
    assert_eq!(named.answers(1).await, ["2".into()].into());
    drop(api);
}

/// Docker gives the address of a container that is gone to the next: nobody may get what was meant for the first.
#[tokio::test]
async fn the_address_of_a_name_that_is_gone_gets_nothing_more_whoever_has_it_now() {
    for check in ["check: off", CHECK] {
        let ([two, three], port) = replicas().await;
        let site = format!(
            "routes:\n  /: web\n  /api: api\n  /held: held\nupstreams:\n  web: {{ servers: \"web.test:{port}\", {check} }}\n  \
             api: {{ servers: \"api.invalid:{port}\", hold: 0, {check} }}\n  held: {{ servers: \"api.invalid:{port}\", hold: 20s, {check} }}\n"
        );
        let named = Named::start("127.0.0.3 web.test\n127.0.0.2 api.invalid\n", &site).await;
        let client = named.edge.client();
        assert_eq!((client.get("/api").await.body, client.get("/").await.body), ("2".into(), "3".into()));
        // One that the name still had is finished.
        two.answer_after(Duration::from_secs(2));
        let before = two.count();
        let last = tokio::spawn({
            let client = named.edge.client();
            async move { client.get("/api").await }
        });
        eventually("it is at work", || async { before < two.count() }).await;
        named.say("127.0.0.2 web.test\n127.0.0.3 web.test\n");
        eventually("the name is gone", || async { client.get("/api").await.status == 503 }).await;
        let answer = client.get("/api").await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "5"));
        assert_eq!(last.await.unwrap().body, "2");
        two.answer_after(Duration::ZERO);
        eventually("its address is the other's", || async { named.edge.states("web").await.len() == 2 }).await;
        assert_eq!(named.answers(6).await, ["2".into(), "3".into()].into());
        assert_eq!(client.get("/api").await.status, 503);
        eventually("nobody is left", || async { named.edge.states("api").await.is_empty() }).await;

        let waiting = tokio::spawn({
            let client = named.edge.client();
            async move { client.get("/held").await }
        });
        eventually("one is held", || async {
            named.edge.metrics().await.contains("remora_upstream_queued{upstream=\"held\"} 1")
        })
        .await;
        named.say("127.0.0.2 web.test\n127.0.0.3 api.invalid\n");
        assert_eq!(waiting.await.unwrap().body, "3", "it waited until the name was back");
        eventually("the name is back", || async { client.get("/api").await.body == "3" }).await;
        drop(three);
    }
}

/// As `localhost` often is: both families are in the file, and the service listens on one of them. The name has a final dot.
#[tokio::test]
async fn a_service_that_listens_on_one_family_alone_is_found_and_followed_to_the_other() {
    for check in ["check: off", CHECK] {
        let six = Origin::at("6", "[::1]:0".parse().unwrap()).await;
        let port = six.address.port();
        let site = format!("routes:\n  /: api\nupstreams:\n  api: {{ servers: \"api.test.:{port}\", {check} }}\n");
        let named = Named::start("127.0.0.1 api.test\n::1 api.test\n", &site).await;
        assert_eq!(named.answers(3).await, ["6".into()].into(), "{check}");
        drop(six);
        let four = Origin::at("4", format!("127.0.0.1:{port}").parse().unwrap()).await;
        let client = named.edge.client();
        eventually("it is found where it is now", || async { client.get("/").await.body == "4" }).await;
        // One of two addresses is one backend; the other address may still be leaving.
        eventually("it is one backend", || async { named.edge.states("api").await == ["up"] }).await;
        drop(four);
    }
}
