//! The loop that takes requests one at a time: load, compare, publish, tell. Never leaves half a configuration in force.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::config::model::Config;
use crate::telemetry::{Alert, AlertKind, Alerts, Metrics};

use super::diff;
use super::last::{LastReload, ReloadOutcome};
use super::load::{LoadConfig, LoadedConfig, Rejected, WatchSet};
use super::mounts::{SINGLE_FILE, single_files};
use super::publish::Publish;
use super::request::{ReloadOrigin, ReloadRequest, Reloaded};

/// Reading may take this long; a network mount that hangs must not hang the loop.
const LOAD_WITHIN: Duration = Duration::from_secs(30);
/// Publishing may take this long, the first checks of new upstreams included.
const PUBLISH_WITHIN: Duration = Duration::from_secs(60);
/// Requests answered by one reload.
const TOGETHER_MOST: usize = 64;

/// What [`Reload::start`](super::Reload::start) needs.
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
    /// Who is told of one that is refused.
    pub alerts: Alerts,
    /// The file, for those who are told.
    pub file: PathBuf,
}

/// What runs, and how it is replaced.
pub(super) struct Reloader<L, P> {
    loader: Arc<L>,
    publisher: P,
    running: Config,
    generation: u64,
    watch: WatchSet,
    metrics: Arc<Metrics>,
    alerts: Alerts,
    file: PathBuf,
    last: Arc<LastReload>,
    sets: watch::Sender<WatchSet>,
}

/// How a reload ended that was not refused.
enum Accepted {
    Changed(String),
    Unchanged,
}

impl<L: LoadConfig, P: Publish> Reloader<L, P> {
    pub(super) fn new(parts: Parts<L, P>, last: Arc<LastReload>, sets: watch::Sender<WatchSet>) -> Self {
        let Parts { loader, publisher, running, generation, watch, metrics, alerts, file } = parts;
        Self { loader: Arc::new(loader), publisher, running, generation, watch, metrics, alerts, file, last, sets }
    }

    /// Answers requests until nobody can ask any more.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<ReloadRequest>) {
        while let Some(first) = inbox.recv().await {
            let origin = first.origin;
            let mut askers: Vec<_> = first.answer.into_iter().collect();
            // What was asked for before the file is read is answered by this reading.
            while askers.len() < TOGETHER_MOST {
                let Ok(more) = inbox.try_recv() else { break };
                askers.extend(more.answer);
            }
            let result = self.reload(origin).await;
            for asker in askers {
                let _ = asker.send(result.clone());
            }
        }
    }

    async fn reload(&mut self, origin: ReloadOrigin) -> Result<Reloaded, String> {
        let started = Instant::now();
        let result = match self.attempt().await {
            Ok(accepted) => {
                let summary = match &accepted {
                    Accepted::Changed(summary) => summary.clone(),
                    Accepted::Unchanged => "nothing changed".to_owned(),
                };
                let odd = single_files(&self.watch.files).into_iter();
                let notes = odd.map(|file| format!("{} {SINGLE_FILE}", file.display())).collect();
                let reloaded = Reloaded { generation: self.generation, summary, took: started.elapsed(), notes };
                self.tell_accepted(origin, &accepted, &reloaded);
                Ok(reloaded)
            }
            Err(report) => {
                let generation = self.generation;
                let report =
                    format!("{}\nThe running configuration (generation {generation}) is unchanged.", report.trim_end());
                self.tell_refused(origin, &report);
                Err(report)
            }
        };
        // Our own look at files that did not change is not news.
        let silent = origin == ReloadOrigin::File && result.as_ref().is_ok_and(|it| it.summary == "nothing changed");
        if !silent || self.last.refusal().is_some() {
            self.last.set(ReloadOutcome { at: SystemTime::now(), origin, result: result.clone() });
        }
        result
    }

    async fn attempt(&mut self) -> Result<Accepted, String> {
        let config = match self.load().await {
            Ok(LoadedConfig { config, watch }) => {
                self.follow(watch);
                config
            }
            Err(Rejected { report, watch }) => {
                let mut wider = self.watch.clone();
                wider.files.extend(watch.files);
                wider.folders.extend(watch.folders);
                self.follow(wider);
                return Err(report);
            }
        };
        let changes = diff::process_changes(&self.running.process, &config.process);
        if !changes.is_empty() {
            return Err(diff::restart_report(&changes));
        }
        if self.running == config {
            return Ok(Accepted::Unchanged);
        }
        let summary = diff::summary(&self.running.site, &config.site);
        let publishing = timeout(PUBLISH_WITHIN, self.publisher.publish(config.clone())).await;
        let late = |_| format!("applying it timed out after {} s", PUBLISH_WITHIN.as_secs());
        let published = publishing.map_err(late)?.map_err(|refusal| refusal.to_string())?;
        self.running = config;
        self.generation = published.generation;
        Ok(Accepted::Changed(summary))
    }

    async fn load(&self) -> Result<LoadedConfig, Rejected> {
        let loader = Arc::clone(&self.loader);
        let reading = tokio::task::spawn_blocking(move || loader.load());
        let rejected = |report: String| Rejected { report, ..Rejected::default() };
        match timeout(LOAD_WITHIN, reading).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => Err(rejected(format!("reading the file failed: {panicked}"))),
            Err(_) => Err(rejected(format!("reading the file timed out after {} s", LOAD_WITHIN.as_secs()))),
        }
    }

    fn follow(&mut self, watch: WatchSet) {
        if watch != self.watch {
            self.watch = watch;
            self.sets.send_replace(self.watch.clone());
        }
    }

    fn tell_accepted(&self, origin: ReloadOrigin, accepted: &Accepted, reloaded: &Reloaded) {
        self.alerts.end(AlertKind::ReloadRefused, "");
        match accepted {
            Accepted::Changed(_) => {
                self.metrics.config_in_force(self.generation);
                self.metrics.reloaded(origin.as_str());
                log::info!("{reloaded}, requested by {}", origin.as_str());
            }
            Accepted::Unchanged if origin == ReloadOrigin::File && self.last.refusal().is_none() => {
                log::debug!("file unchanged");
            }
            Accepted::Unchanged => {
                self.metrics.reloaded(origin.as_str());
                log::info!("{reloaded}, requested by {}", origin.as_str());
            }
        }
    }

    fn tell_refused(&self, origin: ReloadOrigin, report: &str) {
        // The watcher looks again after a refusal; the same report twice helps nobody.
        if origin == ReloadOrigin::File && self.last.refusal().as_deref() == Some(report) {
            return;
        }
        self.metrics.reload_refused(origin.as_str());
        log::error!("refused, requested by {}:", origin.as_str());
        for line in report.lines().filter(|line| !line.trim().is_empty()) {
            log::error!("{line}");
        }
        self.alerts.begin(&Alert::ReloadRefused {
            file: self.file.display().to_string(),
            report: report.to_owned(),
            generation: self.generation,
        });
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
