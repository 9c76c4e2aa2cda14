//! Which files an `include:` line names, and which folders may hold more of them later.

use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use serde_yaml::{Mapping, Value};

use super::kept::KeptFiles;
use super::keys::keys_of;
use super::raw::{RawFile, RawFragment};
use super::read::Item;
use super::tree::scalar_text;
use super::words::quoted;

/// What a pattern finds.
#[derive(Debug)]
pub(super) struct IncludedFiles {
    /// In the order of their names.
    pub files: Vec<PathBuf>,
    /// Existing folders where another may appear.
    pub folders: Vec<PathBuf>,
}

/// Why a pattern is not followed.
#[derive(Debug)]
pub(super) struct RefusedInclude {
    pub message: String,
    pub help: &'static str,
    /// Existing folders where what is missing may appear.
    pub folders: Vec<PathBuf>,
}

impl RefusedInclude {
    fn new(message: impl Into<String>, help: &'static str) -> Self {
        Self { message: message.into(), help, folders: Vec::new() }
    }
}

/// Finds the files of a pattern, which is relative to `folder`.
pub(super) fn find(pattern: &str, folder: &Path) -> Result<IncludedFiles, RefusedInclude> {
    if pattern.trim().is_empty() {
        return Err(RefusedInclude::new("this entry is empty", "name a file or a pattern"));
    }
    if pattern.contains("**") {
        // It would walk whatever lies below, which has no bound.
        let message = format!("{} contains `**`", quoted(pattern));
        return Err(RefusedInclude::new(message, "write one `*` for each folder: `../upstreams/*/upstream.yaml`"));
    }
    if !pattern.contains(['*', '?', '[']) {
        return literal(pattern, folder.join(pattern));
    }
    let whole = rooted(pattern, folder);
    let mut files: Vec<PathBuf> = matches(&whole, pattern)?.into_iter().filter(|path| !path.is_dir()).collect();
    files.sort();
    // Each level of the pattern may gain a folder: `a/*/b.yaml` is watched in `a` and in every `a/*`.
    let mut folders = Vec::new();
    let mut above = Path::new(&whole).parent();
    while let Some(level) = above.filter(|level| !level.as_os_str().is_empty()) {
        let level_text = level.to_string_lossy();
        folders.extend(matches(&level_text, pattern)?.into_iter().filter(|path| path.is_dir()));
        if !level_text.contains(['*', '?', '[']) {
            break;
        }
        above = level.parent();
    }
    if let Some(closed) = folders.iter().find(|folder| is_closed(folder)) {
        // What it holds would be missing without a word.
        let message = format!("cannot read the folder `{}`: permission denied", closed.display());
        let help = "let the user that runs Remora read it: `chmod a+rx` the folder";
        return Err(RefusedInclude { folders, ..RefusedInclude::new(message, help) });
    }
    if folders.is_empty() {
        folders.push(folder.to_owned());
    }
    Ok(IncludedFiles { files, folders })
}

/// What a pattern found when the texts were kept.
pub(super) fn find_kept(pattern: &str, kept: &KeptFiles) -> Result<IncludedFiles, RefusedInclude> {
    match kept.includes.get(pattern) {
        Some(files) => Ok(IncludedFiles { files: files.clone(), folders: Vec::new() }),
        None => {
            let message = format!("what {} found was not kept", quoted(pattern));
            Err(RefusedInclude::new(message, "set the variables in it as they were, or choose another entry"))
        }
    }
}

fn is_closed(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

fn literal(pattern: &str, path: PathBuf) -> Result<IncludedFiles, RefusedInclude> {
    let folders: Vec<PathBuf> =
        folder_of(&path).ancestors().find(|folder| folder.is_dir()).map(Path::to_owned).into_iter().collect();
    if !path.exists() {
        let message = format!("the included file {} does not exist", quoted(pattern));
        let help = "check the path, which is relative to this file; only a pattern with `*` may match nothing";
        return Err(RefusedInclude { folders, ..RefusedInclude::new(message, help) });
    }
    Ok(IncludedFiles { files: vec![path], folders })
}

/// The pattern below its folder, whose own name is no pattern.
fn rooted(pattern: &str, folder: &Path) -> String {
    if Path::new(pattern).is_absolute() {
        return pattern.to_owned();
    }
    format!("{}/{pattern}", Pattern::escape(&folder.to_string_lossy()))
}

fn matches(whole: &str, pattern: &str) -> Result<Vec<PathBuf>, RefusedInclude> {
    let options =
        MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let found = glob::glob_with(whole, options).map_err(|error| {
        let message = format!("{} is not a pattern: {}", quoted(pattern), error.msg);
        RefusedInclude::new(message, "write a pattern such as `../upstreams/*/upstream.yaml`")
    })?;
    Ok(found.filter_map(Result::ok).collect())
}

/// The folder of a file, `.` where its path names none.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// Splits what only the main file may say from an included file.
pub(super) fn split(at: Item) -> (Item, Vec<Item>) {
    let Value::Mapping(map) = &at.value else { return (at, Vec::new()) };
    let main_only: Vec<&str> =
        keys_of::<RawFile>().iter().copied().filter(|key| !keys_of::<RawFragment>().contains(key)).collect();
    let mut kept = Mapping::new();
    let mut misplaced = Vec::new();
    for (key, value) in map {
        match scalar_text(key) {
            Some(name) if main_only.contains(&name.as_str()) => misplaced.push(at.key(&name, value.clone())),
            _ => {
                kept.insert(key.clone(), value.clone());
            }
        }
    }
    (Item { value: Value::Mapping(kept), place: at.place }, misplaced)
}
