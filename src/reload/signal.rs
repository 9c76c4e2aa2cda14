//! SIGHUP means: read the file again. Also as PID 1, where an unhandled one is ignored.

use tokio::signal::unix::{SignalKind, signal};

use super::request::{Origin, ReloadHandle};

/// Turns every SIGHUP into a request, until dropped.
pub(super) async fn run(requests: ReloadHandle) {
    match signal(SignalKind::hangup()) {
        Ok(mut hangups) => {
            while hangups.recv().await.is_some() {
                requests.request(Origin::Signal);
            }
        }
        Err(error) => log::error!("SIGHUP cannot be received: {error}; use `remora reload`"),
    }
}
