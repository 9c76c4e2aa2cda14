//! Reads the file and its includes with the process's environment.

use std::path::PathBuf;

use crate::config::{self, KeptFiles, LoadedFiles, Prove, Report, Warning};

use super::load::{LoadConfig, LoadedConfig, Rejected, WatchSet};

/// The file a process was started with.
#[derive(Debug, Clone)]
pub struct FileLoader {
    file: PathBuf,
}

impl FileLoader {
    /// Reads `file` each time it is asked.
    pub fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// Reads the file now, for someone who wants to see the warnings and the report as they are.
    ///
    /// # Errors
    /// When anything in it is wrong.
    pub fn read(&self) -> Result<(LoadedConfig, Vec<Warning>), Report> {
        self.read_proving(&config::unproven)
    }

    /// The same, with a look into the files of certificates. A reload has none: there the old certificates stay in use.
    ///
    /// # Errors
    /// When anything in it is wrong.
    pub fn read_proving(&self, prove: Prove<'_>) -> Result<(LoadedConfig, Vec<Warning>), Report> {
        let loaded = config::load_proving(&self.file, &env, prove)?;
        Ok(split(loaded))
    }
}

impl LoadConfig for FileLoader {
    fn load(&self) -> Result<LoadedConfig, Rejected> {
        self.read().map(|(loaded, _)| loaded).map_err(|report| rejected(&report))
    }

    fn load_kept(&self, kept: &KeptFiles) -> Result<LoadedConfig, Rejected> {
        let loaded = config::load_kept(&self.file, kept, &env);
        loaded.map(|loaded| split(loaded).0).map_err(|report| rejected(&report))
    }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn split(loaded: LoadedFiles) -> (LoadedConfig, Vec<Warning>) {
    let LoadedFiles { config, files, watch, kept, changed_defaults, warnings, digest: _ } = loaded;
    let watch = WatchSet { files: files.into_iter().collect(), folders: watch.into_iter().collect() };
    (LoadedConfig { config, watch, kept, changed_defaults }, warnings)
}

fn rejected(report: &Report) -> Rejected {
    Rejected {
        report: report.to_string(),
        brief: report.brief(),
        watch: WatchSet {
            files: report.files().map(PathBuf::from).collect(),
            folders: report.watch().iter().cloned().collect(),
        },
        kept: Box::new(report.kept().clone()),
    }
}
