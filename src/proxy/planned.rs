//! What the front door has decided about the request that Pingora serves next. Pingora has no place for it, so it goes with the
//! task.

use std::sync::Arc;
use std::time::Instant;

use crate::plan::Walk;
use crate::snapshot::Snapshot;

tokio::task_local! {
    static PLANNED: Planned;
}

/// A request's snapshot, its way and its first moment.
#[derive(Clone)]
pub struct Planned {
    /// Pinned when its head was read.
    pub snapshot: Arc<Snapshot>,
    /// How far it is.
    pub walk: Walk,
    /// When its first byte came.
    pub start: Instant,
}

impl Planned {
    /// Has Pingora serve it.
    pub async fn serve<F: Future>(self, pingora: F) -> F::Output {
        PLANNED.scope(self, pingora).await
    }

    /// The one of this task.
    pub(super) fn take() -> Option<Self> {
        PLANNED.try_with(Self::clone).ok()
    }
}
