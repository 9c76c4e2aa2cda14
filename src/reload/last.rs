//! How the last reload ended, for whoever looks. An error stays until a reload succeeds.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;

use super::request::{ReloadOrigin, Reloaded};

/// How a reload ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadOutcome {
    /// When it ended.
    pub at: SystemTime,
    /// What asked for it.
    pub origin: ReloadOrigin,
    /// The report when it was refused.
    pub result: Result<Reloaded, String>,
}

/// The last outcome; none before the first reload.
#[derive(Debug, Default)]
pub struct LastReload(ArcSwapOption<ReloadOutcome>);

impl LastReload {
    /// How the last reload ended; `None` when none was asked for yet.
    pub fn get(&self) -> Option<Arc<ReloadOutcome>> {
        self.0.load_full()
    }

    pub(super) fn set(&self, outcome: ReloadOutcome) {
        self.0.store(Some(Arc::new(outcome)));
    }

    /// The report of the last reload where it was refused.
    pub(super) fn refusal(&self) -> Option<String> {
        self.get().and_then(|outcome| outcome.result.as_ref().err().cloned())
    }
}
