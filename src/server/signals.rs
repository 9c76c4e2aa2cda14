//! What the operating system asks of the process. As nginx: TERM and QUIT end gracefully, INT at once, HUP reloads, USR1
//! opens files anew. What else means something to nginx, HAProxy or a terminal ends nobody.
//!
//! Handlers are installed before anything listens, so that no signal ends a process that clients can reach already, and so
//! that they hold for PID 1 too, which ignores unhandled signals.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::heal::Journal;
use crate::reload::Hangups;
use crate::telemetry::{AccessLogger, Limiter};

/// How long the end waits for logs to be written.
pub(super) const LAST_LINES: Duration = Duration::from_millis(500);

/// Every signal that means something.
pub(super) struct Signals {
    pub end: EndSignals,
    pub harmless: HarmlessSignals,
    /// Of a process whose configuration can be read again; another one ends by HUP, as when its terminal closes.
    pub hangups: Option<Hangups>,
}

impl Signals {
    /// Installs the handlers. Needs a runtime around it.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn install(may_reload: bool) -> io::Result<Self> {
        Ok(Self {
            end: EndSignals::install()?,
            harmless: HarmlessSignals::install()?,
            hangups: may_reload.then(Hangups::install),
        })
    }
}

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
    fn install() -> io::Result<Self> {
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

/// Signals that would end a process without a word if nobody took them.
pub(super) struct HarmlessSignals {
    user1: Signal,
    user2: Signal,
    window: Signal,
}

impl HarmlessSignals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            window: signal(SignalKind::window_change())?,
        })
    }

    /// Answers each with a line at most, until dropped. USR1 has the files opened anew, which a log rotation may have moved.
    pub async fn run(mut self, files: Rotated) {
        let (lines, windows) = (Limiter::default(), Limiter::default());
        loop {
            let (said, limiter) = tokio::select! {
                _ = self.user1.recv() => (files.reopen().await, &lines),
                _ = self.user2.recv() => {
                    ("SIGUSR2 ignored: to run another version, start a new process, then stop this one".into(), &lines)
                }
                _ = self.window.recv() => ("SIGWINCH ignored: SIGQUIT or SIGTERM ends gracefully".into(), &windows),
            };
            if limiter.admit().is_some() {
                log::info!("{said}");
            }
        }
    }
}

/// What is in files that a log rotation may move.
#[derive(Clone, Default)]
pub(super) struct Rotated {
    pub journal: Option<Arc<Journal>>,
    pub access: Option<Arc<AccessLogger>>,
}

impl Rotated {
    pub fn of(journal: &Arc<Journal>, access: &Arc<AccessLogger>) -> Self {
        Self { journal: Some(Arc::clone(journal)), access: Some(Arc::clone(access)) }
    }

    /// Opens them again, where a slow disk holds nobody up; says what came of it.
    async fn reopen(&self) -> String {
        let files = self.clone();
        tokio::task::spawn_blocking(move || files.reopen_now()).await.unwrap_or_default()
    }

    fn reopen_now(&self) -> String {
        let journal = self.journal.as_deref().map_or(Ok(false), Journal::reopen).map(|is| is.then_some("heal journal"));
        let access = self.access.as_deref().map_or(Ok(None), AccessLogger::reopen).map(|at| at.map(|_| "access log"));
        let (mut opened, mut failed) = (Vec::new(), Vec::new());
        for (name, result) in [("heal journal", journal), ("access log", access)] {
            match result {
                Ok(name) => opened.extend(name),
                Err(error) => failed.push(format!("cannot open the {name} again ({error}); the old file stays in use")),
            }
        }
        match (opened.as_slice(), failed.as_slice()) {
            ([], []) => {
                "SIGUSR1 ignored: logs go to standard output and error; no file needs to be opened again".into()
            }
            ([one], []) => format!("SIGUSR1: the {one} was opened again"),
            (all, []) => format!("SIGUSR1: the {} were opened again", all.join(" and the ")),
            (_, failed) => format!("SIGUSR1: {}", failed.join("; ")),
        }
    }
}
