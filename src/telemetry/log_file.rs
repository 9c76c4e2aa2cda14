//! A log in a file of its own, which a log rotation may move away: then lines go on in a new one under the old name.

use std::fs::{File, OpenOptions, metadata};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

/// How often it is looked whether the file is still the one of that name, while lines are written.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The file that has the name. Clones of the `Arc` share it.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    current: ArcSwap<File>,
}

impl LogFile {
    /// Opens the file for appending; one that is not there is made, for its user and group (0640).
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: &Path) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { path: path.to_owned(), current: ArcSwap::from_pointee(open(path)?) }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Goes on in the file that now has the name, and makes one if none has.
    ///
    /// # Errors
    /// When it cannot be opened; lines go where they went.
    pub fn reopen(&self) -> io::Result<()> {
        self.current.store(Arc::new(open(&self.path)?));
        Ok(())
    }

    /// False once the file was moved or removed.
    fn has_its_name(&self) -> bool {
        let named = |about: &std::fs::Metadata| (about.dev(), about.ino());
        match (metadata(&self.path), self.current.load().metadata()) {
            (Ok(there), Ok(own)) => named(&there) == named(&own),
            (Err(error), _) => error.kind() != ErrorKind::NotFound,
            (_, Err(_)) => true,
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

/// Where a writer's thread puts its lines.
pub(super) struct LogFileSink {
    log: Arc<LogFile>,
    looked: Instant,
    /// The last bytes written did not end a line.
    inside_line: bool,
    /// A write failed inside a line, whose rest is lost.
    torn: bool,
}

impl LogFileSink {
    pub(super) fn new(log: Arc<LogFile>) -> Self {
        Self { log, looked: Instant::now(), inside_line: false, torn: false }
    }

    fn look(&mut self) {
        if LOOK_EVERY <= self.looked.elapsed() {
            self.looked = Instant::now();
            if !self.log.has_its_name() && self.log.reopen().is_ok() {
                self.torn = false;
            }
        }
    }
}

impl Write for LogFileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.inside_line {
            self.look();
        }
        let current = self.log.current.load_full();
        let mut file = &*current;
        if self.torn {
            file.write_all(b"\n")?;
            (self.torn, self.inside_line) = (false, false);
        }
        match file.write(bytes) {
            Ok(count) => {
                if let Some(last) = count.checked_sub(1).and_then(|last| bytes.get(last)) {
                    self.inside_line = *last != b'\n';
                }
                Ok(count)
            }
            Err(error) => {
                // Whoever writes gives up the rest, unless it was merely interrupted.
                let gives_up = !matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock);
                self.torn |= gives_up && self.inside_line;
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_was_moved_away_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let log = LogFile::open(&path).unwrap();
        let mut sink = LogFileSink::new(Arc::clone(&log));
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        sink.write_all(b"one\n").unwrap();
        fs::rename(&path, &moved).unwrap();
        sink.write_all(b"two\n").unwrap();
        assert_eq!(read(&moved), "one\ntwo\n", "until somebody looks");
        log.reopen().unwrap();
        sink.write_all(b"three\n").unwrap();
        assert_eq!((read(&moved), read(&path)), ("one\ntwo\n".into(), "three\n".into()));
        // Without a word it is found out as well.
        fs::remove_file(&path).unwrap();
        sink.looked = Instant::now().checked_sub(LOOK_EVERY).unwrap();
        sink.write_all(b"four\n").unwrap();
        assert_eq!(read(&path), "four\n");
        // Where none can be opened, lines go where they went.
        fs::rename(folder.path(), folder.path().with_extension("away")).unwrap();
        assert!(log.reopen().is_err());
        sink.looked = Instant::now().checked_sub(LOOK_EVERY).unwrap();
        sink.write_all(b"five\n").unwrap();
        let away = folder.path().with_extension("away");
        assert_eq!(read(&away.join("access.log")), "four\nfive\n");
        fs::rename(&away, folder.path()).unwrap();
    }

    #[test]
    fn a_full_disk_is_an_error_and_no_wait() {
        let full = LogFile::open(Path::new("/dev/full")).unwrap();
        let mut sink = LogFileSink::new(full);
        let error = sink.write(b"line\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }

    #[test]
    fn after_a_torn_line_the_next_one_begins_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = LogFile::open(&path).unwrap();
        let mut sink = LogFileSink::new(Arc::clone(&log));
        assert_eq!(sink.write(b"half a li").unwrap(), 9);
        log.current.store(Arc::new(open(Path::new("/dev/full")).unwrap()));
        assert!(sink.write(b"ne\n").is_err());
        log.reopen().unwrap();
        sink.write_all(b"whole\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "half a li\nwhole\n");
    }
}
