//! What tests stand on: an edge, origins behind it, clients before it, and waits that have a name and a deadline.

mod client;
mod edge;
pub mod frames;
mod link;
mod origin;
mod raw_origin;
mod secure;
mod wire;

use std::future::Future;
use std::time::{Duration, Instant};

pub use client::{Client, raw, scheme};
pub use edge::{Lines, Running, TestEdge, free_port, is_full_lane, lane};
pub use link::{Link, Weather};
pub use origin::Origin;
pub use raw_origin::{OK, Peer, RawOrigin, RawRequest};
pub use secure::{Certificate, put, trusting, trusting_with};
pub use wire::Wire;

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
