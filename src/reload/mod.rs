//! When the file is read again, and whether it comes into force. Never stops what runs: a bad file changes nothing.
//!
//! Events of the file system, SIGHUP and the admin listener all become the same [`ReloadRequest`] on a channel of
//! capacity one; a loop takes them one at a time: load, compare, publish, tell.

mod diff;
mod fingerprint;
mod last;
mod loader;
mod request;
mod run;
mod signal;
#[cfg(test)]
mod testing;
mod watch;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::config::model::Config;
use crate::telemetry::Metrics;
use crate::types::OwnedTask;

pub use diff::{process_changes, summary};
pub use last::{LastReload, Outcome};
pub use loader::FileLoader;
pub use request::{Origin, ReloadHandle, ReloadRequest, Reloaded};

/// Reads and checks the whole file. Called on a thread that may block.
pub trait Load: Send + Sync + 'static {
    /// Reads the file and everything it includes.
    ///
    /// # Errors
    /// When anything in it is wrong; then nothing of it is used.
    fn load(&self) -> Result<Loaded, Rejected>;
}

impl<L: Load + ?Sized> Load for Box<L> {
    fn load(&self) -> Result<Loaded, Rejected> {
        (**self).load()
    }
}

/// A file that is right.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What it was read from.
    pub watch: WatchSet,
}

/// A file that is wrong.
#[derive(Debug, Clone, Default)]
pub struct Rejected {
    /// Every problem, for a reader; several lines.
    pub report: String,
    /// What was read before it was rejected; watched beside what was watched already.
    pub watch: WatchSet,
}

/// What to watch for changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WatchSet {
    /// Every file that was read.
    pub files: BTreeSet<PathBuf>,
    /// Folders where a new file, or a new folder with a file, might be included.
    pub folders: BTreeSet<PathBuf>,
}

/// Puts a checked configuration in force.
#[async_trait]
pub trait Publish: Send + Sync + 'static {
    /// Builds what `config.site` needs and switches to it at once; on failure everything stays as it was.
    /// `config.process` equals what runs.
    async fn publish(&self, config: Config) -> Result<Published, Refusal>;
}

/// A configuration that is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its number; one more than the one before.
    pub generation: u64,
}

/// Why a checked configuration could not be put in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// What [`Reload::start`] needs.
pub struct Parts<L, P> {
    /// Reads the file.
    pub loader: L,
    /// Puts it in force.
    pub publisher: P,
    /// What is in force now.
    pub running: Config,
    /// The number of what is in force now.
    pub generation: u64,
    /// What it was read from.
    pub watch: WatchSet,
    /// Where reloads are counted.
    pub metrics: Arc<Metrics>,
}

/// Reloading, while this value lives.
#[derive(Debug)]
pub struct Reload {
    handle: ReloadHandle,
    last: Arc<LastReload>,
    _tasks: [OwnedTask; 3],
}

impl Reload {
    /// Starts the loop, the watcher and the wait for SIGHUP on the current runtime.
    pub fn start<L: Load, P: Publish>(parts: Parts<L, P>) -> Self {
        let (handle, inbox) = request::channel();
        let last = Arc::new(LastReload::default());
        let (sets, changed_sets) = tokio::sync::watch::channel(parts.watch.clone());
        let reloader = run::Reloader::new(parts, Arc::clone(&last), sets);
        let tasks = [
            OwnedTask::spawn(reloader.run(inbox)),
            OwnedTask::spawn(watch::run(changed_sets, handle.clone())),
            OwnedTask::spawn(signal::run(signal::install(), handle.clone())),
        ];
        Self { handle, last, _tasks: tasks }
    }

    /// Where a reload is asked for.
    pub fn handle(&self) -> &ReloadHandle {
        &self.handle
    }

    /// How the last reload ended.
    pub fn last(&self) -> &Arc<LastReload> {
        &self.last
    }
}
