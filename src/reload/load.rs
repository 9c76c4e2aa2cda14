//! What reading the file gives: a configuration or a report, and what to watch either way.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::config::model::Config;
use crate::config::{ChangedDefault, KeptFiles};

/// Reads and checks the whole file. Called on a thread that may block.
pub trait LoadConfig: Send + Sync + 'static {
    /// Reads the file and everything it includes.
    ///
    /// # Errors
    /// When anything in it is wrong; then nothing of it is used.
    fn load(&self) -> Result<LoadedConfig, Rejected>;

    /// Reads texts that were kept in the place of the files.
    ///
    /// # Errors
    /// When anything in them is wrong by now.
    fn load_kept(&self, kept: &KeptFiles) -> Result<LoadedConfig, Rejected>;
}

impl<L: LoadConfig + ?Sized> LoadConfig for Box<L> {
    fn load(&self) -> Result<LoadedConfig, Rejected> {
        (**self).load()
    }

    fn load_kept(&self, kept: &KeptFiles) -> Result<LoadedConfig, Rejected> {
        (**self).load_kept(kept)
    }
}

/// A file that is right.
#[derive(Debug, Clone)]
pub struct LoadedConfig {
    /// What it says.
    pub config: Config,
    /// What it was read from.
    pub watch: WatchSet,
    /// The texts themselves.
    pub kept: KeptFiles,
    /// Defaults that this version changed and that the files do not say themselves.
    pub changed_defaults: Vec<ChangedDefault>,
}

/// A file that is wrong.
#[derive(Debug, Clone, Default)]
pub struct Rejected {
    /// Every problem, for a reader; several lines.
    pub report: String,
    /// The first problem, in one line without a line of the file.
    pub brief: String,
    /// What was read before it was rejected; watched beside what was watched already.
    pub watch: WatchSet,
    /// The texts that could be read.
    pub kept: Box<KeptFiles>,
}

/// What to watch for changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WatchSet {
    /// Every file that was read.
    pub files: BTreeSet<PathBuf>,
    /// Folders where a new file, or a new folder with a file, might be included.
    pub folders: BTreeSet<PathBuf>,
}
