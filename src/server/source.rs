//! The file a process was started with, and reading it again.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::model::Config;
use crate::config::{ChangedDefault, KeptFiles};
use crate::reload::{
    Hangups, History, LoadConfig, LoadedConfig, Parts, Publish, Reload, SINGLE_FILE, WatchSet, single_files,
};
use crate::telemetry::{Alerts, Metrics};

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
    /// Defaults that this version changed and that the files do not say themselves.
    pub changed_defaults: Vec<ChangedDefault>,
}

impl FileSource {
    /// A file that was read once.
    pub fn new(file: PathBuf, loader: Box<dyn LoadConfig>, loaded: &LoadedConfig) -> Self {
        let LoadedConfig { config: _, watch, kept, changed_defaults } = loaded.clone();
        Self { file, loader, watch, kept, changed_defaults }
    }
}

/// Starts to follow the file that `running` was read from.
pub(super) fn start_reload<P: Publish>(
    source: FileSource,
    publisher: P,
    running: Config,
    metrics: &Arc<Metrics>,
    alerts: &Alerts,
    hangups: Hangups,
    history: Arc<History>,
) -> Reload {
    let FileSource { file, loader, watch, kept, changed_defaults } = source;
    for file in single_files(&watch.files) {
        log::warn!("{} {SINGLE_FILE}", file.display());
    }
    let parts = Parts {
        loader,
        publisher,
        running,
        generation: 1,
        watch,
        kept,
        changed_defaults,
        metrics: Arc::clone(metrics),
        alerts: alerts.clone(),
        file,
        history,
    };
    Reload::start(parts, hangups)
}
