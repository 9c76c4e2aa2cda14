//! The whole healer on real containers; the check is a small one of this test, with the rise and fall of a real one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use remora::config::model::{
    Balance, Budget, CheckKind, CheckSpec, HealSpec, Preset, RetryOn, RetrySpec, Step, Timeouts, UpstreamSpec,
};
use remora::heal::{AtWork, HealPool, HealTarget, HealTools, HealWorld, Healer, Journal, LadderOutcome};
use remora::types::{ByteSize, Percent, ServerAddress, UpstreamName};
use tokio::sync::watch;

use crate::bench::{Box as Container, docker, get};
use crate::gunicorn::{STARTS, freeze, start};

/// Probed by a GET; down after one failure, up after two passes.
pub struct Probed {
    upstream: UpstreamName,
    address: SocketAddr,
    server: ServerAddress,
    pub up: AtomicBool,
    passes: AtomicU32,
    since: Instant,
}

impl Probed {
    pub async fn look(&self) -> bool {
        let address = self.address;
        let ask = move || get(address, "/", Duration::from_millis(500)).is_ok_and(|(status, _)| status == 200);
        let passed = tokio::task::spawn_blocking(ask).await.unwrap();
        let passes = if passed { self.passes.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
        self.passes.store(passes, Ordering::SeqCst);
        self.up.store(2 <= passes, Ordering::SeqCst);
        passed
    }
}

impl HealTarget for Probed {
    fn upstream(&self) -> &UpstreamName {
        &self.upstream
    }
    fn address(&self) -> SocketAddr {
        self.address
    }
    fn server(&self) -> &ServerAddress {
        &self.server
    }
    fn is_up(&self) -> bool {
        self.up.load(Ordering::SeqCst)
    }
    fn is_sick(&self) -> bool {
        !self.is_up()
    }
    /// Each of these was well before it fell sick.
    fn has_passed(&self) -> bool {
        true
    }
    /// It is looked at all the time.
    fn last_pass(&self) -> Option<Instant> {
        self.is_up().then(Instant::now)
    }
    fn serves(&self) -> bool {
        false
    }
    fn is_leaving(&self) -> bool {
        false
    }
    fn sick_since(&self) -> Option<Instant> {
        self.is_sick().then_some(self.since)
    }
    fn cause(&self) -> String {
        "no answer in time".into()
    }
    fn is_silent(&self) -> bool {
        false
    }

    fn is_in_rotation(&self) -> bool {
        self.is_up()
    }
    fn pretend_sick(&self) -> Box<dyn Send> {
        Box::new(())
    }
    fn in_flight(&self) -> usize {
        0
    }
    fn hold_out(&self) -> Box<dyn Send> {
        Box::new(())
    }
    fn probe(&self) -> BoxFuture<'_, bool> {
        self.look().boxed()
    }
}

struct OnePool(HealPool, watch::Sender<u64>);

impl HealWorld for OnePool {
    fn pools(&self) -> Arc<[HealPool]> {
        Arc::new([self.0.clone()])
    }
    fn generation(&self) -> u64 {
        1
    }
    fn changed(&self) -> watch::Receiver<u64> {
        self.1.subscribe()
    }
}

fn spec(steps: Vec<Step>) -> Arc<UpstreamSpec> {
    let second = Duration::from_secs(1);
    let heal = HealSpec {
        steps,
        drain: second,
        verify: Duration::from_secs(10),
        cooldown: second,
        budget: Budget { count: 3, window: Duration::from_secs(600) },
        min_up: 1,
        timeout: Duration::from_secs(15),
    };
    Arc::new(UpstreamSpec {
        name: UpstreamName::parse("backend").unwrap(),
        servers: Vec::new(),
        balance: Balance::RoundRobin,
        check: Some(CheckSpec { kind: CheckKind::Tcp, port: None, every: second, timeout: second, fall: 1, rise: 2 }),
        needs: Vec::new(),
        timeouts: Timeouts { connect: second, read: second, write: second, idle: second },
        retry: RetrySpec {
            attempts: 0,
            on: RetryOn { connect: false, reset: false, timeout: false, statuses: Vec::new() },
            budget: Percent(0),
        },
        hold: Duration::ZERO,
        heal: Some(heal),
        request_buffer: ByteSize(0),
    })
}

/// A sick Gunicorn, its healer at work since longer than the edge's grace would last.
pub fn ward_of(container: &Container, steps: Vec<Step>) -> (Arc<Probed>, HealTools) {
    let target = Arc::new(Probed {
        upstream: UpstreamName::parse("backend").unwrap(),
        address: container.address(80),
        server: ServerAddress::parse("backend:80").unwrap(),
        up: AtomicBool::new(true),
        passes: AtomicU32::new(2),
        since: Instant::now(),
    });
    let pool = HealPool { spec: spec(steps), targets: vec![Arc::clone(&target) as Arc<dyn HealTarget>], routed: true };
    let tools = HealTools {
        world: Arc::new(OnePool(pool, watch::Sender::new(0))),
        driver: Arc::new(docker()),
        journal: Arc::new(Journal::default()),
        at_work: AtWork::default(),
    };
    (target, tools)
}

pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), wait).await.is_ok(), "after a minute still not: {what}");
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn frozen_workers_are_healed_and_the_second_time_killed() {
    let container = start(STARTS[0].1);
    let before = container.inspect("{{.Id}} {{.State.StartedAt}}");
    let steps = vec![Step::Preset(Preset::GunicornReload), Step::Preset(Preset::GunicornKillWorkers)];
    let (target, tools) = ward_of(&container, steps);
    let healer = Healer::start(tools.clone());
    tokio::time::sleep(Duration::from_millis(10_500)).await; // the edge's grace
    for last_step in ["gunicorn reload", "gunicorn kill workers"] {
        freeze(&container);
        target.look().await;
        assert!(target.is_sick());
        let started = Instant::now();
        until("it is healed", || target.is_up() && tools.journal.entries()[0].result == LadderOutcome::Healed).await;
        let entry = tools.journal.entries().remove(0);
        println!("healed {:?} after it was sick: {}", started.elapsed(), serde_json::to_string(&entry).unwrap());
        assert_eq!(entry.steps.last().unwrap().step, last_step);
        assert_eq!((entry.container.as_str(), entry.cause.as_str()), (container.name.as_str(), "no answer in time"));
        tokio::time::sleep(Duration::from_millis(1_100)).await; // the cooldown
    }
    assert!(tools.journal.entries()[0].steps[0].outcome.starts_with("skipped"), "no second HUP within half a minute");
    assert_eq!(container.inspect("{{.Id}} {{.State.StartedAt}}"), before);
    drop(healer);
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_paused_container_is_left_to_whoever_paused_it() {
    let container = start(STARTS[0].1);
    let (target, tools) = ward_of(&container, vec![Step::Preset(Preset::GunicornReload)]);
    let healer = Healer::start(tools.clone());
    crate::bench::say(&["pause", &container.name]);
    target.look().await;
    until("the reason is known", || tools.journal.idle().iter().any(|idle| idle.reason.contains("is paused"))).await;
    assert!(tools.journal.entries().is_empty());
    crate::bench::say(&["unpause", &container.name]);
    target.look().await;
    target.look().await;
    until("nothing is to be done", || tools.journal.idle().is_empty()).await;
    drop(healer);
}
