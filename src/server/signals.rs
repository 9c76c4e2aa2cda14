//! What the operating system asks of the process. As nginx: TERM and QUIT end gracefully, INT at once, HUP reloads.
//!
//! Handlers are installed before anything listens, so that they hold for PID 1 too, which ignores unhandled signals.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long the end waits for logs to be written.
pub(super) const LAST_LINES: Duration = Duration::from_millis(500);

/// A way to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Stop accepting, finish what is in flight, then exit.
    Graceful,
    /// Exit now.
    Fast,
}

/// The signals that end the process.
pub struct EndSignals {
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
}

impl EndSignals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Ending {
        tokio::select! {
            _ = self.terminate.recv() => Ending::Graceful,
            _ = self.quit.recv() => Ending::Graceful,
            _ = self.interrupt.recv() => Ending::Fast,
        }
    }
}
