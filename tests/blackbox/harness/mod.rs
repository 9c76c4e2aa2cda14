//! What tests stand on: an edge, origins behind it, clients before it, and waits that have a name and a deadline.

mod client;
mod edge;
mod origin;

use std::future::Future;
use std::time::{Duration, Instant};

pub use client::{Client, raw};
pub use edge::{TestEdge, free_port};
pub use origin::Origin;

/// Longest wait for anything that should happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `holds` answers true.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
