//! Becomes the user that a process in question runs as: `docker exec` runs a command as root.

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

/// Gives up root for good, where this is root and may. Elsewhere nothing changes, and what follows fails by itself.
pub(super) fn become_user(user: u32, group: u32) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let become_it = || {
        setgroups(&[])?;
        setgid(Gid::from_raw(group))?;
        setuid(Uid::from_raw(user))
    };
    if let Err(error) = become_it() {
        log::debug!("cannot become user {user}: {error}");
    }
}
