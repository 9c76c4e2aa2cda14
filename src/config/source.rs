//! The files that make up a configuration: read with bounds, never waited for.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::outline::Outline;
use super::place::FileId;

/// Largest file in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most files of one configuration.
pub(super) const FILES_MAX: usize = 500;

/// One file.
#[derive(Debug)]
pub(super) struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// The same without symbolic links and `..`, by which two names of one file are told.
    real: PathBuf,
    /// What reports call it.
    pub shown: String,
    /// Its text, empty where it could not be read.
    pub text: String,
    /// Where its keys and values stand.
    pub outline: Outline,
}

/// Every file of a configuration, the main one first.
#[derive(Debug, Default)]
pub(super) struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds a file that has not been read yet.
    pub(super) fn add(&mut self, path: &Path) -> FileId {
        self.files.push(Source {
            path: path.to_owned(),
            real: real(path),
            shown: shown(path),
            text: String::new(),
            outline: Outline::default(),
        });
        FileId(self.files.len() - 1)
    }

    pub(super) fn get(&self, id: FileId) -> Option<&Source> {
        self.files.get(id.0)
    }

    pub(super) fn get_mut(&mut self, id: FileId) -> Option<&mut Source> {
        self.files.get_mut(id.0)
    }

    /// True for a file that is among them: a pattern beside the main file matches the main file too.
    pub(super) fn contains(&self, path: &Path) -> bool {
        let real = real(path);
        self.files.iter().any(|source| source.real == real)
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Source> {
        self.files.iter()
    }
}

/// Why a file was not read: what is wrong, and what to do.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub message: String,
    pub help: &'static str,
}

/// Reads a whole file of bounded size as text.
pub(super) fn read(path: &Path) -> Result<String, Unreadable> {
    let failed = |error: std::io::Error| match closed_folder(path, &error) {
        Some(folder) => Unreadable {
            message: format!("cannot read the folder `{}`: permission denied", folder.display()),
            help: "let the user that runs Remora enter it: `chmod a+rx` the folder",
        },
        None => unreadable(&error),
    };
    // A pipe or a device would make the reader wait for ever.
    let meta = std::fs::metadata(path).map_err(failed)?;
    if meta.is_dir() {
        return Err(Unreadable { message: "this is a folder, not a file".into(), help: "name the file in it" });
    }
    if !meta.is_file() {
        return Err(Unreadable { message: "this is not a regular file".into(), help: "name a file on disk" });
    }
    read_all(File::open(path).map_err(failed)?)
}

/// Reads what is left of a text of bounded size.
pub(super) fn read_all(reader: impl Read) -> Result<String, Unreadable> {
    let mut bytes = Vec::new();
    reader.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if FILE_BYTES_MAX < bytes.len() as u64 {
        return Err(Unreadable {
            message: "the file is larger than 1MiB".into(),
            help: "check that it is the right file; split a large configuration with `include:`",
        });
    }
    text(bytes)
}

fn unreadable(error: &std::io::Error) -> Unreadable {
    Unreadable { message: format!("cannot read the file: {}", brief(error)), help: help(error) }
}

/// The outermost folder of a file that may not be entered, where that is why the file cannot be read.
fn closed_folder<'p>(path: &'p Path, error: &std::io::Error) -> Option<&'p Path> {
    let is_denied = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    if !is_denied(error) {
        return None;
    }
    // Of a folder that may not be entered, not even what is in it can be asked.
    let hides = |child: &&Path| std::fs::metadata(child).is_err_and(|error| is_denied(&error));
    path.ancestors().take_while(hides).last()?.parent()
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn text(bytes: Vec<u8>) -> Result<String, Unreadable> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes().iter().take(valid).filter(|&&byte| byte == b'\n').count();
        Unreadable { message: format!("line {line} is not UTF-8 text"), help: "save the file as UTF-8" }
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn brief(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "it does not exist".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        // The operating system's own words end in `(os error 40)`.
        _ => error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase(),
    }
}

fn help(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "check the path; in a container, check that the file is mounted",
        std::io::ErrorKind::PermissionDenied => "let the user that runs Remora read it: `chmod a+r` the file",
        _ => "check the path",
    }
}

/// `conf/../upstreams/a.yaml` as `upstreams/a.yaml`: for reading only, a symbolic link may lead elsewhere.
fn shown(path: &Path) -> String {
    let mut kept: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match (part, kept.last()) {
            (Component::ParentDir, Some(Component::Normal(_))) => {
                kept.pop();
            }
            (Component::CurDir, _) => {}
            _ => kept.push(part),
        }
    }
    kept.iter().collect::<PathBuf>().display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_short() {
        for (path, expected) in [
            ("conf/../upstreams/a.yaml", "upstreams/a.yaml"),
            ("./remora.yaml", "remora.yaml"),
            ("../x/y.yaml", "../x/y.yaml"),
            ("/etc/remora/remora.yaml", "/etc/remora/remora.yaml"),
        ] {
            assert_eq!(shown(Path::new(path)), expected);
        }
    }
}
