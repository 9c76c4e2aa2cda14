//! The loop that takes requests one at a time: load, compare, publish, tell. Never leaves half a configuration in force.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::time::timeout;

use crate::config::model::Config;
use crate::config::{ChangedDefault, KeptFiles, changed_defaults};
use crate::telemetry::{Alert, AlertKind, Alerts, Metrics};

use super::diff;
use super::history::{Happened, History, HistoryResult};
use super::last::{LastReload, ReloadOutcome};
use super::load::{LoadConfig, LoadedConfig, Rejected, WatchSet};
use super::mounts::{SINGLE_FILE, single_files};
use super::publish::Publish;
use super::request::{ReloadInbox, ReloadOrigin, ReloadRequest, Reloaded};

/// Reading may take this long; a network mount that hangs must not hang the loop.
const LOAD_WITHIN: Duration = Duration::from_secs(30);
/// Publishing may take this long, the first checks of new upstreams included.
const PUBLISH_WITHIN: Duration = Duration::from_secs(60);
/// Whose defaults are told.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Before what is told of a default that changed.
pub const NEW_DEFAULT: &str = "new default in this version";
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
    /// The texts themselves.
    pub kept: KeptFiles,
    /// Defaults that this version changed and that the files do not say themselves.
    pub changed_defaults: Vec<ChangedDefault>,
    /// Where reloads are counted.
    pub metrics: Arc<Metrics>,
    /// Who is told of one that is refused.
    pub alerts: Alerts,
    /// The file, for those who are told.
    pub file: PathBuf,
    /// Where reloads are kept.
    pub history: Arc<History>,
}

/// What runs, and how it is replaced.
pub(super) struct Reloader<L, P> {
    pub(super) loader: Arc<L>,
    pub(super) publisher: P,
    pub(super) running: Config,
    pub(super) generation: u64,
    pub(super) watch: WatchSet,
    pub(super) metrics: Arc<Metrics>,
    pub(super) history: Arc<History>,
    pub(super) alerts: Alerts,
    file: PathBuf,
    pub(super) last: Arc<LastReload>,
    /// The texts that what runs at the start was made of.
    first: KeptFiles,
    /// What of the files is told once.
    changed_defaults: Vec<ChangedDefault>,
    /// While a rollback is in force that could not be written: what the files say instead.
    pub(super) overruled: Option<KeptFiles>,
    sets: watch::Sender<WatchSet>,
}

/// How a reload ended that was not refused.
enum Accepted {
    Changed(String),
    Unchanged,
    /// The files say what they said when a rollback overruled them.
    Overruled,
}

/// A configuration that does not come into force.
pub(super) struct RefusedReload {
    /// Every problem; several lines.
    pub report: String,
    /// The first, in one line without a line of the file.
    pub brief: String,
}

impl RefusedReload {
    pub(super) fn of(line: String) -> Self {
        Self { brief: line.clone(), report: line }
    }
}

impl<L: LoadConfig, P: Publish> Reloader<L, P> {
    pub(super) fn new(parts: Parts<L, P>, last: Arc<LastReload>, sets: watch::Sender<WatchSet>) -> Self {
        let Parts {
            loader,
            publisher,
            running,
            generation,
            watch,
            kept,
            changed_defaults,
            metrics,
            alerts,
            file,
            history,
        } = parts;
        let (loader, first, overruled) = (Arc::new(loader), kept, None);
        Self {
            loader,
            publisher,
            running,
            generation,
            watch,
            metrics,
            history,
            alerts,
            file,
            last,
            first,
            changed_defaults,
            overruled,
            sets,
        }
    }

    /// Answers requests until nobody can ask any more.
    pub(super) async fn run(mut self, mut inbox: ReloadInbox) {
        self.begin().await;
        loop {
            tokio::select! {
                Some(first) = inbox.reloads.recv() => self.answer(first, &mut inbox).await,
                Some(asked) = inbox.rollbacks.recv() => {
                    let _ = asked.answer.send(self.roll_back(asked.to).await);
                }
                else => return,
            }
        }
    }

    async fn answer(&mut self, first: ReloadRequest, inbox: &mut ReloadInbox) {
        let origin = first.origin;
        let mut askers: Vec<_> = first.answer.into_iter().collect();
        // What was asked for before the file is read is answered by this reading.
        while askers.len() < TOGETHER_MOST {
            let Ok(more) = inbox.reloads.try_recv() else { break };
            askers.extend(more.answer);
        }
        let result = self.reload(origin).await;
        for asker in askers {
            let _ = asker.send(result.clone());
        }
    }

    /// Notes what runs from the start, where it differs from what was in force before.
    async fn begin(&mut self) {
        match self.history.ran_before() {
            Some(true) => _ = self.tell_changed_defaults(),
            // Nothing was otherwise before.
            Some(false) => changed_defaults(VERSION).for_each(|key| _ = self.history.tell_once(&key)),
            None => {}
        }
        let texts = std::mem::take(&mut self.first);
        let differences = match self.history.in_force() {
            None => "first configuration in this history".to_owned(),
            Some(before) if before.texts == texts => return self.history.save().await,
            Some(before) => match self.load(Some(before.texts)).await {
                Ok(before) => diff::everything(&before.config, &self.running),
                Err(_) => "changed while the edge was not running".to_owned(),
            },
        };
        if differences == diff::NOTHING {
            self.history.amend(&texts);
        } else {
            self.note("start", HistoryResult::Accepted, differences, texts);
        }
        self.history.save().await;
    }

    async fn reload(&mut self, origin: ReloadOrigin) -> Result<Reloaded, String> {
        let started = Instant::now();
        let loaded = self.load(None).await;
        let texts = match &loaded {
            Ok(loaded) => loaded.kept.clone(),
            Err(rejected) => (*rejected.kept).clone(),
        };
        let result = match self.attempt(origin, loaded).await {
            Ok(accepted) => {
                let summary = match &accepted {
                    Accepted::Changed(summary) => summary.clone(),
                    Accepted::Unchanged | Accepted::Overruled => diff::NOTHING.to_owned(),
                };
                let mut reloaded = self.reloaded(summary, started);
                // Our own look at files that did not change would take what the next command is to say.
                if origin != ReloadOrigin::File || matches!(accepted, Accepted::Changed(_)) {
                    reloaded.new_defaults = self.tell_changed_defaults();
                }
                self.tell_accepted(origin, &accepted, &reloaded);
                self.note_accepted(origin, &accepted, texts).await;
                Ok(reloaded)
            }
            Err(RefusedReload { report, brief }) => {
                let generation = self.generation;
                let report =
                    format!("{}\nThe running configuration (generation {generation}) is unchanged.", report.trim_end());
                self.tell_refused(origin, &report);
                self.note(origin.as_str(), HistoryResult::Refused, brief, texts);
                self.history.save().await;
                Err(report)
            }
        };
        // Our own look at files that did not change is not news.
        let silent = origin == ReloadOrigin::File && result.as_ref().is_ok_and(|it| it.summary == diff::NOTHING);
        if !silent || self.last.refusal().is_some() {
            self.last.set(ReloadOutcome { at: SystemTime::now(), origin, result: result.clone() });
        }
        result
    }

    async fn attempt(
        &mut self,
        origin: ReloadOrigin,
        loaded: Result<LoadedConfig, Rejected>,
    ) -> Result<Accepted, RefusedReload> {
        let said = match &loaded {
            Ok(loaded) => &loaded.kept,
            Err(rejected) => &*rejected.kept,
        };
        if origin == ReloadOrigin::File && self.overruled.as_ref() == Some(said) {
            return Ok(Accepted::Overruled);
        }
        let config = match loaded {
            Ok(LoadedConfig { config, watch, changed_defaults, .. }) => {
                self.follow(watch);
                self.changed_defaults = changed_defaults;
                config
            }
            Err(Rejected { report, brief, watch, .. }) => {
                let mut wider = self.watch.clone();
                wider.files.extend(watch.files);
                wider.folders.extend(watch.folders);
                self.follow(wider);
                return Err(RefusedReload { report, brief });
            }
        };
        self.put_in_force(config).await.map(|summary| summary.map_or(Accepted::Unchanged, Accepted::Changed))
    }

    /// Puts a checked configuration in force and says what changed by it; `None` where it is in force already.
    pub(super) async fn put_in_force(&mut self, config: Config) -> Result<Option<String>, RefusedReload> {
        let changes = diff::process_changes(&self.running.process, &config.process);
        if !changes.is_empty() {
            let brief = format!("{} (needs a restart)", changes.join("; "));
            return Err(RefusedReload { report: diff::restart_report(&changes), brief });
        }
        if self.running == config {
            return Ok(None);
        }
        let summary = diff::summary(&self.running.site, &config.site);
        let publishing = timeout(PUBLISH_WITHIN, self.publisher.publish(config.clone())).await;
        let late = |_| RefusedReload::of(format!("applying it timed out after {} s", PUBLISH_WITHIN.as_secs()));
        let published = publishing.map_err(late)?.map_err(|refusal| RefusedReload::of(refusal.to_string()))?;
        self.running = config;
        self.generation = published.generation;
        Ok(Some(summary))
    }

    /// Reads the files, or texts that were kept in their place.
    pub(super) async fn load(&self, kept: Option<KeptFiles>) -> Result<LoadedConfig, Rejected> {
        let loader = Arc::clone(&self.loader);
        let reading = tokio::task::spawn_blocking(move || match kept {
            None => loader.load(),
            Some(kept) => loader.load_kept(&kept),
        });
        let rejected = |report: String| Rejected { brief: report.clone(), report, ..Rejected::default() };
        match timeout(LOAD_WITHIN, reading).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => Err(rejected(format!("reading the file failed: {panicked}"))),
            Err(_) => Err(rejected(format!("reading the file timed out after {} s", LOAD_WITHIN.as_secs()))),
        }
    }

    pub(super) fn reloaded(&self, summary: String, started: Instant) -> Reloaded {
        let odd = single_files(&self.watch.files).into_iter();
        let notes = odd.map(|file| format!("{} {SINGLE_FILE}", file.display())).collect();
        Reloaded { generation: self.generation, summary, took: started.elapsed(), notes, new_defaults: Vec::new() }
    }

    async fn note_accepted(&mut self, origin: ReloadOrigin, accepted: &Accepted, texts: KeptFiles) {
        match accepted {
            Accepted::Overruled => return,
            Accepted::Changed(differences) => {
                self.note(origin.as_str(), HistoryResult::Accepted, differences.clone(), texts);
            }
            Accepted::Unchanged if !self.history.amend(&texts) && self.overruled.is_none() => return,
            Accepted::Unchanged => {}
        }
        self.overrule(None);
        self.history.save().await;
    }

    fn note(&self, origin: &'static str, result: HistoryResult, differences: String, texts: KeptFiles) {
        let happened = Happened { origin, result, generation: self.generation, differences, rolled_back_to: None };
        self.history.add(happened, texts);
    }

    /// Remembers what the files say while something else is in force; `None` where they say the same again.
    pub(super) fn overrule(&mut self, files: Option<KeptFiles>) {
        self.history.set_overruled(files.is_some());
        self.overruled = files;
    }

    pub(super) fn follow(&mut self, watch: WatchSet) {
        if watch != self.watch {
            self.watch = watch;
            self.sets.send_replace(self.watch.clone());
        }
    }

    /// Says what the files get by defaults that this version changed: each once, over restarts too where there is a place.
    fn tell_changed_defaults(&self) -> Vec<String> {
        let news = self.changed_defaults.iter().filter(|changed| self.history.tell_once(&changed.key));
        let lines: Vec<String> = news.map(|changed| changed.text.clone()).collect();
        lines.iter().for_each(|line| log::info!("{NEW_DEFAULT}: {line}"));
        lines
    }

    fn tell_accepted(&self, origin: ReloadOrigin, accepted: &Accepted, reloaded: &Reloaded) {
        self.alerts.end(AlertKind::ReloadRefused, "");
        match accepted {
            Accepted::Changed(_) => {
                self.metrics.config_in_force(self.generation);
                self.metrics.reloaded(origin.as_str());
                log::info!("{reloaded}, requested by {}", origin.as_str());
            }
            Accepted::Overruled => log::debug!("files unchanged since the rollback"),
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
