//! How many requests are being worked on, so that a shutdown can end as soon as there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A count of requests, shared by all lanes.
#[derive(Debug, Default)]
pub struct Active {
    requests: AtomicUsize,
    none: Notify,
}

/// One request in the count; leaves it when dropped.
#[derive(Debug)]
pub struct ActiveRequest(Arc<Active>);

impl Active {
    /// Counts a request until the result is dropped.
    pub fn enter(self: &Arc<Self>) -> ActiveRequest {
        self.requests.fetch_add(1, Ordering::Relaxed);
        ActiveRequest(Arc::clone(self))
    }

    /// Requests being worked on.
    pub fn count(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }

    /// Waits until there is none.
    pub async fn none(&self) {
        loop {
            let none = self.none.notified();
            if self.count() == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        // What was done for it is done, to whoever sees the count.
        if self.0.requests.fetch_sub(1, Ordering::Release) == 1 {
            self.0.none.notify_waiters();
        }
    }
}
