//! Writes an older configuration into its files: all of them or none, each at once, with its mode and owner. What a file said
//! before stays beside it under a name that no `include:` pattern finds.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;

use super::history::words;
use super::mounts::single_files;

/// After the name of a file that was replaced or set aside.
const BEFORE: &str = ".before-rollback";

/// A file that cannot be written, and why; then none was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {why}", path.display())]
pub(super) struct NotWritten {
    pub path: PathBuf,
    pub why: String,
}

/// What was done to the files, to be undone while something else may still fail.
#[derive(Debug, Default)]
pub(super) struct WriteBack {
    /// Files that say something else now, or are new.
    pub written: Vec<PathBuf>,
    /// Files that are gone, and where they went.
    pub set_aside: Vec<(PathBuf, PathBuf)>,
    undo: Vec<Undo>,
}

#[derive(Debug)]
enum Undo {
    PutBack { from: PathBuf, to: PathBuf },
    Remove(PathBuf),
}

/// A text that lies beside its place, on the disk already.
struct Staged {
    shown: PathBuf,
    place: PathBuf,
    text: NamedTempFile,
    is_new: bool,
}

impl WriteBack {
    /// Has each file say this text. Files that say it already are not touched; where `like` is the main file, new ones get
    /// its mode and owner.
    pub(super) fn write(&mut self, texts: &BTreeMap<PathBuf, Arc<str>>, like: &Path) -> Result<(), NotWritten> {
        let staged = texts.iter().map(|(path, text)| stage(path, text, like)).collect::<Result<Vec<_>, _>>()?;
        for Staged { shown, place, text, is_new } in staged.into_iter().flatten() {
            let failed = |error: &io::Error| refused(&shown, error);
            if is_new {
                text.persist_noclobber(&place).map_err(|error| failed(&error.error))?;
                self.undo.push(Undo::Remove(place));
            } else {
                let before = before(&place);
                keep(&place, &before).map_err(|error| failed(&error))?;
                text.persist(&place).map_err(|error| failed(&error.error))?;
                self.undo.push(Undo::PutBack { from: before, to: place });
            }
            self.written.push(shown);
        }
        Ok(())
    }

    /// Takes files out of the configuration.
    pub(super) fn set_aside(&mut self, files: impl IntoIterator<Item = PathBuf>) -> Result<(), NotWritten> {
        for file in files {
            writable(&file, &file)?;
            let before = before(&file);
            fs::rename(&file, &before).map_err(|error| refused(&file, &error))?;
            self.undo.push(Undo::PutBack { from: before.clone(), to: file.clone() });
            self.set_aside.push((file, before));
        }
        Ok(())
    }

    /// Has everything be as it was.
    pub(super) fn undo(self) {
        for undo in self.undo.into_iter().rev() {
            let undone = match &undo {
                Undo::PutBack { from, to } => fs::rename(from, to),
                Undo::Remove(path) => fs::remove_file(path),
            };
            if let Err(error) = undone {
                log::error!("cannot undo what a rollback wrote ({undo:?}): {error}");
            }
        }
    }
}

fn stage(path: &Path, text: &str, like: &Path) -> Result<Option<Staged>, NotWritten> {
    let failed = |error: &io::Error| refused(path, error);
    // A link stays a link; what it leads to is written.
    let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if fs::read(&place).is_ok_and(|now| now == text.as_bytes()) {
        return Ok(None);
    }
    let is_new = !place.exists();
    if !is_new {
        writable(path, &place)?;
    }
    let folder = place.parent().unwrap_or(Path::new("/"));
    if is_new {
        fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    }
    if is_read_only(&fs::metadata(folder).map_err(|error| failed(&error))?) {
        return Err(NotWritten { path: path.to_owned(), why: "is in a read-only folder".to_owned() });
    }
    let mut beside = tempfile::Builder::new().prefix(".remora-").tempfile_in(folder).map_err(|error| failed(&error))?;
    beside.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    if let Ok(model) = fs::metadata(if is_new { like } else { &place }) {
        dress(&beside, &model).map_err(|error| failed(&error))?;
    }
    beside.as_file().sync_all().map_err(|error| failed(&error))?;
    Ok(Some(Staged { shown: path.to_owned(), place, text: beside, is_new }))
}

/// Gives a new file another one's owner and mode.
fn dress(file: &NamedTempFile, model: &Metadata) -> io::Result<()> {
    let own = file.as_file().metadata()?;
    if (own.uid(), own.gid()) != (model.uid(), model.gid()) {
        fchown(file.as_file(), Some(model.uid()), Some(model.gid()))?;
    }
    // After the owner: changing that may take bits away.
    file.as_file().set_permissions(Permissions::from_mode(model.mode() & 0o7777))
}

/// A file that its owner marked read-only stays as it is, whoever asks: root could write everything.
fn writable(shown: &Path, place: &Path) -> Result<(), NotWritten> {
    let not = |why: &str| Err(NotWritten { path: shown.to_owned(), why: why.to_owned() });
    if !single_files(&BTreeSet::from([place.to_owned()])).is_empty() {
        return not("is mounted as a single file, which cannot be replaced");
    }
    let metadata = fs::metadata(place).map_err(|error| refused(shown, &error))?;
    if is_read_only(&metadata) {
        return not("is read-only");
    }
    OpenOptions::new().append(true).open(place).map(drop).map_err(|error| refused(shown, &error))
}

fn is_read_only(metadata: &Metadata) -> bool {
    metadata.permissions().readonly()
}

fn refused(path: &Path, error: &io::Error) -> NotWritten {
    NotWritten { path: path.to_owned(), why: format!("cannot be written: {}", words(error)) }
}

/// The file under a second name, so that it is never missing under its first.
fn keep(place: &Path, before: &Path) -> io::Result<()> {
    match fs::remove_file(before) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match fs::hard_link(place, before) {
        Ok(()) => Ok(()),
        // Not every file system has second names.
        Err(_) => fs::copy(place, before).map(drop),
    }
}

/// `.remora.yaml.before-rollback`
fn before(place: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(place.file_name().unwrap_or_default());
    name.push(BEFORE);
    place.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::testing::Folder;

    fn texts(rows: &[(&Path, &str)]) -> BTreeMap<PathBuf, Arc<str>> {
        rows.iter().map(|(path, text)| ((*path).to_owned(), Arc::from(*text))).collect()
    }

    fn names(folder: &Folder) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn files_are_replaced_made_and_set_aside_and_what_they_said_is_beside_them() {
        let folder = Folder::new();
        let (main, same, new) =
            (folder.write("remora.yaml", "new"), folder.write("same", "same"), folder.path().join("app/x.yaml"));
        let added = folder.write("added.yaml", "added");
        mode(&main, 0o640);
        let untouched = fs::metadata(&same).unwrap().ino();
        let mut back = WriteBack::default();
        back.write(&texts(&[(&main, "old"), (&same, "same"), (&new, "made")]), &main).unwrap();
        back.set_aside([added.clone()]).unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        assert_eq!((read(&main), read(&new)), ("old".to_owned(), "made".to_owned()));
        assert_eq!(
            (fs::metadata(&main).unwrap().mode() & 0o777, fs::metadata(&new).unwrap().mode() & 0o777),
            (0o640, 0o640)
        );
        assert_eq!(fs::metadata(&same).unwrap().ino(), untouched);
        assert_eq!(read(&folder.path().join(".remora.yaml.before-rollback")), "new");
        let aside = folder.path().join(".added.yaml.before-rollback");
        assert_eq!((read(&aside), added.exists()), ("added".to_owned(), false));
        assert_eq!(back.written, [new.clone(), main.clone()]);
        assert_eq!(back.set_aside, [(added.clone(), aside)]);
        back.undo();
        assert_eq!((read(&main), read(&added), new.exists()), ("new".to_owned(), "added".to_owned(), false));
        assert_eq!(names(&folder), ["added.yaml", "app", "remora.yaml", "same"]);
    }

    #[test]
    fn one_that_cannot_be_written_leaves_all_as_they_are() {
        let folder = Folder::new();
        let (a, b) = (folder.write("a.yaml", "a"), folder.write("b.yaml", "b"));
        mode(&b, 0o444);
        let mut back = WriteBack::default();
        let refused = back.write(&texts(&[(&a, "x"), (&b, "y")]), &a).unwrap_err();
        assert_eq!(refused.to_string(), format!("{} is read-only", b.display()));
        assert!(back.set_aside([b.clone()]).is_err());
        assert_eq!(
            (fs::read_to_string(&a).unwrap(), names(&folder)),
            ("a".to_owned(), vec!["a.yaml".into(), "b.yaml".into()])
        );
        mode(&b, 0o644);
        mode(folder.path(), 0o555);
        let closed = WriteBack::default().write(&texts(&[(&a, "x")]), &a).unwrap_err();
        assert_eq!(closed.why, "is in a read-only folder");
        mode(folder.path(), 0o755);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = Folder::new();
        let (real, link) = (folder.write("real/remora.yaml", "new"), folder.path().join("remora.yaml"));
        std::os::unix::fs::symlink(&real, &link).unwrap();
        WriteBack::default().write(&texts(&[(&link, "old")]), &link).unwrap();
        assert!(link.is_symlink() && fs::read_to_string(&real).unwrap() == "old");
    }
}
