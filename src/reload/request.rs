//! Who asks for a reload, and how they hear of it. At most one request waits; it speaks for all that came meanwhile.

use std::fmt;
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
}

impl ReloadOrigin {
    /// The word in logs, labels and status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Signal => "signal",
            Self::Admin => "admin",
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
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {} in force: {} ({} ms)", self.generation, self.summary, self.took.as_millis())
    }
}

/// Where a reload is asked for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReloadHandle(mpsc::Sender<ReloadRequest>);

/// The one channel, of capacity one.
pub(super) fn channel() -> (ReloadHandle, mpsc::Receiver<ReloadRequest>) {
    let (sender, inbox) = mpsc::channel(1);
    (ReloadHandle(sender), inbox)
}

impl ReloadHandle {
    /// Asks for a reload and does not wait. When one is waiting to begin already, that one will see the same file.
    pub fn request(&self, origin: ReloadOrigin) {
        let _ = self.0.try_send(ReloadRequest { origin, answer: None });
    }

    /// Asks for a reload and waits for its end.
    ///
    /// # Errors
    /// The report when the file was refused; a line when the edge is stopping or the answer takes too long.
    pub async fn ask(&self, origin: ReloadOrigin) -> Result<Reloaded, String> {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            let stopping = || "the edge is stopping".to_owned();
            self.0.send(ReloadRequest { origin, answer: Some(answer) }).await.map_err(|_| stopping())?;
            answered.await.map_err(|_| stopping())?
        };
        let late = || format!("timed out after {} s; the log will show the result", ANSWER_WITHIN.as_secs());
        timeout(ANSWER_WITHIN, asking).await.map_err(|_| late())?
    }
}
