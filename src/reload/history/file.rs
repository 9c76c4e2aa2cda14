//! The history's file: one JSON document beside the heal journal, written anew as a whole and put in its place at once. It
//! holds the texts of configurations, so only its owner may read it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::config::KeptFiles;

use super::book::{Book, KeptEntry};
use super::entry::HistoryEntry;

/// Bytes of a file that is read; what is written is far smaller.
const FILE_BYTES_MOST: u64 = 64 << 20;

/// What stands in the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct HistoryDocument {
    last_id: u64,
    in_force: Option<u64>,
    told: BTreeSet<String>,
    /// Each text once.
    texts: Vec<String>,
    entries: Vec<WrittenEntry>,
}

/// An entry, with its texts by their index.
#[derive(Debug, Serialize, Deserialize)]
struct WrittenEntry {
    entry: HistoryEntry,
    #[serde(default)]
    files: BTreeMap<PathBuf, usize>,
    #[serde(default)]
    includes: BTreeMap<String, Vec<PathBuf>>,
}

/// Reads what an edge before this one wrote; an empty book where there is no file yet.
///
/// # Errors
/// When the file cannot be read, or not as a history.
pub(super) fn read(path: &Path) -> io::Result<Book> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(FILE_BYTES_MOST).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Book::default()),
        Err(error) => return Err(error),
    };
    Ok(book(serde_json::from_slice(&bytes)?))
}

/// Writes the book beside the file, then over it.
///
/// # Errors
/// When any of it fails; then the file is as it was.
pub(super) fn write(path: &Path, book: &Book) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    // For its owner alone, whatever the umask says.
    let mut beside = NamedTempFile::new_in(folder)?;
    serde_json::to_writer(io::BufWriter::new(&mut beside), &document(book))?;
    beside.flush()?;
    beside.as_file().sync_all()?;
    beside.persist(path)?;
    Ok(())
}

fn document(book: &Book) -> HistoryDocument {
    let mut document = HistoryDocument {
        last_id: book.last_id,
        in_force: book.in_force,
        told: book.told.clone(),
        ..HistoryDocument::default()
    };
    let mut known: BTreeMap<(*const u8, usize), usize> = BTreeMap::new();
    for KeptEntry { entry, texts } in &book.entries {
        let mut files = BTreeMap::new();
        for (path, text) in &texts.files {
            let index = *known.entry((text.as_ptr(), text.len())).or_insert_with(|| {
                document.texts.push(String::from(&**text));
                document.texts.len() - 1
            });
            files.insert(path.clone(), index);
        }
        document.entries.push(WrittenEntry { entry: entry.clone(), files, includes: texts.includes.clone() });
    }
    document
}

fn book(document: HistoryDocument) -> Book {
    let HistoryDocument { last_id, in_force, told, texts, entries } = document;
    let texts: Vec<Arc<str>> = texts.into_iter().map(Arc::from).collect();
    let text = |(path, index): (PathBuf, usize)| texts.get(index).map(|text| (path, Arc::clone(text)));
    let kept = |WrittenEntry { entry, files, includes }: WrittenEntry| KeptEntry {
        entry,
        texts: KeptFiles { files: files.into_iter().filter_map(text).collect(), includes },
    };
    let mut book = Book { last_id, in_force, told, entries: entries.into_iter().map(kept).collect() };
    // A number is never given twice, whatever stands in the file.
    book.last_id = book.entries.iter().map(|kept| kept.entry.id).max().unwrap_or_default().max(last_id);
    book.bound();
    book
}
