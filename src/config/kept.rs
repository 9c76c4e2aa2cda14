//! The texts that a configuration was made of, for whoever brings it back later.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::source::Unreadable;

/// Every file that was read, as text with its variables as they are written, and what each `include:` line found. It may
/// hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptFiles {
    /// The text of each file by its absolute path; a file that could not be read is missing.
    pub files: BTreeMap<PathBuf, Arc<str>>,
    /// The files that each pattern found, by absolute paths, in their order.
    pub includes: BTreeMap<String, Vec<PathBuf>>,
}

impl KeptFiles {
    pub(super) fn keep(&mut self, path: &Path, text: &str) {
        self.files.insert(absolute(path), text.into());
    }

    pub(super) fn found(&mut self, pattern: &str, files: &[PathBuf]) {
        self.includes.insert(pattern.to_owned(), files.iter().map(|file| absolute(file)).collect());
    }

    pub(super) fn text(&self, path: &Path) -> Result<String, Unreadable> {
        let text = self.files.get(&absolute(path)).map(|text| String::from(&**text));
        text.ok_or(Unreadable {
            message: "this file is not among those that were kept".into(),
            help: "choose another entry of `remora history`",
        })
    }
}

/// Without a look at the file system; where the working folder cannot be told, as it is.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
