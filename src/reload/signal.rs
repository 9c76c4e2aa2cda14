//! SIGHUP means: read the file again. Also as PID 1, where an unhandled one is ignored; elsewhere it would kill.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::request::{ReloadHandle, ReloadOrigin};

/// Installs the handler; from now on a SIGHUP is kept until [`run`] takes it.
pub(super) fn install() -> Option<Signal> {
    match signal(SignalKind::hangup()) {
        Ok(hangups) => Some(hangups),
        Err(error) => {
            log::error!("cannot receive SIGHUP: {error}; use `remora reload`");
            None
        }
    }
}

/// Turns every SIGHUP into a request, until dropped.
pub(super) async fn run(hangups: Option<Signal>, requests: ReloadHandle) {
    let Some(mut hangups) = hangups else { return };
    while hangups.recv().await.is_some() {
        requests.request(ReloadOrigin::Signal);
    }
}
