//! The entries in memory: which are kept, which is meant. Pure.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;

use crate::config::KeptFiles;

use super::entry::{HistoryEntry, HistoryResult, ShownEntry};

/// Entries kept.
const ENTRIES_MOST: usize = 50;
/// Bytes of all texts together, each counted once; beyond it the oldest texts go, and their entries stay.
const TEXT_BYTES_MOST: usize = 4 << 20;

/// An entry and the texts it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptEntry {
    pub entry: HistoryEntry,
    pub texts: KeptFiles,
}

/// Every entry, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Book {
    pub entries: VecDeque<KeptEntry>,
    pub last_id: u64,
    pub in_force: Option<u64>,
    /// What was said once and is not said again.
    pub told: BTreeSet<String>,
}

/// Which entry a rollback means, and its texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The entry's number.
    pub id: u64,
    /// The texts.
    pub texts: KeptFiles,
}

impl Book {
    /// Adds an entry under the next number, which it returns. The same refusal of the same texts again, with nothing
    /// accepted since, is the same entry: the watcher looks again after each refusal.
    pub(super) fn add(&mut self, mut entry: HistoryEntry, mut texts: KeptFiles) -> u64 {
        let is_again = |other: &&KeptEntry| {
            other.entry.differences == entry.differences
                && other.entry.rolled_back_to == entry.rolled_back_to
                && other.texts == texts
        };
        let is_refused = |kept: &&KeptEntry| kept.entry.result == HistoryResult::Refused;
        let mut refused_since = self.entries.iter().rev().take_while(is_refused);
        if entry.result == HistoryResult::Refused
            && let Some(again) = refused_since.find(is_again)
        {
            return again.entry.id;
        }
        self.last_id += 1;
        entry.id = self.last_id;
        self.share(&mut texts);
        if entry.result == HistoryResult::Accepted {
            self.in_force = Some(entry.id);
        }
        self.entries.push_back(KeptEntry { entry, texts });
        self.bound();
        self.last_id
    }

    /// The texts of the configuration in force are these now, and mean the same as those before.
    pub(super) fn amend(&mut self, mut texts: KeptFiles) {
        self.share(&mut texts);
        if let Some(entry) = self.in_force.and_then(|id| self.find_mut(id)) {
            entry.texts = texts;
        }
        self.bound();
    }

    /// The entry in force.
    pub(super) fn in_force(&self) -> Option<&KeptEntry> {
        self.in_force.and_then(|id| self.entries.iter().find(|kept| kept.entry.id == id))
    }

    /// The entry of the number, or without one what undoes the last change: where the files say something else than what is
    /// in force, that which is in force, and otherwise what was in force before it.
    pub(super) fn wanted(&self, id: Option<u64>, files_differ: bool) -> Result<Wanted, String> {
        let found = match id {
            Some(id) => self.entries.iter().find(|kept| kept.entry.id == id).ok_or_else(|| no_entry(id))?,
            None if files_differ => self.in_force().ok_or("the history does not know what is in force")?,
            None => self.before().ok_or("the history has no other configuration than the one in force")?,
        };
        if found.texts.files.is_empty() {
            return Err(format!("the text of entry {} is not kept any more; see `remora history`", found.entry.id));
        }
        Ok(Wanted { id: found.entry.id, texts: found.texts.clone() })
    }

    /// The newest accepted entry before the one in force whose texts are others.
    fn before(&self) -> Option<&KeptEntry> {
        let current = self.in_force()?;
        let is_before = |kept: &&KeptEntry| {
            kept.entry.id < current.entry.id
                && kept.entry.result == HistoryResult::Accepted
                && kept.texts != current.texts
        };
        self.entries.iter().rev().find(is_before)
    }

    /// The number of the newest entry with exactly these texts.
    pub(super) fn with_texts(&self, texts: &KeptFiles) -> Option<u64> {
        self.entries.iter().rev().find(|kept| kept.texts == *texts).map(|kept| kept.entry.id)
    }

    /// Every entry, oldest first.
    pub(super) fn shown(&self) -> Vec<ShownEntry> {
        let shown = |kept: &KeptEntry| ShownEntry {
            entry: kept.entry.clone(),
            in_force: self.in_force == Some(kept.entry.id),
            kept: !kept.texts.files.is_empty(),
        };
        self.entries.iter().map(shown).collect()
    }

    fn find_mut(&mut self, id: u64) -> Option<&mut KeptEntry> {
        self.entries.iter_mut().find(|kept| kept.entry.id == id)
    }

    /// A text that an entry has already is not kept twice.
    fn share(&self, texts: &mut KeptFiles) {
        for (path, text) in &mut texts.files {
            let same = |kept: &KeptEntry| kept.texts.files.get(path).filter(|other| *other == text).cloned();
            if let Some(other) = self.entries.iter().rev().find_map(same) {
                *text = other;
            }
        }
    }

    /// Drops what is too much. What is in force, what was before it and the newest go last: many refusals in a row must not
    /// cost the way back.
    pub(super) fn bound(&mut self) {
        let dear: BTreeSet<u64> =
            [self.in_force, self.before().map(|kept| kept.entry.id), self.entries.back().map(|kept| kept.entry.id)]
                .into_iter()
                .flatten()
                .collect();
        while ENTRIES_MOST < self.entries.len() {
            let Some(index) = self.entries.iter().position(|kept| !dear.contains(&kept.entry.id)) else { break };
            self.entries.remove(index);
        }
        let has_texts = |kept: &KeptEntry| !kept.texts.files.is_empty();
        while TEXT_BYTES_MOST < self.text_bytes() {
            let cheap = self.entries.iter().position(|kept| has_texts(kept) && !dear.contains(&kept.entry.id));
            let Some(index) = cheap.or_else(|| self.entries.iter().position(has_texts)) else { break };
            if let Some(kept) = self.entries.get_mut(index) {
                kept.texts = KeptFiles::default();
            }
        }
    }

    fn text_bytes(&self) -> usize {
        let texts: BTreeSet<(*const u8, usize)> = self
            .entries
            .iter()
            .flat_map(|kept| kept.texts.files.values())
            .map(|text| (text.as_ptr(), text.len()))
            .collect();
        texts.into_iter().map(|(_, length)| length).sum()
    }
}

fn no_entry(id: u64) -> String {
    format!("there is no entry {id}; `remora history` lists them")
}

/// Paths in a message.
pub(in crate::reload) fn listed<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> String {
    paths.into_iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Texts of one file, for tests.
#[cfg(test)]
pub(in crate::reload) fn one_text(text: &str) -> KeptFiles {
    KeptFiles { files: [(PathBuf::from("/remora.yaml"), std::sync::Arc::from(text))].into(), ..KeptFiles::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(result: HistoryResult, differences: &str) -> HistoryEntry {
        HistoryEntry {
            id: 0,
            at: "2026-11-21T08:00:00.000Z".to_owned(),
            origin: "file".to_owned(),
            result,
            generation: 1,
            differences: differences.to_owned(),
            rolled_back_to: None,
        }
    }

    fn accepted(book: &mut Book, text: &str) -> u64 {
        book.add(entry(HistoryResult::Accepted, text), one_text(text))
    }

    fn refused(book: &mut Book, text: &str) -> u64 {
        book.add(entry(HistoryResult::Refused, text), one_text(text))
    }

    fn wanted(book: &Book, id: Option<u64>, files_differ: bool) -> Result<u64, String> {
        book.wanted(id, files_differ).map(|wanted| wanted.id)
    }

    #[test]
    fn a_rollback_without_a_number_undoes_the_last_change() {
        let mut book = Book::default();
        assert!(wanted(&book, None, false).is_err() && wanted(&book, None, true).is_err());
        accepted(&mut book, "a");
        assert!(wanted(&book, None, false).unwrap_err().contains("no other configuration"));
        accepted(&mut book, "b");
        assert_eq!(wanted(&book, None, false), Ok(1));
        refused(&mut book, "broken");
        assert_eq!(wanted(&book, None, true), Ok(2), "the file is broken: it gets what is in force");
        assert_eq!(wanted(&book, None, false), Ok(1));
        assert_eq!(wanted(&book, Some(3), false), Ok(3), "whether it can come into force is for the check to say");
        assert!(wanted(&book, Some(9), false).unwrap_err().contains("no entry 9"));
        accepted(&mut book, "a");
        assert_eq!(wanted(&book, None, false), Ok(2), "a rollback is undone by another");
        accepted(&mut book, "a");
        assert_eq!(wanted(&book, None, false), Ok(2), "what says the same is passed over");
    }

    #[test]
    fn a_text_with_other_comments_is_the_same_configuration() {
        let mut book = Book::default();
        accepted(&mut book, "a");
        accepted(&mut book, "b");
        book.amend(one_text("b # better"));
        assert_eq!((book.entries.len(), wanted(&book, None, false)), (2, Ok(1)));
        assert_eq!((book.with_texts(&one_text("b # better")), book.with_texts(&one_text("b"))), (Some(2), None));
    }

    #[test]
    fn many_refusals_do_not_cost_the_way_back() {
        let mut book = Book::default();
        accepted(&mut book, "a");
        accepted(&mut book, "b");
        for _ in 0..3 {
            assert_eq!(refused(&mut book, "broken"), 3, "the same refusal again is the same entry");
        }
        for index in 0..200 {
            refused(&mut book, &format!("broken {index}"));
        }
        assert_eq!((book.entries.len(), book.last_id), (ENTRIES_MOST, 203));
        let shown = book.shown();
        assert_eq!((shown[0].entry.id, shown[1].entry.id, shown[2].entry.id), (1, 2, 156));
        assert!(shown[1].in_force && shown.iter().filter(|shown| shown.in_force).count() == 1);
        assert_eq!(wanted(&book, None, false), Ok(1));
    }

    #[test]
    fn texts_are_bounded_and_shared() {
        let mut book = Book::default();
        let large = |letter: &str| letter.repeat(TEXT_BYTES_MOST / 4);
        for index in 0..20 {
            let mut texts = one_text(&large("a"));
            texts.files.insert("/other.yaml".into(), format!("{index}").as_str().into());
            book.add(entry(HistoryResult::Accepted, "x"), texts);
        }
        assert!(book.text_bytes() < TEXT_BYTES_MOST / 3, "what did not change is kept once");
        assert!(book.shown().iter().all(|shown| shown.kept));
        for letter in ["b", "c", "d", "e"] {
            accepted(&mut book, &large(letter));
        }
        assert!(book.text_bytes() <= TEXT_BYTES_MOST);
        let shown = book.shown();
        assert!(!shown[0].kept && shown.last().unwrap().kept && shown.len() == 24, "the oldest texts go, entries stay");
        assert!(wanted(&book, Some(1), false).unwrap_err().contains("not kept any more"));
        accepted(&mut book, &"x".repeat(TEXT_BYTES_MOST + 1));
        assert!(book.text_bytes() <= TEXT_BYTES_MOST, "however large what is in force may be");
    }
}
