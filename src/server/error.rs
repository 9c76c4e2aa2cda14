//! Why the edge did not run.

use std::io;

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
    /// The system refused threads, signal handlers or a log.
    #[error("cannot start")]
    System(#[from] io::Error),
}
