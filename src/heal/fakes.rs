//! A target, a driver and a world made of switches, for the failure paths.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::config::model::{
    Balance, Budget, CheckKind, CheckSpec, HealSpec, RetryOn, RetrySpec, Step, Timeouts, UpstreamSpec,
};
use crate::docker::{
    ContainerId, ContainerName, ContainerRef, ContainerState, ExecError, FindError, RestartPolicy, Seen,
};
use crate::types::{ByteSize, Percent, ServerAddress, UpstreamName};

use super::{BackendRef, ContainerDriver, HealPool, HealTarget, HealWorld, Order, StepDone};

pub(super) fn container(name: &str) -> ContainerRef {
    ContainerRef {
        id: ContainerId::parse(&format!("id-of-{name}")).unwrap(),
        name: ContainerName::parse(name).unwrap(),
        state: ContainerState::Running,
        started_at: None,
        restart_policy: RestartPolicy::UnlessStopped,
        stop_signal: None,
        command: Vec::new(),
        start_period: Duration::ZERO,
    }
}

pub(super) fn heal(steps: Vec<Step>) -> HealSpec {
    HealSpec {
        steps,
        drain: Duration::from_millis(50),
        verify: Duration::from_millis(50),
        cooldown: Duration::from_millis(300),
        budget: Budget { count: 3, window: Duration::from_secs(600) },
        min_up: 1,
        timeout: Duration::from_secs(1),
    }
}

pub(super) fn upstream(name: &str, needs: &[&str], heal: Option<HealSpec>) -> Arc<UpstreamSpec> {
    let second = Duration::from_secs(1);
    Arc::new(UpstreamSpec {
        name: UpstreamName::parse(name).unwrap(),
        servers: Vec::new(),
        balance: Balance::RoundRobin,
        check: Some(CheckSpec { kind: CheckKind::Tcp, port: None, every: second, timeout: second, fall: 3, rise: 2 }),
        needs: needs.iter().map(|need| UpstreamName::parse(need).unwrap()).collect(),
        timeouts: Timeouts { connect: second, read: second, write: second, idle: second },
        retry: RetrySpec {
            attempts: 0,
            on: RetryOn { connect: false, reset: false, timeout: false, statuses: Vec::new() },
            budget: Percent(0),
        },
        hold: Duration::ZERO,
        heal,
        request_buffer: ByteSize(0),
    })
}

/// A backend that is up, down, or comes up after some probes.
pub(super) struct FakeTarget {
    pub upstream: UpstreamName,
    pub address: SocketAddr,
    pub server: ServerAddress,
    pub up: AtomicBool,
    pub passed: AtomicBool,
    pub leaving: AtomicBool,
    pub answers: AtomicBool,
    /// Up, but the next probe fails.
    pub dying: AtomicBool,
    /// It lives and takes nobody in while it is down.
    pub unready: AtomicBool,
    pub in_flight: AtomicUsize,
    pub held: Arc<AtomicUsize>,
    pub probes: AtomicUsize,
    pub sick_since: Instant,
}

impl FakeTarget {
    /// It was well before.
    pub(super) fn sick(upstream: &str, address: &str) -> Arc<Self> {
        Arc::new(Self {
            upstream: UpstreamName::parse(upstream).unwrap(),
            address: address.parse().unwrap(),
            server: ServerAddress::parse(&format!("{upstream}:80")).unwrap(),
            up: AtomicBool::new(false),
            passed: AtomicBool::new(true),
            leaving: AtomicBool::new(false),
            answers: AtomicBool::new(false),
            dying: AtomicBool::new(false),
            unready: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            held: Arc::default(),
            probes: AtomicUsize::new(0),
            sick_since: Instant::now(),
        })
    }

    /// Its check never passed.
    pub(super) fn never_up(upstream: &str, address: &str) -> Arc<Self> {
        let target = Self::sick(upstream, address);
        target.passed.store(false, Ordering::SeqCst);
        target
    }

    pub(super) fn up(upstream: &str, address: &str) -> Arc<Self> {
        let target = Self::sick(upstream, address);
        target.up.store(true, Ordering::SeqCst);
        target
    }

    pub(super) fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::SeqCst);
        self.passed.fetch_or(up, Ordering::SeqCst);
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::SeqCst) != 0
    }
}

struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl HealTarget for FakeTarget {
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
    fn has_passed(&self) -> bool {
        self.passed.load(Ordering::SeqCst)
    }
    fn last_pass(&self) -> Option<Instant> {
        self.is_up().then(Instant::now)
    }
    fn serves(&self) -> bool {
        false
    }
    fn answers(&self) -> bool {
        self.answers.load(Ordering::SeqCst)
    }
    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }
    fn sick_since(&self) -> Option<Instant> {
        self.is_sick().then_some(self.sick_since)
    }
    fn cause(&self) -> String {
        "no answer in time".into()
    }
    fn unready(&self) -> Option<String> {
        (self.is_sick() && self.unready.load(Ordering::SeqCst)).then(|| "starting up".into())
    }
    fn is_silent(&self) -> bool {
        false
    }

    fn is_in_rotation(&self) -> bool {
        self.is_up() && !self.is_held()
    }
    fn pretend_sick(&self) -> Box<dyn Send> {
        self.set_up(false);
        Box::new(())
    }
    fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }
    fn hold_out(&self) -> Box<dyn Send> {
        self.held.fetch_add(1, Ordering::SeqCst);
        Box::new(Held(Arc::clone(&self.held)))
    }
    fn probe(&self) -> BoxFuture<'_, bool> {
        self.probes.fetch_add(1, Ordering::SeqCst);
        async { self.is_up() && !self.dying.load(Ordering::SeqCst) }.boxed()
    }
}

type Effect = Box<dyn Fn(&Step) + Send + Sync>;

/// A driver whose results are written down beforehand; `ok` when they run out.
pub(super) struct FakeDriver {
    pub finds: Mutex<VecDeque<Result<ContainerRef, FindError>>>,
    pub always: Option<ContainerRef>,
    pub results: Mutex<VecDeque<Result<StepDone, ExecError>>>,
    pub performed: Mutex<Vec<String>>,
    pub effect: Effect,
    /// What Docker does, as the test tells it.
    pub seen: Mutex<Option<mpsc::Receiver<Seen>>>,
}

impl FakeDriver {
    pub(super) fn new(
        results: Vec<Result<StepDone, ExecError>>,
        effect: impl Fn(&Step) + Send + Sync + 'static,
    ) -> Self {
        Self {
            finds: Mutex::default(),
            always: None,
            results: Mutex::new(results.into()),
            performed: Mutex::default(),
            effect: Box::new(effect),
            seen: Mutex::default(),
        }
    }

    pub(super) fn performed(&self) -> Vec<String> {
        self.performed.lock().clone()
    }
}

pub(super) fn done(code: i64) -> Result<StepDone, ExecError> {
    Ok(StepDone { code: Some(code), output: String::new(), took: Duration::from_millis(1) })
}

#[async_trait]
impl ContainerDriver for FakeDriver {
    async fn find(&self, backend: &BackendRef) -> Result<ContainerRef, FindError> {
        let next = self.finds.lock().pop_front();
        next.unwrap_or_else(|| match &self.always {
            Some(container) => Ok(container.clone()),
            None => Ok(container(&format!("{}-{}", backend.server.host(), backend.address.port()))),
        })
    }

    async fn logs(&self, _whom: &BackendRef, _container: &ContainerRef) -> String {
        String::new()
    }

    async fn watch(&self, tell: mpsc::Sender<Seen>) {
        let seen = self.seen.lock().take();
        if let Some(mut seen) = seen {
            while let Some(one) = seen.recv().await {
                if tell.send(one).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn perform(&self, order: &Order<'_>) -> Result<StepDone, ExecError> {
        let Order { container, step, .. } = *order;
        self.performed.lock().push(format!("{step} in {}", container.name));
        let result = self.results.lock().pop_front().unwrap_or_else(|| done(0));
        if result.is_ok() {
            (self.effect)(step);
        }
        result
    }
}

pub(super) struct FakeWorld {
    pub pools: Mutex<Vec<HealPool>>,
    pub generation: AtomicU64,
    pub changed: watch::Sender<u64>,
}

impl FakeWorld {
    pub(super) fn new(pools: Vec<(Arc<UpstreamSpec>, Vec<Arc<FakeTarget>>)>) -> Arc<Self> {
        let world = Self { pools: Mutex::default(), generation: AtomicU64::new(0), changed: watch::Sender::new(0) };
        world.reload(pools);
        Arc::new(world)
    }

    /// Another configuration is in force.
    pub(super) fn reload(&self, pools: Vec<(Arc<UpstreamSpec>, Vec<Arc<FakeTarget>>)>) {
        let pool = |(spec, targets): (Arc<UpstreamSpec>, Vec<Arc<FakeTarget>>)| HealPool {
            routed: !spec.name.as_str().starts_with("database"),
            spec,
            targets: targets.into_iter().map(|target| target as Arc<dyn HealTarget>).collect(),
        };
        *self.pools.lock() = pools.into_iter().map(pool).collect();
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

impl HealWorld for FakeWorld {
    fn pools(&self) -> Arc<[HealPool]> {
        self.pools.lock().as_slice().into()
    }
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }
    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
