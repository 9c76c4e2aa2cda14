//! Brings an older configuration back: checked as any reload is, then put in force, then written into its files. Where they
//! cannot be written it is in force all the same, until something reads the files again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::config::KeptFiles;
use crate::config::model::Config;
use crate::telemetry::AlertKind;

use super::diff;
use super::history::{Happened, HistoryResult, Wanted, listed};
use super::last::ReloadOutcome;
use super::load::{LoadConfig, LoadedConfig, Rejected};
use super::publish::Publish;
use super::request::{ReloadOrigin, RolledBack};
use super::run::{RefusedReload, Reloader};
use super::write_back::WriteBack;

/// What is said of files that a rollback did not change.
const RETURNS: &str = "a change of the files, a restart or `remora reload` returns to what they say";

/// The files that say the same as what is in force now.
#[derive(Default)]
struct Agreed {
    written: Vec<PathBuf>,
    set_aside: Vec<(PathBuf, PathBuf)>,
}

impl<L: LoadConfig, P: Publish> Reloader<L, P> {
    /// Brings an entry of the history back, or without one undoes the last change: of the files, where they say something
    /// else than what is in force and no rollback did that, else of what is in force.
    pub(super) async fn roll_back(&mut self, to: Option<u64>) -> Result<RolledBack, String> {
        let started = Instant::now();
        let said = match self.load(None).await {
            Ok(loaded) => loaded.kept,
            Err(rejected) => *rejected.kept,
        };
        let wanted = self.wanted(to, &said)?;
        let id = wanted.id;
        match self.bring_back(started, wanted, said).await {
            Ok(done) => {
                self.tell_rolled_back(&done);
                Ok(done)
            }
            Err(RefusedReload { report, brief }) => {
                let generation = self.generation;
                let report = format!(
                    "entry {id} cannot be brought back:\n{}\nThe running configuration (generation {generation}) and the \
                     files are unchanged.",
                    report.trim_end()
                );
                self.note_rollback(id, HistoryResult::Refused, brief, KeptFiles::default());
                self.history.save().await;
                report.lines().filter(|line| !line.trim().is_empty()).for_each(|line| log::error!("{line}"));
                Err(report)
            }
        }
    }

    fn wanted(&self, to: Option<u64>, said: &KeptFiles) -> Result<Wanted, String> {
        let is_other = self.history.in_force().is_some_and(|now| now.texts != *said);
        self.history.wanted(to, is_other && self.overruled.is_none())
    }

    async fn bring_back(
        &mut self,
        started: Instant,
        wanted: Wanted,
        said: KeptFiles,
    ) -> Result<RolledBack, RefusedReload> {
        let Wanted { id, texts } = wanted;
        let LoadedConfig { config, .. } = self
            .load(Some(texts.clone()))
            .await
            .map_err(|Rejected { report, brief, .. }| RefusedReload { report, brief })?;
        let changed = self.put_in_force(config.clone()).await?;
        let replaced = (said != texts).then(|| self.keep_replaced(&texts, &said));
        let summary = changed.unwrap_or_else(|| diff::NOTHING.to_owned());
        // On disk before the files change.
        self.note_rollback(id, HistoryResult::Accepted, summary.clone(), texts.clone());
        self.history.save().await;
        let agreed = self.write_files(&texts, &said, &config).await;
        let (Agreed { written, set_aside }, not_written) = match agreed {
            Ok(agreed) => (agreed, None),
            Err(why) => (Agreed::default(), Some(why)),
        };
        self.overrule(not_written.is_some().then_some(said));
        self.alerts.end(AlertKind::ReloadRefused, "");
        let reloaded = self.reloaded(summary, started);
        let (at, origin) = (SystemTime::now(), ReloadOrigin::Rollback);
        self.last.set(ReloadOutcome { at, origin, result: Ok(reloaded.clone()) });
        Ok(RolledBack { reloaded, to: id, written, set_aside, replaced, not_written })
    }

    /// The entry with what the files say before they are written: one that is there already, or a new one.
    fn keep_replaced(&self, texts: &KeptFiles, said: &KeptFiles) -> u64 {
        let mut before = said.clone();
        // A main file that cannot be read names no others, and they are there all the same.
        for path in texts.files.keys().filter(|path| !said.files.contains_key(*path)) {
            if let Ok(text) = std::fs::read_to_string(path) {
                before.files.insert(path.clone(), text.into());
            }
        }
        if let Some(id) = self.history.with_texts(said).or_else(|| self.history.with_texts(&before)) {
            return id;
        }
        let differences = format!("what a rollback found in {}", listed(before.files.keys()));
        let happened = Happened {
            origin: ReloadOrigin::Rollback.as_str(),
            result: HistoryResult::Replaced,
            generation: self.generation,
            differences,
            rolled_back_to: None,
        };
        self.history.add(happened, before)
    }

    /// Has the files say what is in force; where they cannot, they are as they were, and why is said.
    async fn write_files(&mut self, texts: &KeptFiles, said: &KeptFiles, config: &Config) -> Result<Agreed, String> {
        if texts == said {
            return Ok(Agreed::default());
        }
        let mut back = WriteBack::default();
        match self.try_files(&mut back, texts, said, config).await {
            Ok(watch) => {
                self.follow(watch.watch);
                Ok(Agreed { written: back.written, set_aside: back.set_aside })
            }
            Err(why) => {
                let _ = tokio::task::spawn_blocking(move || back.undo()).await;
                Err(why)
            }
        }
    }

    async fn try_files(
        &self,
        back: &mut WriteBack,
        texts: &KeptFiles,
        said: &KeptFiles,
        config: &Config,
    ) -> Result<LoadedConfig, String> {
        // New files are like one that is there.
        let like = said.files.keys().chain(texts.files.keys()).find(|path| path.is_file()).cloned();
        let like = like.unwrap_or_default();
        let files: BTreeMap<PathBuf, Arc<str>> = texts.files.clone();
        let mut work = std::mem::take(back);
        let written = tokio::task::spawn_blocking(move || {
            let written = work.write(&files, &like);
            (work, written)
        });
        let written = written.await.map_err(|panicked| panicked.to_string())?;
        *back = written.0;
        written.1.map_err(|error| error.to_string())?;
        // Files that a pattern finds now and did not then; of a broken main file they show only now.
        let added = |kept: &KeptFiles| -> Vec<PathBuf> {
            kept.files.keys().filter(|path| !texts.files.contains_key(*path)).cloned().collect()
        };
        let now = self.load(None).await;
        let found = match &now {
            Ok(loaded) => added(&loaded.kept),
            Err(rejected) => added(&rejected.kept),
        };
        let now = if found.is_empty() {
            now
        } else {
            back.set_aside(found).map_err(|error| error.to_string())?;
            self.load(None).await
        };
        match now {
            Ok(loaded) if loaded.config == *config => Ok(loaded),
            Ok(_) => Err("the files say something else even with the old texts, by what else they include".to_owned()),
            Err(rejected) => Err(format!("the files cannot be read with the old texts: {}", rejected.brief)),
        }
    }

    fn note_rollback(&self, to: u64, result: HistoryResult, differences: String, texts: KeptFiles) {
        let (origin, generation) = (ReloadOrigin::Rollback.as_str(), self.generation);
        self.history.add(Happened { origin, result, generation, differences, rolled_back_to: Some(to) }, texts);
    }

    fn tell_rolled_back(&self, done: &RolledBack) {
        let origin = ReloadOrigin::Rollback.as_str();
        self.metrics.config_in_force(self.generation);
        self.metrics.reloaded(origin);
        log::info!("{}, requested by {origin} to entry {}", done.reloaded, done.to);
        if !done.written.is_empty() {
            log::info!("written: {}", listed(&done.written));
        }
        for (file, name) in &done.set_aside {
            log::info!("{} was not there then; it is {} now", file.display(), name.display());
        }
        if let Some(why) = &done.not_written {
            log::warn!("the configuration in force is not that of the files: {why}; {RETURNS}");
        }
    }
}

#[cfg(test)]
#[path = "roll_back_tests.rs"]
mod tests;
