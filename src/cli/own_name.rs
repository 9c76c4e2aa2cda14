//! How a person calls this very program again from where they are, for commands that are printed to be typed.

use std::path::{Path, PathBuf};

/// `remora` where that finds this program, else its path, from the current folder where it is below that. Ready to type.
pub(super) fn own_name() -> String {
    let Ok(this) = std::env::current_exe() else { return "remora".to_owned() };
    let folders: Vec<PathBuf> = std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
    name_of(&this, &folders, std::env::current_dir().ok().as_deref())
}

fn name_of(this: &Path, folders: &[PathBuf], here: Option<&Path>) -> String {
    let found = folders.iter().map(|folder| folder.join("remora")).find(|path| path.is_file());
    if found.and_then(|path| path.canonicalize().ok()) == this.canonicalize().ok() {
        return "remora".to_owned();
    }
    let below = here.and_then(|here| this.strip_prefix(here).ok());
    let shown = match below {
        // Without a slash a shell would search for it.
        Some(path) if path.components().count() == 1 => format!("./{}", path.display()),
        Some(path) => path.display().to_string(),
        None => this.display().to_string(),
    };
    shlex::try_quote(&shown).map(|quoted| quoted.into_owned()).unwrap_or_else(|_| "remora".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_finds_what_is_printed() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("a b/target/remora");
        std::fs::create_dir_all(bin.parent().unwrap()).unwrap();
        std::fs::write(&bin, "").unwrap();
        let on_path = [folder.path().join("elsewhere"), bin.parent().unwrap().to_owned()];
        assert_eq!(name_of(&bin, &on_path, None), "remora");
        assert_eq!(name_of(&bin, &[], Some(&folder.path().join("a b"))), "target/remora");
        assert_eq!(name_of(&bin, &[], Some(bin.parent().unwrap())), "./remora");
        assert_eq!(name_of(&bin, &[], None), format!("'{}'", bin.display()));
        // Another program of that name is in the way.
        std::fs::create_dir_all(&on_path[0]).unwrap();
        std::fs::write(on_path[0].join("remora"), "").unwrap();
        assert_eq!(name_of(&bin, &on_path, Some(&folder.path().join("a b"))), "target/remora");
    }
}
