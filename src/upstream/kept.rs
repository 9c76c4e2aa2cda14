//! What was made of a file, kept until the file has changed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

/// A file that was changed so lately may change again without looking any different.
const SETTLED: Duration = Duration::from_secs(1);

/// What says that a file is another one than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    file: (u64, u64),
    length: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

/// The file and what was made of it.
#[derive(Debug)]
pub(super) struct Kept<T> {
    path: PathBuf,
    made: Mutex<Option<(FileStamp, Arc<T>)>>,
}

impl<T> Kept<T> {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), made: Mutex::new(None) }
    }

    /// What `make` makes of the file as it is now.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what `make` expects.
    pub fn get(&self, make: impl FnOnce(&[u8]) -> io::Result<T>) -> io::Result<Arc<T>> {
        let about = fs::metadata(&self.path)?;
        let stamp = FileStamp {
            file: (about.dev(), about.ino()),
            length: about.len(),
            written: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        };
        let mut made = self.made.lock();
        if let Some((_, same)) = made.as_ref().filter(|(before, _)| *before == stamp) {
            return Ok(Arc::clone(same));
        }
        let new = Arc::new(make(&fs::read(&self.path)?)?);
        let settled = SystemTime::now().checked_sub(SETTLED).unwrap_or(SystemTime::UNIX_EPOCH);
        let is_settled = about.modified().is_ok_and(|modified| modified < settled);
        *made = is_settled.then(|| (stamp, Arc::clone(&new)));
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_has_changed_and_not_before() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let kept = Kept::new(file.path());
        let read = || kept.get(|bytes| Ok(bytes.to_vec())).unwrap();
        for text in ["one", "two", "three"] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(*read(), text.as_bytes());
        }
        let long_ago = SystemTime::now() - SETTLED * 2;
        fs::File::options().write(true).open(file.path()).unwrap().set_modified(long_ago).unwrap();
        assert!(Arc::ptr_eq(&read(), &read()));
        fs::remove_file(file.path()).unwrap();
        assert!(kept.get(|_| Ok(Vec::new())).is_err());
    }
}
