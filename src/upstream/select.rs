//! Which backend takes a request, and how long a request may wait for one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::backend::Backend;
use super::lease::Lease;
use super::queue::{QUEUED_MAX, crowd, drains, patience};
use super::rotation::Serving;
use super::upstream::Upstream;

/// Pause between two looks at whether there is room, give or take a half.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// Backends a request has been given before.
pub type Tried = Vec<SocketAddr>;

/// Why no backend took a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoBackend {
    /// No server name resolves.
    Unresolved,
    /// Every backend is down.
    AllDown,
    /// Every backend that is up was tried.
    AllTried,
    /// Every backend has more than it can answer.
    Overloaded,
}

impl NoBackend {
    /// A few words for logs and error bodies.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unresolved => "no server name of the upstream resolves",
            Self::AllDown => "no backend is up",
            Self::AllTried => "all backends that are up were tried",
            Self::Overloaded => "all backends are overloaded",
        }
    }
}

impl Upstream {
    /// Claims the backend whose turn it is, passing over those tried.
    ///
    /// # Errors
    /// When there is none.
    pub fn select(&self, tried: &[SocketAddr]) -> Result<Lease, NoBackend> {
        let pool = self.pool();
        pool.monitor_wake.wake();
        let rotation = pool.rotation.load();
        if rotation.is_empty() {
            return Err(if pool.has_members() { NoBackend::AllDown } else { NoBackend::Unresolved });
        }
        let turn = pool.next_turn();
        let untried = |backend: &Backend| tried.is_empty() || !tried.contains(&backend.address());
        let Some(backend) = rotation.at(turn, |backend| untried(backend) && backend.has_room()) else {
            if rotation.at(turn, untried).is_none() {
                return Err(NoBackend::AllTried);
            }
            return Err(NoBackend::Overloaded);
        };
        Ok(Lease::new(Arc::clone(backend), pool.beat.load(Ordering::Relaxed)))
    }

    /// Like [`select`](Self::select), but where no backend is up waits for one until `deadline`, and notes since when.
    ///
    /// # Errors
    /// When none came up in time, or too many requests wait already.
    pub async fn select_or_wait(
        &self,
        tried: &mut Tried,
        deadline: Instant,
        queued_since: &mut Option<Instant>,
    ) -> Result<Lease, NoBackend> {
        let found = self.wait_for_one(tried, deadline, queued_since).await;
        if matches!(found, Err(NoBackend::Overloaded)) {
            self.pool().metrics.shed();
        }
        found
    }

    async fn wait_for_one(
        &self,
        tried: &mut Tried,
        deadline: Instant,
        queued_since: &mut Option<Instant>,
    ) -> Result<Lease, NoBackend> {
        let (mut changed, now) = (self.changed(), Instant::now());
        let first = match self.select(tried) {
            // To wait would only make the queue longer, unless it drains.
            Err(why) if now < deadline && (why != NoBackend::Overloaded || drains(self.pool().let_go_for(now))) => why,
            other => return other,
        };
        let Some(_held) = Held::enter(self) else { return Err(first) };
        *queued_since = Some(now);
        let mut is_crowded = first == NoBackend::Overloaded;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let look = if is_crowded { LOOK_EVERY.mul_f64(0.5 + fastrand::f64()).min(left) } else { left };
            let woken = tokio::time::timeout(look, changed.changed()).await;
            // What failed before may be repaired by now.
            tried.clear();
            if matches!(woken, Ok(Err(_))) || deadline <= Instant::now() {
                return self.select(tried);
            }
            is_crowded = self.is_crowded(crowd(self.pool().let_go_for(Instant::now())));
            if !is_crowded && let Ok(lease) = self.select(tried) {
                return Ok(lease);
            }
        }
    }

    /// True while those that take turns have enough to do for the moment.
    fn is_crowded(&self, crowd: usize) -> bool {
        let rotation = self.pool().rotation.load();
        !rotation.is_empty() && rotation.at(0, |backend| backend.waiting() < crowd && backend.has_room()).is_none()
    }

    /// True when a backend that takes turns has not been tried.
    pub fn has_untried(&self, tried: &[SocketAddr]) -> bool {
        let free = |backend: &Backend| !tried.contains(&backend.address()) && backend.has_room();
        self.pool().rotation.load().at(0, free).is_some()
    }

    /// True when a request that waits in a backend that was put out has one to go to that is up.
    pub fn has_refuge(&self, lease: &Lease, tried: &[SocketAddr]) -> bool {
        let rotation = self.pool().rotation.load();
        let free = |backend: &Backend| {
            let address = backend.address();
            address != lease.backend().address() && !tried.contains(&address) && backend.has_room()
        };
        matches!(rotation.serving, Serving::Up | Serving::Backup) && rotation.at(0, free).is_some()
    }

    /// True while every backend that takes turns has more than it can answer, and what is too much is refused. A check
    /// that fails meanwhile because probes wait in the same queue is no sickness.
    pub fn is_overloaded(&self) -> bool {
        self.pool().overloaded.load(Ordering::Relaxed)
    }

    /// Requests that wait for a backend now.
    pub fn held(&self) -> usize {
        self.pool().held.load(Ordering::Relaxed)
    }

    /// How long a request that came at `start` may wait.
    pub fn hold_deadline(&self, start: Instant) -> Instant {
        start + patience(self.spec().hold, self.pool().was_up(), self.pool().born.elapsed())
    }
}

/// One request's place among those that wait.
struct Held<'a>(&'a Upstream);

impl<'a> Held<'a> {
    fn enter(upstream: &'a Upstream) -> Option<Self> {
        let held = &upstream.pool().held;
        let entered = Self(upstream);
        let before = held.fetch_add(1, Ordering::Relaxed);
        (before < QUEUED_MAX).then_some(entered)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.pool().held.fetch_sub(1, Ordering::Relaxed);
    }
}
