//! Which files are read: the certificates and keys of the configuration, which is read here and not taken from the edge.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf, absolute};

use crate::config::model::{Config, LogSpec};
use crate::config::{self, LoadedFiles};

use super::changeable::EdgeUser;
use super::contents::{NoContents, read_directly};

/// Why the configuration names nothing.
#[derive(Debug, thiserror::Error)]
pub enum NotReadable {
    /// It is wrong, as the edge says too.
    #[error("the configuration has mistakes; `remora check` lists them")]
    Wrong,
    /// Whoever takes over the edge could name any file.
    #[error("the edge's own user may change {}; let root own it, and nobody else write to it", .0.display())]
    Changeable(PathBuf),
}

/// The files that the configuration names, for one edge.
#[derive(Debug)]
pub struct NamedFiles {
    config: PathBuf,
    edge: EdgeUser,
    /// Absolute. What was named at the start stays: the edge has it until it is started again.
    names: BTreeSet<PathBuf>,
    log: Option<LogSpec>,
}

impl NamedFiles {
    /// Reads the configuration.
    ///
    /// # Errors
    /// When it has mistakes, or the edge's user could change it.
    pub fn of(config: PathBuf, edge: EdgeUser) -> Result<Self, NotReadable> {
        let mut named = Self { config, edge, names: BTreeSet::new(), log: None };
        named.read_again()?;
        Ok(named)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// What the configuration says of logs, as it was read last.
    pub fn log(&self) -> Option<&LogSpec> {
        self.log.as_ref()
    }

    /// For whom.
    pub(super) fn edge(&self) -> EdgeUser {
        self.edge
    }

    /// The contents of a file that is named: now, if it was not at the start.
    pub(super) fn read(&mut self, file: &Path) -> Result<Vec<u8>, NoContents> {
        if !self.names.contains(file) {
            // A configuration with mistakes is not in force, and names nothing.
            if let Err(NotReadable::Changeable(path)) = self.read_again() {
                return Err(NoContents::Changeable(path.display().to_string()));
            }
        }
        if !self.names.contains(file) {
            return Err(NoContents::NotNamed);
        }
        match self.edge.may_change(file) {
            Ok(None) => read_directly(file),
            Ok(Some(path)) => Err(NoContents::Changeable(path.display().to_string())),
            Err(error) => Err(NoContents::from(&error)),
        }
    }

    fn read_again(&mut self) -> Result<(), NotReadable> {
        // Before anything in it is believed: it may name files to include.
        self.is_roots(&self.config)?;
        let loaded = config::load(&self.config, &|name| std::env::var(name).ok());
        let LoadedFiles { config, files, .. } = loaded.map_err(|_| NotReadable::Wrong)?;
        files.iter().try_for_each(|file| self.is_roots(file))?;
        self.names.extend(named_in(&config));
        self.log = Some(config.process.log);
        Ok(())
    }

    /// The edge's user cannot change it. One that cannot be found now is read next time.
    fn is_roots(&self, file: &Path) -> Result<(), NotReadable> {
        let changeable = absolute(file).and_then(|file| self.edge.may_change(&file)).map_err(|_| NotReadable::Wrong)?;
        changeable.map_or(Ok(()), |path| Err(NotReadable::Changeable(path)))
    }
}

fn named_in(config: &Config) -> impl Iterator<Item = PathBuf> {
    let tls = config.process.listen.iter().filter_map(|listen| listen.tls.as_ref());
    let pairs = tls.flat_map(|tls| &tls.certificates);
    pairs.flat_map(|pair| [&pair.certificate, &pair.key]).filter_map(|file| absolute(file).ok())
}
