//! What keeps requests away from a backend while it is repaired or stopped, and what makes it look sick for a drill.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::backend::Backend;
use super::health::CheckState;
use super::pool::BackendPool;

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
