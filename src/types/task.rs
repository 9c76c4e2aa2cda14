//! Background work with an owner.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A task that ends when this value is dropped.
#[derive(Debug)]
#[must_use = "dropping this stops the task"]
pub struct OwnedTask(JoinHandle<()>);

impl OwnedTask {
    /// Starts `work` on the current runtime.
    #[expect(clippy::disallowed_methods, reason = "the one place that may spawn")]
    pub fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// Starts `work` on the given runtime, for callers that stand outside one.
    pub fn spawn_on(runtime: &Handle, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(runtime.spawn(work))
    }

    /// True once the work has ended by itself.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for OwnedTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts `work` on this thread's event loop, which owns it: it ends with the loop.
#[expect(clippy::disallowed_methods, reason = "the one place that may spawn")]
pub fn spawn_here(work: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(work));
}
