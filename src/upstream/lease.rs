//! Claims on a backend: a request in flight, and a repair that keeps requests away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::backend::Backend;
use super::health::CheckState;
use super::pool::BackendPool;

/// One request's claim on a backend; its work counts as in flight until this is dropped.
#[derive(Debug)]
pub struct Lease {
    backend: Arc<Backend>,
    answered: AtomicBool,
    /// How often the backend had been put out before.
    evictions: u32,
    /// The beat of its upstream at which it was claimed.
    beat: u16,
}

impl Lease {
    pub(super) fn new(backend: Arc<Backend>, beat: u16) -> Self {
        let lasting = backend.lasting();
        lasting.in_flight.fetch_add(1, Ordering::Relaxed);
        if lasting.waits.enter(beat) {
            lasting.evidence.began(Instant::now());
        }
        lasting.metrics.requests().inc();
        let evictions = lasting.evictions.load(Ordering::Relaxed);
        Self { backend, answered: AtomicBool::new(false), evictions, beat }
    }

    /// True once the backend was put out because it is sick: who still waits for an answer may ask another.
    pub fn is_evicted(&self) -> bool {
        self.backend.lasting().evictions.load(Ordering::Relaxed) != self.evictions
    }

    /// The backend's answer waits for the client, whose body is still on its way: that it is late says nothing.
    pub fn mark_not_waiting(&self) {
        self.set_answered();
    }

    pub(super) fn beat(&self) -> u16 {
        self.beat
    }

    /// The backend claimed.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// The head of the answer is here; what follows may take its time.
    pub(super) fn set_answered(&self) {
        if !self.answered.swap(true, Ordering::Relaxed) {
            self.backend.lasting().waits.leave(self.beat);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.set_answered();
        let lasting = self.backend.lasting();
        if lasting.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            lasting.idle.notify_waiters();
        }
    }
}

/// Keeps a backend out of rotation until dropped.
#[must_use = "dropping this lets requests back"]
pub struct HeldOut {
    pool: Arc<BackendPool>,
    backend: Arc<Backend>,
    /// 1 where it is no sickness, else 0.
    set_aside: u32,
}

impl HeldOut {
    pub(super) fn new(pool: Arc<BackendPool>, backend: Arc<Backend>, is_planned: bool) -> Self {
        let set_aside = u32::from(is_planned);
        backend.lasting().set_aside.fetch_add(set_aside, Ordering::Relaxed);
        backend.lasting().held_out.fetch_add(1, Ordering::Relaxed);
        if backend.check_state() == CheckState::Down {
            // Not for one that is well and only has its turn.
            backend.lasting().evict();
        }
        pool.refresh();
        Self { pool, backend, set_aside }
    }
}

impl Drop for HeldOut {
    fn drop(&mut self) {
        self.backend.lasting().held_out.fetch_sub(1, Ordering::Relaxed);
        self.backend.lasting().set_aside.fetch_sub(self.set_aside, Ordering::Relaxed);
        self.pool.refresh();
    }
}

/// A drill: the backend's probes fail without being asked until this is dropped or the pretence is ended.
#[must_use = "dropping this ends the drill"]
pub struct Pretence(Arc<Backend>);

impl Pretence {
    pub(super) fn new(backend: Arc<Backend>) -> Self {
        backend.lasting().pretence.store(true, Ordering::Relaxed);
        Self(backend)
    }
}

impl Drop for Pretence {
    fn drop(&mut self) {
        self.0.end_pretence();
    }
}
