//! When the file is read again, and whether it comes into force. Never stops what runs: a bad file changes nothing.
//!
//! Events of the file system, SIGHUP and the admin listener all become the same [`ReloadRequest`] on a channel of
//! capacity one; a loop takes them one at a time: load, compare, publish, tell, and keep what was read in the history. A
//! rollback takes its turn in the same loop.

mod diff;
mod fingerprint;
mod history;
mod interest;
mod last;
mod load;
mod loader;
mod mounts;
mod publish;
mod request;
mod roll_back;
mod run;
mod signal;
#[cfg(test)]
mod testing;
mod watch;
mod write_back;

use std::sync::Arc;

use crate::types::OwnedTask;

pub use diff::{process_changes, summary};
pub use history::{History, HistoryEntry, HistoryResult, ShownEntry};
pub use last::{LastReload, ReloadOutcome};
pub use load::{LoadConfig, LoadedConfig, Rejected, WatchSet};
pub use loader::FileLoader;
pub use mounts::{SINGLE_FILE, single_files};
pub use publish::{NotPublished, Publish, Published};
pub use request::{ReloadHandle, ReloadOrigin, ReloadRequest, Reloaded, RolledBack};
pub use run::{NEW_DEFAULT, Parts};
pub use signal::Hangups;

/// Reloading, while this value lives.
#[derive(Debug)]
pub struct Reload {
    handle: ReloadHandle,
    last: Arc<LastReload>,
    history: Arc<History>,
    _tasks: [OwnedTask; 3],
}

impl Reload {
    /// Starts the loop, the watcher and the wait for SIGHUP on the current runtime.
    pub fn start<L: LoadConfig, P: Publish>(parts: Parts<L, P>, hangups: Hangups) -> Self {
        let (handle, inbox) = request::channel();
        let last = Arc::new(LastReload::default());
        let (sets, changed_sets) = tokio::sync::watch::channel(parts.watch.clone());
        let history = Arc::clone(&parts.history);
        let reloader = run::Reloader::new(parts, Arc::clone(&last), sets);
        let tasks = [
            OwnedTask::spawn(reloader.run(inbox)),
            OwnedTask::spawn(watch::run(changed_sets, handle.clone())),
            OwnedTask::spawn(signal::run(hangups, handle.clone())),
        ];
        Self { handle, last, history, _tasks: tasks }
    }

    /// Where a reload is asked for.
    pub fn handle(&self) -> &ReloadHandle {
        &self.handle
    }

    /// The last reloads, and whether the files say what is in force.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// How the last reload ended.
    pub fn last(&self) -> &Arc<LastReload> {
        &self.last
    }
}
