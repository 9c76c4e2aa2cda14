//! A request's claim on a backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::backend::Backend;

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
        lasting.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
