//! Claims on a backend: a request in flight, and a repair that keeps requests away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::backend::Backend;
use super::pool::Pool;

/// One request's claim on a backend; its work counts as in flight until this is dropped.
#[derive(Debug)]
pub struct Lease {
    backend: Arc<Backend>,
    answered: AtomicBool,
}

impl Lease {
    pub(super) fn new(backend: Arc<Backend>) -> Self {
        let vitals = backend.vitals();
        vitals.in_flight.fetch_add(1, Ordering::Relaxed);
        if vitals.unanswered.fetch_add(1, Ordering::Relaxed) == 0 {
            vitals.evidence.began(Instant::now());
        }
        vitals.metrics.requests().inc();
        Self { backend, answered: AtomicBool::new(false) }
    }

    /// The backend claimed.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// The head of the answer is here; what follows may take its time.
    pub(super) fn set_answered(&self) {
        if !self.answered.swap(true, Ordering::Relaxed) {
            self.backend.vitals().unanswered.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.set_answered();
        let vitals = self.backend.vitals();
        if vitals.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            vitals.idle.notify_waiters();
        }
    }
}

/// Keeps a backend out of rotation until dropped.
#[must_use = "dropping this lets requests back"]
pub struct HeldOut {
    pool: Arc<Pool>,
    backend: Arc<Backend>,
}

impl HeldOut {
    pub(super) fn new(pool: Arc<Pool>, backend: Arc<Backend>) -> Self {
        backend.vitals().held_out.fetch_add(1, Ordering::Relaxed);
        pool.refresh();
        Self { pool, backend }
    }
}

impl Drop for HeldOut {
    fn drop(&mut self) {
        self.backend.vitals().held_out.fetch_sub(1, Ordering::Relaxed);
        self.pool.refresh();
    }
}

/// A drill: the backend's probes fail without being asked until this is dropped or the pretence is ended.
#[must_use = "dropping this ends the drill"]
pub struct Pretence(Arc<Backend>);

impl Pretence {
    pub(super) fn new(backend: Arc<Backend>) -> Self {
        backend.vitals().pretence.store(true, Ordering::Relaxed);
        Self(backend)
    }
}

impl Drop for Pretence {
    fn drop(&mut self) {
        self.0.end_pretence();
    }
}
