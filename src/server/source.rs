//! The file a process was started with, and reading it again.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::KeptFiles;
use crate::config::model::Config;
use crate::reload::{
    Hangups, History, LoadConfig, LoadedConfig, Parts, Publish, Reload, SINGLE_FILE, WatchSet, single_files,
};
use crate::telemetry::Metrics;

/// A file that may change.
pub struct FileSource {
    /// Its place, for status.
    pub file: PathBuf,
    /// Reads it again.
    pub loader: Box<dyn LoadConfig>,
    /// What it was read from the first time.
    pub watch: WatchSet,
    /// The texts themselves.
    pub kept: KeptFiles,
}

impl FileSource {
    /// A file that was read once.
    pub fn new(file: PathBuf, loader: Box<dyn LoadConfig>, loaded: &LoadedConfig) -> Self {
        Self { file, loader, watch: loaded.watch.clone(), kept: loaded.kept.clone() }
    }
}

/// Starts to follow the file that `running` was read from.
pub(super) fn start_reload<P: Publish>(
    source: FileSource,
    publisher: P,
    running: Config,
    metrics: &Arc<Metrics>,
    hangups: Hangups,
    history: Arc<History>,
) -> Reload {
    let FileSource { loader, watch, kept, .. } = source;
    for file in single_files(&watch.files) {
        log::warn!("{} {SINGLE_FILE}", file.display());
    }
    let metrics = Arc::clone(metrics);
    let parts = Parts { loader, publisher, running, generation: 1, watch, kept, metrics, history };
    Reload::start(parts, hangups)
}
