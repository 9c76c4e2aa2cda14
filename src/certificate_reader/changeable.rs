//! Whether the edge's user could have another file read in place of the one that is named.

use std::ffi::OsString;
use std::fs::{Metadata, read_link, symlink_metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{StatVfsMountFlags, statvfs};
use serde::{Deserialize, Serialize};

/// Symbolic links on the way to a file, as many as Linux follows (path_resolution(7)).
const LINKS_MAX: usize = 40;
/// The bit of a folder in which only its owner may replace a file (inode(7)).
const STICKY: u32 = 0o1000;

/// The user and group that the edge runs as, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeUser {
    /// The user.
    pub user: u32,
    /// Its group.
    pub group: u32,
}

impl FromStr for EdgeUser {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once(':').and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
        let (user, group) = numbers.ok_or("write the numbers of user and group, such as `10001:10001`")?;
        Ok(Self { user, group })
    }
}

impl EdgeUser {
    /// The first file, link or folder on the way to `file` that this user may change, so that root alone does not say what
    /// is read there. Access lists (acl(5)) are seen as the group's rights, which bound them.
    ///
    /// # Errors
    /// When the way cannot be followed.
    pub(super) fn may_change(self, file: &Path) -> io::Result<Option<PathBuf>> {
        let mut here = PathBuf::from("/");
        if self.may_alter(&symlink_metadata(&here)?, &here) {
            return Ok(Some(here));
        }
        let mut rest = parts(file);
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == ".." {
                here.pop();
                continue;
            }
            let next = here.join(part);
            let about = symlink_metadata(&next)?;
            if !about.is_symlink() {
                if self.may_alter(&about, &next) {
                    return Ok(Some(next));
                }
                here = next;
                continue;
            }
            // A link is changed by replacing it, and its folder may not be written to, unless all may and each his own.
            if self.owns(&about) && symlink_metadata(&here)?.mode() & STICKY != 0 {
                return Ok(Some(next));
            }
            links += 1;
            if LINKS_MAX < links {
                return Err(io::Error::other("too many levels of symbolic links"));
            }
            let to = read_link(&next)?;
            if to.is_absolute() {
                here = PathBuf::from("/");
            }
            rest.extend(parts(&to));
        }
        Ok(None)
    }

    fn owns(self, about: &Metadata) -> bool {
        about.uid() == self.user
    }

    /// A file's contents, or which files are in a folder. Its owner may let himself.
    fn may_alter(self, about: &Metadata, path: &Path) -> bool {
        let mode = about.mode();
        let is_each_his_own = about.is_dir() && mode & STICKY != 0;
        let is_writable = mode & 0o002 != 0 || (mode & 0o020 != 0 && about.gid() == self.group);
        (self.owns(about) || (is_writable && !is_each_his_own)) && !is_read_only(path)
    }
}

/// Whether what it is mounted from may be written through this mount.
fn is_read_only(path: &Path) -> bool {
    statvfs(path).is_ok_and(|about| about.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// The names in a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let named = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// Some other user than the one who runs the test and owns what it makes.
    const STRANGER: EdgeUser = EdgeUser { user: 4_000_001, group: 4_000_001 };

    fn mode(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn numbers_of_user_and_group_are_understood() {
        assert_eq!("10001:10002".parse(), Ok(EdgeUser { user: 10_001, group: 10_002 }));
        for text in ["", "10001", "remora:remora", "1:", ":1", "-1:1"] {
            assert!(text.parse::<EdgeUser>().is_err(), "{text}");
        }
    }

    #[test]
    fn whatever_on_the_way_may_be_changed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let own = fs::metadata(&root).unwrap();
        let me = EdgeUser { user: own.uid(), group: own.gid() };
        let [live, archive, open] = ["live", "archive", "open"].map(|name| root.join(name));
        for path in [&live, &archive, &open] {
            fs::create_dir(path).unwrap();
            mode(path, 0o755);
        }
        fs::write(archive.join("key1.pem"), "key").unwrap();
        mode(&archive.join("key1.pem"), 0o600);
        // As certbot has it.
        symlink("../archive/key1.pem", live.join("key.pem")).unwrap();
        fs::write(open.join("key.pem"), "key").unwrap();
        mode(&open.join("key.pem"), 0o600);
        symlink(open.join("key.pem"), live.join("far.pem")).unwrap();
        symlink("loop.pem", live.join("loop.pem")).unwrap();

        let first = |user: EdgeUser, file: &str| user.may_change(&root.join(file)).unwrap();
        assert_eq!(first(STRANGER, "live/key.pem"), None);
        assert_eq!(first(STRANGER, "live/../live/key.pem"), None);
        assert!(first(me, "live/key.pem").is_some(), "who owns it may change it");
        // Everybody may put another file there, whichever way leads to it.
        mode(&open, 0o777);
        assert_eq!(first(STRANGER, "live/far.pem"), Some(open.clone()));
        assert_eq!(first(STRANGER, "open/key.pem"), Some(open.clone()));
        // But not where only owners may, as in /tmp.
        mode(&open, 0o1777);
        assert_eq!(first(STRANGER, "open/key.pem"), None);
        mode(&open, 0o755);
        mode(&archive.join("key1.pem"), 0o606);
        assert_eq!(first(STRANGER, "live/key.pem"), Some(archive.join("key1.pem")));
        mode(&archive.join("key1.pem"), 0o660);
        assert_eq!(first(STRANGER, "live/key.pem"), None);
        let group = EdgeUser { user: STRANGER.user, group: own.gid() };
        assert_eq!(first(group, "live/key.pem"), Some(archive.join("key1.pem")));
        assert!(STRANGER.may_change(&live.join("loop.pem")).is_err());
        assert!(STRANGER.may_change(&live.join("none.pem")).is_err());
    }
}
