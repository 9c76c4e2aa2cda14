//! Files that are mounted one by one: an editor replaces the file, and the mount stays with the old one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What to tell of such a file.
pub const SINGLE_FILE: &str =
    "is mounted as a single file: when an editor replaces it, its edits are not seen here; mount its folder";

/// Those of these files that are mounted by themselves, into a container or elsewhere.
pub fn single_files(files: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    files.iter().filter(|file| is_mount_point(&mounts, file)).cloned().collect()
}

/// The fifth field of a line of mountinfo (proc(5)) is where something is mounted, with blanks escaped.
fn is_mount_point(mounts: &str, file: &Path) -> bool {
    let Ok(file) = std::path::absolute(file) else { return false };
    let file = file.display().to_string().replace(' ', "\\040");
    mounts.lines().any(|line| line.split(' ').nth(4) == Some(&file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_files_are_told_from_folders() {
        let mounts = "36 35 98:0 /a /etc/remora/remora.yaml rw,noatime master:1 - ext4 /dev/root rw\n\
                      37 35 98:0 /b /srv/my\\040files/x.yaml rw - ext4 /dev/root rw\n38 35 98:0 /c /conf rw - ext4 / rw\n";
        #[rustfmt::skip]
        let rows = [
            ("/etc/remora/remora.yaml", true),
            ("/srv/my files/x.yaml",    true),
            ("/conf/remora.yaml",       false),
            ("/etc/remora",             false),
        ];
        for (file, is) in rows {
            assert_eq!(is_mount_point(mounts, Path::new(file)), is, "{file}");
        }
    }
}
