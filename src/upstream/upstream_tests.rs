//! Upstreams that run: who joins and leaves, who is held out, and what outlives a reload.

use std::net::SocketAddr;

use async_trait::async_trait;

use super::*;
use crate::config::model::{Balance, CheckKind, CheckSpec, Protocol, RetryOn, RetrySpec, ServerSpec, Timeouts};
use crate::telemetry::Metrics;
use crate::types::{ByteSize, Percent, ServerAddress, Weight};
use crate::upstream::{BackendState, CheckState, Lookup, LookupError, Resolve};

/// A name server whose answer the test changes; with none it says nothing.
struct Names(Mutex<Option<Vec<SocketAddr>>>);

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, server: &ServerAddress) -> Result<Lookup, LookupError> {
        if server.host() == "hangs" {
            std::future::pending::<()>().await;
        }
        match self.0.lock().clone() {
            Some(found) if found.is_empty() => Ok(Lookup::Gone),
            Some(found) => Ok(Lookup::Found(found)),
            None => Err(LookupError::TimedOut),
        }
    }
}

fn spec() -> Arc<UpstreamSpec> {
    let second = Duration::from_secs(1);
    Arc::new(UpstreamSpec {
        name: UpstreamName::parse("pool").unwrap(),
        servers: vec![ServerSpec {
            address: ServerAddress::parse("app:80").unwrap(),
            weight: Weight::ONE,
            backup: false,
        }],
        balance: Balance::RoundRobin,
        check: None,
        needs: Vec::new(),
        timeouts: Timeouts { connect: second, read: second, write: second, idle: second },
        retry: RetrySpec {
            attempts: 2,
            on: RetryOn { connect: true, reset: true, timeout: false, statuses: Vec::new() },
            budget: Percent(20),
        },
        hold: Duration::ZERO,
        heal: None,
        request_buffer: ByteSize(0),
    })
}

fn addresses(last: &[u8]) -> Vec<SocketAddr> {
    last.iter().map(|last| SocketAddr::from(([10, 0, 0, *last], 80))).collect()
}

fn start(names: &Arc<Names>, previous: Option<&Upstream>) -> Arc<Upstream> {
    start_as(spec(), names, previous)
}

fn start_as(spec: Arc<UpstreamSpec>, names: &Arc<Names>, previous: Option<&Upstream>) -> Arc<Upstream> {
    let tools = UpstreamTools {
        resolver: Arc::clone(names) as Arc<dyn Resolve>,
        metrics: Metrics::new().unwrap(),
        changed: Arc::new(watch::Sender::new(0)),
    };
    Upstream::start(spec, tools, previous)
}

async fn until(upstream: &Upstream, holds: impl Fn(&[Arc<Backend>]) -> bool) {
    let mut changed = upstream.changed();
    let wait = async {
        while !holds(&upstream.backends()) {
            changed.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
}

#[tokio::test]
async fn replicas_join_and_leave_as_the_name_says() {
    let names = Arc::new(Names(Mutex::new(Some(addresses(&[1])))));
    let upstream = start(&names, None);
    until(&upstream, |backends| backends.len() == 1).await;
    *names.0.lock() = Some(addresses(&[1, 2, 3]));
    until(&upstream, |backends| backends.len() == 3).await;
    let taken: Vec<_> = (0..3).map(|_| upstream.select(&[]).unwrap()).collect();
    let mut seen: Vec<_> = taken.iter().map(|lease| lease.backend().address()).collect();
    seen.sort_unstable();
    assert_eq!(seen, addresses(&[1, 2, 3]));

    *names.0.lock() = Some(addresses(&[2]));
    let draining = |backends: &[Arc<Backend>]| backends.iter().filter(|b| b.state() == BackendState::Draining).count();
    until(&upstream, |backends| draining(backends) == 2).await;
    assert_eq!(upstream.select(&[]).unwrap().backend().address(), addresses(&[2])[0]);
    let membership = upstream.membership();
    upstream.resolve_now();
    upstream.changed().changed().await.unwrap();
    assert_eq!(upstream.membership(), membership, "the same answer changes nothing");
    drop(taken);
    until(&upstream, |backends| backends.len() == 1).await;
    assert_eq!(upstream.membership(), membership + 1, "those that left are forgotten");
}

#[tokio::test]
async fn the_last_good_answer_stays_while_nobody_can_say() {
    let names = Arc::new(Names(Mutex::new(Some(addresses(&[1])))));
    let upstream = start(&names, None);
    until(&upstream, |backends| backends.len() == 1).await;
    *names.0.lock() = None;
    upstream.resolve_now();
    let before = *upstream.changed().borrow();
    let mut changed = upstream.changed();
    changed.wait_for(|count| before + 2 <= *count).await.unwrap();
    assert_eq!(upstream.backends().len(), 1);
}

#[tokio::test]
async fn the_backends_of_a_name_that_is_gone_leave_and_come_back_with_it() {
    let names = Arc::new(Names(Mutex::new(Some(addresses(&[1, 2])))));
    let upstream = start(&names, None);
    until(&upstream, |backends| backends.len() == 2).await;
    let lease = upstream.select(&[]).unwrap();
    let mended = upstream.backends().into_iter().find(|b| b.address() != lease.backend().address()).unwrap();
    let held = upstream.hold_out(&mended);
    *names.0.lock() = Some(Vec::new());
    upstream.resolve_now();
    until(&upstream, |_| lease.backend().state() == BackendState::Draining).await;
    assert_eq!(mended.state(), BackendState::Healing, "who is repaired is waited for");
    assert!(upstream.select(&[]).is_err());
    drop(lease);
    drop(held);
    assert_eq!(mended.state(), BackendState::Draining, "and is not believed while it has no name");
    until(&upstream, <[_]>::is_empty).await;
    assert_eq!(upstream.select(&[]).err(), Some(crate::upstream::NoBackend::Unresolved));
    *names.0.lock() = Some(addresses(&[2]));
    until(&upstream, |backends| backends.len() == 1).await;
    assert!(upstream.select(&[]).is_ok());
}

#[tokio::test]
async fn a_name_that_hangs_delays_no_other_of_its_upstream() {
    let names = Arc::new(Names(Mutex::new(Some(addresses(&[1])))));
    let mut spec = Arc::unwrap_or_clone(spec());
    let hangs = ServerSpec { address: ServerAddress::parse("hangs:80").unwrap(), ..spec.servers[0].clone() };
    spec.servers.insert(0, hangs);
    let upstream = start_as(Arc::new(spec), &names, None);
    until(&upstream, |backends| backends.len() == 1).await;
    *names.0.lock() = Some(addresses(&[2, 3]));
    until(&upstream, |backends| backends.len() == 2).await;
}

#[tokio::test]
async fn counters_pass_to_the_next_configuration() {
    let names = Arc::new(Names(Mutex::new(Some(addresses(&[1])))));
    let first = start(&names, None);
    until(&first, |backends| backends.len() == 1).await;
    let lease = first.select(&[]).unwrap();
    let second = start(&names, Some(&first));
    until(&second, |backends| backends.len() == 1).await;
    drop(first);
    assert_eq!((second.backends()[0].requests(), second.backends()[0].in_flight()), (1, 1));
    drop(lease);
    assert_eq!(second.backends()[0].in_flight(), 0);
}

#[tokio::test]
async fn a_pass_counts_for_the_definition_it_was_made_under() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let names = Arc::new(Names(Mutex::new(Some(vec![listener.local_addr().unwrap()]))));
    let tools = UpstreamTools {
        resolver: Arc::clone(&names) as Arc<dyn Resolve>,
        metrics: Metrics::new().unwrap(),
        changed: Arc::new(watch::Sender::new(0)),
    };
    let (every, timeout) = (Duration::from_millis(100), Duration::from_millis(100));
    let checked = |kind| {
        let check = Some(CheckSpec { kind, port: None, every, timeout, fall: 3, rise: 1 });
        Arc::new(UpstreamSpec { check, ..(*spec()).clone() })
    };
    let first = Upstream::start(checked(CheckKind::Tcp), tools.clone(), None);
    until(&first, |backends| backends.iter().any(|one| one.has_passed())).await;
    // It listens and says nothing.
    let second = Upstream::start(checked(CheckKind::Greeting(Protocol::Mysql)), tools, Some(&first));
    let has_failed = |backends: &[Arc<Backend>]| backends.iter().any(|one| one.last_failure().is_some());
    until(&second, |backends| has_failed(backends)).await;
    let backend = &second.backends()[0];
    assert_eq!((backend.check_state(), backend.has_passed()), (CheckState::Up, false));
}

#[tokio::test]
async fn who_is_held_out_gets_nothing() {
    let names = Arc::new(Names(Mutex::new(Some(addresses(&[1, 2])))));
    let upstream = start(&names, None);
    until(&upstream, |backends| backends.len() == 2).await;
    let sick = Arc::clone(&upstream.backends()[0]);
    let held = upstream.hold_out(&sick);
    for _ in 0..4 {
        assert_eq!(upstream.select(&[]).unwrap().backend().address(), addresses(&[2])[0]);
    }
    let aside = upstream.set_aside(&sick);
    assert_eq!(sick.state(), BackendState::Healing, "it is repaired, whoever else stops it");
    drop(held);
    assert_eq!(sick.state(), BackendState::Held);
    drop(aside);
    let seen: Vec<_> = (0..2).map(|_| upstream.select(&[]).unwrap().backend().address()).collect();
    assert!(seen.contains(&sick.address()));
}

#[tokio::test]
async fn a_request_waits_for_a_backend_no_longer_than_it_may() {
    let names = Arc::new(Names(Mutex::new(Some(Vec::new()))));
    let upstream = start(&names, None);
    let start = Instant::now();
    let mut queued_since = None;
    let none = upstream.select_or_wait(&mut Vec::new(), start + Duration::from_millis(50), &mut queued_since).await;
    assert!(none.is_err() && Duration::from_millis(50) <= start.elapsed());
    assert!(queued_since.is_some());
    *names.0.lock() = Some(addresses(&[1]));
    let deadline = Instant::now() + Duration::from_secs(10);
    assert!(upstream.select_or_wait(&mut Vec::new(), deadline, &mut None).await.is_ok());
}
