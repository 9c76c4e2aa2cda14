//! Why the edge did not run.

use std::io;
use std::path::PathBuf;

use crate::admin::AdminError;
use crate::front::BindError;

/// Why the edge did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A listener cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The admin listener cannot be had.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Two metrics have the same name.
    #[error("cannot set up the metrics")]
    Metrics(#[from] prometheus::Error),
    /// The access log's file cannot be written.
    #[error(
        "cannot write the access log `{}`: {cause}; change `log.access.file`, or create its folder for the user that \
         runs Remora",
        path.display()
    )]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The system refused threads, signal handlers or a log.
    #[error("cannot start")]
    System(#[from] io::Error),
}
