//! The counters of the gate on disk: a short file of lines that only grows, and starts anew before it gets long.
//!
//! A step is written down before it runs, so that a sidecar that is killed meanwhile counts it all the same.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::gate::CounterEntry;

const FILE: &str = "heals";
const LOCK: &str = "heals.lock";
/// What may come on top of a fresh start before the next one.
const GROWTH_MAX: u64 = 64 * 1024;
/// What is read of a file; ours are far smaller.
const READ_MAX: u64 = 16 * 1024 * 1024;

/// Why there are no counters.
#[derive(Debug, thiserror::Error)]
pub enum CounterFileError {
    /// The folder cannot be used.
    #[error(
        "cannot keep the heal counters in `{folder}`: {cause}; give a folder with --state that this user may write"
    )]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Everybody may replace what is in it.
    #[error(
        "`{0}` is writable by everyone, so anyone could reset the counters; give a folder of the sidecar's own with \
         --state"
    )]
    OpenFolder(PathBuf),
    /// Another sidecar uses it.
    #[error("another sidecar keeps its counters in `{0}`; stop it, or give another folder with --state")]
    Taken(PathBuf),
}

/// An open file of counters. No second one opens in its folder meanwhile.
#[derive(Debug)]
pub(super) struct CounterFile {
    path: PathBuf,
    file: File,
    grown: u64,
    /// The last write may have left part of a line.
    torn: bool,
    _lock: File,
}

impl CounterFile {
    /// Opens the counters of a folder; also what it says, as far as it can be read.
    pub(super) fn open(folder: &Path) -> Result<(Self, Vec<CounterEntry>), CounterFileError> {
        let failed = |cause| CounterFileError::Folder { folder: folder.to_owned(), cause };
        if fs::metadata(folder).map_err(failed)?.permissions().mode() & 0o002 != 0 {
            return Err(CounterFileError::OpenFolder(folder.to_owned()));
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        let lock = options.open(folder.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CounterFileError::Taken(folder.to_owned())),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        let path = folder.join(FILE);
        let file = options.read(true).open(&path).map_err(failed)?;
        let mut bytes = Vec::new();
        (&file).take(READ_MAX).read_to_end(&mut bytes).map_err(failed)?;
        let entries = read(&bytes);
        Ok((Self { path, file, grown: bytes.len() as u64, torn: true, _lock: lock }, entries))
    }

    /// Appends an entry, for good.
    pub(super) fn write(&mut self, entry: &CounterEntry) -> io::Result<()> {
        let mut line = if self.torn { b"\n".to_vec() } else { Vec::new() };
        serde_json::to_writer(&mut line, entry)?;
        line.push(b'\n');
        self.torn = true;
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.torn = false;
        self.grown += line.len() as u64;
        Ok(())
    }

    /// True when it is time to [`Self::restart`].
    pub(super) fn is_long(&self) -> bool {
        GROWTH_MAX < self.grown
    }

    /// Replaces everything by these entries, at once or not at all.
    pub(super) fn restart(&mut self, entries: &[CounterEntry]) -> io::Result<()> {
        let mut text = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut text, entry)?;
            text.push(b'\n');
        }
        let beside = self.path.with_extension("new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&text)?;
        file.sync_data()?;
        fs::rename(&beside, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        (self.grown, self.torn) = (0, false);
        Ok(())
    }
}

/// Every line that is whole. One that is not, at the end or where writing failed once, has counted nothing that ran.
fn read(bytes: &[u8]) -> Vec<CounterEntry> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let (mut entries, mut bad) = (Vec::new(), 0);
    for line in lines {
        match serde_json::from_slice(line) {
            Ok(entry) => entries.push(entry),
            Err(_) => bad += 1,
        }
    }
    if bad != 0 {
        log::warn!("cannot read {bad} lines of the heal counters; they are ignored");
    }
    entries
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entry(second: u64) -> CounterEntry {
        CounterEntry::End { container: "0123456789ab".into(), acted: true, at: Duration::from_secs(second) }
    }

    #[test]
    fn what_was_written_is_there_again_after_a_torn_line_too() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, entries) = CounterFile::open(folder.path()).unwrap();
        assert_eq!(entries, []);
        assert!(
            matches!(CounterFile::open(folder.path()), Err(CounterFileError::Taken(_))),
            "two would count past each other"
        );
        file.write(&entry(1)).unwrap();
        file.write(&entry(2)).unwrap();
        drop(file);
        let path = folder.path().join(FILE);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"end\":{\"container\":\"01").unwrap();
        let (mut file, entries) = CounterFile::open(folder.path()).unwrap();
        assert_eq!(entries, [entry(1), entry(2)]);
        file.write(&entry(3)).unwrap();
        drop(file);
        assert_eq!(CounterFile::open(folder.path()).unwrap().1, [entry(1), entry(2), entry(3)]);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, _) = CounterFile::open(folder.path()).unwrap();
        let mut longest = 0;
        let long =
            |second| CounterEntry::End { container: "0".repeat(500), acted: true, at: Duration::from_secs(second) };
        for second in 0..400 {
            file.write(&long(second)).unwrap();
            if file.is_long() {
                file.restart(&[entry(second)]).unwrap();
            }
            longest = longest.max(fs::metadata(folder.path().join(FILE)).unwrap().len());
        }
        assert!(longest < GROWTH_MAX + 1024, "{longest}");
        drop(file);
        let (_, entries) = CounterFile::open(folder.path()).unwrap();
        assert_eq!(entries.last(), Some(&long(399)));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let error = CounterFile::open(Path::new("/nonexistent/remora")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/remora") && error.contains("--state"), "{error}");
        assert!(matches!(CounterFile::open(Path::new("/tmp")), Err(CounterFileError::OpenFolder(_))));
    }
}
