//! Which backend takes a request, and how long a request may wait for one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backend::Backend;
use super::lease::Lease;
use super::pool::Upstream;

/// Requests of one upstream that may wait for a backend at a time; one more is answered at once.
const HELD_MAX: usize = 1024;

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
}

impl NoBackend {
    /// A few words for logs and error bodies.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unresolved => "no server of the upstream resolves",
            Self::AllDown => "no backend is up",
            Self::AllTried => "every backend that is up was tried",
        }
    }
}

impl Upstream {
    /// Claims the backend whose turn it is, passing over those tried.
    ///
    /// # Errors
    /// When there is none.
    pub fn select(&self, tried: &[SocketAddr]) -> Result<Lease, NoBackend> {
        let rotation = self.pool().rotation.load();
        if rotation.is_empty() {
            return Err(if self.pool().has_members() { NoBackend::AllDown } else { NoBackend::Unresolved });
        }
        let turn = self.pool().next_turn();
        let untried = |backend: &Backend| tried.is_empty() || !tried.contains(&backend.address());
        rotation.at(turn, untried).map(|backend| Lease::new(Arc::clone(backend))).ok_or(NoBackend::AllTried)
    }

    /// Like [`select`](Self::select), but where no backend is up waits for one until `deadline`.
    ///
    /// # Errors
    /// When none came up in time, or too many requests wait already.
    pub async fn select_or_wait(&self, tried: &mut Tried, deadline: Instant) -> Result<Lease, NoBackend> {
        let mut changed = self.changed();
        let first = match self.select(tried) {
            Err(why) if Instant::now() < deadline => why,
            other => return other,
        };
        let Some(_held) = Held::enter(self) else { return Err(first) };
        loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            let woken = tokio::time::timeout(wait, changed.changed()).await;
            // What failed before may be repaired by now.
            tried.clear();
            match (self.select(tried), woken) {
                (Err(_), Ok(Ok(()))) => {}
                (other, _) => return other,
            }
        }
    }

    /// True when a backend that takes turns has not been tried.
    pub fn has_untried(&self, tried: &[SocketAddr]) -> bool {
        self.pool().rotation.load().at(0, |backend| !tried.contains(&backend.address())).is_some()
    }

    /// Requests that wait for a backend now.
    pub fn held(&self) -> usize {
        self.pool().held.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// How long a request that came at `start` may wait.
    pub fn hold_deadline(&self, start: Instant) -> Instant {
        start + self.spec().hold.min(Duration::from_secs(3600))
    }
}

/// One request's place among those that wait.
struct Held<'a>(&'a Upstream);

impl<'a> Held<'a> {
    fn enter(upstream: &'a Upstream) -> Option<Self> {
        let held = &upstream.pool().held;
        let entered = Self(upstream);
        let before = held.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        (before < HELD_MAX).then_some(entered)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.pool().held.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}
