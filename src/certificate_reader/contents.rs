//! Reads a file of bounded size whole, or says why not.

use std::fs::{File, metadata};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Largest file in bytes; a chain has some thousands.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why there are no contents. Its text ends with what to do, where that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NoContents {
    /// There is no such file.
    #[error("it does not exist; correct the path, or mount its folder")]
    NotFound,
    /// The user may not read it.
    #[error(
        "permission denied; let the user that runs Remora read it, or start the image's container as root \
         (`user: \"0\"`)"
    )]
    Denied,
    /// A folder, a pipe or a device, which would make the reader wait for ever.
    #[error("it is not a regular file; give the path of a PEM file")]
    NotRegular,
    /// More than 1 MiB.
    #[error("it is larger than 1MiB; give the path of a PEM file")]
    TooLarge,
    /// Anything else, in the system's words.
    #[error("{0}")]
    Other(String),
    /// The reader's own refusal: not in the configuration.
    #[error("permission denied, and the certificate reader reads only what the configuration names")]
    NotNamed,
    /// The reader's own refusal: the edge could have it read another file.
    #[error(
        "permission denied, and the certificate reader does not read it because the edge's own user may change {0}; \
         let root own it, and nobody else write to it"
    )]
    Changeable(String),
}

impl From<&io::Error> for NoContents {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::PermissionDenied => Self::Denied,
            // The operating system's own words end in `(os error 40)`.
            _ => Self::Other(error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase()),
        }
    }
}

/// Reads it as the user that this process is. Never waits.
pub(super) fn read_directly(file: &Path) -> Result<Vec<u8>, NoContents> {
    let failed = |error: io::Error| NoContents::from(&error);
    if !metadata(file).map_err(failed)?.is_file() {
        return Err(NoContents::NotRegular);
    }
    let mut bytes = Vec::new();
    File::open(file).map_err(failed)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if FILE_BYTES_MAX < bytes.len() as u64 {
        return Err(NoContents::TooLarge);
    }
    Ok(bytes)
}
