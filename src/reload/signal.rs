//! SIGHUP means: read the file again. Also as PID 1, where an unhandled one is ignored; elsewhere it would kill.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::request::{ReloadHandle, ReloadOrigin};

/// SIGHUPs, from the moment that this is made; each is kept until [`Reload`](super::Reload) takes it.
#[derive(Debug)]
pub struct Hangups(Option<Signal>);

impl Hangups {
    /// Installs the handler. Needs a runtime around it. Where the system refuses it, that is logged, and none comes.
    pub fn install() -> Self {
        match signal(SignalKind::hangup()) {
            Ok(hangups) => Self(Some(hangups)),
            Err(error) => {
                log::error!("cannot receive SIGHUP: {error}; use `remora reload`");
                Self(None)
            }
        }
    }
}

/// Turns every SIGHUP into a request, until dropped.
pub(super) async fn run(hangups: Hangups, requests: ReloadHandle) {
    let Some(mut hangups) = hangups.0 else { return };
    while hangups.recv().await.is_some() {
        requests.request(ReloadOrigin::Signal);
    }
}
