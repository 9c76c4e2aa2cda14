//! Which events of the watched folders are worth a look: those about a file that was read, or that one more may have come.
//! A log or a journal beside the configuration is written to all the time.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::read_link;
use std::path::{Component, Path, PathBuf};

use notify::Event;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};

use super::fingerprint::is_hidden;
use super::load::WatchSet;

/// Links that are followed from one file.
const LINKS_MAX: usize = 8;

/// The names that matter.
#[derive(Debug, Default)]
pub(super) struct Interest {
    /// Those of the files, and of everything that leads to one by a link, such as the `..data` of a ConfigMap.
    names: BTreeSet<OsString>,
    folders: BTreeSet<PathBuf>,
}

impl Interest {
    pub(super) fn of(set: &WatchSet, folders: BTreeSet<PathBuf>) -> Self {
        let mut names = BTreeSet::new();
        for file in &set.files {
            let mut at = file.clone();
            names.extend(at.file_name().map(ToOwned::to_owned));
            for _ in 0..LINKS_MAX {
                let Ok(to) = read_link(&at) else { break };
                names.extend(to.components().filter_map(|part| match part {
                    Component::Normal(name) => Some(name.to_owned()),
                    _ => None,
                }));
                at = at.parent().unwrap_or(Path::new("")).join(to);
            }
            names.extend(file.canonicalize().ok().and_then(|real| real.file_name().map(ToOwned::to_owned)));
        }
        Self { names, folders }
    }

    /// False for reads, our own included, and for writes to what was not read.
    pub(super) fn concerns(&self, event: &Event) -> bool {
        let may_be_new = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            EventKind::Access(_) => return false,
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => false,
            EventKind::Any
            | EventKind::Create(_)
            | EventKind::Modify(ModifyKind::Any | ModifyKind::Name(_) | ModifyKind::Other)
            | EventKind::Remove(_)
            | EventKind::Other => true,
        };
        event.paths.is_empty() || event.paths.iter().any(|path| self.is_ours(path, may_be_new))
    }

    fn is_ours(&self, path: &Path, may_be_new: bool) -> bool {
        let Some(name) = path.file_name() else { return true };
        self.names.contains(name) || self.folders.contains(path) || (may_be_new && !is_hidden(name))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use notify::event::{CreateKind, DataChange, MetadataKind, RemoveKind, RenameMode};

    use super::*;
    use crate::reload::testing::Folder;

    #[test]
    fn what_is_written_beside_the_files_is_not_looked_at() {
        let folder = Folder::new();
        folder.write("..first/remora.yaml", "one");
        symlink("..first", folder.path().join("..data")).unwrap();
        let file = folder.path().join("conf.yaml");
        symlink("..data/remora.yaml", &file).unwrap();
        let set = WatchSet { files: [file].into(), folders: [folder.path().to_owned()].into() };
        let interest = Interest::of(&set, [folder.path().to_owned(), folder.path().join("..first")].into());
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let owner = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::Any));
        let (created, removed) = (EventKind::Create(CreateKind::File), EventKind::Remove(RemoveKind::File));
        #[rustfmt::skip]
        let rows = [
            ("conf.yaml",           written, true),
            ("conf.yaml",           closed,  true),
            ("conf.yaml",           owner,   true),
            ("conf.yaml",           EventKind::Access(AccessKind::Read), false),
            ("..first/remora.yaml", written, true),
            // What leads to a file.
            ("..data",              renamed, true),
            ("..data_tmp",          created, false),
            // A log and a journal, and what editors put beside a file.
            ("access.log",          written, false),
            ("access.log",          closed,  false),
            ("heals.jsonl",         owner,   false),
            (".conf.yaml.swp",      created, false),
            (".conf.yaml.swp",      removed, false),
            ("conf.yaml~",          renamed, false),
            // It might be included, or was.
            ("api.yaml",            created, true),
            ("api.yaml",            renamed, true),
            ("api.yaml",            removed, true),
            ("..first",             removed, true),
            ("",                    removed, true),
        ];
        for (name, kind, concerns) in rows {
            let event = Event::new(kind).add_path(folder.path().join(name));
            assert_eq!(interest.concerns(&event), concerns, "{name} {kind:?}");
        }
        assert!(interest.concerns(&Event::new(EventKind::Other)), "some were lost");
    }
}
