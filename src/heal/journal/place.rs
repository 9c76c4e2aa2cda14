//! Where the journal's file is, and whether it could be written, without writing it.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::config::model::JournalFile;

/// Where the journal is kept unless the file says otherwise, if the folder is there.
const USUAL: &str = "/var/lib/remora/heals.jsonl";

/// The file that is meant; `None` where there is none.
pub fn journal_path(file: &JournalFile) -> Option<&Path> {
    match file {
        JournalFile::Off => None,
        JournalFile::At(path) => Some(path),
        JournalFile::Auto => Some(Path::new(USUAL)),
    }
}

/// The folder of that file.
pub fn journal_folder(file: &JournalFile) -> Option<PathBuf> {
    journal_path(file).and_then(Path::parent).map(Path::to_owned)
}

/// What alerts call the journal in this file.
pub fn journal_name(path: &Path) -> String {
    format!("heal journal {}", path.display())
}

/// Why heals would be kept in memory alone, and what to do; `None` where the file can be written or none is wanted.
pub fn journal_doubt(file: &JournalFile) -> Option<String> {
    let (path, folder) = (journal_path(file)?, journal_folder(file)?);
    let is_wanted = *file != JournalFile::Auto || folder.exists();
    let why = match path.metadata() {
        Ok(found) if !found.is_file() => "it is not a regular file".to_owned(),
        Ok(_) => access(path, Access::WRITE_OK).err()?.to_string(),
        Err(_) => match folder.metadata() {
            Ok(found) if !found.is_dir() => format!("{} is not a folder", folder.display()),
            Ok(_) => access(&folder, Access::WRITE_OK | Access::EXEC_OK).err()?.to_string(),
            Err(_) => format!("there is no folder {} here", folder.display()),
        },
    };
    let help = "mount a folder there that the user of Remora may write to, or change `journal`";
    is_wanted.then(|| {
        format!("cannot write the {}: {why}; heals are kept in memory until a restart; {help}", journal_name(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_is_said_before() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| JournalFile::At(folder.path().join(name));
        std::fs::write(folder.path().join("file"), "").unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        #[rustfmt::skip]
        let rows = [
            (JournalFile::Off,         None),
            (at("file"),               None),
            (at("new"),                None),
            (at("folder"),             Some("not a regular file")),
            (at("file/heals"),         Some("is not a folder")),
            (at("nowhere/heals"),      Some("there is no folder")),
        ];
        for (file, expected) in rows {
            let doubt = journal_doubt(&file);
            assert_eq!(doubt.is_some(), expected.is_some(), "{file:?}: {doubt:?}");
            assert!(doubt.as_deref().unwrap_or_default().contains(expected.unwrap_or_default()), "{doubt:?}");
            // As a start finds it.
            let opens = journal_path(&file).is_none_or(|path| super::super::Journal::in_file(path).is_ok());
            assert_eq!(doubt.is_none(), opens, "{file:?}");
            let _ = std::fs::remove_file(folder.path().join("new"));
        }
    }
}
