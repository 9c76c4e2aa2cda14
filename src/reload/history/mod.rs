//! What was reloaded, what differed, and the texts to bring it back; in memory, and in a file where there is a place for one.
//!
//! Nothing that goes wrong here ends or delays a reload by more than a moment: it is said once, and the reload goes on.

mod book;
mod entry;
mod file;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::timeout;

use crate::config::KeptFiles;
use crate::telemetry::rfc3339;

use book::Book;

pub use book::Wanted;
pub(super) use book::listed;
#[cfg(test)]
pub(super) use book::one_text;
pub use entry::{HistoryEntry, HistoryResult, ShownEntry};

/// A disk that hangs is not waited for any longer.
const WRITE_WITHIN: Duration = Duration::from_secs(2);

/// The last reloads.
#[derive(Debug, Default)]
pub struct History {
    book: Mutex<Book>,
    /// Whether an edge ran here before; `None` where no place would tell.
    ran_before: Option<bool>,
    /// True while the files say something else than what is in force.
    is_overruled: AtomicBool,
    /// Held by whoever writes.
    place: Mutex<Option<HistoryPlace>>,
}

#[derive(Debug)]
struct HistoryPlace {
    path: PathBuf,
    is_failing: bool,
}

/// What is new; the history gives it its number and its time.
#[derive(Debug, Clone)]
pub struct Happened {
    /// What asked for it.
    pub origin: &'static str,
    /// What came of it.
    pub result: HistoryResult,
    /// Of the configuration in force afterwards.
    pub generation: u64,
    /// What differs, or why it was refused.
    pub differences: String,
    /// The entry that was brought back.
    pub rolled_back_to: Option<u64>,
}

impl History {
    /// A history that goes on where the one in this file ended. One that cannot be read is said so and begun anew.
    /// Whether an edge of a version without a history ran before, a `journal` with something in it tells.
    pub fn in_file(path: PathBuf, journal: &Path) -> Self {
        let is_used = |path: &Path| std::fs::metadata(path).is_ok_and(|metadata| 0 < metadata.len());
        let ran_before = Some(is_used(&path) || is_used(journal));
        let book = file::read(&path).unwrap_or_else(|error| {
            log::warn!("cannot read the history of reloads {}: {error}; it begins anew", path.display());
            Book::default()
        });
        let place = Mutex::new(Some(HistoryPlace { path, is_failing: false }));
        Self { book: Mutex::new(book), place, ran_before, ..Self::default() }
    }

    /// The file beside a journal.
    pub fn beside(journal: &Path) -> PathBuf {
        let mut name = journal.as_os_str().to_owned();
        name.push(".history");
        name.into()
    }

    /// Every entry, oldest first.
    pub fn entries(&self) -> Vec<ShownEntry> {
        self.book.lock().shown()
    }

    /// Adds an entry and returns its number.
    pub fn add(&self, happened: Happened, texts: KeptFiles) -> u64 {
        let Happened { origin, result, generation, differences, rolled_back_to } = happened;
        let (at, origin) = (rfc3339(SystemTime::now()), origin.to_owned());
        let entry = HistoryEntry { id: 0, at, origin, result, generation, differences, rolled_back_to };
        self.book.lock().add(entry, texts)
    }

    /// Has other texts for what is in force, which mean the same; true where they were others.
    pub fn amend(&self, texts: &KeptFiles) -> bool {
        let mut book = self.book.lock();
        let differs = book.in_force().is_some_and(|kept| kept.texts != *texts);
        if differs {
            book.amend(texts.clone());
        }
        differs
    }

    /// The entry in force, and its texts.
    pub fn in_force(&self) -> Option<Wanted> {
        self.book.lock().in_force().map(|kept| Wanted { id: kept.entry.id, texts: kept.texts.clone() })
    }

    /// The entry in force while the files say something else, which a rollback could not write; none after a restart, when
    /// what the files say is in force.
    pub fn overrules(&self) -> Option<u64> {
        self.is_overruled.load(Ordering::Relaxed).then(|| self.book.lock().in_force).flatten()
    }

    pub(super) fn set_overruled(&self, is_overruled: bool) {
        self.is_overruled.store(is_overruled, Ordering::Relaxed);
    }

    /// The entry that a rollback means; without a number, what undoes the last change.
    ///
    /// # Errors
    /// When there is none, or its texts are not kept.
    pub fn wanted(&self, id: Option<u64>, files_differ: bool) -> Result<Wanted, String> {
        self.book.lock().wanted(id, files_differ)
    }

    /// The newest entry with exactly these texts.
    pub fn with_texts(&self, texts: &KeptFiles) -> Option<u64> {
        self.book.lock().with_texts(texts)
    }

    /// Whether an edge ran here before; `None` where no place would tell.
    pub(super) fn ran_before(&self) -> Option<bool> {
        self.ran_before
    }

    /// True for a word that was not told before, in this edge or in one before it that had the same file.
    pub fn tell_once(&self, word: &str) -> bool {
        self.book.lock().told.insert(word.to_owned())
    }

    /// Writes the history to its file, where it has one, and waits a moment for it.
    pub async fn save(self: &Arc<Self>) {
        let own = Arc::clone(self);
        let _ = timeout(WRITE_WITHIN, tokio::task::spawn_blocking(move || own.write())).await;
    }

    fn write(&self) {
        // Whoever holds it hangs on the disk; what comes after writes everything again.
        let Some(mut place) = self.place.try_lock_for(WRITE_WITHIN) else { return };
        let Some(place) = &mut *place else { return };
        let book = self.book.lock().clone();
        match file::write(&place.path, &book) {
            Ok(()) => place.is_failing = false,
            Err(error) if !place.is_failing => {
                let reason = words(&error);
                log::warn!("history of reloads in memory only: cannot write {}: {reason}", place.path.display());
                place.is_failing = true;
            }
            Err(_) => {}
        }
    }
}

/// What the system said, without its number.
pub(super) fn words(error: &io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
