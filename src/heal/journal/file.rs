//! The journal's file: one JSON object a line, only ever appended to, so that a heal survives the edge that did it.
//!
//! A torn last line, which a power cut leaves, and lines of another version are passed over. When the file is full it becomes
//! `FILE.1` and a new one begins; the two together are what is read back.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::entry::JournalEntry;
use crate::heal::policy::Definition;

/// Bytes after which the next file begins.
const FULL: u64 = 1 << 20;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum JournalLine {
    /// A ladder as it began, and again as it ended; the last one with an id counts.
    Ladder(Box<JournalEntry>),
    /// Healing of an upstream, or of all, is paused until then; `None` is no longer.
    Pause { upstream: Option<String>, until: Option<String> },
    /// A backend has passed its check under this definition.
    Proven(Definition),
}

/// Where lines go.
#[derive(Debug)]
pub(super) struct LineFile {
    path: PathBuf,
    file: File,
    size: u64,
    failure: Option<String>,
}

impl LineFile {
    /// Opens the file and reads what is there.
    ///
    /// # Errors
    /// When it cannot be opened for writing; an unreadable line is no error.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<JournalLine>)> {
        let file = open(path)?;
        let lines = recorded(path);
        let size = file.metadata()?.len();
        let mut own = Self { path: path.to_owned(), file, size, failure: None };
        // What a torn line left would swallow the next one.
        if size != 0 {
            own.write(b"\n")?;
        }
        Ok((own, lines))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Why the last line was not written, if it was not. The edge goes on without its file.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Appends a line; true when a new file was begun for it.
    pub(super) fn append(&mut self, line: &JournalLine) -> bool {
        let mut turned = false;
        let written = serde_json::to_vec(line).map_err(io::Error::other).and_then(|mut bytes| {
            bytes.push(b'\n');
            if FULL <= self.size {
                self.turn()?;
                turned = true;
            }
            self.write(&bytes)
        });
        self.failure = written.err().map(|error| error.to_string());
        turned
    }

    /// Goes on in the file that now has the name.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let file = open(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = file;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn turn(&mut self) -> io::Result<()> {
        match std::fs::rename(&self.path, older(&self.path)) {
            // Moved already, when the new one could not be opened.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = open(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

/// What is in the file and the one before it.
pub(super) fn recorded(path: &Path) -> Vec<JournalLine> {
    let mut lines = read(&older(path));
    lines.extend(read(path));
    lines
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

fn read(path: &Path) -> Vec<JournalLine> {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(number: usize) -> JournalLine {
        JournalLine::Pause { upstream: Some(format!("u{number}")), until: None }
    }

    #[test]
    fn lines_come_back_and_a_torn_one_costs_itself_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heals.jsonl");
        let (mut file, before) = LineFile::open(&path).unwrap();
        assert!(before.is_empty());
        file.append(&pause(1));
        file.append(&pause(2));
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let (mut file, lines) = LineFile::open(&path).unwrap();
        assert_eq!(lines, [pause(1)]);
        file.append(&pause(3));
        assert_eq!(LineFile::open(&path).unwrap().1, [pause(1), pause(3)]);
    }

    #[test]
    fn the_file_is_bounded_and_its_predecessor_is_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heals.jsonl");
        let (mut file, _) = LineFile::open(&path).unwrap();
        let count = 60_000;
        for number in 0..count {
            file.append(&pause(number));
        }
        let size = |path: &Path| std::fs::metadata(path).unwrap().len();
        assert!(size(&path) <= FULL + 200 && size(&older(&path)) <= FULL + 200);
        let lines = LineFile::open(&path).unwrap().1;
        assert_eq!(lines.last(), Some(&pause(count - 1)));
        assert!(lines.len() < count, "the oldest are gone");
    }

    #[test]
    fn a_file_that_was_moved_is_begun_anew_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("heals.jsonl"), folder.path().join("rotated"));
        let (mut file, _) = LineFile::open(&path).unwrap();
        file.append(&pause(1));
        std::fs::rename(&path, &moved).unwrap();
        file.append(&pause(2));
        file.reopen().unwrap();
        file.append(&pause(3));
        assert_eq!((read(&moved), read(&path)), (vec![pause(1), pause(2)], vec![pause(3)]));
    }

    #[test]
    fn a_place_that_is_not_there_is_an_error() {
        assert!(LineFile::open(Path::new("/nonexistent/heals.jsonl")).is_err());
    }
}
