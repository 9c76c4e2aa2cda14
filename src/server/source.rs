//! The file a process was started with, and reading it again.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::model::Config;
use crate::reload::{Hangups, LoadConfig, Parts, Publish, Reload, SINGLE_FILE, WatchSet, single_files};
use crate::telemetry::{Alerts, Metrics};

/// A file that may change.
pub struct FileSource {
    /// Its place, for status.
    pub file: PathBuf,
    /// Reads it again.
    pub loader: Box<dyn LoadConfig>,
    /// What it was read from the first time.
    pub watch: WatchSet,
}

/// Starts to follow the file that `running` was read from.
pub(super) fn start_reload<P: Publish>(
    source: FileSource,
    publisher: P,
    running: Config,
    metrics: &Arc<Metrics>,
    alerts: &Alerts,
    hangups: Hangups,
) -> Reload {
    let FileSource { file, loader, watch } = source;
    for file in single_files(&watch.files) {
        log::warn!("{} {SINGLE_FILE}", file.display());
    }
    let parts = Parts {
        loader,
        publisher,
        running,
        generation: 1,
        watch,
        metrics: Arc::clone(metrics),
        alerts: alerts.clone(),
        file,
    };
    Reload::start(parts, hangups)
}
