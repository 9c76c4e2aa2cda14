//! How requests wake the stall monitor, which sleeps while there is no work.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Wakes the monitor.
#[derive(Debug, Default)]
pub(super) struct MonitorWake {
    awake: AtomicBool,
    woken: Notify,
}

impl MonitorWake {
    /// There is work. Costs a load while the monitor is awake.
    pub fn wake(&self) {
        if !self.awake.load(Ordering::Relaxed) && !self.awake.swap(true, Ordering::SeqCst) {
            self.woken.notify_one();
        }
    }

    /// True where the monitor may sleep: there was no work after it had said that it would.
    pub fn may_sleep(&self, has_work: impl Fn() -> bool) -> bool {
        self.awake.store(false, Ordering::SeqCst);
        if has_work() {
            self.awake.store(true, Ordering::SeqCst);
            return false;
        }
        true
    }

    /// Sleeps until there is work.
    pub async fn sleep(&self) {
        self.woken.notified().await;
    }
}
