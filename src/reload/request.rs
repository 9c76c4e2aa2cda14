//! Who asks for a reload, and how they hear of it. At most one request waits; it speaks for all that came meanwhile.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// The longest an asker waits for the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(100);

/// What asked for a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadOrigin {
    /// The file, or one it includes, changed.
    File,
    /// SIGHUP.
    Signal,
    /// The admin listener, for `remora reload`.
    Admin,
    /// The admin listener, for `remora rollback`.
    Rollback,
}

impl ReloadOrigin {
    /// The word in logs, labels and status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Signal => "signal",
            Self::Admin => "admin",
            Self::Rollback => "rollback",
        }
    }
}

/// Read the file again.
#[derive(Debug)]
pub struct ReloadRequest {
    /// What asked.
    pub origin: ReloadOrigin,
    /// Who wants to know how it ended: the report when it was refused.
    pub answer: Option<oneshot::Sender<Result<Reloaded, String>>>,
}

/// A reload that is in force, or changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// The number of the configuration in force.
    pub generation: u64,
    /// `1 upstream changed (backend), 1 route added (/x)` or `nothing changed`.
    pub summary: String,
    /// From the first read to the switch.
    pub took: Duration,
    /// What is odd about the files, such as one that is mounted by itself.
    pub notes: Vec<String>,
    /// What the files get by defaults that this version changed; each is told once.
    pub new_defaults: Vec<String>,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {} in force: {} ({} ms)", self.generation, self.summary, self.took.as_millis())
    }
}

/// Bring an older configuration back.
#[derive(Debug)]
pub(super) struct RollbackRequest {
    /// The entry of the history; `None` undoes the last change.
    pub(super) to: Option<u64>,
    /// Who wants to know how it ended: the report when it was refused.
    pub(super) answer: oneshot::Sender<Result<RolledBack, String>>,
}

/// A rollback that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBack {
    /// What came into force; `nothing changed` where it was in force already and only the files said something else.
    pub reloaded: Reloaded,
    /// The entry of the history that was brought back.
    pub to: u64,
    /// The files that were written, new ones too.
    pub written: Vec<PathBuf>,
    /// The files that were not there then, and the names that they have now.
    pub set_aside: Vec<(PathBuf, PathBuf)>,
    /// The entry of the history with what the files said before; `None` where they said the same.
    pub replaced: Option<u64>,
    /// Why the files still say something else than what is in force; `None` where they say the same.
    pub not_written: Option<String>,
}

/// Where a reload is asked for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReloadHandle {
    reloads: mpsc::Sender<ReloadRequest>,
    rollbacks: mpsc::Sender<RollbackRequest>,
}

/// What was asked for.
#[derive(Debug)]
pub(super) struct ReloadInbox {
    pub(super) reloads: mpsc::Receiver<ReloadRequest>,
    pub(super) rollbacks: mpsc::Receiver<RollbackRequest>,
}

/// Channels of capacity one. Rollbacks have their own: a request that finds one waiting is not answered by it.
pub(super) fn channel() -> (ReloadHandle, ReloadInbox) {
    let (reloads, reload_inbox) = mpsc::channel(1);
    let (rollbacks, rollback_inbox) = mpsc::channel(1);
    (ReloadHandle { reloads, rollbacks }, ReloadInbox { reloads: reload_inbox, rollbacks: rollback_inbox })
}

impl ReloadHandle {
    /// Asks for a reload and does not wait. When one is waiting to begin already, that one will see the same file.
    pub fn request(&self, origin: ReloadOrigin) {
        let _ = self.reloads.try_send(ReloadRequest { origin, answer: None });
    }

    /// Asks for a reload and waits for its end.
    ///
    /// # Errors
    /// The report when the file was refused; a line when the edge is stopping or the answer takes too long.
    pub async fn ask(&self, origin: ReloadOrigin) -> Result<Reloaded, String> {
        let (answer, answered) = oneshot::channel();
        let request = ReloadRequest { origin, answer: Some(answer) };
        answer_of(async { self.reloads.send(request).await.is_ok() }, answered).await
    }

    /// Asks for an older configuration and waits until it is in force; without an entry, for what undoes the last change.
    ///
    /// # Errors
    /// The report when it was refused; a line when the edge is stopping or the answer takes too long.
    pub async fn roll_back(&self, to: Option<u64>) -> Result<RolledBack, String> {
        let (answer, answered) = oneshot::channel();
        let request = RollbackRequest { to, answer };
        answer_of(async { self.rollbacks.send(request).await.is_ok() }, answered).await
    }
}

async fn answer_of<T>(
    sending: impl Future<Output = bool>,
    answered: oneshot::Receiver<Result<T, String>>,
) -> Result<T, String> {
    let asking = async {
        let stopping = || "the edge is stopping".to_owned();
        if !sending.await {
            return Err(stopping());
        }
        answered.await.map_err(|_| stopping())?
    };
    let late = || format!("timed out after {} s; the log will show the result", ANSWER_WITHIN.as_secs());
    timeout(ANSWER_WITHIN, asking).await.map_err(|_| late())?
}
