//! Whether files differ from when they were last looked at: by their bytes, or cheaply by what `stat` says.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::load::WatchSet;

/// Bytes read of one file; the loader refuses far smaller ones.
const FILE_BYTES_MOST: u64 = 16 * 1024 * 1024;
/// Entries looked at in one folder.
const ENTRIES_MOST: usize = 4096;

/// A hash of every file's bytes and of the names in every folder and its sub-folders. Equal means: nothing to do.
pub(super) fn content(set: &WatchSet) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in &set.files {
        path.hash(&mut hasher);
        bytes(path).hash(&mut hasher);
    }
    for folder in &set.folders {
        folder.hash(&mut hasher);
        for entry in entries(folder) {
            entry.name.hash(&mut hasher);
            if entry.is_folder {
                entries(&folder.join(&entry.name)).iter().for_each(|inner| inner.name.hash(&mut hasher));
            }
        }
    }
    hasher.finish()
}

/// A hash of what `stat` says of the same files and folders; reads no file.
pub(super) fn signature(set: &WatchSet) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in &set.files {
        stat(path).hash(&mut hasher);
    }
    for folder in &set.folders {
        stat(folder).hash(&mut hasher);
        for entry in entries(folder).into_iter().filter(|entry| entry.is_folder) {
            stat(&folder.join(&entry.name)).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Which file or folder stands at a path; `None` when none does.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// True for hidden files and editors' backups.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') || name.ends_with('~')
}

fn stat(path: &Path) -> Option<(u64, u64, u64, i64, i64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

fn bytes(path: &Path) -> Option<Vec<u8>> {
    // A named pipe would block; only regular files are read.
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FILE_BYTES_MOST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

struct Entry {
    name: std::ffi::OsString,
    is_folder: bool,
}

/// The entries of a folder by name, without hidden ones and editors' backups.
fn entries(folder: &Path) -> Vec<Entry> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .take(ENTRIES_MOST)
        .filter_map(Result::ok)
        .map(|entry| Entry { name: entry.file_name(), is_folder: entry.path().is_dir() })
        .filter(|entry| !is_hidden(&entry.name))
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::testing::Folder;

    #[test]
    fn only_a_real_difference_changes_the_hash() {
        let folder = Folder::new();
        let file = folder.write("remora.yaml", "a");
        let set = WatchSet { files: [file].into(), folders: [folder.path().to_owned()].into() };
        let before = content(&set);
        #[rustfmt::skip]
        let rows: [(&str, &dyn Fn(), bool); 7] = [
            ("the same bytes again",        &|| drop(folder.write("remora.yaml", "a")),           false),
            ("an editor's swap file",       &|| drop(folder.write(".remora.yaml.swp", "x")),      false),
            ("an editor's backup",          &|| drop(folder.write("remora.yaml~", "x")),          false),
            ("other bytes",                 &|| drop(folder.write("remora.yaml", "b")),           true),
            ("the first bytes again",       &|| drop(folder.write("remora.yaml", "a")),           false),
            ("a new file in a new folder",  &|| drop(folder.write("api/upstream.yaml", "x")),     true),
            ("the file gone",               &|| fs::remove_file(folder.path().join("remora.yaml")).unwrap(), true),
        ];
        for (name, act, differs) in rows {
            act();
            assert_eq!(content(&set) != before, differs, "{name}");
        }
    }

    #[test]
    fn a_write_changes_what_stat_says() {
        let folder = Folder::new();
        let file = folder.write("remora.yaml", "a");
        let set = WatchSet { files: [file].into(), folders: [folder.path().to_owned()].into() };
        let before = signature(&set);
        assert_eq!(signature(&set), before);
        folder.write("remora.yaml", "longer");
        assert_ne!(signature(&set), before);
        let before = signature(&set);
        folder.write("new/upstream.yaml", "x");
        assert_ne!(signature(&set), before);
    }
}
